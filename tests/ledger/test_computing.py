"""Files whose schema would compute without end for whoever reads them: nothing of that is computed, and verifying ends."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import NewEvent, open_ledger
from ledger.audit.verdict import Options
from ledger.audit.verify import verify
from ledger.computing import bounded, integrity_problems, is_computed, load_schema, refuse_computing
from ledger.errors import ComputingSchemaError, DamagedLedgerError, StorageError
from ledger.reader import LedgerReader
from ledger.schema import FORMAT, own_objects, schema_objects
from tests.ledger.test_store import Tally
from tests.tampering import rewrite_schema

YEARS = "instr(zeroblob(500000000), zeroblob(250000000) || x'01')"
"""One step of SQLite, which nothing can interrupt."""

SLOW = "instr(printf('%.*c', 99000, x) || y, printf('%.*c', 48000, x) || 'b')"
"""So little for each row that each step ends."""

INTERRUPTED = functools.partial(ctypes.CDLL(None)["raise"], int(signal.SIGINT))
"""Sends Ctrl-C to this process without a step of Python, so that it is acted on where Python is next asked for something."""

DOUBLING = [f"CREATE VIEW t{n + 1} AS SELECT a.events FROM t{n} a, t{n} b;" for n in range(40)]  # noqa: S608 - numbers of ours
"""Views whose columns alone take years to find: each of them asks the one before it twice."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a ledger with a projection."""
    path = tmp_path / "ledger.db"
    with open_ledger(path, projections=[Tally()]) as ledger:
        ledger.append("run/1", [NewEvent("thing.happened", 1, {"number": 1})], expected_version=-1)
    return path


@contextlib.contextmanager
def changing(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection of somebody who changes the file."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def kinds(path: Path) -> set[str]:
    """Verify and return what was found."""
    return {item.kind for item in verify(path, Options([Tally()])).problems}


class TestOwnTables:
    """Tables that every ledger has."""

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("json_extract(body, '$.type')", YEARS),
            ("json_extract(body, '$.recorded_at')", f"coalesce({YEARS}, body)"),
            ("type TEXT GENERATED ALWAYS AS", "more TEXT as/**/("),
        ],
    )
    def test_column_without_end(self, path: Path, old: str, new: str) -> None:
        """Given a column of the events that takes years to compute, then nobody reads it, and verifying names the table."""
        rewrite_schema(
            path, "events", lambda sql: sql.replace(old, new).replace("( (json_extract(body, '$.type'))", f"({YEARS})")
        )
        for act in (LedgerReader, open_ledger, lambda path: open_ledger(path, read_only=True)):
            with pytest.raises(DamagedLedgerError, match="events is not as it was made"):
                act(path)
        verdict = verify(path)
        assert (verdict.level, verdict.problems[0].detail) == (-1, "events is not as it was made")
        assert kinds(path) == {"schema"}

    def test_view_without_end(self, path: Path) -> None:
        """Given a view in the place of a table, then it is not asked."""
        with changing(path) as connection:
            connection.execute("ALTER TABLE blobs RENAME TO other")
            connection.execute(
                "CREATE VIEW Blobs AS WITH RECURSIVE n(digest, bytes) AS (SELECT 1, 1 UNION ALL SELECT 1, 1 FROM n) SELECT * FROM n"
            )
        with pytest.raises(ComputingSchemaError, match="Blobs is not as it was made"):
            LedgerReader(path)
        assert kinds(path) == {"schema"}

    def test_plain_table_in_its_place(self, path: Path) -> None:
        """Given a table that is not as it was made and computes nothing, then it is read, and that is found."""
        with changing(path) as connection:
            connection.execute("DROP TABLE blobs")
            connection.execute("CREATE TABLE blobs (digest, bytes)")
        LedgerReader(path).close()
        assert kinds(path) == {"schema"}


