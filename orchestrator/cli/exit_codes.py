"""What the exit code of every command means."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The same in every command; see `docs/reference/exit-codes.md`."""

    OK = 0
    FAILED = 1
    REFUSED = 2
    UNVERIFIED = 3
    ACTIVE = 4
    STORAGE = 5
    STALE = 6
    QUERY_REFUSED = 7
    BUG = 70
    HANGUP = 129
    INTERRUPTED = 130
    TERMINATED = 143
