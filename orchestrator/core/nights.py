"""
Nights: ISO dates in one form only, which of them are due by a schedule, and which of those are missing.

A night is due when its schedule first fires on that date, in the schedule's zone; it is missing when there is no run for it, however that run
ended, a while later. What cron's fields mean is cronsim's business; it is loaded where a schedule is asked, and only there.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import NamedTuple

from ledger.errors import MissingExtraError

PATIENCE = timedelta(minutes=10)
"""How long after its time a night without a run is not missing yet: timers and machines are late, and starts wait for each other."""

_FIELDS = 5
_MONDAY = date(2001, 1, 1)


class CronError(ValueError):
    """Raised when a text is no cron expression of five fields, or never fires."""


class Schedule(NamedTuple):
    """A cron expression that was found right, and the zone that it is meant in."""

    cron: str
    zone: tzinfo


class Period(NamedTuple):
    """A time in which one schedule, or none, was in force; the last one has no end."""

    schedule: Schedule | None
    since: datetime
    until: datetime | None = None


def parse_date(text: str) -> date | None:
    """Return the ISO date *text* (`2026-01-31`, no other form), or None."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def check_cron(cron: str) -> None:
    """
    Make sure that *cron* has five fields and fires some day.

    Raises:
        CronError: It has not, or never does.
        MissingExtraError: What knows cron's fields is not installed.
    """
    if len(cron.split()) != _FIELDS:
        raise CronError(f"{len(cron.split())} fields, five are expected: minute hour day month weekday")
    if next(_firing(Schedule(cron, UTC), _MONDAY), None) is None:
        raise CronError("it never fires")


def due_at(schedule: Schedule, night: date) -> datetime | None:
    """
    Return when *night* is due by *schedule*, in UTC: the first time that it fires on that date in its zone, or None where it does not.

    A time that the clocks leave out in spring is the next one that there is; one that they show twice in autumn counts once.

    Raises:
        MissingExtraError: What knows cron's fields is not installed.
    """
    fires = next(_firing(schedule, night), None)
    return fires[1] if fires is not None and fires[0] == night else None


def next_due(schedule: Schedule, after: datetime) -> datetime | None:
    """Return the first time that a night is due by *schedule* later than *after*; errors as in `due_at`."""
    for night, _ in _firing(schedule, after.astimezone(schedule.zone).date()):
        due = due_at(schedule, night)
        if due is not None and due > after:
            return due
    return None


def nights_between(since: date, until: date, schedule: Schedule | None) -> list[date]:
    """Return the nights from *since* to *until*, both included: those that *schedule* fires on, all where there is none; errors as in `due_at`."""
    days = (since + timedelta(days=count) for count in range((until - since).days + 1))
    return [day for day in days if schedule is None or due_at(schedule, day) is not None]


def missing_nights(periods: Iterable[Period], ran: Container[str], now: datetime, *, most: int) -> list[str]:
    """
    Return the nights that were due and have no run, the newest first.

    Args:
        periods: Which schedule was in force when, in order; nothing was due before the first.
        ran: The nights that have a run, however it ended.
        now: A night is missing when it has been due for longer than `PATIENCE`.
        most: Stop after so many.

    Raises:
        MissingExtraError: What knows cron's fields is not installed.
    """
    missing: list[str] = []
    for period in sorted(periods, key=lambda period: period.since, reverse=True):
        if period.schedule is None:
            continue
        end = now - PATIENCE if period.until is None else min(period.until, now - PATIENCE)
        for night in _dates_back(period.schedule.zone, period.since, end):
            text = night.isoformat()
            if text not in ran and text not in missing and _due_within(period.schedule, night, period.since, end):
                missing.append(text)
                if len(missing) == most:
                    return missing
    return missing


def _due_within(schedule: Schedule, night: date, since: datetime, end: datetime) -> bool:
    """Whether *schedule* fires on *night* after *since* and not after *end*."""
    for fired, fires in _firing(schedule, night):
        if fired > night or fires > end:
            return False
        if fires > since:
            return True
    return False


def _dates_back(zone: tzinfo, since: datetime, end: datetime) -> Iterator[date]:
    """Yield the dates in *zone* from that of *end* back to that of *since*."""
    night, first = end.astimezone(zone).date(), since.astimezone(zone).date()
    while night >= first:
        yield night
        night -= timedelta(days=1)


def _firing(schedule: Schedule, first: date) -> Iterator[tuple[date, datetime]]:
    """Yield the dates on which *schedule* fires from *first* on, and when, in UTC: times of one zone compare by the clock on the wall."""
    try:
        from cronsim import CronSim, CronSimError
    except ModuleNotFoundError:
        raise MissingExtraError("schedule", "knowing which nights are due") from None
    before = datetime.combine(first, time(), schedule.zone) - timedelta(seconds=1)
    try:
        for fires in CronSim(schedule.cron, before):
            # Where the clocks go back at midnight, the second before it comes twice.
            if fires.date() >= first:
                yield fires.date(), fires.astimezone(UTC)
    except CronSimError as error:
        raise CronError(str(error)) from None
