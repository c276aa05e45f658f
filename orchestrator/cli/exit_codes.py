"""What the exit code of every command means."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The same in every command; `docs/reference/exit-codes.md` is made from this."""

    OK = 0
    """Succeeded, nothing to do, verified, nothing listed."""
    FAILED = 1
    """The run failed, timed out, was cancelled or lost; a reproduction differs; a secret was found in what was kept; an alert or telemetry was not delivered."""
    REFUSED = 2
    """Refused before anything started: usage, definition, environment, source, no such run, missing extra."""
    UNVERIFIED = 3
    """The ledger does not verify, is damaged, foreign or newer than this program."""
    ACTIVE = 4
    """Another run of this pipeline is active."""
    STORAGE = 5
    """Storage failed: disk full, no permission, locked for a minute."""
    STALE = 6
    """A check found something stale or missing."""
    QUERY_REFUSED = 7
    """A query was refused or went over its limit."""
    BUG = 70
    """A bug of the program; a short report says where it was written."""
    HANGUP = 129
    """Ended by HUP."""
    INTERRUPTED = 130
    """Ended by INT (Ctrl-C)."""
    TERMINATED = 143
    """Ended by TERM."""
