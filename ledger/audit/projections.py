"""The tables of projections, made beside the stored ones from the events that are verified, and compared with them row by row."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from ledger.audit.findings import Findings, is_of_the_machine
from ledger.comparison import differences
from ledger.events import RecordedEvent
from ledger.projection import Projection, make_beside
from ledger.schema import statements

HELD, FAILED, NOT_KEPT = "held", "failed", "not_kept"


def kept_projections(
    connection: sqlite3.Connection,
    projections: Sequence[Projection],
    registered: Mapping[str, object],
    findings: Findings,
) -> list[Projection]:
    """
    Return those of *projections* whose tables the ledger keeps in their present version.

    Tables that are not *registered*, or as those of an older version though they have the form of the present one, are kept too, and are a finding:
    else taking away a row would take them out of what is compared.
    """
    rows = connection.execute("SELECT lower(name), sql FROM main.sqlite_schema WHERE type = 'table'")
    there = {name: _form(sql) for name, sql in rows}
    kept = []
    for item in projections:
        version = registered.get(item.name)
        if version is None:
            wrong = any(table.lower() in there for table in item.tables)
        else:
            made = {_form(statement) for statement in statements(item.script) if statement.startswith("CREATE TABLE")}
            is_older = not isinstance(version, int) or version < item.version
            wrong = is_older and made <= {*there.values()}
        if wrong:
            said = "does not name them" if version is None else f"says {version!r:.100}"
            what = f"the tables of {item.name} are there in version {item.version}, and the table projections {said}"
            findings.add("schema", what)
        if wrong or version == item.version:
            kept.append(item)
    return kept


def _form(sql: object) -> str:
    return "".join(str(sql).split())


class Rebuilding:
    """
    Take the events of a ledger, one page after the other, into tables beside those that it keeps.

    Args:
        kept: Those that the ledger keeps, see `kept_projections`.
    """

    def __init__(self, connection: sqlite3.Connection, kept: Sequence[Projection], findings: Findings) -> None:
        self._connection = connection
        self._findings = findings
        self._kept = list(kept)
        self._going = list(self._kept)
        try:
            make_beside(connection, self._kept)
        except sqlite3.Error as error:
            if is_of_the_machine(error):
                raise
            self.stop(str(error), seq=None)

    def take(self, events: Sequence[RecordedEvent], *, complete: bool) -> None:
        """Take the next *events*; where they are not *complete* no table can be made from them."""
        if not complete:
            self.stop("not every event can be read", seq=None)
        for event in events if self._going else ():
            for projection in tuple(self._going):
                try:
                    projection.apply(self._connection, [event])
                except Exception as error:
                    if is_of_the_machine(error):
                        raise
                    self._going.remove(projection)
                    what = f"{projection.name} cannot take event {event.seq} ({event.type}): {_said(error)}"
                    self._findings.add("projection_stopped", what, seq=event.seq)

    def stop(self, why: str, *, seq: int | None) -> None:
        """Give up what has not stopped yet."""
        for projection in self._going:
            self._findings.add("projection_stopped", f"{projection.name} cannot be made: {why}", seq=seq)
        self._going = []

    def status(self) -> str:
        """Compare, and return what became of it; differences are findings."""
        if not self._kept:
            return NOT_KEPT
        is_same = len(self._going) == len(self._kept)
        for projection in self._going:
            try:
                for difference in differences(self._connection, projection):
                    is_same = False
                    self._findings.add("different_row", str(difference))
            except sqlite3.Error as error:
                if is_of_the_machine(error):
                    raise
                is_same = False
                self._findings.add("projection_stopped", f"the tables of {projection.name} cannot be read: {error}")
        return HELD if is_same else FAILED


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
