"""Tests of backups: one complete file of one moment, checked event by event, there whole or not at all."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from ledger import backup as module
from ledger.audit.verdict import Options
from ledger.audit.verify import verify
from ledger.backup import check_file, copy_file, write_backup
from ledger.checkpoints import seal
from ledger.errors import (
    DamagedLedgerError,
    ForeignFileError,
    LedgerExistsError,
    LedgerNotFoundError,
    NewerLedgerError,
    StorageError,
)
from ledger.events import NewEvent
from ledger.merkle import leaf_hash
from ledger.outside import checkpoint_folder
from ledger.reader import LedgerReader
from ledger.schema import ledger_identity
from ledger.store import open_ledger
from ledger.tree import tree_root
from tests.ledger.sealed import filled
from tests.old_ledgers import FORMAT_1, digest_of, make_older

EVENTS = 25


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a ledger of 25 events, sealed at 20."""
    path = tmp_path / "state" / "ledger.db"
    with filled(path, EVENTS) as ledger:
        seal(ledger, 20)
    return path


def harmed(path: Path, *statements: str) -> Path:
    """Do with *path* what its guards forbid."""
    with closing(sqlite3.connect(path)) as connection:
        for name, sql in connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
            statements = (*statements, sql)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path


class TestBackup:
    """Writing one."""

    def test_holds_all_and_says_what(self, source: Path, tmp_path: Path) -> None:
        """Given a ledger, then the copy has every row of it, and what is said of it is true."""
        target = tmp_path / "away" / "backup.db"
        done = write_backup(source, target)
        with LedgerReader(source) as one, LedgerReader(target) as other:
            for table in ("events", "blobs", "checkpoints", "tree", "projections", "ledger_meta"):
                sql = f"SELECT * FROM {table} ORDER BY 1, 2"  # noqa: S608 - ours
                assert one.connection.execute(sql).fetchall() == other.connection.execute(sql).fetchall()
            root = tree_root(one.connection, EVENTS)
            (last_at,) = one.connection.execute("SELECT max(recorded_at) FROM events").fetchone()
        content = target.read_bytes()
        assert (done.path, done.bytes, done.sha256) == (target, len(content), sha256(content).hexdigest())
        found = done.contents
        assert (found.format, found.events, found.root, found.last_at, found.sealed) == (2, EVENTS, root, last_at, 20)
        assert found.checkpoint is not None
        assert found.checkpoint.splitlines()[1] == "20"

    def test_is_one_file_that_only_its_owner_reads(self, source: Path, tmp_path: Path) -> None:
        """Given a copy, then it keeps no log, nothing else is left beside it, and its mode is 0600."""
        target = tmp_path / "away" / "backup.db"
        write_backup(source, target)
        assert [path.name for path in target.parent.iterdir()] == ["backup.db"]
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert target.read_bytes()[18:20] == b"\x01\x01"  # as SQLite marks a file that keeps no log

    def test_what_is_not_folded_back_yet_is_in_it(self, source: Path, tmp_path: Path) -> None:
        """Given events that stand in the log alone, then the copy has them."""
        with open_ledger(source) as ledger:
            ledger.append("run/1", [NewEvent("a.b", 1, {})], expected_version=-1)
            assert write_backup(source, tmp_path / "backup.db").contents.events == EVENTS + 1

    def test_is_of_one_moment_while_others_write(self, source: Path, tmp_path: Path) -> None:
        """Given a writer that goes on all the time, then each copy is a beginning of the history, whole and right."""
        stop = threading.Event()

        def write() -> None:
            with open_ledger(source) as ledger:
                while not stop.is_set():
                    ledger.append("run/1", [NewEvent("a.b", 1, {"text": "x" * 999})] * 20, expected_version=None)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            done = [write_backup(source, tmp_path / f"{n}.db").contents for n in range(5)]
        finally:
            stop.set()
            thread.join()
        with LedgerReader(source) as reader:
            for found in done:
                assert found.root == tree_root(reader.connection, found.events)
                assert found.events % 20 == EVENTS % 20

    def test_put_in_place_by_hand_it_is_a_ledger_again(self, source: Path, tmp_path: Path) -> None:
        """Given a copy in a ledger's place, then whoever writes to it writes to a log, so that readers are never in the way."""
        write_backup(source, tmp_path / "backup.db")
        with open_ledger(tmp_path / "backup.db") as ledger:
            assert ledger.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            ledger.append("run/1", [NewEvent("a.b", 1, {})], expected_version=-1)

    def test_file_that_is_there_is_kept(self, source: Path, tmp_path: Path) -> None:
        """Given a file of that name, or a link that leads nowhere, then it stays; with force it is replaced."""
        target = tmp_path / "backup.db"
        target.write_text("mine")
        with pytest.raises(LedgerExistsError, match="there is a file at"):
            write_backup(source, target)
        assert target.read_text() == "mine"
        assert write_backup(source, target, force=True).contents.events == EVENTS
        link = tmp_path / "link.db"
        link.symlink_to("nowhere")
        with pytest.raises(LedgerExistsError):
            write_backup(source, link)

    def test_file_that_appears_meanwhile_is_kept(self, source: Path, tmp_path: Path) -> None:
        """Given a file that appears while the copy is checked, then it stays, and nothing else is left."""
        target = tmp_path / "away" / "backup.db"
        with filled(source, 10_000):
            pass
        with pytest.raises(LedgerExistsError):
            write_backup(source, target, options=Options(watch=lambda *_: target.touch()))
        assert [path.name for path in target.parent.iterdir()] == ["backup.db"]
        assert target.read_bytes() == b""

    def test_damaged_ledger_gives_no_copy(self, source: Path, tmp_path: Path) -> None:
        """Given an event that was changed, then the error names the ledger and the event, and there is no file."""
        harmed(source, "UPDATE events SET body = replace(body, '\"n\":7', '\"n\":8') WHERE seq = 8")
        target = tmp_path / "away" / "backup.db"
        with pytest.raises(
            DamagedLedgerError, match=f"{source} is damaged: .*event 8: its text is not what its hash covers"
        ):
            write_backup(source, target)
        assert list(target.parent.iterdir()) == []

    def test_place_that_cannot_be_written(self, source: Path, tmp_path: Path) -> None:
        """Given a file where a folder should be, then it is an error of the storage that names the target."""
        (tmp_path / "file").touch()
        with pytest.raises(StorageError, match=r"file/backup\.db"):
            write_backup(source, tmp_path / "file" / "backup.db")

    def test_pages_that_cannot_be_copied(self, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given SQLite refuses to write, then it is an error of the storage, and nothing is left."""

        class Full:
            def __init__(self, *_: object, **__: object) -> None:
                raise sqlite3.OperationalError("database or disk is full")

        reader = LedgerReader(source)
        monkeypatch.setattr(module, "LedgerReader", lambda _: reader)
        monkeypatch.setattr(sqlite3, "connect", Full)
        with pytest.raises(StorageError, match="disk is full"):
            write_backup(source, tmp_path / "backup.db")
        assert [path.name for path in tmp_path.iterdir()] == ["state"]

    def test_no_ledger(self, tmp_path: Path) -> None:
        """Given no ledger, or something else, then there is no copy."""
        with pytest.raises(LedgerNotFoundError):
            write_backup(tmp_path / "none.db", tmp_path / "backup.db")
        (tmp_path / "text").write_text("text")
        with pytest.raises(ForeignFileError):
            write_backup(tmp_path / "text", tmp_path / "backup.db")
        assert [path.name for path in tmp_path.iterdir()] == ["text"]


class TestChecking:
    """What is found wrong with a file."""

    def test_every_size_and_format_has_its_root(self, tmp_path: Path) -> None:
        """Given ledgers of many sizes, of both formats, then the root found is that of the tree, and no checkpoint is none."""
        for size in (1, 2, 3, 7, 8, 255, 256, 300):
            path = tmp_path / f"{size}.db"
            with filled(path, size) as ledger:
                root = tree_root(ledger.connection, size)
            make_older(path)
            found = check_file(path)
            assert (found.events, found.root, found.format, found.checkpoint, found.sealed) == (size, root, 1, None, 0)
        assert check_file(FORMAT_1).events == 60

    def test_what_sqlite_finds_wrong(self, tmp_path: Path) -> None:
        """Given a file whose count of free pages is not what it has, then SQLite's own finding is told."""
        filled(tmp_path / "ledger.db", 20).close()
        with (tmp_path / "ledger.db").open("r+b") as file:
            file.seek(36)
            file.write((7).to_bytes(4, "big"))
        with pytest.raises(DamagedLedgerError, match=r"[Ff]reelist"):
            check_file(tmp_path / "ledger.db")

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ("DELETE FROM events WHERE seq = 7", "event 7 is missing"),
            (
                "UPDATE events SET leaf_hash = zeroblob(32) WHERE seq = 3",
                "event 3: its text is not what its hash covers",
            ),
            ("DELETE FROM events", "the ledger has no event at all"),
            (
                "DELETE FROM events WHERE seq > 10",
                "it covers 20 events, the ledger has 11: events 11 to 19 are missing",
            ),
            (
                "INSERT INTO checkpoints SELECT 9, 4, root, replace(note, char(10, 50, 48, 10), char(10, 52, 10)), '' FROM checkpoints",
                "checkpoint 9 in the ledger: it covers 4 events with the root ",
            ),
            (
                "INSERT INTO checkpoints VALUES (9, 4, zeroblob(32), 'x', '')",
                "checkpoint 9 in the ledger: not a checkpoint",
            ),
            ("UPDATE ledger_meta SET ledger = hex(zeroblob(16))", "event 0: its text says that it is of the ledger "),
            ("DELETE FROM ledger_meta", "ledger_meta has 0 rows"),
            ("CREATE TRIGGER spy AFTER INSERT ON events BEGIN SELECT 1; END", "trigger spy on events does not belong"),
            ("INSERT INTO blobs VALUES ('sha256:0', x'01')", "the blob sha256:0 is not what its digest says"),
            ("INSERT INTO tree VALUES (3, 7, zeroblob(32))", "level 3"),
        ],
    )
    def test_each_finding_is_named(self, source: Path, change: str, told: str) -> None:
        """Given one thing that is wrong, then it is found and named."""
        with pytest.raises(DamagedLedgerError) as caught:
            check_file(harmed(source, change))
        assert told in str(caught.value)

    def test_text_that_is_no_event_is_found_though_its_hash_is_right(self, source: Path) -> None:
        """Given a text that another program wrote, with the hash of it, then it is found."""
        with closing(sqlite3.connect(source)) as connection:
            (body,) = connection.execute("SELECT body FROM events WHERE seq = 24").fetchone()
        body = body.replace('"n":23', '"n": 23')
        leaf = leaf_hash(body.encode()).hex()
        harmed(source, f"UPDATE events SET body = '{body}', leaf_hash = x'{leaf}' WHERE seq = 24")  # noqa: S608 - a test's own
        with pytest.raises(DamagedLedgerError, match="event 24"):
            check_file(source)

    def test_blobs_that_events_name_have_to_be_there(self, source: Path) -> None:
        """Given somebody who knows which blobs events name, then one that is missing is found."""
        with pytest.raises(DamagedLedgerError, match="event 0 names the blob sha256:none"):
            check_file(source, options=Options(blobs_of=lambda _: ["sha256:none"]))

    def test_what_is_not_of_the_file_is_left_to_others(self, source: Path) -> None:
        """Given a clock that was once wrong, or something beside the file that is no checkpoint, then the file is sound all the same."""
        with LedgerReader(source) as reader:
            folder = checkpoint_folder(source, ledger_identity(reader.connection, "source"))
        folder.mkdir(parents=True)
        (folder / f"{99:012d}.checkpoint").write_text("nonsense")
        early = Options(now=lambda: "2020-01-01T00:00:00.000000Z")
        assert {item.kind for item in verify(source, early).problems} == {"outside_checkpoint", "post_dated"}
        assert check_file(source, options=early).events == EVENTS

    def test_newer_one(self, source: Path) -> None:
        """Given a ledger of a program to come, then that is said."""
        harmed(source, "PRAGMA user_version = 99")
        with pytest.raises(NewerLedgerError):
            check_file(source)

    def test_findings_are_few(self, source: Path) -> None:
        """Given many events that are wrong, then ten are named."""
        with pytest.raises(DamagedLedgerError) as caught:
            check_file(harmed(source, "DELETE FROM checkpoints", "UPDATE events SET leaf_hash = zeroblob(32)"))
        assert len(caught.value.findings) == 10

    @pytest.mark.parametrize("harm", [lambda data: b"\xa5" * len(data), lambda data: data[: len(data) // 2]])
    def test_pages_that_are_damaged(self, source: Path, harm: Callable[[bytes], bytes]) -> None:
        """Given pages with something else in them, or half of the file, then it is damaged."""
        content = source.read_bytes()
        source.write_bytes(content[: 4 * 4096] + harm(content[4 * 4096 :]))
        with pytest.raises(DamagedLedgerError):
            check_file(source)

    def test_first_page_that_is_damaged(self, source: Path) -> None:
        """Given a header and nothing right behind it, then SQLite's own words are the finding; a text is no ledger at all."""
        content = source.read_bytes()
        source.write_bytes(content[:100] + b"\xa5" * (len(content) - 100))
        with pytest.raises(DamagedLedgerError, match=f"{source} is damaged: "):
            check_file(source)
        source.write_text("text")
        with pytest.raises(ForeignFileError):
            check_file(source)


class TestArchive:
    """Copying a backup to where it stays."""

    def test_copy_can_only_be_read(self, source: Path, tmp_path: Path) -> None:
        """Given a backup, then its copy has the same contents and mode 0400, and is never written over."""
        done = write_backup(source, tmp_path / "backup.db")
        copy_file(tmp_path / "backup.db", tmp_path / "archive.db")
        assert stat.S_IMODE((tmp_path / "archive.db").stat().st_mode) == 0o400
        assert digest_of(tmp_path / "archive.db") == done.sha256
        assert check_file(tmp_path / "archive.db") == done.contents
        with pytest.raises(LedgerExistsError):
            copy_file(tmp_path / "backup.db", tmp_path / "archive.db", sha256=done.sha256)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["archive.db", "backup.db", "state"]

    @pytest.mark.parametrize("torn", [True, False])
    def test_copy_is_what_was_checked(
        self, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, torn: bool
    ) -> None:
        """Given a disk that loses a byte, or a backup that is another one than was checked, then there is no copy."""
        if torn:

            def copyfile(one: Path, other: Path) -> None:
                other.write_bytes(one.read_bytes()[:-1])

            monkeypatch.setattr(shutil, "copyfile", copyfile)
        with pytest.raises(
            StorageError, match=r"archive\.db could not .* the copy has the SHA-256 [0-9a-f]{64}, .* had "
        ):
            copy_file(source, tmp_path / "archive.db", sha256=None if torn else "0" * 64)
        assert [path.name for path in tmp_path.iterdir()] == ["state"]
