"""The stored tables of projections, compared row by row with those that were made beside them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ledger.computing import is_computed, normalised, schema_rows
from ledger.projection import Projection
from ledger.schema import schema_objects

CHANGED, MISSING, ADDED, NO_TABLE = "changed", "missing", "added", "no_table"


class RowDifference(NamedTuple):
    """
    Hold a row that is not what the events give, or a table that cannot be compared.

    Attributes:
        kind: `CHANGED`, `MISSING` (the events give it), `ADDED` (they do not), or `NO_TABLE`.
        key: The row's primary key.
        columns: Which columns differ; empty but for `CHANGED`.
        stored: What stands in the first of them; *made* is what the events give.
    """

    table: str
    kind: str
    key: Mapping[str, object]
    columns: Sequence[str] = ()
    stored: object = None
    made: object = None

    def __str__(self) -> str:
        """Return it as people read it."""
        if self.kind == NO_TABLE:
            return f"the table {self.table} is missing, or has other columns, or computes them"
        row = f"{self.table} {', '.join(f'{name}={value!r}' for name, value in self.key.items())}"
        if self.kind == CHANGED:
            return f"{row}: {', '.join(self.columns)}; {self.stored!r} instead of {self.made!r}"
        return f"{row}: the row is {'missing' if self.kind == MISSING else 'not from any event'}"


def differences(connection: sqlite3.Connection, projection: Projection) -> Iterator[RowDifference]:
    """Yield where the stored tables of *projection* differ from those that `rebuild_beside` made on *connection*, in both directions."""
    made = schema_objects([projection.script])
    for table in projection.tables:
        if not _is_readable(connection, table, made[table]):
            yield RowDifference(table, NO_TABLE, {})
            continue
        shape = connection.execute("SELECT name, pk FROM pragma_table_info(?, 'temp')", (table,)).fetchall()
        stored = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?, 'main')", (table,))}
        if stored != {name for name, _ in shape}:
            yield RowDifference(table, NO_TABLE, {})
            continue
        keys = [name for name, place in sorted(shape, key=lambda item: item[1]) if place]
        others = [name for name, place in shape if not place]
        yield from _made_and_not_stored(connection, table, keys, others)
        yield from _stored_and_not_made(connection, table, keys)


def _is_readable(connection: sqlite3.Connection, table: str, made: str) -> bool:
    """Whether there is a *table*, and what it shows is stored, or computed as it was *made* to be: even the columns of a view may take years to find."""
    return any(
        not is_computed(sql) or normalised(sql) == made
        for kind, name, _, sql in schema_rows(connection)
        if kind == "table" and name.lower() == table.lower()
    )


def _made_and_not_stored(
    connection: sqlite3.Connection, table: str, keys: Sequence[str], others: Sequence[str]
) -> Iterator[RowDifference]:
    match = " AND ".join(f'made."{name}" = stored."{name}"' for name in keys)
    differs = " OR ".join(
        [f'stored."{keys[0]}" IS NULL', *(f'made."{name}" IS NOT stored."{name}"' for name in others)]
    )
    columns = [f'made."{name}"' for name in (*keys, *others)] + [f'stored."{name}"' for name in (keys[0], *others)]
    rows = connection.execute(
        f'SELECT {", ".join(columns)} FROM temp."{table}" AS made'  # noqa: S608 - names of ours
        f' LEFT JOIN main."{table}" AS stored ON {match} WHERE {differs}'
    )
    for row in rows:
        key = dict(zip(keys, row, strict=False))
        made, found = row[len(keys) : len(keys) + len(others)], row[len(keys) + len(others) + 1 :]
        if row[len(keys) + len(others)] is None:
            yield RowDifference(table, MISSING, key)
            continue
        wrong = [number for number, (left, right) in enumerate(zip(made, found, strict=True)) if left != right]
        first = wrong[0]
        yield RowDifference(table, CHANGED, key, [others[number] for number in wrong], found[first], made[first])


def _stored_and_not_made(connection: sqlite3.Connection, table: str, keys: Sequence[str]) -> Iterator[RowDifference]:
    match = " AND ".join(f'made."{name}" = stored."{name}"' for name in keys)
    columns = ", ".join(f'stored."{name}"' for name in keys)
    rows = connection.execute(
        f'SELECT {columns} FROM main."{table}" AS stored'  # noqa: S608 - names of ours
        f' LEFT JOIN temp."{table}" AS made ON {match}'
        f' WHERE made."{keys[0]}" IS NULL'
    )
    for row in rows:
        yield RowDifference(table, ADDED, dict(zip(keys, row, strict=True)))
