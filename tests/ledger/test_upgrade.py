"""Tests of older ledgers: brought up to date when they are opened for writing, in one transaction, or left exactly as they are."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ledger.clock import CLOCK_SET_BACK
from ledger.errors import DamagedLedgerError, NewerLedgerError, UnregisteredProjectionError, UpgradeNeededError
from ledger.events import NewEvent
from ledger.schema import FORMAT, SCRIPTS, schema_objects
from ledger.store import open_ledger
from ledger.upgrade import SMALL_EVENTS, UPGRADED, Upgrading
from tests.ledger.sealed import filled
from tests.ledger.test_store import Tally
from tests.old_ledgers import FOLDER, INDEX, digest_of, make_older, rows_of


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """Give a ledger of the first format with 2,500 events and nothing beside them."""
    path = tmp_path / "ledger.db"
    filled(path, 2500).close()
    make_older(path)
    return path


def test_golden_ledgers_never_change() -> None:
    """Given the committed ledgers, then each is listed with its digest, and is what it was."""
    assert {path.name: digest_of(path) for path in FOLDER.glob("*.db")} == INDEX


class TestUpgrading:
    """An older ledger that is opened for writing."""

    def test_gets_what_its_format_lacks_and_keeps_its_events(self, older: Path) -> None:
        """Given one, then it has the present format, an event that says so, and every event as it was, byte for byte."""
        before = rows_of(older, "events")
        facts = {"program": "9.9", "actor": {"user": "anna"}}
        with open_ledger(older, upgrading=Upgrading(facts=lambda: facts)) as ledger:
            *others, last = ledger.read_all()
            assert ledger.append("run/1", [NewEvent("a.b", 1, {})], expected_version=-1)[0].seq == 2501
        assert rows_of(older, "events")[:2500] == before
        assert (last.type, last.stream, last.version, last.seq) == (UPGRADED, "ledger", 1, 2500)
        assert last.data == {"format": {"from": 1, "to": FORMAT}, "projections": {}, **facts}
        assert len(others) == 2500
        with closing(sqlite3.connect(older)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT,)
            found = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE sql IS NOT NULL")}
            assert found == schema_objects(SCRIPTS[FORMAT]).keys()

    @pytest.mark.parametrize(("now", "told"), [("2020-01-01T00:00:00.000000Z", True), (None, False)])
    def test_clock_that_is_behind(self, older: Path, now: str | None, *, told: bool) -> None:
        """Given a clock that went back a little or a lot, then no time goes back without an event that says so."""
        with closing(sqlite3.connect(older)) as connection:
            (last,) = connection.execute("SELECT max(recorded_at) FROM events").fetchone()
        behind = now or (datetime.fromisoformat(last) - timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        with open_ledger(older, now=lambda: behind) as ledger:
            *_, before, upgraded = ledger.read_all()
        assert (before.type == CLOCK_SET_BACK) is told
        assert upgraded.recorded_at == (behind if told else last)

    def test_happens_once(self, older: Path) -> None:
        """Given one that was upgraded, then opening it again records nothing."""
        open_ledger(older).close()
        open_ledger(older).close()
        assert [row[0] for row in rows_of(older, "events")] == list(range(2501))

    def test_projections_are_made_anew_and_named(self, tmp_path: Path) -> None:
        """Given tables of an older version, then they hold every event, the one about the upgrade too, which names both versions."""
        path = tmp_path / "ledger.db"
        with open_ledger(path, projections=[Tally(1)]) as ledger:
            ledger.append("run/1", [NewEvent("a.b", 1, {})] * 3, expected_version=-1)
        make_older(path)
        watched: list[tuple[int, int]] = []
        with open_ledger(
            path, projections=[Tally(3)], upgrading=Upgrading(watch=lambda *seen: watched.append(seen))
        ) as ledger:
            (event,) = ledger.read_stream("ledger", 1)
        assert event.data == {
            "format": {"from": 1, "to": FORMAT},
            "projections": {"tally": {"from": 1, "to": 3}},
        }
        assert rows_of(path, "tally") == [("ledger", 2, 3), ("run/1", 3, 3)]
        assert watched == []

    def test_progress_is_told(self, older: Path) -> None:
        """Given many events, then whoever watches is told each thousand, of how many."""
        watched: list[tuple[int, int]] = []
        how = Upgrading(watch=lambda *seen: watched.append(seen))
        open_ledger(older, projections=[Tally()], upgrading=how).close()
        assert watched == [(1000, 2500), (2000, 2500)]

    def test_somebody_else_was_faster(self, older: Path) -> None:
        """Given two that open it at once, then one upgrades it and the other goes on with what it finds."""
        there, done = threading.Event(), threading.Event()

        def first() -> None:
            def check(_: sqlite3.Connection) -> None:
                there.set()
                done.wait(10)

            open_ledger(older, upgrading=Upgrading(check=check)).close()

        thread = threading.Thread(target=first)
        thread.start()
        there.wait(10)
        # The second one waits for the writer; it is let go when it has surely looked at the format.
        threading.Timer(0.2, done.set).start()
        open_ledger(older).close()
        thread.join()
        assert len(rows_of(older, "events")) == 2501


class TestLeftAlone:
    """What keeps an older ledger from being upgraded leaves it as it is, byte for byte."""

    @pytest.mark.parametrize("most", [0, 2499])
    def test_one_that_would_take_long(self, older: Path, most: int) -> None:
        """Given more events than are taken on the way, then it is refused, with the number and the command that does it."""
        before = digest_of(older)
        with pytest.raises(
            UpgradeNeededError, match=f"has 2500 events, more than the {most} .*`orchestrate audit upgrade`"
        ):
            open_ledger(older, upgrading=Upgrading(most_events=most))
        assert digest_of(older) == before
        open_ledger(older, upgrading=Upgrading(most_events=None if most else 2500)).close()
        assert len(rows_of(older, "events")) == 2501

    def test_limit_is_documented(self) -> None:
        """Given the limit, then the how-to names it."""
        page = (FOLDER.parents[2] / "docs" / "how-to" / "upgrade.md").read_text(encoding="utf-8")
        assert f"{SMALL_EVENTS:,} events" in page

    def test_check_that_raises(self, older: Path) -> None:
        """Given a caller that finds a reason against it, then nothing has happened."""
        before = digest_of(older)

        def check(connection: sqlite3.Connection) -> None:
            assert connection.in_transaction
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            open_ledger(older, upgrading=Upgrading(check=check))
        assert digest_of(older) == before

    def test_projection_that_fails(self, older: Path) -> None:
        """Given tables that cannot be made, then format, tables and events are as they were."""
        before = digest_of(older)
        with pytest.raises(ZeroDivisionError):
            open_ledger(older, projections=[Tally(poison="number.drawn")])
        assert digest_of(older) == before

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ("PRAGMA user_version = 99", NewerLedgerError),
            ("PRAGMA user_version = 0", DamagedLedgerError),
            ("INSERT INTO projections VALUES ('tally', 99)", NewerLedgerError),
            ("INSERT INTO projections VALUES ('other', 1)", UnregisteredProjectionError),
            ("DROP TRIGGER events_immutable", DamagedLedgerError),
        ],
    )
    def test_one_that_cannot_be_taken_on(self, older: Path, change: str, error: type[Exception]) -> None:
        """Given one of a newer program, of another one's, or damaged, then it is refused untouched, never downgraded."""
        with closing(sqlite3.connect(older)) as connection:
            connection.execute(change)
            connection.commit()
        before = digest_of(older)
        with pytest.raises(error):
            open_ledger(older, projections=[Tally()])
        assert digest_of(older) == before

    def test_reading_needs_no_upgrade(self, older: Path) -> None:
        """Given an older one that is opened for reading, then its events are there and the file is as it was."""
        before = digest_of(older)
        with open_ledger(older, read_only=True) as ledger:
            assert len(list(ledger.read_all())) == 2500
        assert digest_of(older) == before

    def test_killed_in_between_is_whole(self, older: Path, tmp_path: Path) -> None:
        """Given the file as it is while the upgrade is on, then a reader of it sees the older ledger, whole."""
        seen: list[int] = []

        def watch(*_: int) -> None:
            copy = tmp_path / f"copy{len(seen)}" / "ledger.db"
            copy.parent.mkdir()
            for suffix in ("", "-wal"):
                if Path(f"{older}{suffix}").exists():
                    shutil.copyfile(f"{older}{suffix}", f"{copy}{suffix}")
            with open_ledger(copy, read_only=True) as ledger:
                seen.append(len(list(ledger.read_all())))

        open_ledger(older, projections=[Tally()], upgrading=Upgrading(watch=watch)).close()
        assert seen == [2500, 2500]


def test_log_without_its_ledger_is_not_taken_for_another_ones(tmp_path: Path) -> None:
    """Given a log beside a ledger that has gone, then no ledger is made there, since SQLite would mix the two."""
    path = tmp_path / "ledger.db"
    ledger = filled(path, 100)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        reader.execute("SELECT count(*) FROM events").fetchone()
        log = Path(f"{path}-wal").read_bytes()
        ledger.close()
    path.unlink()
    Path(f"{path}-wal").write_bytes(log)
    with pytest.raises(DamagedLedgerError, match=r"ledger\.db-wal beside it holds events of it"):
        open_ledger(path)
    assert not path.exists()
    Path(f"{path}-wal").write_bytes(b"")
    open_ledger(path).close()
    assert [json.loads(str(row[1]))["type"] for row in rows_of(path, "events")] == ["ledger.created"]
