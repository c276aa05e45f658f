"""Tests of what the place of a ledger may do to it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.app import run_command
from orchestrator.runtime import place, room
from orchestrator.runtime.place import check_place, held_log
from tests.programs import ledger_of, program, value_of

PIPELINE = '[pipeline]\nname = "p"\n[steps.a]\nshell = "echo hi"\n'
READER = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("BEGIN"); c.execute("SELECT count(*) FROM events").fetchone()
print("reading", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project in which a run has been."""
    (tmp_path / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    assert program("run", "-q", cwd=tmp_path).returncode == 0
    return tmp_path


@contextlib.contextmanager
def reading(ledger: Path) -> Iterator[int]:
    """Let a process hold on to a moment of *ledger*, and give its id."""
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(ledger)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"reading\n"
        yield process.pid
        process.communicate()


def grow_log(ledger: Path) -> None:
    """Let the log of *ledger* grow beyond all measure, with room that nothing stands in."""
    with contextlib.closing(sqlite3.connect(ledger, isolation_level=None)) as connection:
        connection.execute("INSERT INTO blobs VALUES ('x', zeroblob(200000))")
        os.truncate(f"{ledger}-wal", room._LARGE_LOG_BYTES + 1)


class TestFileSystem:
    """Row 62: where a run finds its ledger on a file system that does not suit it."""

    @pytest.mark.parametrize(("kind", "warned"), [("nfs4", True), ("vfat", True), ("tmpfs", False), ("ext4", False)])
    def test_run_warns_once(
        self,
        project: Path,
        kind: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        *,
        warned: bool,
    ) -> None:
        """Given such a file system, then `run` says so once, and runs."""
        mounts = project / "mounts"
        mounts.write_text(f"22 1 254:0 / / rw - {kind} /dev/vda rw\n", encoding="utf-8")
        monkeypatch.setattr(place, "_MOUNTS", mounts)
        monkeypatch.chdir(project)
        assert run_command(["run"]) == 0
        assert capsys.readouterr().err.count(f"lies on {kind}: ") == warned

    def test_place_that_cannot_be_seen(self, tmp_path: Path) -> None:
        """Given a place that cannot be looked at, then whoever opens it says why."""
        assert check_place(tmp_path / ("x" * 300) / "ledger.db") == []


class TestLog:
    """Row 63: a log that only grows, because somebody reads."""

    def test_reader_is_named(self, project: Path) -> None:
        """Given a large log and a reader, then run, status and doctor name the reader's process; when it has ended, nothing is said."""
        ledger = ledger_of(project)
        assert held_log(ledger) is None
        with reading(ledger) as pid:
            assert held_log(ledger) is None
            grow_log(ledger)
            for words in (("status",), ("run",)):
                done = program(*words, cwd=project)
                assert done.returncode == 0
                assert f"warning: the log ledger.db-wal has grown to 64.0 MiB: process {pid} (" in done.stderr
                assert "end that process" in done.stderr
            found = value_of(program("doctor", "--json", cwd=project), "doctor")["problems"]
            assert [item["kind"] for item in found if str(pid) in item["message"]] == ["log_held"]
        assert program("run", "-q", cwd=project).returncode == 0
        assert held_log(ledger) is None
        assert "has grown" not in program("status", cwd=project).stderr

    def test_nobody_reads(self, project: Path) -> None:
        """Given a large log that nobody reads, or one whose index is gone, then it is not worth a word: the next run folds it back."""
        ledger = ledger_of(project)
        Path(f"{ledger}-wal").touch()
        os.truncate(f"{ledger}-wal", room._LARGE_LOG_BYTES + 1)
        assert held_log(ledger) is None
        Path(f"{ledger}-shm").touch()
        assert held_log(ledger) is None

    def test_hidden_reader(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given readers in another container, or that have gone meanwhile, then that is said."""
        ledger = ledger_of(project)
        for side in ("-wal", "-shm"):
            Path(f"{ledger}{side}").touch()
        os.truncate(f"{ledger}-wal", room._LARGE_LOG_BYTES + 1)
        index = Path(f"{ledger}-shm").stat()
        where = f"{os.major(index.st_dev):02x}:{os.minor(index.st_dev):02x}:{index.st_ino}"
        lines = [
            "1: FLOCK  ADVISORY  WRITE 7 00:01:2 0 EOF",
            f"2: POSIX  ADVISORY  READ {os.getpid()} {where} 124 124",
            f"3: POSIX  ADVISORY  READ 8 {where} 128 128",
            f"4: POSIX  ADVISORY  WRITE 8 {where} 120 120",
            f"5: POSIX  ADVISORY  READ -1 {where} 125 125",
            f"6: POSIX  ADVISORY  READ 4194305 {where} 126 126",
        ]
        (project / "locks").write_text("\n".join(lines), encoding="utf-8")
        monkeypatch.setattr(place, "_LOCKS", project / "locks")
        problem = held_log(ledger)
        assert problem is not None
        assert "a process that cannot be seen from here, process 4194305 (gone by now) holds on" in problem.message
