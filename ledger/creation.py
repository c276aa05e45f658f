"""How a ledger begins: its file appears complete, with the first events in it, or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ledger.events import NewEvent
from ledger.projection import Projection
from ledger.schema import FORMAT, create_ledger
from ledger.writing import INSERT_EVENT, at_their_places, one_writer

CREATED = "ledger.created"


def begin_ledger(
    path: Path,
    projections: Sequence[Projection],
    now: Callable[[], str],
    *,
    facts: Mapping[str, object] | None = None,
    more: Sequence[NewEvent] = (),
    blobs: Mapping[str, bytes] | None = None,
    exist_ok: bool = True,
) -> None:
    """
    Make a ledger at *path* that begins with the event `ledger.created`.

    Args:
        facts: What that event says besides the format, such as which ledger this one continues.
        more: What is recorded right after it, in the same stream.
        blobs: What *more* names by digest.
        exist_ok: Leave a ledger that appears at *path* meanwhile alone and return; else raise.

    Raises:
        LedgerExistsError: There is one, and *exist_ok* is not set.
        StorageError: The disk refused; nothing is left behind.
    """

    def fill(connection: sqlite3.Connection, identity: str) -> None:
        created_at = now()
        events = [NewEvent(CREATED, 1, {"format": FORMAT, **(facts or {})}), *more]
        recorded, rows = at_their_places("ledger", events, ledger=identity, seq=0, version=0, now=created_at)
        with one_writer(connection):
            connection.execute("INSERT INTO ledger_meta VALUES (1, ?, ?)", (identity, created_at))
            connection.executemany("INSERT INTO blobs VALUES (?, ?)", (blobs or {}).items())
            connection.executemany(INSERT_EVENT, rows)
            connection.executemany(
                "INSERT INTO projections VALUES (?, ?)", [(item.name, item.version) for item in projections]
            )
            for projection in projections:
                projection.apply(connection, recorded)

    create_ledger(path, [item.script for item in projections], fill, exist_ok=exist_ok)
