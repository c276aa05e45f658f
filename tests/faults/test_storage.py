"""Scenarios 53 to 71: the disk takes no more, files beside the ledger are lost, cut or exchanged, others hold it locked."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.audit.verdict import Options
from ledger.audit.verify import verify
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.projections.blob_names import blob_names
from orchestrator.projections.read_models import ReadModels
from tests.faults.injection import killed_at, traced
from tests.faults.oracle import broken_promises, make_project, recovered
from tests.programs import (
    data_of,
    ended,
    ledger_of,
    no_traceback,
    program,
    started,
    value_of,
    wait_until,
)

pytestmark = pytest.mark.system

RUN = ("run", "--quiet")
MEBIBYTE = 1 << 20
SECTOR = 512


@contextlib.contextmanager
def file_system(folder: Path, mebibytes: int) -> Iterator[Path]:
    """Mount a file system in memory at *folder*, which is made; skip where that may not be."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("a file system may not be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def define(folder: Path, *steps: str) -> None:
    """Write a definition of steps in a chain, each given as what its shell does."""
    tables = [
        f"[steps.s{number}]\nshell = '''{work}'''\n" + (f'needs = ["s{number - 1}"]\n' if number else "")
        for number, work in enumerate(steps)
    ]
    (folder / "pipeline.toml").write_text('[pipeline]\nname = "p"\n' + "".join(tables), encoding="utf-8")


def content(folder: Path) -> dict[str, bytes]:
    """Return the ledger and what lies beside it under its name, except what readers share."""
    kept = [path for path in folder.glob("ledger.db*") if not path.name.endswith("-shm")]
    return {path.name: path.read_bytes() for path in kept}


class TestFull:
    """57: no room, for the ledger or for the logs alone."""

    def test_57_no_room_for_the_ledger(self, tmp_path: Path) -> None:
        """Given a disk that a step fills up, then nothing more is started, the exit code is that of storage, and with room the next run goes on."""
        with file_system(tmp_path / "disk", 160) as folder:
            define(folder, "cat /dev/zero > ballast || test -s ballast", "echo ran >> done")
            done = program(*RUN, cwd=folder)
            assert done.returncode == ExitCode.STORAGE, done.stderr
            no_traceback(done)
            assert "full" in done.stderr
            assert not (folder / "done").exists()
            (folder / "ballast").unlink()
            assert broken_promises(folder, finished=False) == []
            define(folder, "true", "echo ran >> done")
            assert program(*RUN, cwd=folder).returncode == 0
            assert (folder / "done").read_text(encoding="utf-8") == "ran\n"
            assert broken_promises(folder, finished=False) == []

    def test_57_no_room_for_the_logs(self, tmp_path: Path) -> None:
        """Given a full disk under the logs alone, then the steps run to their end, and the event says what could not be kept."""
        define(tmp_path, "head -c 4000000 /dev/zero; echo ran >> done", "echo ran >> done")
        with file_system(tmp_path / ".orchestrate" / "logs", 1):
            value = value_of(program("run", "--json", cwd=tmp_path), "run")
            assert [step["status"] for step in value["steps"]] == ["succeeded", "succeeded"]
        (first, _) = data_of(ledger_of(tmp_path), "attempt.finished")
        assert "No space left on device" in str(first)


REFUSALS = {
    "EDQUOT": ("pwrite64", (3, 30)),
    "EFBIG": ("pwrite64", (3, 30)),
    "EROFS": ("pwrite64", (3, 30)),
    "EIO": ("fdatasync", (1, 4)),
    "EACCES": ("openat", (1,)),
    "EMFILE": ("openat", (1,)),
}
"""The error, the call that fails with it, and from which one on."""


class TestRefusals:
    """56 and 58: calls on the ledger that fail for other reasons than a full disk, from somewhere in the run on."""

    @pytest.mark.slow
    @pytest.mark.needs("strace")
    @pytest.mark.parametrize("error", REFUSALS)
    def test_58_calls_that_fail_from_there_on(self, tmp_path: Path, error: str) -> None:
        """Given a disk that refuses for ever, then a message with the exit code of storage, and the next run goes on."""
        call, numbers = REFUSALS[error]
        for number in numbers:
            folder = make_project(tmp_path / str(number))
            if call == "openat":
                assert program(*RUN, cwd=folder).returncode == 0
            paths = [word for side in ("", "-wal", "-shm") for word in ("-P", f"{ledger_of(folder)}{side}")]
            inject = f"inject={call}:error={error}:when={number}+"
            done = traced(folder, RUN, *paths, "-e", f"trace={call}", "-e", inject)
            no_traceback(done)
            assert done.returncode == ExitCode.STORAGE, (number, done.stderr)
            assert done.stderr.startswith("error: "), done.stderr
            assert broken_promises(folder, finished=False) + recovered(folder) == []


