"""
Removing blobs from a ledger on purpose: the one path on which rows of it are deleted, and making its file smaller afterwards.

Events are never removed. What they name by digest may be, once an event says so: that event, the taking away of the guard, the deleting and the guard's
return are one transaction, so that nobody ever finds a ledger without its guard, or a blob gone that no event speaks of. Which blobs these are,
and what is recorded of it, is for the caller to say.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from ledger.canonical import DIGEST
from ledger.events import NewEvent, RecordedEvent
from ledger.locks import KernelLock
from ledger.schema import TABLES, statements
from ledger.store import Ledger
from ledger.writing import connect_to_write, storage_errors

_GUARD = "blobs_permanent"


def remove_blobs(
    ledger: Ledger,
    digests: Sequence[str],
    *,
    since: int,
    record: Callable[[Sequence[str]], Sequence[tuple[str, NewEvent]]],
) -> list[RecordedEvent]:
    """
    Remove the blobs under *digests* from *ledger*, durably, in one transaction with the events that say so.

    Args:
        since: How many events there were when *digests* were found to be needed by none of them; what a later event names is left.
        record: Gives the events, each with its stream, for the digests that are removed.

    Raises:
        StorageError: The disk refused; nothing was removed.
    """
    with ledger.transaction() as connection:
        named = _named_since(connection, since)
        kept = [digest for digest in digests if digest not in named]
        if not kept:
            return []
        recorded = [found for stream, event in record(kept) for found in ledger.record(connection, stream, [event])]
        connection.execute(f"DROP TRIGGER {_GUARD}")
        connection.executemany("DELETE FROM blobs WHERE digest = ?", ((digest,) for digest in kept))
        connection.execute(_guard())
    return recorded


def vacuum(path: Path) -> tuple[int, int]:
    """
    Give the pages that nothing uses any more back to the file system, and return the size of the ledger's file before and after.

    All of it is written anew, so that as much as it has must be free, and for as long as that takes nobody appends; the caller sees to it that no run is on.

    Raises:
        StorageError: There is no room, or somebody holds the ledger for a minute; it is as it was.
    """
    path = path.resolve()
    with storage_errors(path), KernelLock(path.parent / "locks" / f"{path.name}.checkpointer"):
        before = path.stat().st_size
        with contextlib.closing(connect_to_write(path)) as connection:
            connection.execute("VACUUM")
            # What was written anew stands in the log until it is folded back; a reader may hold that off, and the next run does it then.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return before, path.stat().st_size


def _named_since(connection: sqlite3.Connection, since: int) -> set[str]:
    bodies = connection.execute("SELECT body FROM events WHERE seq >= ?", (since,))
    return {digest for (body,) in bodies for digest in DIGEST.findall(body)}


def _guard() -> str:
    (statement,) = (text for text in statements(TABLES) if text.startswith(f"CREATE TRIGGER {_GUARD} "))
    return statement
