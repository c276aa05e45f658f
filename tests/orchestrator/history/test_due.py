"""Which nights are missing: by the schedules that a ledger has recorded, as `status` judges them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from ledger.canonical import blob_digest, canonical_bytes
from orchestrator.core.events import DefinitionChanged
from orchestrator.history import History, charts_of_evidence, nights
from orchestrator.history.charts import Period
from orchestrator.history.due import missing_of
from orchestrator.projections.schedules import missing_by_schedule, schedule_rules
from tests.notebook_cells import outputs_of
from tests.quarter import ACTOR, Quarter

NOW = datetime(2026, 2, 1, tzinfo=UTC)
WEEKDAYS = "0 2 * * 1-5"
RAN = ("2026-01-02", "2026-01-05", "2026-01-06", "2026-01-08", "2026-01-12")
"""A Friday, then the next Monday, Tuesday and Thursday, and the Monday after that."""


def schedule(quarter: Quarter, cron: str) -> None:
    """Record a definition of `shop` that says *cron*."""
    definition = canonical_bytes({"pipeline": {"name": "shop"}, "schedule": {"cron": cron}})
    changed = DefinitionChanged("shop", None, blob_digest(definition), (), "pipeline.toml", None, ACTOR)
    quarter.record("pipeline/shop", changed, blobs={blob_digest(definition): definition})


def days(frame: pd.DataFrame) -> list[int]:
    """Return the days of January."""
    return [int(day) for day in frame["night"].dt.day]


def runs_of(*texts: str) -> pd.DataFrame:
    """Return runs of `shop` for some nights."""
    return pd.DataFrame({"pipeline": "shop", "night": pd.to_datetime(pd.Series(texts)).dt.as_unit("us"), "run_id": "r"})


def rules_of(*rules: tuple[str, str | None, str | None]) -> pd.DataFrame:
    """Return rules of `shop`: since when, cron, timezone."""
    frame = pd.DataFrame(rules, columns=["recorded_at", "cron", "timezone"], dtype="str")
    return frame.assign(pipeline="shop", recorded_at=pd.to_datetime(frame["recorded_at"], utc=True, format="ISO8601"))


class TestLedger:
    """Of a ledger."""

    @pytest.fixture(name="quarter")
    def _quarter(self, tmp_path: Path) -> Iterator[Quarter]:
        with Quarter(tmp_path / "ledger.db") as quarter:
            schedule(quarter.at("2026-01-02", "01:00:00"), WEEKDAYS)
            for night in RAN:
                quarter.at(night).run(night)
                quarter.at(night).run(night, pipeline="mart")
            quarter.seal()
            yield quarter

    def test_weekends_are_not_missing(self, quarter: Quarter) -> None:
        """Given a schedule of weekdays, then the nights that `status` names are missing, and no weekend; another pipeline without one has every night."""
        history = History(quarter.path, verify=False)
        missing = history.missing_nights()
        with contextlib.closing(sqlite3.connect(quarter.path)) as connection:
            rules = schedule_rules(connection, "shop")
            told = missing_by_schedule(connection, "shop", rules, datetime(2026, 1, 12, 3, tzinfo=UTC), most=99)

        shop, mart = (missing[missing["pipeline"] == name] for name in ("shop", "mart"))
        assert days(shop) == [7, 9]
        assert sorted(told) == [f"{night:%Y-%m-%d}" for night in shop["night"]]
        assert days(mart) == [3, 4, 7, 9, 10, 11]
        assert missing.attrs["size"] == history.runs().attrs["size"]
        assert list(history.missing_nights(history.runs().head(0))) == ["pipeline", "night"]

    def test_calendar(self, quarter: Quarter) -> None:
        """Then the calendar tells nights that were not due from those that are missing, and the chart of missing nights has the latter alone."""
        history = History(quarter.path, verify=False)
        runs = nights.choose(history.runs(), pipeline="shop").of(history.runs())
        calendar = nights.calendar(runs, history.missing_nights(runs)).set_index("night")["status"]

        assert [night.day for night, status in calendar.items() if status == nights.NOT_DUE] == [3, 4, 10, 11]  # type: ignore[attr-defined]
        assert [night.day for night, status in calendar.items() if status == nights.MISSING] == [7, 9]  # type: ignore[attr-defined]
        week = calendar.loc["2026-01-02":"2026-01-06"].reset_index()
        period = Period(week["night"].min(), week["night"].max(), pd.DataFrame())
        assert (
            "Every night of the period that was due" in charts_of_evidence.missing_chart(week, period)._repr_markdown_()
        )

    def test_notebooks(self, quarter: Quarter) -> None:
        """Then the table of the audit notebook names no weekend, and the calendar of the other one says that it was not due."""
        shown = "".join(outputs_of("audit", quarter.path, pipeline="shop", verify=False))
        assert ">2026-01-07<" in shown
        assert ">2026-01-10<" not in shown
        assert ">not due<" in "".join(outputs_of("history", quarter.path, pipeline="shop", verify=False))


class TestRules:
    """Of runs and schedules."""

    def test_none_is_recorded(self) -> None:
        """Given no schedule, or definitions without one, then every night between the first and the last counts."""
        for rules in (rules_of(), rules_of(("2026-01-01", None, None))):
            assert days(missing_of(runs_of("2026-01-02", "2026-01-05"), rules, NOW)) == [3, 4]

    def test_nights_before_the_first_schedule(self) -> None:
        """Given nights that were made up for later, then they are judged by the first schedule that there was."""
        rules = rules_of(("2026-01-30T12:00:00Z", WEEKDAYS, None))
        assert days(missing_of(runs_of("2026-01-01", "2026-01-06"), rules, NOW)) == [2, 5]

    def test_a_schedule_that_came_and_went(self) -> None:
        """Given weekdays alone for a while, then every night counts before and after that."""
        rules = rules_of(
            ("2026-01-01", None, None), ("2026-01-05", WEEKDAYS, None), ("2026-01-12T12:00:00Z", None, None)
        )
        assert days(missing_of(runs_of("2026-01-02", "2026-01-18"), rules, NOW)) == [
            3,
            4,
            *range(5, 10),
            *range(12, 18),
        ]

    def test_zone(self) -> None:
        """Given a zone in which it is another day, then the dates are those of the zone."""
        rules = rules_of(("2026-01-01", "0 22 * * 1-5", "America/New_York"))
        assert days(missing_of(runs_of("2026-01-02", "2026-01-12"), rules, NOW)) == [5, 6, 7, 8, 9]

    def test_what_is_not_due_yet(self) -> None:
        """Given a run for a night to come, then what is due until then is not missing yet."""
        rules = rules_of(("2026-01-01", WEEKDAYS, None))
        assert days(missing_of(runs_of("2026-01-02", "2026-01-30"), rules, datetime(2026, 1, 6, 12, tzinfo=UTC))) == [
            5,
            6,
        ]

    @pytest.mark.parametrize(("cron", "zone"), [(WEEKDAYS, "Mars/Olympus"), ("0 2 31 2 *", None), ("often", None)])
    def test_a_schedule_that_is_not_known(self, cron: str, zone: str | None) -> None:
        """Given a schedule that nobody can tell the nights of, then that is warned of, and every night counts."""
        with pytest.warns(UserWarning, match="which nights are due cannot be told of cron"):
            found = missing_of(runs_of("2026-01-02", "2026-01-05"), rules_of(("2026-01-01", cron, zone)), NOW)
        assert days(found) == [3, 4]

    @pytest.mark.parametrize("night", ["0001-01-01", "9999-12-31"])
    def test_far_nights(self, night: str) -> None:
        """Given a run for a night at an end of the calendar, then nothing of it is missing."""
        assert missing_of(runs_of(night), rules_of(("2026-01-01", WEEKDAYS, None)), NOW).empty
