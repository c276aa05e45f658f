"""Tests of nights: which are due by a schedule, once each, and which are missing."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import MissingExtraError
from orchestrator.core.nights import (
    PATIENCE,
    CronError,
    Period,
    Schedule,
    check_cron,
    due_at,
    missing_nights,
    next_due,
    nights_between,
)

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTLY = Schedule("30 2 * * *", BERLIN)
WEEKDAYS = Schedule("0 22 * * 1-5", ZoneInfo("UTC"))


def utc(text: str) -> datetime:
    """Return the UTC time *text*, such as `2026-03-29 02:30`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class TestCron:
    """What is a schedule."""

    @pytest.mark.parametrize("cron", ["30 2 * * *", "0 22 * * 1-5", "*/15 * * * *", "0 3 1,15 * MON", "0 0 29 2 *"])
    def test_right_ones(self, cron: str) -> None:
        """Given an expression of five fields, then it is one."""
        check_cron(cron)

    @pytest.mark.parametrize(
        ("cron", "message"),
        [
            ("30 2 * *", "4 fields, five are expected: minute hour day month weekday"),
            ("0 30 2 * * *", "6 fields, five are expected: minute hour day month weekday"),
            ("@daily * * * *", "Bad minute"),
            ("99 2 * * *", "Bad minute"),
            ("0 0 31 2 *", "Bad day-of-month"),
        ],
    )
    def test_wrong_ones(self, cron: str, message: str) -> None:
        """Given another text, then the error says what is wrong with it."""
        with pytest.raises(CronError, match=message):
            check_cron(cron)

    def test_one_that_never_fires(self) -> None:
        """Given a fifth Monday of a month that is its first day, then it is no schedule."""
        with pytest.raises(CronError, match="it never fires"):
            check_cron("0 0 */31 2 MON#5")

    def test_the_extra_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given no cronsim, then the error names the line that installs it; nothing else in the core needs it."""
        monkeypatch.setitem(sys.modules, "cronsim", None)
        with pytest.raises(MissingExtraError, match=r'the extra schedule: pip install "orchestrate\[schedule\]"'):
            check_cron("30 2 * * *")

    def test_it_is_loaded_only_where_it_is_asked(self) -> None:
        """Given the module alone, then cronsim is not loaded."""
        script = "import sys, orchestrator.core.nights; assert 'cronsim' not in sys.modules"
        subprocess.run([sys.executable, "-c", script], check=True)


class TestDue:
    """When a night is due: once, whatever the clocks do."""

    @pytest.mark.parametrize(
        ("night", "due"),
        [
            ("2026-03-28", "2026-03-28 01:30"),
            ("2026-03-29", "2026-03-29 01:00"),  # the clocks leave out 02:00 to 03:00: it is due at 03:00
            ("2026-03-30", "2026-03-30 00:30"),
            ("2026-10-25", "2026-10-25 00:30"),  # the clocks show 02:30 twice: the first counts
            ("2026-10-26", "2026-10-26 01:30"),
        ],
    )
    def test_nights_in_which_the_clock_is_changed(self, night: str, due: str) -> None:
        """Given 02:30 in Berlin, then each night is due once, by the clock on the wall."""
        assert due_at(NIGHTLY, date.fromisoformat(night)) == utc(due)

    def test_a_day_that_it_leaves_out(self) -> None:
        """Given weekdays, then a Saturday is not due."""
        assert due_at(WEEKDAYS, date(2026, 1, 2)) == utc("2026-01-02 22:00")
        assert due_at(WEEKDAYS, date(2026, 1, 3)) is None

    def test_the_first_time_of_a_date_counts(self) -> None:
        """Given a schedule that fires each hour, then a night is due at its first hour, and the next night at that of the next date."""
        hourly = Schedule("0 * * * *", BERLIN)
        assert due_at(hourly, date(2026, 7, 2)) == utc("2026-07-01 22:00")
        assert next_due(hourly, utc("2026-07-01 22:00")) == utc("2026-07-02 22:00")

    def test_a_date_without_a_midnight(self) -> None:
        """Given a zone whose clocks skip midnight, then the night is due at the first hour that there is."""
        assert due_at(Schedule("0 0 * * *", ZoneInfo("Africa/Cairo")), date(2026, 4, 24)) == utc("2026-04-23 22:00")

    def test_a_date_that_begins_twice(self) -> None:
        """Given a zone whose clocks go back to before midnight, then the date after it is due in its own hours."""
        santiago = ZoneInfo("America/Santiago")
        due = due_at(Schedule("*/30 * * * *", santiago), date(2026, 4, 5))
        assert due == utc("2026-04-05 04:00")

    def test_next_is_never_in_the_past(self) -> None:
        """Given a moment between two nights, then the next one is later than it."""
        assert next_due(NIGHTLY, utc("2026-01-01 01:30")) == utc("2026-01-02 01:30")
        assert next_due(WEEKDAYS, utc("2026-01-02 22:30")) == utc("2026-01-05 22:00")

    def test_schedule_that_never_fires(self) -> None:
        """Given one that was recorded before it was checked, then nothing is ever due by it."""
        never = Schedule("0 0 */31 2 MON#5", BERLIN)
        assert due_at(never, date(2026, 1, 1)) is None
        assert next_due(never, utc("2026-01-01 00:00")) is None
        assert missing_nights([Period(never, utc("2026-01-01 12:00"))], set(), utc("2026-01-03 12:00"), most=31) == []

    def test_range(self) -> None:
        """Given a range, then it has the nights that are due, or all of them where there is no schedule."""
        week = (date(2026, 1, 1), date(2026, 1, 7))
        assert [night.day for night in nights_between(*week, WEEKDAYS)] == [1, 2, 5, 6, 7]
        assert [night.day for night in nights_between(*week, None)] == [1, 2, 3, 4, 5, 6, 7]
        assert nights_between(week[1], week[0], None) == []

    @given(
        st.dates(date(2000, 1, 1), date(2037, 12, 31)), st.sampled_from(["Europe/Berlin", "America/Santiago", "UTC"])
    )
    def test_every_date_of_a_nightly_schedule_is_due_on_itself(self, night: date, zone: str) -> None:
        """Given any date and zone, then a nightly schedule is due on it, after the date before and before the date after."""
        schedule = Schedule("30 0 * * *", ZoneInfo(zone))
        dues = [due_at(schedule, night + timedelta(days=days)) for days in (-1, 0, 1)]
        instants = [due for due in dues if due is not None]
        assert len(instants) == 3
        assert instants == sorted(set(instants))


class TestMissing:
    """Which nights have no run."""

    def missing(self, *periods: Period, ran: str = "", now: str = "2026-01-08 12:00", most: int = 31) -> list[str]:
        """Return the days of January that are missing, those in *ran* having a run."""
        nights = {f"2026-01-{day}" for day in ran.split()}
        return [night[-2:] for night in missing_nights(periods, nights, utc(now), most=most)]

    def test_newest_first_and_never_before_the_schedule(self) -> None:
        """Given a schedule since the fourth at noon, then its night and earlier ones are not missing, and a run makes a night one that is there."""
        since = Period(NIGHTLY, utc("2026-01-04 12:00"))
        assert self.missing(since) == ["08", "07", "06", "05"]
        assert self.missing(since, ran="08 06") == ["07", "05"]
        assert self.missing(since, most=2) == ["08", "07"]

    def test_a_night_has_time_to_begin(self) -> None:
        """Given the moment at which a night is due, then it is missing only a while later."""
        since, due = Period(NIGHTLY, utc("2026-01-07 12:00")), utc("2026-01-08 01:30")
        late = due + PATIENCE
        assert missing_nights([since], set(), late - timedelta(seconds=1), most=31) == []
        assert missing_nights([since], set(), late, most=31) == ["2026-01-08"]

    def test_a_schedule_that_changed_counts_for_its_own_time(self) -> None:
        """Given weekdays, then none, then each night, then each time is judged by what was in force."""
        periods = (
            Period(WEEKDAYS, utc("2026-01-01 12:00"), utc("2026-01-04 12:00")),
            Period(None, utc("2026-01-04 12:00"), utc("2026-01-06 12:00")),
            Period(NIGHTLY, utc("2026-01-06 12:00")),
        )
        assert self.missing(*periods) == ["08", "07", "02", "01"]

    def test_a_night_in_two_periods_is_missing_once(self) -> None:
        """Given a schedule that was moved to later on the same day, then that night is missing once."""
        evening = Schedule("0 20 * * *", BERLIN)
        periods = (
            Period(NIGHTLY, utc("2026-01-06 12:00"), utc("2026-01-07 12:00")),
            Period(evening, utc("2026-01-07 12:00")),
        )
        assert self.missing(*periods) == ["07"]

    def test_no_schedule_no_night(self) -> None:
        """Given no period, then nothing is missing."""
        assert self.missing() == []