@pytest.fixture(name="crashed")
def _crashed(tmp_path: Path) -> Path:
    """Give a project whose second run was killed before its first step: what that recorded is in the log alone."""
    folder = make_project(tmp_path / "p")
    assert program(*RUN, cwd=folder).returncode == 0
    (folder / "raw" / "x").write_text("2\n", encoding="utf-8")
    assert killed_at(folder, RUN, "vfork,clone3", 1).returncode == -9
    assert len(data_of(ledger_of(folder), "run.started")) == 2
    return folder


@pytest.mark.needs("strace")
class TestFilesBeside:
    """59: the log and its index are part of the ledger."""

    def test_59_index_of_the_log_deleted(self, crashed: Path) -> None:
        """Given no `-shm`, then nothing is missing: it is made anew from the log."""
        Path(f"{ledger_of(crashed)}-shm").unlink()
        assert program(*RUN, cwd=crashed).returncode == 0
        assert broken_promises(crashed, finished=False) == []
        assert [data["status"] for data in data_of(ledger_of(crashed), "run.finished")][1:] == [
            "interrupted",
            "succeeded",
        ]

    def test_59_log_deleted(self, crashed: Path) -> None:
        """Given no `-wal`, then what only it held is gone and what was sealed is not; nothing shows the first, and the next run goes on."""
        for side in ("-wal", "-shm"):
            Path(f"{ledger_of(crashed)}{side}").unlink()
        assert len(data_of(ledger_of(crashed), "run.started")) == 1
        assert program(*RUN, cwd=crashed).returncode == 0
        assert broken_promises(crashed, finished=False) == []

    def test_59_log_of_another_ledger(self, crashed: Path, tmp_path: Path) -> None:
        """Given the log of another ledger, then it is never taken for this one's history: refused, or passed over."""
        other = make_project(tmp_path / "other")
        assert killed_at(other, RUN, "vfork,clone3", 1).returncode == -9
        for side in ("-wal", "-shm"):
            Path(f"{ledger_of(crashed)}{side}").unlink()
        shutil.copyfile(f"{ledger_of(other)}-wal", f"{ledger_of(crashed)}-wal")
        done = program(*RUN, cwd=crashed)
        no_traceback(done)
        assert done.returncode == ExitCode.UNVERIFIED, done.stderr
        assert "b\n" not in (crashed / "effects").read_text(encoding="utf-8").removeprefix("a\nb\n")
        assert program("audit", "verify", cwd=crashed).returncode == ExitCode.UNVERIFIED

    def test_59_older_file(self, tmp_path: Path) -> None:
        """Given an older copy in the place of the ledger, then no run goes on with it: what was sealed outside names what is missing."""
        folder = make_project(tmp_path / "p")
        assert program(*RUN, cwd=folder).returncode == 0
        older = ledger_of(folder).read_bytes()
        (folder / "raw" / "x").write_text("2\n", encoding="utf-8")
        assert program(*RUN, cwd=folder).returncode == 0
        ledger_of(folder).write_bytes(older)
        done = program(*RUN, cwd=folder)
        assert done.returncode == ExitCode.UNVERIFIED
        assert "are missing" in done.stderr
        assert (folder / "effects").read_text(encoding="utf-8") == "a\nb\n" * 2


