"""Tests of schedules in systemd's words, held against systemd itself where it is there."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from orchestrator.core.calendars import on_calendar, shifted_nights
from orchestrator.core.nights import CronError

# fmt: off
CALENDARS = [
    ("30 2 * * *", ["*-*-* 02:30:00 UTC"]),
    ("0 22 * * 1-5", ["Mon,Tue,Wed,Thu,Fri *-*-* 22:00:00 UTC"]),
    ("0 22 * * 0", ["Sun *-*-* 22:00:00 UTC"]),
    ("0 22 * * 7,sat", ["Sat,Sun *-*-* 22:00:00 UTC"]),
    ("15 0 1,15 * *", ["*-*-01,15 00:15:00 UTC"]),
    ("15 0 1 1,7 *", ["*-01,07-01 00:15:00 UTC"]),
    ("0 3 13 * 5", ["*-*-13 03:00:00 UTC", "Fri *-*-* 03:00:00 UTC"]),
    ("0 3 */2 * 5", ["Fri *-*-01,03,05,07,09,11,13,15,17,19,21,23,25,27,29,31 03:00:00 UTC"]),
    ("*/30 */12 * * *", ["*-*-* 00,12:00,30:00 UTC"]),
]
# fmt: on


@pytest.mark.parametrize(("cron", "values"), CALENDARS)
class TestOnCalendar:
    """The same times in other words."""

    def test_values(self, cron: str, values: list[str]) -> None:
        """Given a cron expression, then the values of OnCalendar."""
        assert on_calendar(cron, "UTC") == values

    @pytest.mark.needs("systemd-analyze")
    def test_systemd_fires_when_cron_does(self, cron: str, values: list[str]) -> None:
        """Given moments, then systemd's next time after each is the one that cron names."""
        for moment in (datetime(2026, 2, 13, 4, 0, tzinfo=UTC), datetime(2026, 6, 30, 22, 30, tzinfo=UTC)):
            command = ["systemd-analyze", "calendar", "--base-time", f"{moment:%Y-%m-%d %H:%M:%S} UTC", *values]
            done = subprocess.run(
                command, env={"TZ": "UTC", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
            )
            elapses = re.findall("Next elapse: [A-Z][a-z]+ (.*) UTC", done.stdout)
            assert len(elapses) == len(values)
            assert min(elapses) == f"{next(CronSim(cron, moment)):%Y-%m-%d %H:%M:%S}"


class TestLimits:
    """What cannot be said, and what is left out."""

    @pytest.mark.parametrize("cron", ["0 3 L * *", "0 3 LW * *", "0 3 * * 5L", "0 3 * * 5#2"])
    def test_what_no_timer_says(self, cron: str) -> None:
        """Given words that cronsim alone knows, then the error says to name the days."""
        with pytest.raises(CronError, match="name the days"):
            on_calendar(cron, "UTC")

    def test_nights_that_a_timer_leaves_out(self) -> None:
        """Given a time that the clocks skip in spring, then that night is named; none at another hour."""
        berlin = ZoneInfo("Europe/Berlin")
        assert shifted_nights("30 2 * * *", berlin, date(2026, 1, 1)) == ["2026-03-29"]
        assert shifted_nights("30 3 * * 1-5", berlin, date(2026, 1, 1)) == []

    @pytest.mark.needs("systemd-analyze")
    def test_systemd_does_leave_it_out(self) -> None:
        """Given that night, then systemd's next time is the night after: what the note says is so."""
        command = ["systemd-analyze", "calendar", "--base-time", "2026-03-28 12:00:00 UTC"]
        done = subprocess.run(
            [*command, *on_calendar("30 2 * * *", "Europe/Berlin")],
            env={"TZ": "UTC", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "Next elapse: Mon 2026-03-30 00:30:00 UTC" in done.stdout
