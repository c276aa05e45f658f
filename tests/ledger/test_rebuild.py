"""Tests of making read models anew: what differs is named, replaced in one transaction, and recorded."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger import NewEvent, open_ledger
from ledger.audit.verdict import Options
from ledger.audit.verify import verify
from ledger.errors import DamagedLedgerError, LedgerNotFoundError, NewerLedgerError, UpgradeNeededError
from ledger.rebuild import REBUILT, Found, compare_projections, rebuild
from tests.ledger.test_store import Tally
from tests.tampering import unguarded


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    with open_ledger(path, projections=[Tally()]) as ledger:
        for number in range(150):
            ledger.append(f"run/{number}", [NewEvent("thing.happened", 1, {"number": number})], expected_version=-1)
    return path


def execute(path: Path, *statements: str) -> None:
    """Change the ledger behind the program's back."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def facts(_: sqlite3.Connection) -> dict[str, object]:
    """Say why."""
    return {"reason": "a test"}


def is_whole(path: Path) -> bool:
    """Return whether nothing is wrong with the ledger and its tables."""
    verdict = verify(path, Options([Tally()]))
    return verdict.ok and verdict.projections == "held"


class TestCompare:
    """What differs."""

    def test_nothing(self, path: Path) -> None:
        """Given tables as they were made, then nothing differs, and rebuilding writes nothing."""
        assert compare_projections(path, [Tally()]).is_same
        found, event = rebuild(path, [Tally()], facts)
        assert (found, event) == (Found(151, [], {}, []), None)

    def test_rows(self, path: Path) -> None:
        """Given rows that were changed, deleted and invented, then each is named by its key."""
        execute(
            path,
            "UPDATE tally SET events = 9, version_1 = 4 WHERE stream = 'run/7'",
            "DELETE FROM tally WHERE stream = 'run/8'",
            "INSERT INTO tally VALUES ('run/x', 1, 1)",
        )
        found = compare_projections(path, [Tally()])
        assert [str(row) for row in found.rows] == [
            "tally stream='run/7': events, version_1; 9 instead of 1",
            "tally stream='run/8': the row is missing",
            "tally stream='run/x': the row is not from any event",
        ]
        assert (found.counts, found.schema, found.is_same) == ({"tally": 3}, [], False)

    def test_many(self, path: Path) -> None:
        """Given more than a hundred, then all are counted."""
        execute(path, "UPDATE seen SET number = -1")
        found = compare_projections(path, [Tally()])
        assert (len(found.rows), found.counts) == (100, {"seen": 151})

    def test_no_ledger(self, tmp_path: Path) -> None:
        """Given no ledger, then that is an error."""
        with pytest.raises(LedgerNotFoundError):
            compare_projections(tmp_path / "nowhere.db", [Tally()])


class TestRebuild:
    """What is replaced."""

    @pytest.mark.parametrize(
        "statements",
        [
            ("DELETE FROM seen WHERE seq < 100",),
            ("DROP TABLE tally",),
            ("DROP INDEX tally_by_events",),
            ("CREATE TRIGGER t AFTER INSERT ON tally BEGIN DELETE FROM tally; END",),
            ("DROP TABLE tally", "CREATE TABLE tally (other)"),
            ("ALTER TABLE tally RENAME TO hidden", "CREATE VIEW tally AS SELECT * FROM hidden WHERE 0"),
            ("DELETE FROM projections",),
        ],
    )
    def test_repairs(self, path: Path, statements: tuple[str, ...]) -> None:
        """Given damaged, missing or other tables, then they are as they were made again, and an event says what differed."""
        execute(path, *statements)
        assert not compare_projections(path, [Tally()]).is_same
        found, event = rebuild(path, [Tally()], facts)
        assert not found.is_same
        assert event is not None
        assert (event.type, event.seq, event.data["reason"]) == (REBUILT, 151, "a test")
        assert is_whole(path)
        with open_ledger(path, projections=[Tally()]) as ledger:
            ledger.append("run/1", [NewEvent("thing.happened", 1, {})], expected_version=0)
        assert is_whole(path)

    def test_what_is_recorded(self, path: Path) -> None:
        """Given a missing table and a changed row, then the event tells them apart."""
        execute(path, "DROP TABLE tally", "UPDATE seen SET number = 7 WHERE seq = 3")
        _, event = rebuild(path, [Tally()], facts)
        assert event is not None
        assert event.data == {
            "projections": {"tally": 1},
            "rows": {"seen": 1},
            "tables": ["tally"],
            "schema": ["tally is missing", "tally_by_events is missing"],
            "reason": "a test",
        }

    def test_damaged_index(self, path: Path) -> None:
        """Given an index of a read model that lacks rows, then SQLite finds it unsound, and it is made anew."""
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'tally_by_events'").fetchone()
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_schema SET sql = sql || ' WHERE events > 5' WHERE name = 'tally_by_events'"
            )
            connection.execute("PRAGMA schema_version = 1000")
        execute(path, "INSERT INTO tally VALUES ('run/y', 1, 1)")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'tally_by_events'", (sql,))
            connection.execute("PRAGMA schema_version = 1001")
        assert "integrity" in [item.kind for item in verify(path, Options([Tally()])).problems]
        assert rebuild(path, [Tally()], facts)[1] is not None
        assert is_whole(path)

    @pytest.mark.parametrize(
        "act", [lambda path: compare_projections(path, [Tally()]), lambda path: rebuild(path, [Tally()], facts)]
    )
    def test_events_decide(self, path: Path, act: Callable[[Path], object]) -> None:
        """Given events that do not verify, then nothing is made from them."""
        with unguarded(path) as connection:
            connection.execute("UPDATE events SET leaf_hash = zeroblob(32) WHERE seq = 5")
        before = path.read_bytes()
        with pytest.raises(DamagedLedgerError, match="altered_event"):
            act(path)
        assert path.read_bytes() == before

    def test_damage_elsewhere(self, path: Path) -> None:
        """Given damage that is not in the read models, then nothing is replaced, and that is said."""
        execute(path, "DROP TABLE tally", "CREATE TABLE other (a UNIQUE, b)", "INSERT INTO other VALUES (1, 2)")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_schema SET sql = 'CREATE TABLE other (a UNIQUE, b NOT NULL CHECK (b > 7))' WHERE name = 'other'"
            )
        with pytest.raises(DamagedLedgerError, match="not in the read models alone"):
            rebuild(path, [Tally()], facts)
        assert verify(path).events == 151

    def test_other_versions(self, path: Path) -> None:
        """Given tables of another version, then this is not the way to them."""
        with pytest.raises(UpgradeNeededError):
            rebuild(path, [Tally(version=2)], facts)
        execute(path, "UPDATE projections SET version = 3")
        with pytest.raises(NewerLedgerError):
            compare_projections(path, [Tally(version=2)])
