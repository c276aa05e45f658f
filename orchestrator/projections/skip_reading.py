"""Every skip of an open ledger, recomputed from what it rested on."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable

from ledger.errors import LedgerError
from ledger.events import event_of_body
from ledger.reader import kept_blob
from orchestrator.core.errors import OrchestratorError
from orchestrator.projections.pruned import pruned_blobs
from orchestrator.projections.skip_audit import TYPES, SkipAudit

_READ_AT_ONCE = 1000


def audit_skips(
    connection: sqlite3.Connection, watch: Callable[[int, int], None]
) -> tuple[SkipAudit, list[tuple[int, str]]]:
    """
    Return how many skips there are, and place and text of what is wrong with them.

    Args:
        watch: Told how many events are read, and of how many.
    """
    problems: list[tuple[int, str]] = []
    audit = SkipAudit(functools.partial(kept_blob, connection), pruned_blobs(connection))
    (total,) = connection.execute("SELECT count(*) FROM events").fetchone()
    types = ", ".join("?" * len(TYPES))
    rows = connection.execute(
        f"SELECT seq, body FROM events WHERE type IN ({types}) ORDER BY seq",  # noqa: S608 -- marks alone
        TYPES,
    )
    for number, (seq, body) in enumerate(rows):
        problems += [(seq, what) for what in _taken(audit, body)]
        if number % _READ_AT_ONCE == 0:
            watch(seq, total)
    return audit, problems


def _taken(audit: SkipAudit, body: str) -> list[str]:
    try:
        return audit.take(event_of_body(body))
    except (LedgerError, OrchestratorError, LookupError, TypeError, ValueError, AttributeError) as error:
        # It verifies, and still is not what this program writes: whoever made it up has forgotten something.
        return [f"this event does not fit in with those before it ({type(error).__name__}: {error})"]