class TestSideFiles:
    """66: what lies beside the ledger, empty or torn, and what a killed run has left."""

    def test_66_torn_files(self, tmp_path: Path) -> None:
        """Given each file but the ledger empty or half, and leftovers, then the next run goes on; a torn checkpoint is named, all else made anew."""
        folder = make_project(tmp_path / "p")
        assert program(*RUN, cwd=folder).returncode == 0
        kept = [path for path in (folder / ".orchestrate").rglob("*") if path.is_file()]
        beside = [path for path in kept if not path.name.startswith("ledger.db") and path.suffix != ".log"]
        assert {path.parent.name for path in beside} >= {"cache", "locks"}
        checkpoints = [path for path in beside if path.suffix == ".checkpoint"]
        (folder / ".orchestrate" / "exchange" / "a.1.result.json").write_text('{"status"', encoding="utf-8")
        for share in (2, 10**9):
            for path in beside:
                data = path.read_bytes()
                path.write_bytes(data[: len(data) // share])
            done = program("run", cwd=folder)
            assert done.returncode == 0, done.stderr
            no_traceback(done)
        found = outside(ledger_of(folder))
        assert all(any(path.name in detail for detail in found) for path in checkpoints), found
        assert broken_promises(folder, finished=False) == [f"verify: outside_checkpoint: {detail}" for detail in found]
        assert program("audit", "verify", cwd=folder).returncode == ExitCode.UNVERIFIED


def outside(ledger: Path) -> list[str]:
    """Return what `audit verify` says of the checkpoints beside *ledger*."""
    found = verify(ledger, Options([ReadModels()], blobs_of=blob_names)).problems
    return [item.detail for item in found if item.kind == "outside_checkpoint"]


def findings(ledger: Path) -> list[str]:
    """Return what `audit verify` finds in *ledger*."""
    return [item.kind for item in verify(ledger, Options([ReadModels()], blobs_of=blob_names)).problems]


def bodies(ledger: Path) -> list[str]:
    """Return the text of each event."""
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        return [body for (body,) in connection.execute("SELECT body FROM events ORDER BY seq")]


@pytest.fixture(name="whole", scope="module")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a ledger whose log is folded back."""
    folder = make_project(tmp_path_factory.mktemp("whole") / "p")
    assert program(*RUN, cwd=folder).returncode == 0
    return ledger_of(folder)


class TestBytes:
    """60: the file cut anywhere, and a bit of it turned."""

    def test_60_ledger_cut_at_every_sector(self, whole: Path, tmp_path: Path) -> None:
        """Given the file cut at every 512 bytes, then each time something is found."""
        data = whole.read_bytes()
        place = tmp_path / "ledger.db"
        unseen = []
        for size in range(0, len(data), SECTOR):
            place.write_bytes(data[:size])
            if not findings(place):
                unseen.append(size)
        assert unseen == []

    @pytest.mark.slow
    def test_60_one_bit_turned(self, whole: Path, tmp_path: Path) -> None:
        """Given one bit turned, in a sample of all bytes, then something is found, or every event is as it was."""
        data = whole.read_bytes()
        expected = bodies(whole)
        place = tmp_path / "ledger.db"
        unseen = []
        for number in range(0, len(data), 509):
            place.write_bytes(data[:number] + bytes([data[number] ^ 1 << number % 8]) + data[number + 1 :])
            if not findings(place) and bodies(place) != expected:
                unseen.append(number)
        assert unseen == []


class TestOthers:
    """64 and 70: whoever else has the ledger open."""

    def test_64_locked_by_a_stranger(self, tmp_path: Path) -> None:
        """Given another program that holds the ledger locked, then the run waits, and afterwards nothing is lost or doubled."""
        folder = make_project(tmp_path / "p")
        assert program(*RUN, cwd=folder).returncode == 0
        (folder / "raw" / "x").write_text("2\n", encoding="utf-8")
        with contextlib.closing(sqlite3.connect(ledger_of(folder), isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with started("run", "--quiet", cwd=folder) as process:
                wait_until(lambda: _waits(process.pid), "it does not wait")
                assert len(data_of(ledger_of(folder), "run.started")) == 1
                connection.execute("ROLLBACK")
                done = ended(process)
        assert done.returncode == 0, done.stderr
        assert broken_promises(folder, finished=False) == []
        assert (folder / "effects").read_text(encoding="utf-8") == "a\nb\n" * 2

    @pytest.mark.slow
    @pytest.mark.needs("strace")
    def test_70_readers_never_fold_the_log_back(self, crashed: Path) -> None:
        """Given a log that a killed run has left, then no reading command writes a byte of the ledger or of its log."""
        before = content(ledger_of(crashed).parent)
        for words in (
            ("status",),
            ("runs",),
            ("show", "latest"),
            ("audit", "verify"),
            ("audit", "query", "SELECT count(*) FROM events"),
        ):
            output = crashed / "trace"
            done = traced(crashed, words, "-y", "-e", "trace=pwrite64,ftruncate,unlink", output=output)
            assert done.returncode == 0, done.stderr
            lines = output.read_text(encoding="utf-8").splitlines()
            assert [line for line in lines if "ledger.db" in line and "-shm" not in line] == []
            assert content(ledger_of(crashed).parent) == before


def _waits(pid: int) -> bool:
    """Whether the process has the ledger open and sleeps, as SQLite does between two looks at a lock."""
    try:
        files = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state == "S" and any(file.endswith("ledger.db-wal") for file in files)
