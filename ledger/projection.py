"""
What a projection is, and how its tables are made anew from the events: in their place, or beside them.

Beside them means in SQLite's schema `temp`, which needs no right to write to the file. Whatever names the tables without a schema, the views
among it, then sees the new ones, until `drop_beside` or the end of the connection; the stored ones stay there as `main.…`.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from ledger.events import RecordedEvent, event_of_body
from ledger.schema import schema_objects, statements

_PAGE_EVENTS = 1000
_CREATE = re.compile(r"CREATE (UNIQUE )?(TABLE|TRIGGER|INDEX|VIEW) ")


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
        """The SQL that makes its tables and views, in the form that `ledger.schema.statements` splits."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Their names."""

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the views that *script* makes over them and over the ledger's own tables."""

    def apply(self, connection: sqlite3.Connection, events: Sequence[RecordedEvent]) -> None:
        """Take *events* into the tables; no clock, no chance, nothing but the events and the tables."""
        ...


def read_events(connection: sqlite3.Connection, from_seq: int = 0) -> Iterator[RecordedEvent]:
    """
    Yield every event from *from_seq* on; no statement stays open between pages, so that tables may be dropped meanwhile.

    Raises:
        InvalidEventError: One is not in an envelope that this program knows.
    """
    while True:
        rows = connection.execute(
            "SELECT body FROM main.events WHERE seq >= ? ORDER BY seq LIMIT ?", (from_seq, _PAGE_EVENTS)
        ).fetchall()
        yield from (event_of_body(body) for (body,) in rows)
        if len(rows) < _PAGE_EVENTS:
            return
        from_seq += _PAGE_EVENTS


def replay(connection: sqlite3.Connection, projections: Sequence[Projection], events: Iterable[RecordedEvent]) -> None:
    """
    Make the tables and views of *projections* anew from *events*, all from the first one on, within the caller's transaction.

    Whatever has one of their names is dropped first, so that damaged tables, missing ones and others in their place are no hindrance. Linear
    in the events; memory is bounded by a page of a thousand.
    """
    for projection in projections:
        make_objects(connection, projection)
    feed(connection, projections, events)


def make_objects(connection: sqlite3.Connection, projection: Projection) -> None:
    """Make the tables and views of *projection*, empty, in the place of whatever has their names, and register it."""
    # Their indexes go with them; one that stands elsewhere under its name goes then.
    for name in (*projection.views, *projection.tables, *schema_objects([projection.script])):
        found = connection.execute("SELECT type FROM main.sqlite_schema WHERE name = ?", (name,)).fetchone()
        if found is not None:
            connection.execute(f'DROP {found[0]} main."{name}"')
    for statement in statements(projection.script):
        connection.execute(_in_schema("main", statement))
    connection.execute(
        "INSERT INTO main.projections VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET version = excluded.version",
        (projection.name, projection.version),
    )


def rebuild_beside(
    connection: sqlite3.Connection, projections: Sequence[Projection], events: Iterable[RecordedEvent]
) -> None:
    """
    Make the tables and views of *projections* from *events* beside the stored ones, which they hide from then on.

    The file is not written to: a connection that may only read will do. What was beside them before is dropped.

    Raises:
        sqlite3.Error: There is no room for temporary tables.
    """
    make_beside(connection, projections)
    feed(connection, projections, events)


def make_beside(connection: sqlite3.Connection, projections: Sequence[Projection]) -> None:
    """Make the tables and views of *projections*, empty, beside the stored ones."""
    drop_beside(connection, projections)
    for projection in projections:
        for statement in statements(projection.script):
            connection.execute(_in_schema("temp", statement))


def drop_beside(connection: sqlite3.Connection, projections: Sequence[Projection]) -> None:
    """Drop what `rebuild_beside` made, so that the stored tables are seen again."""
    for projection in projections:
        for view in projection.views:
            connection.execute(f'DROP VIEW IF EXISTS temp."{view}"')
        for table in projection.tables:
            connection.execute(f'DROP TABLE IF EXISTS temp."{table}"')


def feed(connection: sqlite3.Connection, projections: Sequence[Projection], events: Iterable[RecordedEvent]) -> None:
    """Take *events* into the tables of *projections*, a page at a time."""
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


def _in_schema(schema: str, statement: str) -> str:
    """Return the *statement* that makes an object so that it makes it in *schema*."""
    return _CREATE.sub(rf"CREATE \1\2 {schema}.", statement, count=1)
