"""Tests of the tables, their guards, how damage shows, and how a ledger file comes into being."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger import NewEvent, open_ledger
from ledger.canonical import canonical_text, parse_canonical
from ledger.errors import DamagedLedgerError, ForeignFileError, NewerLedgerError, StorageError
from ledger.merkle import leaf_hash
from ledger.schema import (
    APPLICATION_ID,
    FORMAT,
    TABLES,
    check_schema,
    create_ledger,
    ledger_identity,
    looks_like_sqlite,
    schema_objects,
    statements,
)
from tests.contracts.event_store import event

TABLES_SHOWN = ("ledger_meta", "events", "blobs", "projections")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a ledger with four events and a blob."""
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        ledger.append("run/1", [event(0, share=0.5, name="é\n"), event(1)], expected_version=-1)
        ledger.append("run/2", [NewEvent("run.started", 3, {}, {"user": "me"})], expected_version=-1, blobs={"d": b"b"})
    return path


@pytest.fixture
def plain(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection of a program that knows nothing of ledgers, with SQLite's own defaults."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert (0,) == connection.execute("PRAGMA recursive_triggers").fetchone()
        yield connection


def rows(connection: sqlite3.Connection) -> list[list[tuple[object, ...]]]:
    """Return everything that the ledger's own tables hold."""
    return [connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in TABLES_SHOWN]  # noqa: S608


def envelope(**changes: object) -> str:
    """Return the body of an event that would be the next of the ledger and of its stream, with *changes*."""
    values = {
        "data": {},
        "seq": 4,
        "stream": "run/2",
        "type": "a.b",
        "type_version": 1,
        "v": 1,
        "version": 1,
        **changes,
    }
    return canonical_text({key: value for key, value in values.items() if value is not None})


class TestGuards:
    """What stands in a ledger stays, whichever program asks."""

    @pytest.mark.parametrize(
        ("statement", "message"),
        [
            ("UPDATE events SET body = body", "events are never changed"),
            ("UPDATE events SET seq = seq + 10", "events are never changed"),
            ("UPDATE OR REPLACE events SET seq = 0 WHERE seq = 1", "events are never changed"),
            ("UPDATE OR IGNORE events SET leaf_hash = zeroblob(32)", "events are never changed"),
            ("DELETE FROM events", "events are never deleted"),
            ("DELETE FROM events WHERE seq = 3", "events are never deleted"),
            (
                "REPLACE INTO events (seq, body, leaf_hash) SELECT 1, body, leaf_hash FROM events WHERE seq = 1",
                "not the next",
            ),
            (
                "INSERT OR REPLACE INTO events (seq, body, leaf_hash) SELECT seq, body, leaf_hash FROM events",
                "not the next",
            ),
            (
                "INSERT INTO events (seq, body) SELECT seq, body FROM events WHERE 1 ON CONFLICT DO UPDATE SET body = 'x'",
                "not the next",
            ),
            ("UPDATE ledger_meta SET ledger = 'other'", "ledger_meta is never changed"),
            ("DELETE FROM ledger_meta", "ledger_meta is never deleted"),
            ("REPLACE INTO ledger_meta VALUES (1, 'other', 'now')", "ledger_meta has one row"),
            ("INSERT INTO ledger_meta VALUES (2, 'other', 'now')", "ledger_meta has one row"),
            ("UPDATE blobs SET bytes = x'00'", "blobs are never changed"),
            ("UPDATE OR REPLACE blobs SET digest = 'e'", "blobs are never changed"),
            ("DELETE FROM blobs", "blobs are never deleted"),
        ],
    )
    def test_history_cannot_be_changed(self, plain: sqlite3.Connection, statement: str, message: str) -> None:
        """Given a statement that would change what is recorded, then it is refused and nothing has changed."""
        before = rows(plain)

        with pytest.raises(sqlite3.IntegrityError, match=message):
            plain.execute(statement)

        assert before == rows(plain)

    @pytest.mark.parametrize("verb", ["REPLACE", "INSERT OR IGNORE", "INSERT"])
    def test_blob_that_is_there_is_not_replaced(self, plain: sqlite3.Connection, verb: str) -> None:
        """Given a digest that is there, then inserting it again, in whichever way, leaves the first bytes."""
        before = rows(plain)

        plain.execute(f"{verb} INTO blobs VALUES ('d', x'00')")

        assert before == rows(plain)

    @pytest.mark.parametrize(
        ("seq", "body", "message"),
        [
            (5, envelope(seq=5), "seq is not the next one"),
            (3, envelope(seq=3), "seq is not the next one"),
            (-1, envelope(seq=-1), "seq is not the next one"),
            (None, envelope(), "seq is not the next one"),
            (4, envelope(version=2), "version is not the next one"),
            (4, envelope(version=0), "version is not the next one"),
            (4, envelope(stream="run/9"), "version is not the next one"),
            (4, envelope(version=None), "version is not the next one"),
            (4, envelope(seq=5), "CHECK constraint failed"),
            (4, envelope(seq=None), "CHECK constraint failed"),
            (4, envelope(stream=None, version=0), "NOT NULL constraint failed"),
        ],
    )
    @pytest.mark.parametrize("verb", ["INSERT", "REPLACE", "INSERT OR FAIL"])
    def test_event_out_of_place_is_refused(
        self, plain: sqlite3.Connection, verb: str, seq: int | None, body: str, message: str
    ) -> None:
        """Given an event that is not the next, or whose text says another place, then it is refused."""
        before = rows(plain)

        with pytest.raises(sqlite3.IntegrityError, match=message):
            plain.execute(f"{verb} INTO events (seq, body, leaf_hash) VALUES (?, ?, zeroblob(32))", (seq, body))

        assert before == rows(plain)

    @pytest.mark.parametrize("hash_", [b"", b"x" * 31, b"x" * 33, None, "x" * 32, 7])
    def test_leaf_hash_is_32_bytes(self, plain: sqlite3.Connection, hash_: object) -> None:
        """Given something else than 32 bytes as the leaf's hash, then it is refused."""
        with pytest.raises(sqlite3.IntegrityError):
            plain.execute("INSERT INTO events (seq, body, leaf_hash) VALUES (4, ?, ?)", (envelope(), hash_))

    @pytest.mark.parametrize("body", ["", "{", "no json", b"{}", None])
    def test_body_is_json_text(self, plain: sqlite3.Connection, body: object) -> None:
        """Given a body that is no JSON text, then it is refused."""
        before = rows(plain)

        with pytest.raises(sqlite3.DatabaseError):
            plain.execute("INSERT INTO events (seq, body, leaf_hash) VALUES (4, ?, zeroblob(32))", (body,))

        assert before == rows(plain)

    def test_next_event_is_taken(self, plain: sqlite3.Connection) -> None:
        """Given the event that is next, then any program may append it: the refusals above are of what is wrong."""
        plain.execute("INSERT INTO events (seq, body, leaf_hash) VALUES (4, ?, zeroblob(32))", (envelope(),))

        assert (5,) == plain.execute("SELECT count(*) FROM events").fetchone()


class TestRows:
    """What stands in the rows of a ledger."""

    def test_body_is_canonical_and_hashed(self, plain: sqlite3.Connection) -> None:
        """Given any event, then its text is its own canonical form, and its hash is the leaf's."""
        found = plain.execute("SELECT body, leaf_hash FROM events").fetchall()

        assert 4 == len(found)
        for body, hash_ in found:
            assert body == canonical_text(parse_canonical(body))
            assert hash_ == leaf_hash(body.encode())

    def test_columns_are_what_the_text_says(self, plain: sqlite3.Connection) -> None:
        """Given any event, then each column that is derived from the text equals the text's."""
        names = ("seq", "stream", "version", "type", "type_version", "recorded_at", "id")

        for body, data, *values in plain.execute(f"SELECT body, data, {', '.join(names)} FROM events"):  # noqa: S608
            text = json.loads(body)
            assert [text[name] for name in names] == values
            assert text["data"] == json.loads(data)

    def test_every_event_names_its_ledger(self, plain: sqlite3.Connection) -> None:
        """Given a ledger, then each of its events carries the ledger's id."""
        (ledger,) = plain.execute("SELECT ledger FROM ledger_meta").fetchone()

        assert [(ledger,)] == plain.execute("SELECT DISTINCT json_extract(body, '$.ledger') FROM events").fetchall()
        assert 32 == len(ledger)

    def test_file_says_what_it_is(self, path: Path, plain: sqlite3.Connection) -> None:
        """Given a ledger, then its header names the program, the format, UTF-8 and the write-ahead log."""
        names = ("application_id", "user_version", "encoding", "journal_mode")

        assert [APPLICATION_ID, FORMAT, "UTF-8", "wal"] == [
            plain.execute(f"PRAGMA {name}").fetchone()[0] for name in names
        ]
        assert 0o600 == path.stat().st_mode & 0o777
        assert ("ok",) == plain.execute("PRAGMA integrity_check").fetchone()


class TestStatements:
    """Scripts and what they make."""

    def test_trigger_is_one_statement(self) -> None:
        """Given a script with triggers, then the semicolon inside of one does not split it."""
        parts = statements(TABLES)

        assert 14 == len(parts)
        assert all(part.startswith("CREATE ") for part in parts)
        assert list(schema_objects([TABLES]))[:5] == ["ledger_meta", "events", "blobs", "projections", "events_dense"]

    def test_line_breaks_do_not_matter(self) -> None:
        """Given the same statement broken elsewhere, then it counts as the same."""
        assert schema_objects(["CREATE TABLE a  (b);\n\nCREATE VIEW c AS\n  SELECT 1;"]) == schema_objects(
            ["CREATE TABLE a\n (b);\n", "CREATE VIEW c AS SELECT 1"]
        )


class TestDamage:
    """What was changed behind the program's back shows."""

    @pytest.mark.parametrize(
        ("script", "finding"),
        [
            ("DROP TRIGGER events_immutable", "events_immutable is missing"),
            ("DROP TABLE blobs", "blobs is missing"),
            ("ALTER TABLE events ADD COLUMN note TEXT", "events is not as it was made"),
            ("ALTER TABLE projections RENAME COLUMN version TO v", "projections is not as it was made"),
            (
                "DROP TRIGGER events_permanent; CREATE TRIGGER events_permanent BEFORE DELETE ON events BEGIN SELECT 1; END",
                "events_permanent is not as it was made",
            ),
            (
                "CREATE TRIGGER helper AFTER INSERT ON events BEGIN SELECT 1; END",
                "trigger helper on events does not belong",
            ),
            ("CREATE INDEX quick ON events (type)", "index quick on events does not belong"),
            ("CREATE TRIGGER t AFTER INSERT ON blobs BEGIN SELECT 1; END", "trigger t on blobs does not belong"),
        ],
    )
    @pytest.mark.parametrize("read_only", [True, False])
    def test_damage_is_named(
        self, path: Path, plain: sqlite3.Connection, script: str, finding: str, *, read_only: bool
    ) -> None:
        """Given a table or guard that was changed, dropped or added, then the ledger is not opened and the error says why."""
        plain.executescript(script)

        with pytest.raises(DamagedLedgerError) as caught:
            open_ledger(path, read_only=read_only)

        assert finding in caught.value.findings
        assert str(path) in str(caught.value)

    def test_every_finding_is_named(self, plain: sqlite3.Connection) -> None:
        """Given several changes, then all are named."""
        for name in ("blobs_once", "blobs_permanent"):
            plain.execute(f"DROP TRIGGER {name}")
        plain.execute("CREATE INDEX quick ON events (type)")

        with pytest.raises(DamagedLedgerError) as caught:
            check_schema(plain, "it", [TABLES])

        assert ("blobs_once is missing", "blobs_permanent is missing", "index quick on events does not belong") == (
            caught.value.findings
        )

    def test_what_stands_beside_is_no_damage(self, path: Path, plain: sqlite3.Connection) -> None:
        """Given views, and tables with guards and indexes of their own, then the ledger is opened."""
        plain.executescript(
            "CREATE VIEW nights AS SELECT * FROM events; CREATE TABLE notes (text TEXT UNIQUE);"
            " CREATE INDEX by_text ON notes (text); CREATE TRIGGER mine AFTER INSERT ON notes BEGIN SELECT 1; END;"
        )

        with open_ledger(path) as ledger:
            assert 1 == ledger.stream_version("run/1")

    def test_ledger_without_its_id_is_damaged(self, path: Path, plain: sqlite3.Connection) -> None:
        """Given a ledger whose id was deleted and whose guard was put back, then it is not opened."""
        (guard,) = plain.execute("SELECT sql FROM sqlite_schema WHERE name = 'ledger_meta_permanent'").fetchone()
        plain.executescript(f"DROP TRIGGER ledger_meta_permanent; DELETE FROM ledger_meta; {guard};")  # noqa: S608

        with pytest.raises(DamagedLedgerError, match="ledger_meta is empty"):
            open_ledger(path)

    def test_newer_format_is_left_alone(self, path: Path, plain: sqlite3.Connection) -> None:
        """Given a ledger of a format that is not known, then it is not opened, whatever else it has."""
        plain.execute(f"PRAGMA user_version = {FORMAT + 1}")
        plain.execute("DROP TRIGGER events_immutable")

        with pytest.raises(NewerLedgerError) as caught:
            open_ledger(path)

        assert (str(path), FORMAT + 1, FORMAT) == (caught.value.path, caught.value.actual, caught.value.known)

    def test_other_programs_database_is_left_alone(self, tmp_path: Path) -> None:
        """Given another program's database, then it is not opened, and not changed."""
        other = tmp_path / "other.db"
        with closing(sqlite3.connect(other)) as connection:
            connection.execute("CREATE TABLE events (seq)")
        before = other.read_bytes()

        with pytest.raises(ForeignFileError, match="application id is 0x0"):
            open_ledger(other)

        assert before == other.read_bytes()


class TestLooksLikeSqlite:
    """What a file is, without waiting on it."""

    def test_other_files(self, path: Path, tmp_path: Path) -> None:
        """Given a FIFO, a folder, an empty and a text file, then none is a database; a ledger is."""
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "empty").write_bytes(b"")
        (tmp_path / "text").write_text("SQLite format 3")

        assert ["it is no regular file"] * 2 == [looks_like_sqlite(tmp_path / "fifo"), looks_like_sqlite(tmp_path)]
        assert ["it is no SQLite database"] * 2 == [looks_like_sqlite(tmp_path / name) for name in ("empty", "text")]
        assert looks_like_sqlite(path) is None


