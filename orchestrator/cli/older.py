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

from ledger.events import RecordedEvent
from ledger.projection import read_events, rebuild_beside
from ledger.schema import FORMAT, SCRIPTS, statements
from orchestrator.cli import render
from orchestrator.projections.read_models import ReadModels

_EVENTS_BETWEEN = 1000
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
        add_missing_tables(connection, found)
        told = counting(f"{path} was made by an older program: its tables are made for this reading", total)
        rebuild_beside(connection, [ReadModels()], watched(read_events(connection), told))


def add_missing_tables(connection: sqlite3.Connection, found: int) -> None:
    """Make those tables of the ledger's own that one of the format *found* lacks, empty, beside the stored ones."""
    for script in SCRIPTS[FORMAT][len(SCRIPTS[found]) :]:
        for statement in statements(script):
            if statement.startswith("CREATE TABLE"):
                connection.execute(statement.replace("CREATE TABLE", "CREATE TEMP TABLE", 1))


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def counting(what: str, total: int, *, unit: str = "events", hint: str = "") -> Callable[[int], None]:
    """Return what tells on stderr how far *what* has come, of *total* of the *unit*; it is silent for what is done in a second."""
    next_time = time.monotonic() + PATIENCE_SECONDS

    def told(done: int) -> None:
        nonlocal next_time
        if time.monotonic() >= next_time:
            render.err(f"{what}: {done} of {total} {unit}{hint}")
            next_time = time.monotonic() + 2 * PATIENCE_SECONDS

    return told


def watched(events: Iterator[RecordedEvent], told: Callable[[int], None]) -> Iterator[RecordedEvent]:
    """Yield *events*, and tell *told* every thousand how many there were."""
    for number, event in enumerate(events, start=1):
        yield event
        if number % _EVENTS_BETWEEN == 0:
            told(number)
