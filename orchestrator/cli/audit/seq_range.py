"""A stretch of the history, as `--from` and `--to` say it: by place or by time, both ends included."""

from __future__ import annotations

import re
import sqlite3
from typing import NamedTuple

from orchestrator.cli.errors import UsageRefusedError

_FORM = "takes an event's seq (120 or seq:120) or a time in UTC (2026-01-31, or 2026-01-31T02:00Z)"
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d(?:\.\d{1,6})?)?Z?)?", re.ASCII)
_LAST_MOMENT = "T23:59:59.999999Z"


class SeqRange(NamedTuple):
    """The first and the last event of a stretch; none where the last stands before the first."""

    first: int
    last: int


def range_of(connection: sqlite3.Connection, size: int, begin: str | None, end: str | None) -> SeqRange:
    """
    Return the stretch of a ledger of *size* events from *begin* to *end*, from its start or to its end where they are None.

    By time it is the smallest stretch that holds every event recorded from *begin* to *end*; a date alone is that whole day.

    Raises:
        UsageRefusedError: They are of no such form, or name an event that is not there.
    """
    first = 0 if begin is None else _place(connection, size, "--from", begin)
    last = size - 1 if end is None else _place(connection, size, "--to", end)
    return SeqRange(first, last)


def _place(connection: sqlite3.Connection, size: int, option: str, word: str) -> int:
    place = re.fullmatch(r"(?:seq:)?([0-9]{1,18})", word)
    if place is not None:
        if int(place[1]) >= size:
            raise UsageRefusedError("no_such_event", f"{option} names event {place[1]}, and the last one is {size - 1}")
        return int(place[1])
    moment = _TIME.fullmatch(word.removeprefix("time:"))
    if moment is None:
        raise UsageRefusedError("bad_range", f"{option} {_FORM}, not {word[:60]!a}")
    if option == "--from":
        sql, time = "SELECT min(seq) FROM events WHERE recorded_at >= ?", _as_recorded(moment, "T00:00:00.000000Z")
    else:
        sql, time = "SELECT max(seq) FROM events WHERE recorded_at <= ?", _as_recorded(moment, _LAST_MOMENT)
    (found,) = connection.execute(sql, (time,)).fetchone()
    if found is not None:
        return int(found)
    return size if option == "--from" else -1


def _as_recorded(moment: re.Match[str], of_a_day: str) -> str:
    """Return the time in the form in which it is recorded."""
    date, minutes, seconds = moment.groups()
    if minutes is None:
        return f"{date}{of_a_day}"
    whole, _, fraction = (seconds or ":00").partition(".")
    return f"{date}T{minutes}{whole}.{fraction.ljust(6, '0')}Z"