CRASH = """
import os, signal, sys
from ledger import open_ledger
def crash(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)
os.link = crash
open_ledger(sys.argv[1])
"""

CREATE = """
import sys
from ledger import NewEvent, open_ledger
print("ready", flush=True)
sys.stdin.readline()
with open_ledger(sys.argv[1]) as ledger:
    ledger.append("run/" + sys.argv[2], [NewEvent("a.b", 1, {})], expected_version=-1)
    print(ledger.ledger_id)
"""


class TestCreation:
    """A ledger appears complete or not at all."""

    def test_crash_before_the_end_leaves_nothing_under_the_name(self, tmp_path: Path) -> None:
        """Given a process that dies when all but the name is made, then there is no ledger, and the next one makes it."""
        path = tmp_path / "deep" / "ledger.db"
        crashed = subprocess.run([sys.executable, "-c", CRASH, str(path)], timeout=60, check=False)

        assert -signal.SIGKILL == crashed.returncode
        assert path.parent.is_dir()
        assert not path.exists()
        with open_ledger(path) as ledger:
            assert ["ledger.created"] == [item.type for item in ledger.read_all()]

    def test_processes_that_create_at_once_share_one_ledger(self, tmp_path: Path) -> None:
        """Given four processes that make the same ledger at once, then there is one, with the events of all."""
        path = tmp_path / "ledger.db"
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", CREATE, str(path), str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(4)
        ]
        for process in processes:
            assert process.stdout is not None
            assert "ready\n" == process.stdout.readline()
        said = [process.communicate("\n", timeout=60)[0] for process in processes]

        assert [0] * 4 == [process.returncode for process in processes]
        with open_ledger(path) as ledger:
            assert {f"{ledger.ledger_id}\n"} == set(said)
            assert ["ledger", "run/0", "run/1", "run/2", "run/3"] == sorted(item.stream for item in ledger.read_all())
            assert list(range(5)) == [item.seq for item in ledger.read_all()]
        assert {"ledger.db", "locks"} == {item.name for item in tmp_path.iterdir()}

    def test_what_stands_there_is_left_alone(self, path: Path) -> None:
        """Given a ledger that another process made meanwhile, then it stays, and nothing is left behind."""
        before = path.read_bytes()

        create_ledger(path, [], lambda connection, identity: None)

        assert before == path.read_bytes()
        assert {"ledger.db", "locks"} == {item.name for item in path.parent.iterdir()}

    def test_first_event_that_fails_leaves_nothing(self, tmp_path: Path) -> None:
        """Given a failure while the first event is recorded, then no file is left."""

        def fill(connection: sqlite3.Connection, identity: str) -> None:
            connection.execute("INSERT INTO nowhere VALUES (1)")

        with pytest.raises(StorageError, match="could not be created: no such table"):
            create_ledger(tmp_path / "ledger.db", [], fill)

        assert [] == list(tmp_path.iterdir())

    def test_place_that_cannot_be_is_an_error(self, tmp_path: Path) -> None:
        """Given a file where the folder should be, then the ledger cannot be made."""
        (tmp_path / "file").write_text("")

        for path in (tmp_path / "file" / "ledger.db", tmp_path / "file" / "deep" / "ledger.db"):
            with pytest.raises(StorageError):
                open_ledger(path)
            with pytest.raises(StorageError, match="could not be created"):
                create_ledger(path, [], lambda connection, identity: None)

    def test_file_is_complete_without_a_log(self, tmp_path: Path) -> None:
        """Given a ledger that was just made, then one file holds all of it."""
        made: list[str] = []

        create_ledger(tmp_path / "ledger.db", [], lambda connection, identity: made.append(identity))

        assert ["ledger.db"] == [item.name for item in tmp_path.iterdir()]
        assert 32 == len(made[0])
        assert 0o600 == (tmp_path / "ledger.db").stat().st_mode & 0o777


