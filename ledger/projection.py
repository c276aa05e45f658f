"""What a projection is, and how its tables are made anew from the events."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Protocol

from ledger.events import RecordedEvent
from ledger.schema import statements

_PAGE_EVENTS = 1000


class Projection(Protocol):
    """Keep tables that are a function of the events; updated in the transaction of each append."""

    @property
    def name(self) -> str:
        """Under which the ledger knows it."""

    @property
    def version(self) -> int:
        """Raised when the tables or what they hold change; the tables are then made anew."""

    @property
    def script(self) -> str:
        """The SQL that makes its tables, in the form that `ledger.schema.statements` splits."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Their names."""

    def apply(self, connection: sqlite3.Connection, events: Sequence[RecordedEvent]) -> None:
        """Take *events* into the tables; no clock, no chance, nothing but the events and the tables."""
        ...


def replay(connection: sqlite3.Connection, projections: Sequence[Projection], events: Iterator[RecordedEvent]) -> None:
    """
    Make the tables of *projections* anew from *events*, all from the first one on, within the caller's transaction.

    Linear in the events; memory is bounded by a page of a thousand.
    """
    for projection in projections:
        for table in projection.tables:
            connection.execute(f'DROP TABLE IF EXISTS "{table}"')
        for statement in statements(projection.script):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO projections VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET version = excluded.version",
            (projection.name, projection.version),
        )
    page: list[RecordedEvent] = []
    for event in events:
        page.append(event)
        if len(page) == _PAGE_EVENTS:
            _apply(connection, projections, page)
            page = []
    _apply(connection, projections, page)


def _apply(connection: sqlite3.Connection, projections: Sequence[Projection], events: Sequence[RecordedEvent]) -> None:
    for projection in projections:
        projection.apply(connection, events)
