"""Tests of questions in SQL: what may be asked, what it may cost, and that nothing is ever changed by asking."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger import open_ledger
from ledger.errors import QueryLimitError, QueryRefusedError
from ledger.query import STATEMENT_BYTES_MAX, Answer, Limits, ask, prepare
from ledger.reader import LedgerReader
from tests.contracts.event_store import event, events

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a ledger with some events."""
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        ledger.append("run/1", events(3), expected_version=-1)
        ledger.append("run/2", [event(text="é")], expected_version=-1)
    return path


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that is ready for statements from outside, within a transaction."""
    with LedgerReader(path) as reader:
        prepare(reader.connection)
        reader.connection.execute("BEGIN")
        yield reader.connection


def refusal(connection: sqlite3.Connection, statement: str) -> str:
    """Return why *statement* is refused."""
    with pytest.raises(QueryRefusedError) as caught:
        ask(connection, statement, limits=Limits(seconds=20))
    assert type(caught.value) is QueryRefusedError, caught.value
    return str(caught.value)


class TestAnswers:
    """What is read."""

    def test_columns_and_rows(self, connection: sqlite3.Connection) -> None:
        """Given a SELECT, then the names of its columns and its rows."""
        answer = ask(connection, "SELECT seq AS place, stream FROM events WHERE seq > 2 -- the last ones")
        assert answer == Answer(("place", "stream"), [(3, "run/1"), (4, "run/2")])

    @pytest.mark.parametrize(
        "statement",
        [
            "VALUES (1)",
            "SELECT 1;",
            "SELECT 1; -- done",
            " /* ; */ SELECT ';'",
            "WITH a AS (SELECT 1) SELECT * FROM a UNION SELECT 2",
            "SELECT value FROM json_each('[1,2]')",
            "SELECT fullkey FROM json_tree('{\"a\":[1]}')",
            "SELECT name FROM sqlite_schema",
            "EXPLAIN QUERY PLAN SELECT * FROM events",
            "SELECT row_number() OVER (ORDER BY seq) FROM events",
            "SELECT group_concat(upper(stream), '-'), total(seq), date('now'), current_timestamp FROM events",
            "SELECT data ->> '$.text' FROM events WHERE stream LIKE 'run/%' AND stream GLOB 'run*'",
        ],
    )
    def test_whatever_only_reads_is_answered(self, connection: sqlite3.Connection, statement: str) -> None:
        """Given any form of a question, then it has an answer, and a second one too."""
        assert ask(connection, statement).rows
        assert ask(connection, statement).rows

    def test_values_are_bound(self, connection: sqlite3.Connection) -> None:
        """Given values for names, then they are values: what looks like SQL in them is text."""
        sql = "SELECT count(*) FROM events WHERE stream = :stream AND seq >= :seq"
        assert ask(connection, sql, {"stream": "run/1", "seq": 1, "unused": 0}).rows == [(3,)]
        assert ask(connection, sql, {"stream": "' OR 1=1 --", "seq": 0}).rows == [(0,)]

    def test_text_that_is_none_is_shown(self, connection: sqlite3.Connection) -> None:
        """Given bytes that are no UTF-8 as text, then they are written out."""
        assert ask(connection, "SELECT CAST(x'C3FF41' AS TEXT)").rows == [("\\xc3\\xffA",)]

    def test_temporary_tables_stay(self, path: Path) -> None:
        """Given tables beside those of the file, as an older ledger has them while it is read, then they can be asked."""
        with LedgerReader(path) as reader:
            reader.connection.execute("CREATE TEMP TABLE beside AS SELECT 1 AS one")
            prepare(reader.connection)
            assert ask(reader.connection, "SELECT one FROM beside").rows == [(1,)]

    def test_the_moment_is_held(self, path: Path, connection: sqlite3.Connection) -> None:
        """Given a writer beside it, then an answer is from when the transaction first read."""
        assert ask(connection, "SELECT count(*) FROM events").rows == [(5,)]
        with open_ledger(path) as ledger:
            ledger.append("run/3", [event()], expected_version=-1)
        assert ask(connection, "SELECT count(*) FROM events").rows == [(5,)]


class TestRefusals:
    """What would do something else than reading."""

    @pytest.mark.parametrize(
        ("statement", "told"),
        [
            ("DROP TABLE events", "change the schema"),
            ("DELETE FROM blobs", "would write (blobs)"),
            ("UPDATE blobs SET bytes = x''", "would write (blobs)"),
            ("INSERT INTO blobs VALUES ('d', x'') RETURNING *", "would write (blobs)"),
            ("REPLACE INTO blobs VALUES ('d', x'')", "would write (blobs)"),
            ("WITH a AS (SELECT 1) DELETE FROM blobs", "would write (blobs)"),
            ("/* SELECT */ DROP /* */ TABLE events", "change the schema"),
            ("-- SELECT\nDROP TABLE events", "change the schema"),
            ("SELECT 1; DROP TABLE events", "more than one statement: ask one at a time"),
            ("SELECT 1; SELECT 2", "more than one statement: ask one at a time"),
            ("SELECT 1;;", "more than one statement: ask one at a time"),
            ("ATTACH 'made.db' AS made", "open another file (made.db)"),
            ("ATTACH 'file:made.db?mode=rwc' AS made", "open another file"),
            ("DETACH main", "close a file"),
            ("VACUUM INTO 'made.db'", "SQLite does not take it: "),
            ("VACUUM", "SQLite does not take it: "),
            ("PRAGMA writable_schema = ON", "setting (writable_schema)"),
            ("PRAGMA query_only = OFF", "setting (query_only)"),
            ("PRAGMA hard_heap_limit", "setting (hard_heap_limit)"),
            ("SELECT * FROM pragma_table_info('events')", "change the schema"),
            ("SELECT * FROM dbstat", "would change the schema"),
            ("CREATE TEMP TABLE t (x)", "change the schema"),
            ("CREATE VIRTUAL TABLE t USING fts5(x)", "change the schema"),
            ("CREATE TRIGGER t AFTER INSERT ON blobs BEGIN SELECT 1; END", "change the schema"),
            ("ALTER TABLE events ADD COLUMN x", "change the schema"),
            ("REINDEX events", "change the schema"),
            ("ANALYZE", "change the schema"),
            ("BEGIN", "transaction (BEGIN)"),
            ("COMMIT", "transaction (COMMIT)"),
            ("ROLLBACK", "transaction (ROLLBACK)"),
            ("SAVEPOINT s", "transaction (BEGIN)"),
            ("SELECT load_extension('made.so')", "call load_extension()"),
            ("SELECT fts3_tokenizer('simple')", "call fts3_tokenizer()"),
            ("SELECT sqlite_log(1, 'x')", "call sqlite_log()"),
            ("SELECT readfile('/etc/passwd')", "SQLite does not take it: "),
            ("SELECT writefile('made', 'x')", "SQLite does not take it: "),
            ("SELECT edit('x')", "SQLite does not take it: "),
            ("", "no statement"),
            ("  -- nothing", "no statement"),
            ("SELEC 1", "SQLite does not take it: "),
            ("SELECT * FROM nowhere", "SQLite does not take it: "),
            ("SELECT '\0'", "holds a NUL character"),
            ("SELECT '\ud800'", "bytes that are no UTF-8"),
            ("SELECT printf('%s', CAST(x'FF' AS TEXT))", "printf() was given a text that is no UTF-8"),
            ("SELECT :run", "asks for :run, which was given no value"),
            ("SELECT ?", "write :NAME instead of ?"),
            ("SELECT " + "(" * 2000 + "1" + ")" * 2000, "SQLite does not take it: "),
            ("SELECT " + "+".join(["1"] * 300), "SQLite does not take it: "),
            (" UNION ALL ".join(["SELECT 1"] * 101), "SQLite does not take it: "),
        ],
    )
    def test_a_statement_that_does_more_than_reading(
        self, connection: sqlite3.Connection, path: Path, statement: str, told: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given a statement that writes, reaches out or is none, then it is refused, the file is the same, and no other was made."""
        monkeypatch.chdir(path.parent)
        before = path.read_bytes()

        message = refusal(connection, statement)

        assert message.startswith("the query was refused: ")
        assert told in message
        assert before == path.read_bytes()
        assert {"ledger.db", "locks", "ledger.db-wal", "ledger.db-shm"} >= {item.name for item in path.parent.iterdir()}
        assert connection.in_transaction
        assert ask(connection, "SELECT count(*) FROM events").rows == [(5,)]

    def test_settings_are_those_of_the_connection_before(self, connection: sqlite3.Connection) -> None:
        """Given a query that was refused, then the caller may do with the connection what it may."""
        refusal(connection, "PRAGMA user_version")
        assert connection.execute("PRAGMA user_version").fetchone()

    def test_damage_is_no_mistake_of_the_question(self, path: Path) -> None:
        """Given a file whose pages are spoiled, then the error is SQLite's own."""
        content = bytearray(path.read_bytes())
        content[4096:] = b"\xa5" * (len(content) - 4096)
        path.write_bytes(content)
        with (
            closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection,
            pytest.raises(sqlite3.DatabaseError),
        ):
            ask(connection, "SELECT * FROM blobs, events")


