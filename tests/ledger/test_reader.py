"""Tests of reading: whole transactions beside a writer, nothing changed, and files that are not ours to lock."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ledger import open_ledger, reader
from ledger.audit.verify import verify
from ledger.errors import (
    ChangedWhileReadingError,
    DamagedLedgerError,
    ForeignFileError,
    LedgerError,
    LedgerNotFoundError,
    NewerLedgerError,
    StorageError,
)
from ledger.reader import LedgerReader
from ledger.schema import FORMAT
from tests.contracts.event_store import event, events

NOBODY = 65534


def count(of: LedgerReader) -> int:
    """Return how many events the reader sees."""
    (found,) = of.connection.execute("SELECT count(*) FROM events").fetchone()
    return int(found)


def grow(path: Path, number: int = 1) -> None:
    """Append to the ledger as its owner."""
    with open_ledger(path) as ledger:
        ledger.append("run/1", events(number), expected_version=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a ledger with four events."""
    grow(tmp_path / "ledger.db", 3)
    return tmp_path / "ledger.db"


@contextmanager
def stranger(folder: Path) -> Iterator[None]:
    """Be somebody to whom *folder* is not to write: another user where this one is root, who may write everywhere."""
    if os.getuid() == 0:
        os.setresgid(NOBODY, NOBODY, 0)
        os.setresuid(NOBODY, NOBODY, 0)
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)
            os.setresgid(0, 0, 0)
        return
    mode = folder.stat().st_mode
    folder.chmod(0o555)
    try:
        yield
    finally:
        folder.chmod(mode)


@pytest.fixture
def shelf() -> Iterator[Path]:
    """Give a ledger with four events in a folder that everybody may enter and read."""
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        grow(folder / "ledger.db", 3)
        (folder / "ledger.db").chmod(0o644)
        yield folder / "ledger.db"
    finally:
        shutil.rmtree(folder)


