"""Tests of the store on real files: durable, all or nothing, by several processes, with its projections."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import attrs
import pytest

import ledger as package
from ledger import Ledger, open_ledger
from ledger.canonical import blob_digest
from ledger.errors import (
    DamagedLedgerError,
    ForeignFileError,
    LedgerError,
    LedgerNotFoundError,
    StorageError,
    UnregisteredProjectionError,
    WrongExpectedVersionError,
)
from ledger.events import RecordedEvent
from ledger.locks import KernelLock
from ledger.reader import LedgerReader
from tests.contracts.event_store import event, events
from tests.ledger.test_locks import until_it_waits

MEBIBYTE = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the place of a ledger that is not there yet."""
    return tmp_path / "state" / "ledger.db"


@attrs.define
class Tally:
    """A projection that counts the events of each stream, and the bytes of what it knows only from blobs."""

    version: int = 1
    name: str = "tally"
    tables: tuple[str, ...] = ("tally", "seen")
    views: tuple[str, ...] = ()
    poison: str = "thing.poisoned"
    applied: int = 0
    script: str = ""

    def __attrs_post_init__(self) -> None:
        """Make the shape of a table depend on the version."""
        self.script = f"""
CREATE TABLE tally (stream TEXT PRIMARY KEY, events INTEGER NOT NULL, version_{self.version} INTEGER) STRICT;

CREATE INDEX tally_by_events ON tally (events);

CREATE TABLE seen (seq INTEGER PRIMARY KEY, number ANY, bytes INTEGER) STRICT;
"""

    def apply(self, connection: sqlite3.Connection, events: Sequence[RecordedEvent]) -> None:
        """Count *events*."""
        self.applied += len(events)
        for item in events:
            if item.type == self.poison:
                raise ZeroDivisionError(item.type)
            connection.execute(
                "INSERT INTO tally VALUES (?, 1, ?) ON CONFLICT (stream) DO UPDATE SET events = events + 1",
                (item.stream, self.version),
            )
            connection.execute(
                "INSERT INTO seen VALUES (?, ?, (SELECT length(bytes) FROM blobs WHERE digest = ?))",
                (item.seq, item.data.get("number"), item.data.get("blob")),
            )


@attrs.define
class Echo:
    """A projection that reads what it has written before."""

    name: str = "echo"
    version: int = 1
    script: str = "CREATE TABLE echo (one INTEGER PRIMARY KEY, text TEXT);"
    tables: tuple[str, ...] = ("echo",)
    views: tuple[str, ...] = ()

    def apply(self, connection: sqlite3.Connection, events: Sequence[RecordedEvent]) -> None:
        """Add to the list of events that it keeps as JSON."""
        row = connection.execute("SELECT text FROM echo").fetchone()
        known = json.loads(row[0]) if row else []
        text = json.dumps([*known, *(item.seq for item in events)])
        connection.execute(
            "INSERT INTO echo VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET text = excluded.text", (text,)
        )


def tables(ledger: Ledger) -> list[list[tuple[object, ...]]]:
    """Return what the tables of `Tally` hold."""
    return [ledger.connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in ("tally", "seen")]  # noqa: S608


def size(path: Path) -> int:
    """Return how many bytes the file has."""
    return path.stat().st_size


def poisoned() -> package.NewEvent:
    """Return an event that `Tally` cannot take."""
    return package.NewEvent("thing.poisoned", 1, {})


class TestPackage:
    """What `import ledger` gives."""

    def test_names_are_loaded_when_they_are_asked_for(self) -> None:
        """Given a fresh program, then importing the package loads nothing, and each name of it is there."""
        script = "import sys, ledger; print([n for n in sys.modules if n.startswith('ledger.')])"
        out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

        assert "[]\n" == out.stdout
        assert all(getattr(package, name).__name__ == name for name in package.__all__)

    def test_other_names_are_not_there(self) -> None:
        """Given a name that the package does not have, then the error is the usual one."""
        with pytest.raises(AttributeError, match="module 'ledger' has no attribute 'nothing'"):
            package.nothing  # noqa: B018


