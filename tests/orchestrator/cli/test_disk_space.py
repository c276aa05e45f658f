"""Tests of starts that are refused for want of room on the disk."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from ledger.errors import StorageError
from orchestrator.cli import running
from orchestrator.cli.app import run_command
from orchestrator.runtime import preflight
from tests.programs import Json, data_of, everything_in, ledger_of, no_traceback, program, refused

PIPELINE = '[pipeline]\nname = "p"\nmin_free = {}\n[steps.a]\nshell = "echo hi; {}"\n'
MUCH = '"1024TiB"'


def define(folder: Path, min_free: str, *, then: str = "true") -> None:
    """Write the definition, which demands *min_free*."""
    (folder / "pipeline.toml").write_text(PIPELINE.format(min_free, then))


def lack_of_room(problems: list[Json], folder: Path) -> Json:
    """Return the one problem, which says what is free, what is needed, where, and what to do."""
    (problem,) = problems
    assert (problem["kind"], problem["severity"], problem["line"]) == ("disk_space", "error", 3)
    assert f"are free where {folder}" in problem["message"]
    assert "1024.0 TiB are needed by min_free" in problem["message"]
    assert "make room" in problem["suggestion"]
    return problem


class TestTooLittleRoom:
    """Less than a run needs is free."""

    @pytest.mark.parametrize("command", ["validate", "plan"])
    def test_looking_ahead(self, tmp_path: Path, command: str) -> None:
        """Given a demand that no disk meets, then it is told before any run, and nothing is made for it."""
        define(tmp_path, MUCH)
        done = program(command, cwd=tmp_path)
        assert (done.returncode, "too little room" in done.stderr) == (2, True)
        assert everything_in(tmp_path) == ["pipeline.toml"]

    def test_run_is_refused_and_that_is_recorded(self, tmp_path: Path) -> None:
        """Given the same, then no step starts, and the refusal stands in the ledger."""
        define(tmp_path, MUCH)
        problem = lack_of_room(refused(program("run", "--json", cwd=tmp_path)), tmp_path)
        (recorded,) = data_of(ledger_of(tmp_path), "run.refused")
        assert (recorded["problems"], recorded["exit_code"]) == ([problem], 2)
        assert data_of(ledger_of(tmp_path), "run.started") == []

    def test_resume_is_refused(self, tmp_path: Path) -> None:
        """Given a run that failed, and a demand since, then it does not go on."""
        define(tmp_path, "0", then="exit 3")
        assert program("run", "-q", cwd=tmp_path).returncode == 1
        define(tmp_path, MUCH)
        lack_of_room(refused(program("resume", "latest", "--accept-definition", "--json", cwd=tmp_path)), tmp_path)
        assert data_of(ledger_of(tmp_path), "run.resumed") == []

    def test_demand_of_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given min_free = 0, then a run starts however little is free."""
        define(tmp_path, "0")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(preflight, "free_bytes", lambda _: 0)
        assert run_command(["validate"]) == 0

    @pytest.mark.parametrize(("min_free", "code", "told"), [(MUCH, 2, "too little room"), ("0", 5, "disk is full")])
    def test_disk_on_which_nothing_can_be_recorded(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        min_free: str,
        code: int,
        told: str,
    ) -> None:
        """Given that not even the ledger can be opened, then the want of room is what is told; where there is none, the disk's error."""

        def full(path: Path) -> contextlib.AbstractContextManager[None]:
            raise StorageError(str(path), "disk is full")

        define(tmp_path, min_free)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(running, "open_to_write", full)
        assert run_command(["run"]) == code
        assert told in capsys.readouterr().err

    def test_bad_place(self, tmp_path: Path) -> None:
        """Given a place that no ledger can lie in, then what is wrong with it is told, and no traceback."""
        define(tmp_path, MUCH)
        done = program("run", "--ledger", f"{'x' * 300}/ledger.db", cwd=tmp_path)
        no_traceback(done)
        assert done.returncode == 2