class TestReading:
    """A reader beside a writer."""

    def test_sees_whole_transactions(self, path: Path) -> None:
        """Given a writer at work, then a reader sees what was committed when it began, and the rest when it begins anew."""
        with open_ledger(path) as ledger, LedgerReader(path) as read:
            read.connection.execute("BEGIN")
            assert 4 == count(read)
            ledger.append("run/1", events(2), expected_version=2)
            assert 4 == count(read)
            read.connection.execute("COMMIT")
            assert 6 == count(read)
            read.check_unchanged()
            assert not read.immutable

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM blobs",
            "INSERT INTO blobs VALUES ('d', x'')",
            "CREATE TABLE t (x)",
            "PRAGMA user_version = 9",
            "VACUUM",
        ],
    )
    def test_cannot_write(self, path: Path, statement: str) -> None:
        """Given a statement that would change something, then SQLite refuses it."""
        before = path.read_bytes()

        with LedgerReader(path) as read, pytest.raises(sqlite3.OperationalError, match="readonly database"):
            read.connection.execute(statement)

        assert before == path.read_bytes()

    @pytest.mark.parametrize("name", ["a b.db", "a?mode=rwc.db", "a#b.db", "a%20b.db", "é.db", "a&b=c;d.db"])
    def test_any_name(self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a name with signs that mean something in a URI, then that file is read, also by its relative path."""
        grow(tmp_path / name)
        monkeypatch.chdir(tmp_path)

        for path in (tmp_path / name, Path(name)):
            with LedgerReader(path) as read:
                assert 2 == count(read)

    def test_ledger_read_only_reads_and_does_not_write(self, path: Path) -> None:
        """Given a ledger opened to be read, then it reads as a store does, an append is refused, and no lock is made."""
        shutil.rmtree(path.parent / "locks")
        with open_ledger(path, read_only=True) as ledger:
            assert 3 == len(ledger.read_stream("run/1"))
            with pytest.raises(StorageError, match="readonly database"):
                ledger.append("run/1", [event()], expected_version=None)

        assert not (path.parent / "locks").exists()


def fifo(path: Path) -> None:
    """Put a FIFO there."""
    os.mkfifo(path)


def other_database(path: Path) -> None:
    """Put another program's database there."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")


def newer(path: Path) -> None:
    """Put a ledger of a newer format there."""
    grow(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")


def broken(path: Path) -> None:
    """Put a file there that only begins as a database does."""
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)


def circle(path: Path) -> None:
    """Put a link to itself there."""
    path.symlink_to(path)


class TestWrongFiles:
    """Files that are no ledger of this program."""

    @pytest.mark.parametrize(
        ("put", "error"),
        [
            (fifo, ForeignFileError),
            (Path.mkdir, ForeignFileError),
            (Path.touch, ForeignFileError),
            (lambda path: path.write_text("text"), ForeignFileError),
            (other_database, ForeignFileError),
            (newer, NewerLedgerError),
            (broken, StorageError),
            (circle, StorageError),
        ],
        ids=["fifo", "folder", "empty", "text", "other", "newer", "broken", "circle"],
    )
    def test_is_refused(self, tmp_path: Path, put: Callable[[Path], object], error: type[LedgerError]) -> None:
        """Given something else in the ledger's place, then the error says what, at once, and names the path."""
        path = tmp_path / "ledger.db"
        put(path)
        there = path.read_bytes() if path.is_file() else None

        for opened in (LedgerReader, lambda path: open_ledger(path, read_only=True)):
            with pytest.raises(error, match=str(path)):
                opened(path)

        assert there == (path.read_bytes() if path.is_file() else None)

    @pytest.mark.parametrize("name", ["none.db", "none/ledger.db", "ledger.db/ledger.db"])
    def test_no_file_is_said_so(self, path: Path, name: str) -> None:
        """Given no file, no folder, or a file as folder, then there is no ledger, and nothing is made."""
        with pytest.raises(LedgerNotFoundError) as caught:
            LedgerReader(path.parent / name)

        assert str(path.parent / name) == caught.value.path
        assert {"ledger.db", "locks"} == {item.name for item in path.parent.iterdir()}

    def test_file_that_vanishes_between_two_looks(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a file that is removed before SQLite opens it, then it cannot be read, and none is made."""

        def looks_like_sqlite(path: Path) -> None:
            path.unlink()

        monkeypatch.setattr(reader, "looks_like_sqlite", looks_like_sqlite)

        with pytest.raises(StorageError, match="unable to open"):
            LedgerReader(path)

        assert not path.exists()

    def test_file_that_is_not_ours_to_read(self, shelf: Path) -> None:
        """Given a file that only its owner may read, then the error says so."""
        shelf.chmod(0o000)
        with stranger(shelf.parent), pytest.raises(StorageError, match="Permission denied"):
            LedgerReader(shelf)


def unix_socket(path: Path) -> None:
    """Put a socket there."""
    with closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(str(path))


class TestSides:
    """What stands beside a ledger under the names of its log."""

    @pytest.mark.parametrize("side", ["journal", "wal", "shm"])
    @pytest.mark.parametrize(
        ("put", "what"),
        [
            (fifo, "a FIFO"),
            (Path.mkdir, "a folder"),
            (circle, "a link"),
            (unix_socket, "a socket"),
        ],
        ids=["fifo", "folder", "link", "socket"],
    )
    def test_is_refused(self, path: Path, side: str, put: Callable[[Path], object], what: str) -> None:
        """Given something that is no file there, then the error names it, at once: SQLite would wait for it, or say nothing clear."""
        place = Path(f"{path}-{side}")
        place.unlink(missing_ok=True)
        put(place)

        with pytest.raises(DamagedLedgerError, match=f"{place} is {what}, expected a regular file or none"):
            LedgerReader(path)

        verdict = verify(path)
        assert ["unreadable"] == [item.kind for item in verdict.problems]
        assert str(place) in verdict.problems[0].detail

    @pytest.mark.parametrize("side", ["journal", "wal", "shm"])
    def test_beside_the_file_itself(self, path: Path, tmp_path: Path, side: str) -> None:
        """Given a link to a ledger, then what stands beside the ledger counts."""
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "link.db").symlink_to(path)
        fifo(tmp_path / "elsewhere" / f"link.db-{side}")

        with LedgerReader(tmp_path / "elsewhere" / "link.db") as read:
            assert 4 == count(read)

        Path(f"{path}-{side}").unlink(missing_ok=True)
        fifo(Path(f"{path}-{side}"))
        with pytest.raises(DamagedLedgerError):
            LedgerReader(tmp_path / "elsewhere" / "link.db")

    def test_kinds(self) -> None:
        """Given modes of files, then each has its word, also one that this program does not know."""
        modes = (stat.S_IFREG, stat.S_IFCHR, stat.S_IFBLK, 0)
        assert [None, "a device", "a device", "a special file"] == [reader.odd_kind(mode) for mode in modes]


class TestStranger:
    """A ledger in a folder that is not the reader's to write."""

    def test_is_read_without_locks(self, shelf: Path) -> None:
        """Given no log, then the file is read without locks, nothing is made beside it, and nothing has changed."""
        there = sorted(shelf.parent.iterdir())

        with stranger(shelf.parent), LedgerReader(shelf) as read:
            assert (True, 4) == (read.immutable, count(read))
            read.check_unchanged()
            assert there == sorted(shelf.parent.iterdir())

    def test_ledger_is_read_without_locks(self, shelf: Path) -> None:
        """Given `open_ledger` to read, then the history is there."""
        with stranger(shelf.parent), open_ledger(shelf, read_only=True) as ledger:
            assert 4 == len(list(ledger.read_all()))

    @pytest.mark.parametrize("number", [1, 1000])
    def test_change_meanwhile_is_told(self, shelf: Path, number: int) -> None:
        """Given an append meanwhile, small enough for the pages that are there or not, then the reader is told."""
        with stranger(shelf.parent):
            read = LedgerReader(shelf)
        with read:
            grow(shelf, number)

            with pytest.raises(ChangedWhileReadingError, match="read it again"):
                read.check_unchanged()

    def test_exchanged_file_is_told(self, shelf: Path) -> None:
        """Given another file in its place, equal to the byte and to the time, then the reader is told."""
        with stranger(shelf.parent):
            read = LedgerReader(shelf)
        with read:
            shutil.copy2(shelf, shelf.with_name("copy"))
            shelf.with_name("copy").replace(shelf)

            with pytest.raises(ChangedWhileReadingError):
                read.check_unchanged()

    def test_vanished_file_is_told(self, shelf: Path) -> None:
        """Given a file that is gone, then the reader is told."""
        with stranger(shelf.parent):
            read = LedgerReader(shelf)
        with read:
            shelf.unlink()

            with pytest.raises(ChangedWhileReadingError):
                read.check_unchanged()

    def test_log_is_read_where_one_stands(self, shelf: Path) -> None:
        """Given a writer at work, whose log stands beside the file, then its last transaction is seen."""
        with open_ledger(shelf) as ledger:
            ledger.append("run/1", [event()], expected_version=2)
            with stranger(shelf.parent), LedgerReader(shelf) as read:
                assert (False, 5) == (read.immutable, count(read))
                read.check_unchanged()

    def test_log_is_read_through_a_link(self, shelf: Path, tmp_path: Path) -> None:
        """Given a link elsewhere, then the log beside the file itself is seen all the same."""
        elsewhere = Path(tempfile.mkdtemp())
        try:
            elsewhere.chmod(0o755)
            (elsewhere / "link.db").symlink_to(shelf)
            with open_ledger(shelf) as ledger:
                ledger.append("run/1", [event()], expected_version=2)
                with stranger(elsewhere), LedgerReader(elsewhere / "link.db") as read:
                    assert (False, 5) == (read.immutable, count(read))
        finally:
            shutil.rmtree(elsewhere)