class TestOpening:
    """A ledger comes into being, or is found."""

    def test_is_made_with_its_folder(self, path: Path) -> None:
        """Given no folder, then it and the ledger are made, for their owner alone."""
        with open_ledger(str(path)) as ledger:
            assert path == ledger.path
            assert 32 == len(ledger.ledger_id)

        assert (0o700, 0o600) == (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777)

    def test_is_the_same_when_it_is_opened_again(self, path: Path) -> None:
        """Given a ledger, then opening it again, to write or to read, finds its id and its events; another is another."""
        with open_ledger(path) as first:
            recorded = first.append("run/1", events(2), expected_version=-1)

        with open_ledger(path) as again, open_ledger(path, read_only=True) as reading:
            assert first.ledger_id == again.ledger_id == reading.ledger_id
            assert recorded == again.read_stream("run/1") == reading.read_stream("run/1")
        with open_ledger(path.with_name("other.db")) as other:
            assert other.ledger_id != first.ledger_id

    def test_is_not_made_to_be_read(self, path: Path) -> None:
        """Given no ledger, then opening it to be read makes nothing."""
        with pytest.raises(LedgerNotFoundError):
            open_ledger(path, read_only=True)

        assert not path.parent.exists()

    def test_waits_for_the_disk(self, path: Path) -> None:
        """Given a ledger that writes, then each commit waits for the disk, in a log that nobody else folds back."""
        with open_ledger(path) as ledger:
            names = ("journal_mode", "synchronous", "wal_autocheckpoint", "recursive_triggers")
            settings = [ledger.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

        assert ["wal", 2, 0, 1] == settings

    @pytest.mark.parametrize(
        ("put", "error"),
        [
            (os.mkfifo, ForeignFileError),
            (Path.mkdir, ForeignFileError),
            (Path.touch, ForeignFileError),
            (lambda path: path.write_text("text"), ForeignFileError),
            (lambda path: path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000), DamagedLedgerError),
        ],
        ids=["fifo", "folder", "empty", "text", "broken"],
    )
    def test_wrong_file_is_refused_and_left_alone(
        self, path: Path, put: Callable[[Path], object], error: type[LedgerError]
    ) -> None:
        """Given something else in its place, then the error says so at once, and nothing was made or changed."""
        path.parent.mkdir()
        put(path)
        before = path.read_bytes() if path.is_file() else None

        with pytest.raises(error, match=str(path)):
            open_ledger(path)

        assert before == (path.read_bytes() if path.is_file() else None)
        assert ["ledger.db"] == [item.name for item in path.parent.iterdir()]

    def test_link_leads_to_the_file_itself(self, path: Path, tmp_path: Path) -> None:
        """Given links, one before the file is there, then all names are one ledger, with its log and locks beside the file."""
        first, second = tmp_path / "first.db", tmp_path / "second.db"
        path.parent.mkdir()
        first.symlink_to(path)
        second.symlink_to(first)

        with open_ledger(second) as one, open_ledger(first) as other, open_ledger(path) as third:
            one.append("run/1", [event()], expected_version=-1)
            other.append("run/1", [event()], expected_version=0)
            assert 1 == third.stream_version("run/1")

        assert {"first.db", "second.db", "state"} == {item.name for item in tmp_path.iterdir()}
        assert {"ledger.db", "locks"} == {item.name for item in path.parent.iterdir()}


class TestReading:
    """What cannot be read is said in the ledger's own errors."""

    @pytest.fixture
    def torn(self, path: Path) -> Iterator[Ledger]:
        """Give a ledger whose pages behind the schema are overwritten."""
        with open_ledger(path) as ledger:
            ledger.append("run/1", [event(text="x" * 2000) for _ in range(50)], expected_version=-1)
            ledger.append("run/1", [], expected_version=None, blobs={"d": b"x" * 9000})
            roots = [
                root
                for (root,) in ledger.connection.execute(
                    "SELECT rootpage FROM sqlite_schema WHERE tbl_name IN ('events', 'blobs') AND rootpage"
                )
            ]
        with path.open("r+b") as file:
            for root in roots:
                file.seek((root - 1) * 4096)
                file.write(b"\xff" * 4096)
        with open_ledger(path, read_only=True) as ledger:
            yield ledger

    @pytest.mark.parametrize(
        "read",
        [
            lambda ledger: ledger.read_stream("run/1"),
            lambda ledger: list(ledger.read_all()),
            lambda ledger: ledger.stream_version("run/1"),
            lambda ledger: ledger.blob("d"),
        ],
        ids=["read_stream", "read_all", "stream_version", "blob"],
    )
    def test_overwritten_pages_are_damage(self, torn: Ledger, read: Callable[[Ledger], object]) -> None:
        """Given pages that were overwritten, then whatever is read from them is damage, with the path."""
        with pytest.raises(DamagedLedgerError, match="malformed"):
            read(torn)


