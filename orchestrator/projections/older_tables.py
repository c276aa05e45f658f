"""The tables of this program for a ledger that an older one made: made of its events beside the stored ones, for one reading."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.errors import NewerLedgerError
from ledger.schema import FORMAT, SCRIPTS, ledger_format, registered_projections, statements
from orchestrator.projections.read_model_tables import NAME, VERSION

if TYPE_CHECKING:
    from ledger.events import RecordedEvent

_EVENTS_BETWEEN = 1000


def older_format(connection: sqlite3.Connection, path: Path) -> int | None:
    """
    Return the format of the ledger at *path* where an older program made it or its tables, None where they are of this one.

    Raises:
        NewerLedgerError: A newer one made them.
    """
    found, known = ledger_format(connection, str(path)), registered_projections(connection).get(NAME, 0)
    if known > VERSION:
        raise NewerLedgerError(str(path), known, VERSION)
    return None if known == VERSION and found == FORMAT else found


def make_present(connection: sqlite3.Connection, found: int, told: Callable[[int], None]) -> None:
    """
    Make the tables and views of this program in SQLite's schema `temp`, within the caller's transaction, of a ledger of the format *found*.

    Args:
        told: Called now and then with the number of events that were read.

    Raises:
        UnknownEventError: The ledger holds an event that this program does not know.
    """
    # What that needs is much, and a ledger of this program needs none of it.
    from ledger.projection import read_events, rebuild_beside
    from orchestrator.projections.read_models import ReadModels

    add_missing_tables(connection, found)
    rebuild_beside(connection, [ReadModels()], watched(read_events(connection), told))


def add_missing_tables(connection: sqlite3.Connection, found: int) -> None:
    """Make those tables of the ledger's own that one of the format *found* lacks, empty, beside the stored ones."""
    for script in SCRIPTS[FORMAT][len(SCRIPTS[found]) :]:
        for statement in statements(script):
            if statement.startswith("CREATE TABLE"):
                connection.execute(statement.replace("CREATE TABLE", "CREATE TEMP TABLE", 1))


def watched(events: Iterator[RecordedEvent], told: Callable[[int], None]) -> Iterator[RecordedEvent]:
    """Yield *events*, and tell *told* every thousand how many there were."""
    for number, event in enumerate(events, start=1):
        yield event
        if number % _EVENTS_BETWEEN == 0:
            told(number)