class TestTablesOfProjections:
    """Tables that a projection has brought."""

    @pytest.mark.parametrize(
        "script",
        [
            "DROP TABLE tally; CREATE TABLE tally (stream TEXT PRIMARY KEY, events INTEGER AS (0)); INSERT INTO tally(stream) VALUES ('run/1')",
            "ALTER TABLE tally RENAME TO t0; CREATE VIEW tally AS WITH RECURSIVE n AS (SELECT t0.* FROM t0 UNION ALL SELECT * FROM n) SELECT * FROM n",
            "".join(["ALTER TABLE tally RENAME TO t0;", *DOUBLING, "CREATE VIEW tally AS SELECT a.events FROM t40 a"]),
        ],
    )
    def test_without_end(self, path: Path, script: str) -> None:
        """Given one that takes years to read, or to find the columns of, then it differs, and is not read."""
        with changing(path) as connection:
            connection.executescript(script)
        if "AS (0)" in script:
            rewrite_schema(path, "tally", lambda sql: sql.replace("AS (0)", f"AS ({YEARS})"))
        assert kinds(path) >= {"schema", "different_row"}
        with pytest.raises(ComputingSchemaError, match="tally is not as it was made"):
            LedgerReader(path, ["tally"])


class TestIntegrity:
    """Looking for damage, which computes what rules and indexes say."""

    @pytest.mark.parametrize(
        ("script", "name", "new"),
        [
            ("CREATE INDEX quick ON events (stream)", "quick", f"CREATE INDEX quick ON events ({YEARS} + seq)"),
            (
                "CREATE INDEX quick ON events (stream)",
                "quick",
                f"CREATE INDEX quick ON events (stream) WHERE {YEARS} > seq",
            ),
            (
                "CREATE TABLE mine (x, y); INSERT INTO mine VALUES (1, 2)",
                "mine",
                f"CREATE TABLE mine (x, y, z NOT NULL AS ({YEARS} + x))",
            ),
        ],
    )
    def test_without_end(self, path: Path, script: str, name: str, new: str) -> None:
        """Given a column or an index that takes years, then it is named, and all else is looked at."""
        with changing(path) as connection:
            connection.executescript(script)
        rewrite_schema(path, name, lambda _: new)
        verdict = verify(path, Options([Tally()]))
        table = "events" if "events" in new else "mine"
        details = [item.detail for item in verdict.problems if item.kind == "integrity"]
        assert any(detail.startswith(f"{table}: what the file computes for it") for detail in details)
        assert (verdict.events, verdict.projections) == (2, "held")

    def test_many_rows(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a rule that takes a moment for each of many rows, then it is stopped."""
        monkeypatch.setattr("ledger.computing._SECONDS", 0.1)
        with changing(path) as connection:
            connection.execute("CREATE TABLE mine (x, y)")
            connection.execute(
                "INSERT INTO mine SELECT 'a', value FROM json_each('[' || replace(hex(zeroblob(500)), '00', '1,') || '1]')"
            )
        rewrite_schema(path, "mine", lambda _: f"CREATE TABLE mine (x, y CHECK ({SLOW} IS NOT NULL))")
        with changing(path) as connection:
            (found,) = integrity_problems(connection, path, own_objects(FORMAT) | schema_objects([Tally().script]))
        assert found.startswith("mine: what the file computes for it is not done")

    def test_rule_without_end(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a rule that takes years, then whoever looks with the right to write gives it up; without that right SQLite knows no rules."""
        monkeypatch.setattr("ledger.computing._SECONDS", 0.1)
        with changing(path) as connection:
            connection.executescript("CREATE TABLE mine (x, y); INSERT INTO mine VALUES (1, 2)")
        rewrite_schema(path, "mine", lambda _: f"CREATE TABLE mine (x, y CHECK ({YEARS} > x))")
        with changing(path) as connection:
            (found,) = integrity_problems(connection, path, own_objects(FORMAT) | schema_objects([Tally().script]))
        assert found.startswith("mine: what the file computes for it is not done")
        assert kinds(path) == set()

    def test_harmless(self, path: Path) -> None:
        """Given tables of somebody else with rules that hold, then nothing is wrong; where one does not, that is found."""
        with changing(path) as connection:
            connection.executescript(
                "CREATE TABLE mine (x CHECK (x > 0), y AS (x + 1)); CREATE INDEX mine_y ON mine (y DESC, x); INSERT INTO mine VALUES (7);"
            )
        assert kinds(path) == set()
        rewrite_schema(path, "mine", lambda sql: sql.replace("x > 0", "x > 9"))
        with changing(path) as connection:
            assert list(integrity_problems(connection, path, own_objects(FORMAT))) == [
                "CHECK constraint failed in mine"
            ]

    def test_failing(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a column that cannot be computed, then it is named; given a disk that fails meanwhile, then that says nothing about the file."""
        with changing(path) as connection:
            connection.executescript("CREATE TABLE mine (x, y NOT NULL AS (x + 1)); INSERT INTO mine VALUES (1)")
        rewrite_schema(path, "mine", lambda sql: sql.replace("x + 1", "abs(-9223372036854775807 - x)"))
        (problem,) = verify(path, Options([Tally()])).problems
        assert problem.detail == "mine: what the file computes for it fails: integer overflow"

        def fail(_: object, pragma: str) -> list[str]:
            if "mine" not in pragma:
                return []
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = "SQLITE_IOERR"
            raise error

        monkeypatch.setattr("ledger.computing._found", fail)
        with changing(path) as connection, pytest.raises(sqlite3.OperationalError, match="disk"):
            list(integrity_problems(connection, path, {}))

    def test_names(self, path: Path) -> None:
        """Given a table whose name SQLite takes for a number, then all tables are not looked at in its place."""
        with changing(path) as connection:
            connection.execute('CREATE TABLE "7 a" (x)')
            connection.execute("CREATE TABLE mine (x, y NOT NULL AS (x + 1))")
            connection.execute("INSERT INTO mine VALUES (1)")
        rewrite_schema(path, "mine", lambda sql: sql.replace("x + 1", YEARS))
        details = [item.detail for item in verify(path, Options([Tally()])).problems]
        assert [detail.partition(":")[0] for detail in details] == ["7 a", "mine"]

    def test_quick(self, path: Path) -> None:
        """Given a sound file, then the quick look finds nothing either."""
        with changing(path) as connection:
            assert list(integrity_problems(connection, path, own_objects(FORMAT), quick=True)) == []


class TestLoading:
    """Reading the schema itself, on which SQLite asks its statistics."""

    @pytest.mark.parametrize(
        ("column", "seconds"), [(YEARS, 10.0), (SLOW.replace("x", "'a'").replace("y", "tbl"), 0.1)]
    )
    def test_statistics_without_end(
        self, path: Path, column: str, seconds: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given statistics that take years to read, then they are given up, and the ledger is read."""
        monkeypatch.setattr("ledger.computing._SECONDS", seconds)
        with changing(path) as connection:
            connection.execute("CREATE TABLE mine (tbl, idx, stat)")
            connection.execute(
                "INSERT INTO mine (tbl) SELECT value FROM json_each('[' || replace(hex(zeroblob(500)), '00', '1,') || '1]')"
            )
        rewrite_schema(path, "mine", lambda _: f"CREATE TABLE mine (tbl, idx, stat AS ({column}))")
        with changing(path) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_schema SET name = 'sqlite_stat1', tbl_name = 'sqlite_stat1', sql = replace(sql, 'mine', 'sqlite_stat1')"
                " WHERE name = 'mine'"
            )
        LedgerReader(path).close()
        open_ledger(path, projections=[Tally()]).close()
        assert kinds(path) == set()

    def test_objects_without_end(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a schema that takes longer to read than it may, then the file is given up."""
        monkeypatch.setattr("ledger.computing._SECONDS", -1.0)
        for act in (LedgerReader, open_ledger):
            with pytest.raises(DamagedLedgerError, match="not done with reading its schema"):
                act(path)
        assert kinds(path) == {"unreadable"}

    def test_text_without_end(self, path: Path) -> None:
        """Given a text in the schema that is far longer than any of ours, then the file is given up."""
        with changing(path) as connection:
            connection.execute(f"CREATE VIEW mine AS SELECT '{'x' * 200_000}'")
        assert kinds(path) == {"unreadable"}

    def test_failing_disk(self, path: Path) -> None:
        """Given a disk that fails, then that says nothing about the file."""

        class Failing(sqlite3.Connection):
            def execute(self, *_: object) -> sqlite3.Cursor:
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorname = "SQLITE_IOERR"
                raise error

        with contextlib.closing(sqlite3.connect(path, factory=Failing)) as connection, pytest.raises(StorageError):
            load_schema(connection, path)


def test_malformed_schema_whose_name_is_no_text(path: Path) -> None:
    """Given a bit turned in the name of a table whose definition is malformed, then what SQLite says of it is told, with the byte written out."""
    with changing(path) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = 'CREATE TABLE (', name = CAST(x'62d46f' AS TEXT) WHERE name = 'blobs'"
        )
    with pytest.raises(DamagedLedgerError, match=r"malformed database schema \(b\\xd4o\)"):
        LedgerReader(path)


class TestBounds:
    """How much reading a file may take."""

    def test_pages_in_a_circle(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given pages that lead to the same pages again and again, more often than there are atoms, then verifying ends with a finding."""
        monkeypatch.setattr("ledger.computing._STEPS_AT_LEAST", 1_000_000)
        with changing(path) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.executemany("INSERT INTO blobs VALUES (?, x'00')", [(str(number),) for number in range(5)])
            connection.execute("PRAGMA writable_schema = ON")
            ((page_bytes,), (pages,)) = (
                connection.execute(f"PRAGMA {what}").fetchone() for what in ("page_size", "page_count")
            )
            (leaf,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'blobs'").fetchone()
            connection.execute("UPDATE sqlite_schema SET rootpage = ? WHERE name = 'blobs'", (pages + 1,))
        levels, cells = 15, 300
        data = bytearray(path.read_bytes())
        data[28:32] = (pages + levels).to_bytes(4)
        for level in range(levels):
            child = pages + level + 2 if level < levels - 1 else leaf
            start = page_bytes - 5 * cells
            page = bytearray(page_bytes)
            page[:12] = b"\x05" + bytes(2) + cells.to_bytes(2) + start.to_bytes(2) + bytes(1) + child.to_bytes(4)
            for cell in range(cells):
                place = start + 5 * cell
                page[12 + 2 * cell : 14 + 2 * cell] = place.to_bytes(2)
                page[place : place + 5] = child.to_bytes(4) + b"\x05"
            data += page
        path.write_bytes(data)
        verdict = verify(path, Options([Tally()]))
        assert "interrupted" in [item.detail for item in verdict.problems if item.kind == "unreadable"]
        assert verdict.events == 2

    def test_interrupted(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a statement that takes more steps than the file can need, then it is interrupted."""
        monkeypatch.setattr("ledger.computing._STEPS_AT_LEAST", 200_000)
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
        with changing(path) as connection:
            with bounded(connection, path), pytest.raises(sqlite3.OperationalError, match="interrupted"):
                connection.execute(endless).fetchall()
            assert connection.execute("SELECT count(*) FROM events").fetchall() == [(2,)]


class TestSignals:
    """Ctrl-C while SQLite works, which swallows whatever is raised there."""

    def test_while_the_schema_is_loaded(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given Ctrl-C while SQLite reads the schema, then that is what ends the reading, and no damage."""
        monkeypatch.setattr("ledger.computing._STEPS_BETWEEN_LOOKS", 1)
        with changing(path) as connection:
            connection.set_trace_callback(INTERRUPTED)
            with pytest.raises(KeyboardInterrupt):
                load_schema(connection, path)
            connection.set_trace_callback(None)

    def test_within_bounds(self, path: Path) -> None:
        """Given Ctrl-C during a statement of many steps, then it leaves the block, and the statement did not fail."""
        with changing(path) as connection:
            connection.create_function("interrupted", 0, INTERRUPTED)
            many = "WITH RECURSIVE n(i) AS (SELECT interrupted() UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT max(i) FROM n"
            failed: list[sqlite3.Error] = []

            def read() -> None:
                try:
                    connection.execute(many).fetchall()
                except sqlite3.Error as error:
                    failed.append(error)

            with pytest.raises(KeyboardInterrupt), bounded(connection, path):
                read()
        assert failed == []


class TestText:
    """What can be told from the text of an object."""

    @pytest.mark.parametrize(
        ("sql", "computed"),
        [
            ("CREATE TABLE t (a)", False),
            ("create  table t(a, b CHECK (a > 1))", False),
            ("CREATE TABLE t (asset, has, alias TEXT)", False),
            ("CREATE TABLE t (a, b AS(a))", True),
            ("CREATE TABLE t (a, b as/**/(a))", True),
            ("CREATE TABLE t (a, b GENERATED ALWAYS As (a) STORED)", True),
            ("CREATE VIRTUAL TABLE t USING fts5(a)", True),
            ("CREATE VIEW t(a) AS SELECT 1", True),
        ],
    )
    def test_is_computed(self, sql: str, *, computed: bool) -> None:
        """Given the text of a table or view, then whether it may compute something is seen."""
        assert is_computed(sql) is computed

    def test_as_it_was_made(self, path: Path) -> None:
        """Given tables that compute what they were made to, then nothing is wrong, in any case of their names."""
        with changing(path) as connection:
            refuse_computing(connection, path, ["EVENTS", "runs"], own_objects(FORMAT))
            with pytest.raises(ComputingSchemaError, match="events is not as it was made"):
                refuse_computing(connection, path, ["events"])