class TestLimits:
    """What an answer may cost."""

    @pytest.mark.parametrize(
        ("statement", "told"),
        [
            ("SELECT randomblob(2000000000)", "more than 16 MiB"),
            ("SELECT zeroblob(2000000000)", "more than 16 MiB"),
            ("SELECT replace(hex(zeroblob(1000000)), '0', 'xxxxxxxxxxxxxxxxxxxx')", "more than 16 MiB"),
            ("SELECT '" + "x" * STATEMENT_BYTES_MAX + "'", "too long"),
            ("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c", "more than 1,000 rows"),
            ("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT zeroblob(9000), x FROM c", "more than 1,000,000 bytes"),
        ],
    )  # fmt: skip
    def test_too_large(self, connection: sqlite3.Connection, statement: str, told: str) -> None:
        """Given an answer, a value or a statement that is too large, then it is stopped long before it is complete."""
        with pytest.raises(QueryLimitError, match="the query was stopped: ") as caught:
            ask(connection, statement, limits=Limits(20, 1_000, 1_000_000))
        assert told in str(caught.value)

    @pytest.mark.parametrize(
        "call", ["printf('%1000000000d', 1)", "format('%1000000000d', 1)", "printf('%.*c', 100000000, 'x')", "printf(x'25313030303030303030303064', 1)"]
    )  # fmt: skip
    def test_a_text_that_printf_would_make_too_long(self, connection: sqlite3.Connection, call: str) -> None:
        """Given a width of a billion, then it is refused wherever it stands: no NULL takes the place of the text."""
        for statement in (f"SELECT {call}", f"SELECT count({call})", f"SELECT 1 WHERE {call} IS NULL"):
            with pytest.raises(QueryLimitError, match="a value of more than 16 MiB"):
                ask(connection, statement)

    def test_printf_is_otherwise_what_it_was(self, connection: sqlite3.Connection) -> None:
        """Given any other use, then what SQLite itself makes of it."""
        calls = [
            "printf('%5.2f|%s|%d|%Q', 3.14159, 'é', 7, NULL)",
            "format('%,d', 1234567)",
            "printf('%s', x'41')",
            "printf(5)",
            "printf('')",
            "printf(NULL)",
            "printf()",
            "printf('%s', '')",
            "printf(char(0))",
            "printf(x'')",
            "printf(x'00')",
        ]
        statement = f"SELECT {', '.join(calls)}"
        with closing(sqlite3.connect(":memory:")) as other:
            assert ask(connection, statement).rows == other.execute(statement).fetchall()

    def test_first_rows_of_many(self, connection: sqlite3.Connection) -> None:
        """Given that the first rows will do, then these, and that there are more; never a part of them for another limit."""
        sql = "SELECT seq FROM events WHERE seq < ? ORDER BY seq"
        assert ask(connection, sql, (5,), Limits(rows=2), cut=True) == Answer(("seq",), [(0,), (1,)], complete=False)
        assert ask(connection, sql, (2,), Limits(rows=2), cut=True).complete
        with pytest.raises(QueryLimitError):
            ask(connection, sql, (5,), Limits(bytes=20), cut=True)

    def test_exactly_as_many_rows_as_allowed(self, connection: sqlite3.Connection) -> None:
        """Given as many rows as there may be, then all of them."""
        assert len(ask(connection, "SELECT seq FROM events", limits=Limits(rows=5)).rows) == 5
        with pytest.raises(QueryLimitError):
            ask(connection, "SELECT seq FROM events", limits=Limits(rows=4))

    def test_too_long(self, connection: sqlite3.Connection) -> None:
        """Given a question without an end, then it ends when its time is over, and says so."""
        ticks = itertools.count()
        with pytest.raises(QueryLimitError, match="not done after 50 s"):
            ask(connection, ENDLESS, limits=Limits(50), clock=lambda: float(next(ticks)))

    def test_enough_is_enough(self, connection: sqlite3.Connection) -> None:
        """Given Ctrl-C while SQLite works, then it ends at once, as what it is."""
        calls = itertools.count()

        def clock() -> float:
            if next(calls) == 3:
                signal.raise_signal(signal.SIGINT)
            return 0.0

        with pytest.raises(KeyboardInterrupt):
            ask(connection, ENDLESS, clock=clock)

    def test_memory_is_bounded(self, path: Path) -> None:
        """Given a question that would collect without an end, then it is stopped when it has what it may have."""
        code = (
            "import sys; from pathlib import Path\n"
            "from ledger.errors import QueryLimitError; from ledger.query import *; from ledger.reader import LedgerReader\n"
            "connection = LedgerReader(Path(sys.argv[1])).connection\n"
            "prepare(connection); limit_memory(connection, 8 << 20)\n"
            "try:\n"
            "    ask(connection, 'WITH RECURSIVE c(x) AS (SELECT 1 UNION SELECT x + 1 FROM c) SELECT count(*) FROM c')\n"
            "except QueryLimitError as error:\n"
            "    print(error)\n"
            "print(ask(connection, 'SELECT count(*) FROM events').rows)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=os.environ,
        )
        assert done.stdout.splitlines() == [
            "the query was stopped: it needs more memory than a query may have: ask for less at a time",
            "[(5,)]",
        ]
