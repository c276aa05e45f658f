"""
Reading a ledger that an older program made, as it is: the tables of this program are made beside the stored ones, for this reading alone.

Nothing is written to the file. Commands that write bring it up to date, see `opening`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from orchestrator.cli import render
from orchestrator.projections.older_tables import make_present

PATIENCE_SECONDS = 1.0
"""A reading that takes longer says so, and then goes on saying how far it is."""


def show_as_present(connection: sqlite3.Connection, path: Path, found: int) -> None:
    """
    Make *connection* show the ledger at *path*, of the format *found*, as this program's tables would.

    All of it is of one moment: that of the caller's transaction where one is open, which stays open.

    Raises:
        UnknownEventError: It holds an event that this program does not know.
    """
    with contextlib.nullcontext() if connection.in_transaction else _transaction(connection):
        (total,) = connection.execute("SELECT count(*) FROM main.events").fetchone()
        told = counting(f"{path} was made by an older program: its tables are made for this reading", total)
        make_present(connection, found, told)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def counting(what: str, total: int, *, unit: str = "events") -> Callable[[int], None]:
    """Return what tells on stderr how far *what* has come, of *total* of the *unit*; it is silent for what is done in a second."""
    next_time = time.monotonic() + PATIENCE_SECONDS

    def told(done: int) -> None:
        nonlocal next_time
        if time.monotonic() >= next_time:
            render.err(f"{what}: {done} of {total} {unit}")
            next_time = time.monotonic() + 2 * PATIENCE_SECONDS

    return told
