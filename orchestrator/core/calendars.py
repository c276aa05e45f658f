"""A schedule in the words of systemd's timers, and the nights that those leave out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, tzinfo

from ledger.errors import MissingExtraError
from orchestrator.core.nights import CronError, Schedule, due_at

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_A_YEAR = 366


def on_calendar(cron: str, timezone: str) -> list[str]:
    """
    Return the values of `OnCalendar=` that fire when *cron* does, in the zone *timezone*.

    Two where cron means either of a day of the month and a day of the week, which one value cannot say.

    Raises:
        CronError: It uses what neither systemd nor cron itself has: `L`, `LW`, `#`.
        MissingExtraError: What knows cron's fields is not installed.
    """
    minutes, hours, days, months, weekdays, both = _fields(cron)
    time = f"{_listed(hours, 24)}:{_listed(minutes, 60)}:00 {timezone}"
    week = ",".join(_DAYS[day - 1] for day in sorted(weekdays))
    week = "" if len(weekdays) == len(_DAYS) else f"{week} "
    month, any_day, day = _listed(months, 12), f"*-{_listed(months, 12)}-*", _listed(days, 31)
    if both:
        return [f"{week}*-{month}-{day} {time}"]
    return [f"*-{month}-{day} {time}", f"{week}{any_day} {time}"]


def shifted_nights(cron: str, zone: tzinfo, first: date) -> list[str]:
    """
    Return the nights of the year from *first* on in which the clocks leave out the time of *cron*; systemd's timers leave out those nights.

    Raises:
        CronError, MissingExtraError: As in `on_calendar`.
    """
    minutes, hours, *_ = _fields(cron)
    schedule = Schedule(cron, zone)
    found = []
    for night in (first + timedelta(days=count) for count in range(_A_YEAR)):
        due = due_at(schedule, night)
        local = None if due is None else due.astimezone(zone)
        if local is not None and (local.hour not in hours or local.minute not in minutes):
            found.append(night.isoformat())
    return found


def _fields(cron: str) -> tuple[set[int], set[int], set[int], set[int], set[int], bool]:
    """Return minutes, hours, days, months, weekdays (1 is Monday), and whether day and weekday both have to fit."""
    try:
        from cronsim import CronSim
    except ModuleNotFoundError:
        raise MissingExtraError("schedule", "a timer for the schedule") from None
    fields = CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC))
    weekdays = {(day - 1) % 7 + 1 for day in fields.weekdays if isinstance(day, int)}
    if min(fields.days) < 0 or not all(isinstance(day, int) for day in fields.weekdays):
        raise CronError("L, LW and # are understood by no cron and no timer: name the days")
    return fields.minutes, fields.hours, fields.days, fields.months, weekdays, fields.day_and


def _listed(values: Iterable[int], all_of_them: int) -> str:
    found = sorted(values)
    return "*" if len(found) == all_of_them else ",".join(f"{value:02d}" for value in found)
