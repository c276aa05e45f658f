"""Tests of what commands hand out: it never takes the place of what the ledger consists of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.programs import everything_in, ledger_of, no_traceback, program, refused

PIPELINE = '[pipeline]\nname = "p"\n[steps.a]\nshell = "echo hi"\n'
COMMANDS = {
    "prove event": ("audit", "prove", "--seq", "0", "--force", "--out"),
    "prove run": ("audit", "prove", "--run", "latest", "--force", "--out"),
    "package": ("audit", "package", "--from", "2020-01-01", "--to", "2020-01-02", "--force", "--out"),
    "export": ("audit", "export", "--force", "--jsonl"),
    "backup": ("audit", "backup", "--force"),
    "checkpoint": ("audit", "checkpoint", "--out"),
    "cosign": ("audit", "cosign", "--out"),
    "serve": ("audit", "serve", "--port", "0", "--snapshot"),
    "report": ("report", "latest", "--html"),
    "run": ("run", "--log-file"),
    "resume": ("resume", "latest", "--log-file"),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project in which a run has been."""
    (tmp_path / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    assert program("run", "-q", cwd=tmp_path).returncode == 0
    return tmp_path


class TestLedgerFiles:
    """Names that are taken."""

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command(self, project: Path, command: str) -> None:
        """Given the ledger itself, a link to it, or its log, then exit code 2, and everything is as it was."""
        (project / "link").symlink_to(ledger_of(project))
        before = everything_in(project)
        data = ledger_of(project).read_bytes()
        for name in (".orchestrate/ledger.db", "link", ".orchestrate/ledger.db-wal"):
            done = program(*COMMANDS[command], name, cwd=project)
            no_traceback(done)
            assert done.returncode == 2, done.stderr
            assert "ledger" in done.stderr
        assert everything_in(project) == before
        assert ledger_of(project).read_bytes() == data

    @pytest.mark.parametrize(
        "name",
        [
            "logs/x",
            "checkpoints/x",
            "locks/p.lock",
            "ledger.db-journal",
            "ledger.db.restoring",
            "ledger.0123abcd.db",
            "../.orchestrate/ledger.db",
        ],
    )
    def test_names(self, project: Path, name: str) -> None:
        """Given another file of the ledger, there or not, then it is refused as well."""
        place = os.path.join(".orchestrate", name)  # noqa: PTH118 - the dots stay
        (problem,) = refused(program("audit", "export", "--force", "--jsonl", place, "--json", cwd=project))
        assert problem["kind"] == "ledger_file"

    @pytest.mark.parametrize(
        "name", ["events.jsonl", ".orchestrate/events.jsonl", ".orchestrate/ledger.db.jsonl", "out/logs/x"]
    )
    def test_others(self, project: Path, name: str) -> None:
        """Given any other name, then it is written, also beside the ledger."""
        assert program("audit", "export", "--jsonl", name, cwd=project).returncode == 0
        assert (project / name).is_file()
