"""Tests of the environment that a run records: whole runs, and what changes in it when something of the machine or the code does."""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ledger.canonical import blob_digest
from orchestrator.projections.environments import environment_of, last_secrets
from tests.nights import SECRET
from tests.programs import data_of, ledger_of, program, value_of

DEFINITION = """\
[pipeline]
name = "p"
[env.vars]
TOKEN = { secret = true }
OTHER = { secret = true, rekey = true }
[steps.load]
command = ["sh", "steps/load.sh"]
code = ["steps/*.sh"]
env = ["TOKEN", "OTHER"]
[steps.mail]
command = ["true"]  # for now
[steps.report]
shell = "true"
"""
STOPPED = """
import signal
from orchestrator.runtime.digests import FileDigester
code = FileDigester.code
def stopped(digester):
    for file in code(digester):
        yield file
        if file is not None:
            signal.raise_signal(signal.SIGTERM)
FileDigester.code = stopped
from orchestrator.cli.app import main
main()
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a pipeline with code and secrets, and a configuration folder of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "p"
    (folder / "steps").mkdir(parents=True)
    (folder / "pipeline.toml").write_text(DEFINITION, encoding="utf-8")
    (folder / "steps" / "load.sh").write_text("exit 0\n", encoding="utf-8")
    secrets(folder)
    return folder


def secrets(folder: Path, token: str = SECRET) -> None:
    """Write the secrets into `.env`."""
    (folder / ".env").write_text(f"TOKEN={token}\nOTHER=battery-staple-0815\n", encoding="utf-8")
    (folder / ".env").chmod(0o600)


def ran(folder: Path, *arguments: str) -> tuple[str, dict[str, Any], str]:
    """Run, and return the id, what was recorded of the environment, and what was said."""
    done = program("run", "--json", *arguments, cwd=folder)
    run_id = str(value_of(done, "run", code=None)["run_id"])
    with contextlib.closing(sqlite3.connect(ledger_of(folder))) as connection:
        found = environment_of(connection, run_id)
    assert found is not None
    return run_id, found, done.stderr


def blob(folder: Path, digest: str) -> bytes | None:
    """Return what the ledger keeps under *digest*."""
    with contextlib.closing(sqlite3.connect(ledger_of(folder))) as connection:
        row = connection.execute("SELECT bytes FROM blobs WHERE digest = ?", (digest,)).fetchone()
    return None if row is None else bytes(row[0])


def count_blobs(folder: Path) -> int:
    """Return how many blobs the ledger keeps."""
    with contextlib.closing(sqlite3.connect(ledger_of(folder))) as connection:
        (count,) = connection.execute("SELECT count(*) FROM blobs").fetchone()
    return int(count)


class TestEnvironment:
    """What `run.started` names."""

    def test_is_kept_once(self, project: Path) -> None:
        """Given two runs of the same, then text, code and environment are kept with the first, and the second adds nothing."""
        _, found, _ = ran(project)
        (entry,) = found["code"]
        count = count_blobs(project)

        assert blob(project, found["definition_text"]) == DEFINITION.encode()
        assert (entry["path"], entry["size"], entry["kept"]) == ("steps/load.sh", 7, True)
        assert blob(project, entry["digest"]) == b"exit 0\n"
        assert found["commands"].keys() == {"load", "mail", "report"}
        assert found["programs"][found["commands"]["load"]]["digest"].startswith("sha256:")
        assert "orchestrate" in found["packages"]
        assert found["interpreter"]["version"]
        assert ran(project)[1] == found
        assert ran(project, "--only", "load")[1] == found
        assert count_blobs(project) == count
        assert program("audit", "verify", cwd=project).returncode == 0

    def test_what_changed_shows(self, project: Path) -> None:
        """Given new code, a new comment, a new secret, then each is another digest and everything else stays."""
        _, before, _ = ran(project)
        (project / "steps" / "load.sh").write_text("exit 0 # new\n", encoding="utf-8")
        _, code, _ = ran(project)
        (project / "pipeline.toml").write_text(DEFINITION.replace("for now", "for ever"), encoding="utf-8")
        _, text, _ = ran(project)
        secrets(project, "another-secret-1234")
        _, secret, said = ran(project)

        found = [before, code, text, secret]
        changed = [{name for name in old if old[name] != new[name]} for old, new in itertools.pairwise(found)]
        assert changed == [{"code"}, {"definition_text"}, {"secrets"}]
        assert [name for name in secret["secrets"] if secret["secrets"][name] != text["secrets"][name]] == ["TOKEN"]
        assert said == ""

    def test_no_secret_is_kept(self, project: Path) -> None:
        """Given code and a comment that hold a secret, then neither is kept, both are named, and no file of the ledger has it."""
        (project / "steps" / "load.sh").write_text(f"exit 0 # {SECRET}\n", encoding="utf-8")
        (project / "pipeline.toml").write_text(DEFINITION.replace("for now", SECRET), encoding="utf-8")
        _, found, _ = ran(project)

        assert [(entry["kept"], entry["left_out"]) for entry in found["code"]] == [(False, "secret")]
        assert found["definition_text"] is None
        kept = [path for path in (project / ".orchestrate").rglob("*") if path.is_file()]
        assert kept
        assert not any(SECRET.encode() in path.read_bytes() for path in kept)

    def test_no_value_that_does_not_count_is_kept(self, project: Path) -> None:
        """Given a run with its own file, then what `.env` and the parent have under the name of a secret is masked in its log, and nothing with it is kept."""
        parents = "from-the-parent-4712"
        (project / "other.env").write_text("TOKEN=another-secret-4713\n", encoding="utf-8")
        (project / "other.env").chmod(0o600)
        (project / "steps" / "load.sh").write_text(f"echo {SECRET} {parents}\n", encoding="utf-8")
        (project / "pipeline.toml").write_text(DEFINITION.replace("for now", parents), encoding="utf-8")
        done = program("run", "--json", "--env-file", "other.env", cwd=project, env={"TOKEN": parents})
        value_of(done, "run")
        with contextlib.closing(sqlite3.connect(ledger_of(project))) as connection:
            found = environment_of(connection, str(value_of(done, "run")["run_id"]))

        assert found is not None
        assert [(entry["kept"], entry["left_out"]) for entry in found["code"]] == [(False, "secret")]
        assert found["definition_text"] is None
        kept = [path for path in (project / ".orchestrate").rglob("*") if path.is_file()]
        assert [path.read_text() for path in kept if path.name == "load.1.log"] == ["*** ***\n"]
        assert not any(value.encode() in path.read_bytes() for path in kept for value in (SECRET, parents))

    def test_a_program_in_a_folder_of_that_name(self, project: Path) -> None:
        """Given a program whose path holds a secret, then it is masked in what is recorded."""
        tool = project / SECRET / "tool"
        tool.parent.mkdir()
        tool.write_text("#!/bin/sh\n", encoding="utf-8")
        tool.chmod(0o755)
        (project / ".env").write_text(
            f"TOKEN={SECRET}\nOTHER=battery-staple-0815\nPATH={tool.parent}\n", encoding="utf-8"
        )
        definition = DEFINITION.replace('["true"]', '["tool"]\nenv = ["PATH"]').replace(
            "[env.vars]", "[env]\npass = []\n[env.vars]\nPATH = { secret = true }"
        )
        (project / "pipeline.toml").write_text(definition, encoding="utf-8")
        _, found, _ = ran(project, "--only", "mail")

        assert SECRET not in json.dumps(found)
        assert "***" in found["commands"]["mail"]

    def test_resumed(self, project: Path) -> None:
        """Given a run that failed and is resumed with other code, then the resume names the environment that it has."""
        (project / "steps" / "load.sh").write_text("exit 1\n", encoding="utf-8")
        run_id, _, _ = ran(project)
        (project / "steps" / "load.sh").write_text("exit 0\n", encoding="utf-8")
        assert program("resume", run_id, cwd=project).returncode == 0

        (started,), (resumed,) = (data_of(ledger_of(project), f"run.{kind}") for kind in ("started", "resumed"))
        assert started["environment"] != resumed["environment"]
        with contextlib.closing(sqlite3.connect(ledger_of(project))) as connection:
            found = environment_of(connection, run_id)
        assert found is not None
        assert found["code"][0]["digest"] == blob_digest(b"exit 0\n")

    def test_a_ledger_without_it(self, project: Path) -> None:
        """Given a run of an older program, then there is none, and nothing is known of its secrets."""
        run_id, _, _ = ran(project)
        with contextlib.closing(sqlite3.connect(ledger_of(project))) as connection, connection:
            connection.execute("DROP TABLE blobs")
            connection.execute("CREATE TABLE blobs (digest, bytes)")  # in which nothing is kept
            assert environment_of(connection, run_id) is None
            assert last_secrets(connection, ["p"]) == {}
            assert last_secrets(connection, ["q"]) == {}

    def test_a_signal_while_code_is_looked_at(self, project: Path) -> None:
        """Given a TERM after the first file of code, then no other one is looked at, and the run is recorded and ends before a step begins."""
        for name in ("a.sh", "b.sh"):
            (project / "steps" / name).write_text(f"echo {name}\n", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", STOPPED, "run", "--json"],
            cwd=project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        value = value_of(done, "run", code=143)
        (finished,) = data_of(ledger_of(project), "run.finished")
        with contextlib.closing(sqlite3.connect(ledger_of(project))) as connection:
            found = environment_of(connection, value["run_id"])

        assert (value["status"], finished["status"]) == ("cancelled", "cancelled")
        assert data_of(ledger_of(project), "attempt.started") == []
        assert found is not None
        assert len(found["code"]) == 1


class TestKey:
    """The key of keyed digests, and its loss."""

    def key(self, project: Path) -> Path:
        """Return where the key lies."""
        return project.parent / "config" / "orchestrate" / "rekey-key"

    def test_its_loss_is_named_once(self, project: Path) -> None:
        """Given a key that was lost, then the run names the secrets of which it is not known whether they changed; the next one does not."""
        ran(project)
        self.key(project).unlink()
        _, found, said = ran(project)

        assert "is not the one under which the last run is recorded: whether TOKEN changed since is not known" in said
        assert found["secrets"].keys() == {"TOKEN", "OTHER"}
        assert "TOKEN" not in ran(project)[2]

    def test_a_key_that_cannot_be_used(self, project: Path) -> None:
        """Given a damaged key and secrets that are in the key of no step, then the run takes place and says that it had none."""
        (project / "pipeline.toml").write_text(DEFINITION.replace(", rekey = true", ""), encoding="utf-8")
        self.key(project).parent.mkdir(parents=True)
        self.key(project).write_text("damaged\n", encoding="utf-8")
        _, found, said = ran(project)

        assert found["secrets"] == {"TOKEN": "keyed:none", "OTHER": "keyed:none"}
        assert f"the key in {self.key(project)} cannot be used" in said
        self.key(project).unlink()
        assert ran(project)[2] == ""
