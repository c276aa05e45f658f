"""
Room on the disk: how much is free, how much a run takes, and for how many days that lasts.

What a run took is read from what is recorded of it (the bytes of its logs, its events) and from the size of its reports, so that nothing has
to be measured while it runs. `status` loads this module, which therefore needs the standard library alone.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import NamedTuple

LEAST_FREE_BYTES = 64 << 20
"""What has to be free where nobody says otherwise and the runs so far took less."""

DAYS_WARNED = 14
"""Fewer days than this are worth a warning."""

_EVENTS_AT_MOST = 100_000
"""Of very large runs fewer are looked at: the rows of their attempts have to be read."""

_LARGE_LOG_BYTES = 64 << 20
"""A log is folded back at 4 MiB, and after each run."""

READ = ("runs", "attempts")
"""What `recent_growth` reads, besides the ledger's own tables."""

_RUNS = """
SELECT run_id, started_at, coalesce(last_seq, (SELECT max(seq) FROM events)) - first_seq + 1,
       (SELECT coalesce(sum(log_bytes), 0) FROM attempts WHERE attempts.run_id = runs.run_id)
FROM runs ORDER BY first_seq DESC LIMIT 30
"""
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Growth(NamedTuple):
    """
    Hold what the latest runs of a ledger took, of all of its pipelines.

    Attributes:
        since: The day on which the first of them started.
        largest_bytes: What the largest of them took.
    """

    since: date | None
    ledger_bytes: int
    logs_bytes: int
    reports_bytes: int
    largest_bytes: int

    @property
    def parts(self) -> Mapping[str, int]:
        """The bytes by the name of what grows."""
        return {"ledger": self.ledger_bytes, "logs": self.logs_bytes, "reports": self.reports_bytes}

    def a_day(self, taken_bytes: int, today: date) -> int:
        """Return what of *taken_bytes*, taken by all of these runs, falls to a day, their first one and *today* counted."""
        return -(-taken_bytes // (max((today - (self.since or today)).days, 0) + 1))

    def days_left(self, free_bytes: int, today: date) -> int | None:
        """Return for how many whole days *free_bytes* last if it goes on like this, or None where nothing grows."""
        return days_left(free_bytes, self.a_day(sum(self.parts.values()), today))


NO_GROWTH = Growth(None, 0, 0, 0, 0)
"""What is known of a ledger that no run stands in, or that is not there yet."""


def days_left(free_bytes: int, a_day_bytes: int) -> int | None:
    """Return for how many whole days *free_bytes* last, or None where nothing grows."""
    return free_bytes // a_day_bytes if a_day_bytes > 0 else None


def recent_growth(connection: sqlite3.Connection, folder: Path) -> Growth:
    """
    Return what the latest 30 runs took, or fewer where those have many events.

    The ledger's part of a run is that of its events: what an event takes in the file on average, with tables, keys and what else belongs to it.

    Args:
        folder: Of the ledger, in which the reports lie.
    """
    pages, page_bytes = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    (events,) = connection.execute("SELECT coalesce(max(seq) + 1, 1) FROM events").fetchone()
    taken: list[tuple[int, int, int]] = []
    since, seen = None, 0
    for run_id, started_at, count, logs in connection.execute(_RUNS):
        taken.append((pages * page_bytes * count // events, logs, folder_bytes(folder / "reports" / run_id)))
        since, seen = _day(started_at) or since, seen + count
        if seen >= _EVENTS_AT_MOST:
            break
    ledger, logs, reports = (sum(part) for part in zip(*taken, strict=True)) if taken else (0, 0, 0)
    return Growth(since, ledger, logs, reports, max(map(sum, taken), default=0))


def needed_bytes(growth: Growth) -> int:
    """Return what has to be free before a run where the definition does not say: twice the largest run, and 64 MiB at least."""
    return max(2 * growth.largest_bytes, LEAST_FREE_BYTES)


def free_bytes(place: Path) -> int:
    """
    Return how many bytes a user may still write where *place* is or will be.

    Raises:
        OSError: That cannot be seen.
    """
    status = os.statvfs(existing(place))
    return status.f_bavail * status.f_frsize


def is_large_log(ledger: Path) -> bool:
    """Whether the log beside *ledger* is far larger than it should be."""
    try:
        return Path(f"{ledger}-wal").stat().st_size > _LARGE_LOG_BYTES
    except OSError:
        return False


def existing(place: Path) -> Path:
    """Return *place*, or the nearest folder above it that is there."""
    # Whether it is there may be hidden from this user, which is no reason to fail.
    return next((path for path in (place, *place.parents) if os.path.exists(path)), Path("/"))


def shown_bytes(count: int) -> str:
    """Return *count* as people read it: `512 B`, `1.5 GiB`."""
    power = min(max(count.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{count} B" if power == 0 else f"{count / (1 << 10 * power):.1f} {_UNITS[power]}"


def _day(time: str) -> date | None:
    try:
        return date.fromisoformat(time[:10])
    except ValueError:
        return None  # Somebody has altered the row, which `audit verify` tells.


def folder_bytes(folder: Path) -> int:
    """Return how much the files in *folder* take; nothing where it is not there."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
    except OSError:
        return 0  # It was not written, or was thrown away: it takes nothing.