class TestAppending:
    """All or nothing, and durable."""

    def test_failed_append_leaves_no_transaction_open(self, path: Path) -> None:
        """Given an append that was refused, then the ledger is free for others at once."""
        with open_ledger(path) as ledger, open_ledger(path) as other:
            with pytest.raises(WrongExpectedVersionError):
                ledger.append("run/1", [event()], expected_version=7)

            assert not ledger.connection.in_transaction
            assert 0 == other.append("run/1", [event()], expected_version=-1)[0].version

    def test_locked_ledger_is_an_error_in_the_end(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given another program that does not let go, then the append fails after its patience, and records nothing."""
        monkeypatch.setattr("ledger.writing._BUSY_SECONDS", 0.01)
        with open_ledger(path) as ledger, closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageError, match="locked"):
                ledger.append("run/1", [event()], expected_version=-1)
            other.execute("ROLLBACK")

            assert [1] == [item.seq for item in ledger.append("run/1", [event()], expected_version=-1)]

    def test_guard_that_speaks_is_an_error(self, path: Path) -> None:
        """Given a blob that is no bytes, then the tables refuse it, and the events beside it are not recorded."""
        with open_ledger(path) as ledger:
            with pytest.raises(StorageError, match="TEXT value in BLOB column"):
                ledger.append("run/1", [event()], expected_version=-1, blobs={"d": "text"})  # type: ignore[dict-item]

            assert -1 == ledger.stream_version("run/1")

    def test_closing_twice_does_nothing(self, path: Path) -> None:
        """Given a closed ledger, then closing it again does nothing."""
        ledger = open_ledger(path)
        ledger.close()
        ledger.close()

        assert {"ledger.db", "locks"} == {item.name for item in path.parent.iterdir()}


APPEND = """
import sys
from ledger import NewEvent, open_ledger
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open_ledger(path) as ledger:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(count):
        event = NewEvent("thing.happened", 1, {"who": name, "number": number})
        ledger.append(f"run/{name}", [event], expected_version=number - 1)
        ledger.append("run/shared", [event], expected_version=None)
"""

ACKNOWLEDGE = """
import sys
from itertools import count
from ledger import NewEvent, open_ledger
ledger = open_ledger(sys.argv[1])
for number in count():
    events = [NewEvent("thing.happened", 1, {"number": number})] * 3
    recorded = ledger.append("run/1", events, expected_version=None)
    print(recorded[-1].seq, flush=True)
"""


class TestProcesses:
    """Several processes, and processes that die."""

    def test_three_processes_append_at_once(self, path: Path) -> None:
        """Given three processes that write to a stream of their own and a shared one, then all is there, dense and in order."""
        open_ledger(path).close()
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", APPEND, str(path), name, "200"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in "abc"
        ]
        for process in processes:
            assert process.stdout is not None
            assert "ready\n" == process.stdout.readline()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            process.communicate(timeout=100)
            assert 0 == process.returncode

        with open_ledger(path) as ledger:
            assert list(range(1201)) == [item.seq for item in ledger.read_all()]
            shared = ledger.read_stream("run/shared")
            assert list(range(600)) == [item.version for item in shared]
            for name in "abc":
                assert list(range(200)) == [item.data["number"] for item in ledger.read_stream(f"run/{name}")]
                assert list(range(200)) == [item.data["number"] for item in shared if item.data["who"] == name]

    def test_what_was_acknowledged_survives_the_writer(self, path: Path) -> None:
        """Given a writer that is killed at work, then all that it was told is recorded is there, and no transaction in half."""
        with subprocess.Popen([sys.executable, "-c", ACKNOWLEDGE, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            acknowledged = [int(process.stdout.readline()) for _ in range(20)]
            process.send_signal(signal.SIGKILL)

        with open_ledger(path) as ledger:
            seqs = [item.seq for item in ledger.read_all()]
            assert list(range(len(seqs))) == seqs
            assert acknowledged[-1] in seqs
            assert 0 == (len(seqs) - 1) % 3
            assert len(seqs) == ledger.append("run/2", [event()], expected_version=-1)[0].seq


class TestFullDisk:
    """A disk that takes no more."""

    def fill(self, ledger: Ledger) -> int:
        """Append until the disk refuses; return how many events were recorded."""

        def append_until_full() -> None:
            for number in range(200):
                data = bytes([number]) * 65_536
                ledger.append("run/1", [event(number)], expected_version=number - 1, blobs={blob_digest(data): data})

        with pytest.raises(StorageError) as caught:
            append_until_full()
        assert str(ledger.path) in str(caught.value)
        assert not ledger.connection.in_transaction
        return ledger.stream_version("run/1") + 1

    def check(self, ledger: Ledger, number: int) -> None:
        """Make sure that exactly what was acknowledged is there, and that the history goes on."""
        assert list(range(number + 1)) == [item.seq for item in ledger.read_all()]
        kept = [ledger.blob(blob_digest(bytes([other]) * 65_536)) is not None for other in range(number + 1)]
        assert [True] * number + [False] == kept
        assert [("ok",)] == ledger.connection.execute("PRAGMA integrity_check").fetchall()
        assert number == ledger.append("run/1", [event()], expected_version=number - 1)[0].version

    def test_file_that_may_not_grow(self, path: Path) -> None:
        """Given a limit on the size of files, then the append fails, nothing of it is recorded, and later ones go on."""
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        with open_ledger(path) as ledger:
            resource.setrlimit(resource.RLIMIT_FSIZE, (MEBIBYTE, limits[1]))
            try:
                number = self.fill(ledger)
                assert list(range(number + 1)) == [item.seq for item in ledger.read_all()]
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            with open_ledger(path) as other:
                self.check(other, number)
            assert number == ledger.stream_version("run/1")
        assert 5 < number < 20

    def test_full_file_system(self, tmp_path: Path) -> None:
        """Given a file system that is full, then the append fails, nothing of it is recorded, and it is read and opened again."""
        folder = tmp_path / "small"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
        if os.getuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
            pytest.skip("a file system may not be mounted here")
        try:
            (folder / "ballast").write_bytes(b"x" * MEBIBYTE)
            path = folder / "ledger.db"
            ledger = open_ledger(path)
            number = self.fill(ledger)
            with open_ledger(path, read_only=True) as reading:
                assert number == len(reading.read_stream("run/1"))
            (folder / "ballast").unlink()
            with open_ledger(path) as other:
                self.check(other, number)
            ledger.close()
            with open_ledger(path) as again:
                assert number == again.stream_version("run/1")
        finally:
            subprocess.run(["umount", str(folder)], check=True)
        assert 2 < number < 20

    def test_disk_that_is_full_from_the_start(self, tmp_path: Path) -> None:
        """Given a disk on which no ledger fits, then it cannot be made, and nothing is left but the folder of the locks."""
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        try:
            with pytest.raises(StorageError, match="could not be created"):
                open_ledger(tmp_path / "ledger.db")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

        assert [tmp_path / "locks"] == list(tmp_path.iterdir())


CLOSE = """
import sys
from pathlib import Path
from ledger import NewEvent, open_ledger
ledger = open_ledger(sys.argv[1])
ledger.append("run/1", [NewEvent("a.b", 1, {})], expected_version=-1)
print("closing", flush=True)
ledger.close()
print(Path(sys.argv[2]).read_text(), flush=True)
"""


class TestPlace:
    """The ledger is the file at its path."""

    def test_file_that_was_moved_aside(self, path: Path) -> None:
        """Given another file in the ledger's place since it was opened, then nothing is recorded in the one that is not there any more."""
        with open_ledger(path) as ledger:
            path.rename(path.with_name("aside.db"))
            open_ledger(path).close()
            with pytest.raises(StorageError, match="another file stands in its place"):
                ledger.append("run/1", [package.NewEvent("a.b", 1, {})], expected_version=-1)
        with closing(sqlite3.connect(path.with_name("aside.db"))) as connection:
            assert connection.execute("SELECT count(*) FROM events").fetchone() == (1,)


class TestCheckpoint:
    """The log is folded back when it is large, by one process at a time."""

    @pytest.fixture
    def checkpointer(self, path: Path) -> KernelLock:
        """Give the lock of whoever folds the log back."""
        return KernelLock(path.parent / "locks" / "ledger.db.checkpointer")

    def write(self, ledger: Ledger, appends: int, nbytes: int) -> None:
        """Append as often, with a blob of so many bytes each time."""
        for _ in range(appends):
            data = os.urandom(nbytes)
            ledger.append("run/1", [event()], expected_version=None, blobs={blob_digest(data): data})

    def test_large_log_is_folded_back(self, path: Path, checkpointer: KernelLock) -> None:
        """Given a log of six mebibytes, then it is in the file after the next look, and the lock is free again."""
        with open_ledger(path) as ledger:
            self.write(ledger, 63, 100_000)
            assert size(path) < MEBIBYTE
            self.write(ledger, 1, 100_000)
            assert size(path) > 6 * MEBIBYTE
            assert checkpointer.acquire()
            checkpointer.release()

    def test_small_log_is_left(self, path: Path) -> None:
        """Given a small log, then it stays until the last one closes."""
        with open_ledger(path) as ledger:
            before = size(path)
            self.write(ledger, 64, 10_000)
            assert before == size(path)

        assert size(path) > 640_000
        assert {"ledger.db", "locks"} == {item.name for item in path.parent.iterdir()}

    def test_nobody_folds_it_back_while_another_does(self, path: Path, checkpointer: KernelLock) -> None:
        """Given another one that holds the lock, then the log stays, and appends go on; afterwards it is folded back."""
        with open_ledger(path) as ledger:
            with checkpointer:
                self.write(ledger, 64, 100_000)
                assert size(path) < MEBIBYTE
            self.write(ledger, 64, 1)
            assert size(path) > 6 * MEBIBYTE

    def test_reader_does_not_stop_it(self, path: Path) -> None:
        """Given a reader in the middle of a transaction, then appends go on, and the reader sees what it saw."""
        with open_ledger(path) as ledger, LedgerReader(path) as read:
            read.connection.execute("BEGIN")
            assert (1,) == read.connection.execute("SELECT count(*) FROM events").fetchone()
            self.write(ledger, 64, 100_000)
            assert (1,) == read.connection.execute("SELECT count(*) FROM events").fetchone()
            assert 63 == ledger.stream_version("run/1")

    def test_place_without_room_for_locks_only_costs_the_folding(self, path: Path) -> None:
        """Given a file where the folder of the locks should be, then appends and closing go on all the same."""
        open_ledger(path).close()
        shutil.rmtree(path.parent / "locks")
        (path.parent / "locks").write_text("")
        with open_ledger(path) as ledger:
            self.write(ledger, 64, 100_000)
            assert size(path) < MEBIBYTE

        with open_ledger(path) as ledger:
            assert 63 == ledger.stream_version("run/1")

    def test_closing_waits_for_whoever_folds_it_back(
        self, path: Path, tmp_path: Path, checkpointer: KernelLock
    ) -> None:
        """Given another one that holds the lock, then a process that closes waits for it."""
        note = tmp_path / "note"
        note.write_text("held")
        with checkpointer:
            process = subprocess.Popen(
                [sys.executable, "-c", CLOSE, str(path), str(note)], stdout=subprocess.PIPE, text=True
            )
            assert process.stdout is not None
            assert "closing\n" == process.stdout.readline()
            until_it_waits(process)
            note.write_text("about to be released")
        out, _ = process.communicate(timeout=60)

        assert ("about to be released\n", 0) == (out, process.returncode)


class TestProjections:
    """Tables over the events, never behind them."""

    def test_is_kept_with_each_append(self, path: Path) -> None:
        """Given a projection, then what an append did to it is there with the append, from the first event on."""
        with open_ledger(path, projections=[Tally()]) as ledger:
            data = {blob_digest(b"five!"): b"five!"}
            ledger.append("run/1", [event(7, blob=blob_digest(b"five!")), event(8)], expected_version=-1, blobs=data)

            with LedgerReader(path) as read:
                assert [("ledger", 1), ("run/1", 2)] == read.connection.execute(
                    "SELECT stream, events FROM tally ORDER BY stream"
                ).fetchall()
                assert [(0, None, None), (1, 7, 5), (2, 8, None)] == read.connection.execute(
                    "SELECT * FROM seen"
                ).fetchall()

    def test_one_that_fails_rolls_its_append_back(self, path: Path) -> None:
        """Given a projection that fails in the middle, then its error comes through, and nothing of the append is there."""
        with open_ledger(path, projections=[Tally()]) as ledger:
            before = tables(ledger)

            with pytest.raises(ZeroDivisionError):
                ledger.append("run/1", [event(), poisoned(), event()], expected_version=-1, blobs={"d": b"x"})

            assert (before, -1, None) == (tables(ledger), ledger.stream_version("run/1"), ledger.blob("d"))
            assert 1 == ledger.append("run/1", [event()], expected_version=-1)[0].seq

    def test_one_that_fails_at_the_start_leaves_no_ledger(self, path: Path) -> None:
        """Given a projection that cannot take the first event, then no ledger is made."""
        with pytest.raises(ZeroDivisionError):
            open_ledger(path, projections=[Tally(poison="ledger.created")])

        assert [path.parent / "locks"] == list(path.parent.iterdir())

    def test_ledger_is_not_written_without_it(self, path: Path) -> None:
        """Given a ledger that keeps a projection, then it is refused to a writer that has not brought it, not to a reader."""
        open_ledger(path, projections=[Tally()]).close()

        with pytest.raises(UnregisteredProjectionError, match="tally") as caught:
            open_ledger(path)

        assert (str(path), ("tally",)) == (caught.value.path, caught.value.names)
        with open_ledger(path, read_only=True) as ledger:
            assert 1 == len(list(ledger.read_all()))

    @pytest.mark.parametrize("before", [None, 1])
    def test_writer_from_before_is_stopped(self, path: Path, before: int | None) -> None:
        """Given a writer from before a projection came, or its next version, then it is stopped before the tables fall behind."""
        old = open_ledger(path, projections=[] if before is None else [Tally(before)])
        with old, open_ledger(path, projections=[Tally(2)]) as new:
            with pytest.raises(UnregisteredProjectionError, match="tally"):
                old.append("run/1", [event()], expected_version=-1)

            new.append("run/1", [event()], expected_version=-1)
            # That a projection was there in another version is recorded.
            assert [("ledger", 1 if before is None else 2, 2), ("run/1", 1, 2)] == tables(new)[0]

    @pytest.mark.parametrize("number", [0, 3, 998, 999, 2500])
    def test_new_one_is_built_from_the_events(self, path: Path, number: int) -> None:
        """Given a ledger with less or more events than a page, then a projection that is new to it takes each of them once."""
        with open_ledger(path) as ledger:
            ledger.append("run/1", events(number), expected_version=-1)
        tally = Tally()

        with open_ledger(path, projections=[tally]) as ledger:
            assert list(range(number + 1)) == [seq for seq, _, _ in tables(ledger)[1]]

        assert number + 1 == tally.applied

    def test_new_version_is_built_anew(self, path: Path) -> None:
        """Given a projection of another version, with other columns, then its tables are made anew; opened again, they stay."""
        with open_ledger(path, projections=[Tally(1)]) as ledger:
            ledger.append("run/1", events(3), expected_version=-1)
            seen = tables(ledger)[1]

        with open_ledger(path, projections=[Tally(2)]) as ledger:
            now = tables(ledger)
            assert [("ledger", 2, 2), ("run/1", 3, 2)] == now[0]
            assert set(seen) < set(now[1])
        again = Tally(2)
        with open_ledger(path, projections=[again]) as ledger:
            assert now == tables(ledger)
        assert 0 == again.applied

    def test_building_that_fails_changes_nothing(self, path: Path) -> None:
        """Given a new version that cannot take an event, then its error comes through, and the old tables are as they were."""
        with open_ledger(path, projections=[Tally(1)]) as ledger:
            ledger.append("run/1", events(3), expected_version=-1)
            before = tables(ledger)

        with pytest.raises(ZeroDivisionError):
            open_ledger(path, projections=[Tally(2, poison="thing.happened")])

        with open_ledger(path, projections=[Tally(1)]) as ledger:
            assert before == tables(ledger)

    def test_rebuilding_gives_the_same_rows(self, path: Path) -> None:
        """Given tables that somebody changed, then rebuilding gives what the appends gave, and appends go on."""
        values = [1, 1.0, -0.0, 1e16, 0.5, "text", None]
        with open_ledger(path, projections=[Tally()]) as ledger:
            for value in values:
                ledger.append("run/1", [event(number=value)], expected_version=None)
            before = tables(ledger)
            ledger.connection.executescript(
                "DELETE FROM tally; UPDATE seen SET number = 7; INSERT INTO seen VALUES (99, 1, 1)"
            )

            ledger.rebuild()

            assert repr(before) == repr(tables(ledger))
            ledger.append("run/1", [event()], expected_version=len(values) - 1)
            assert ("run/1", len(values) + 1, 1) == tables(ledger)[0][1]

    @pytest.mark.parametrize(
        "script", ["DROP TABLE seen", "DROP INDEX tally_by_events", "ALTER TABLE seen ADD COLUMN x TEXT"]
    )
    def test_changed_tables_are_damage(self, path: Path, script: str) -> None:
        """Given a projection's table that was changed behind the program's back, then the ledger is not written."""
        open_ledger(path, projections=[Tally()]).close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(script)

        with pytest.raises(DamagedLedgerError):
            open_ledger(path, projections=[Tally()])

    @pytest.mark.parametrize("stored", ["CAST(x'ff' AS TEXT)", "'{'"], ids=["no text", "no JSON"])
    def test_texts_that_are_none_are_damage(self, path: Path, stored: str) -> None:
        """Given a projection that reads back what somebody has spoiled, then the append says that the ledger is damaged."""
        with open_ledger(path, projections=[Echo()]) as ledger:
            ledger.connection.execute(f"UPDATE echo SET text = {stored}")  # noqa: S608 -- ours

            with pytest.raises(DamagedLedgerError, match=str(path)):
                ledger.append("run/1", [event()], expected_version=-1)
            assert ledger.stream_version("run/1") == -1

    def test_several_are_kept_side_by_side(self, path: Path) -> None:
        """Given one that is there and one that is new, then only the new one is built, and both are kept."""
        other = Other()
        with open_ledger(path, projections=[Tally()]) as ledger:
            ledger.append("run/1", events(3), expected_version=-1)
        tally = Tally()
        with open_ledger(path, projections=[tally, other]) as ledger:
            assert (0, [0, 1, 2, 3]) == (tally.applied, other.seqs)
            ledger.append("run/1", [event()], expected_version=2)
            assert (1, [0, 1, 2, 3, 4]) == (tally.applied, other.seqs)
            registered = ledger.connection.execute("SELECT name, version FROM projections ORDER BY name").fetchall()
            assert [("other", 1), ("tally", 1)] == registered


@attrs.define
class Other:
    """A projection without tables of its own."""

    version: int = 1
    name: str = "other"
    script: str = ""
    tables: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    seqs: list[int] = attrs.field(factory=list)

    def apply(self, connection: sqlite3.Connection, events: Sequence[RecordedEvent]) -> None:
        """Note the places."""
        self.seqs += [item.seq for item in events]
