"""
What is recorded when the clock of the machine goes back: times in a ledger never do, or an event says so.

A small step, such as time synchronisation makes, is waited out: events carry the last time until the clock has caught up. After a large one (a
clock that had run far ahead) that would falsify every time from then on, so the new times are recorded, after an event that tells of the step.
"""

from __future__ import annotations

from datetime import datetime

from ledger.events import NewEvent

CLOCK_SET_BACK = "ledger.clock_set_back"
WAITED_OUT_SECONDS = 60


def settled_time(now: str, last: str | None) -> tuple[str, NewEvent | None]:
    """
    Return the time that is to be recorded at *now*, after an event of the time *last*, and what has to be recorded before.

    >>> settled_time("2026-01-01T00:00:01.000000Z", "2026-01-01T00:00:02.000000Z")
    ('2026-01-01T00:00:02.000000Z', None)
    """
    if last is None or now >= last:
        return now, None
    back = datetime.fromisoformat(last) - datetime.fromisoformat(now)
    if back.total_seconds() <= WAITED_OUT_SECONDS:
        return last, None
    return now, NewEvent(CLOCK_SET_BACK, 1, {"before": last, "after": now})
