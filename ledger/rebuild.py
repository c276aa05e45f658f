"""
Making the read models of a ledger anew where they are not what the events give: damaged, missing, or changed by somebody.

The events decide, so they have to verify first. What stands beside them is replaced in one transaction, whose last event says that it was done and
what differed.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import attrs

from ledger.audit.findings import KEPT_AT_MOST
from ledger.audit.projections import HELD
from ledger.audit.verify import verify
from ledger.comparison import NO_TABLE, RowDifference, differences
from ledger.computing import integrity_problems
from ledger.errors import DamagedLedgerError, NewerLedgerError, UpgradeNeededError
from ledger.events import NewEvent, RecordedEvent
from ledger.projection import Projection, drop_beside, make_objects, read_events, rebuild_beside
from ledger.reader import LedgerReader
from ledger.schema import FORMAT, SCRIPTS, check_schema, ledger_format, registered_projections, schema_objects
from ledger.store import Ledger
from ledger.times import utc_now
from ledger.tree import ledger_size
from ledger.writing import connect_to_write, storage_errors

REBUILT = "ledger.rebuilt"


@attrs.frozen
class Found:
    """
    Hold how the stored read models differ from what the events give.

    Attributes:
        rows: The first hundred rows that differ.
        counts: How many rows differ in each table that differs; a table that is missing counts as one.
        schema: Tables, indexes and views that are not as they were made.
    """

    events: int
    rows: Sequence[RowDifference]
    counts: Mapping[str, int]
    schema: Sequence[str]

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return not self.counts and not self.schema


def compare_projections(path: Path, projections: Sequence[Projection]) -> Found:
    """
    Compare the tables of *projections* in the ledger at *path* with what its events give, and change nothing.

    Raises:
        DamagedLedgerError: The events do not verify: nothing can be made from them.
        NewerLedgerError, UpgradeNeededError: Another version of the program made the tables.
    """
    _check_events(path)
    with LedgerReader(path) as reader, storage_errors(path):
        reader.connection.execute("BEGIN")
        found = _compared(Ledger(path, reader.connection, (), utc_now, read_only=True), projections)
        reader.check_unchanged()
    return found


def rebuild(
    path: Path,
    projections: Sequence[Projection],
    facts: Callable[[sqlite3.Connection], Mapping[str, object]],
    *,
    around: Callable[[Ledger], AbstractContextManager[object]] = contextlib.nullcontext,
) -> tuple[Found, RecordedEvent | None]:
    """
    Replace the tables of *projections* in the ledger at *path* by what its events give, and return what differed and the event that says so.

    Where nothing differs nothing is written, and there is no event.

    Args:
        facts: Gives what is recorded besides, such as who did it and why, asking the tables that were just made; what it raises leaves
            everything as it was.
        around: Entered with the ledger before anything is changed, and left when it is.

    Raises:
        DamagedLedgerError: The events do not verify, or the file is still not sound afterwards; nothing was changed.
        NewerLedgerError, UpgradeNeededError: Another version of the program made the tables.
        StorageError: The disk refused; nothing was changed.
    """
    _check_events(path)
    path = path.resolve()
    with storage_errors(path), contextlib.ExitStack() as stack:
        connection = connect_to_write(path)
        stack.callback(connection.close)
        ledger = Ledger(path, connection, projections, utc_now)
        stack.pop_all()
        stack.enter_context(ledger)
        with around(ledger), ledger.transaction():
            found = _compared(ledger, projections)
            if found.is_same:
                return found, None
            for projection in projections:
                make_objects(connection, projection)
                for table in projection.tables:
                    connection.execute(f'INSERT INTO main."{table}" SELECT * FROM temp."{table}"')  # noqa: S608 - ours
            drop_beside(connection, projections)
            event = NewEvent(REBUILT, 1, {**_told(found, projections), **facts(connection)})
            (recorded,) = ledger.record(connection, "ledger", [event])
            _check_result(ledger, projections)
    return found, recorded


def _check_events(path: Path) -> None:
    verdict = verify(path)
    # Damage of the file may be in what is about to be replaced; whether it was is seen afterwards.
    wrong = [item for item in verdict.problems if item.kind != "integrity"]
    if wrong or verdict.levels[1] != HELD:
        raise DamagedLedgerError(
            str(path),
            [f"{item.kind}: {item.detail}" for item in verdict.problems[:3]] + ["nothing can be made from it"],
        )


def _compared(ledger: Ledger, projections: Sequence[Projection]) -> Found:
    connection, name = ledger.connection, str(ledger.path)
    known = registered_projections(connection)
    for item in projections:
        if known.get(item.name, item.version) > item.version:
            raise NewerLedgerError(name, known[item.name], item.version)
        if known.get(item.name, item.version) < item.version or ledger_format(connection, name) < FORMAT:
            raise UpgradeNeededError(name, ledger_size(connection), 0)
    schema = [f"{item.name} is not registered" for item in projections if item.name not in known]
    try:
        check_schema(connection, name, [item.script for item in projections])
    except DamagedLedgerError as error:
        schema += error.findings
    rebuild_beside(connection, projections, read_events(connection))
    rows: list[RowDifference] = []
    counts: dict[str, int] = {}
    for projection in projections:
        for difference in differences(connection, projection):
            counts[difference.table] = counts.get(difference.table, 0) + 1
            if len(rows) < KEPT_AT_MOST:
                rows.append(difference)
    return Found(ledger_size(connection), rows, counts, schema)


def _told(found: Found, projections: Sequence[Projection]) -> dict[str, object]:
    missing = [item.table for item in found.rows if item.kind == NO_TABLE]
    return {
        "projections": {item.name: item.version for item in projections},
        "rows": {table: count for table, count in found.counts.items() if table not in missing},
        "tables": missing,
        "schema": list(found.schema),
    }


def _check_result(ledger: Ledger, projections: Sequence[Projection]) -> None:
    scripts = [item.script for item in projections]
    check_schema(ledger.connection, str(ledger.path), scripts)
    made = schema_objects([*SCRIPTS[FORMAT], *scripts])
    wrong = list(integrity_problems(ledger.connection, ledger.path, made))
    if wrong:
        raise DamagedLedgerError(
            str(ledger.path), [*wrong[:10], "the damage is not in the read models alone: restore a backup"]
        )