class TestWhatOnlySqliteSees:
    """Spellings that are one to SQLite and two to a reader, or the other way round."""

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE sqlite_schema SET tbl_name = 'EVENTS' WHERE name = 'evil'",
            "UPDATE sqlite_schema SET type = 'TRIGGER' WHERE name = 'evil'",
        ],
    )
    def test_is_found(self, tmp_path: Path, change: str) -> None:
        """Given a foreign trigger under another spelling, then it is found."""
        path = tmp_path / "ledger.db"
        open_ledger(path).close()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("CREATE TRIGGER evil AFTER INSERT ON events BEGIN SELECT 1; END")
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(change)
        with contextlib.closing(sqlite3.connect(path)) as connection, pytest.raises(DamagedLedgerError):
            check_schema(connection, "it")

    def test_blank_that_is_part_of_a_name(self) -> None:
        """Given a no-break space, which SQLite takes for a letter, then it is not folded away."""
        plain, other = "CREATE VIEW v AS SELECT 1 FROM runs", "CREATE VIEW v AS SELECT 1 FROM\u00a0runs"
        assert schema_objects([plain]) != schema_objects([other])
        assert schema_objects([plain]) == schema_objects([plain.replace(" FROM", "\n  FROM")])


@pytest.mark.parametrize("identity", ["", "../../x", "0" * 31, b"\x00" * 32, "0" * 32 + "\x00"])
def test_id_that_is_none(tmp_path: Path, identity: object) -> None:
    """Given an id that no program has made, which becomes a part of paths, then the ledger is damaged."""
    with contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute("CREATE TABLE ledger_meta (one, ledger)")
        connection.execute("INSERT INTO ledger_meta VALUES (1, ?)", (identity,))
        with pytest.raises(DamagedLedgerError, match="expected 32 hexadecimal digits"):
            ledger_identity(connection, "x.db")
