"""
How a ledger begins: its file appears complete, with the first events in it, or not at all.

One process at a time makes it. Where a restored ledger is about to take the place of another one, a file beside it says so until it is there: nobody
begins an empty one in between, however long that takes and whatever interrupts it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ledger.errors import DamagedLedgerError, StorageError
from ledger.events import NewEvent
from ledger.locks import KernelLock
from ledger.projection import Projection
from ledger.schema import FORMAT, create_ledger, make_folder
from ledger.writing import INSERT_EVENT, at_their_places, one_writer

CREATED = "ledger.created"


def making_lock(path: Path) -> KernelLock:
    """Return the lock of whoever makes the ledger at *path*."""
    return KernelLock(path.parent / "locks" / f"{path.name}.making")


def restoring_mark(path: Path) -> Path:
    """Return the file that stands beside *path* while a restored ledger is about to be there; it names what stood there before."""
    return path.with_name(f"{path.name}.restoring")


def begin_ledger(
    path: Path,
    projections: Sequence[Projection],
    now: Callable[[], str],
    *,
    facts: Mapping[str, object] | None = None,
    more: Sequence[NewEvent] = (),
    blobs: Mapping[str, bytes] | None = None,
    restoring: bool = False,
) -> None:
    """
    Make a ledger at *path* that begins with the event `ledger.created`; one that is there is left alone.

    Args:
        facts: What that event says besides the format, such as which ledger this one continues.
        more: What is recorded right after it, in the same stream.
        blobs: What *more* names by digest.
        restoring: The caller restores one, and holds the `making_lock`; that there is one already is an error.

    Raises:
        LedgerExistsError: There is one, and *restoring* is set.
        DamagedLedgerError: Somebody else has begun to restore one.
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

    with contextlib.nullcontext() if restoring else _alone(path):
        create_ledger(path, [item.script for item in projections], fill, exist_ok=not restoring)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    # Before the lock, which would make it without waiting for the disk.
    make_folder(path)
    lock = making_lock(path)
    try:
        lock.acquire(wait=True)
    except OSError as error:
        raise StorageError(str(error.filename or path), error.strerror or str(error)) from error
    try:
        if not path.exists() and restoring_mark(path).exists():
            findings = [
                "restoring was interrupted before the new ledger was there: call `orchestrate audit restore` again",
                f"{restoring_mark(path).name} names what stood here before",
            ]
            raise DamagedLedgerError(str(path), findings)
        yield
    finally:
        lock.release()
