"""
Reading a ledger and those that it continues for an analysis: each for a moment only, and with what says which moment that was.

A connection is opened for one reading and closed with it, so that a run which is on meanwhile is never kept from folding its log into the file.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from ledger.chain import Former, former_ledgers
from ledger.checkpoints import origin_of
from ledger.errors import LedgerError, StorageError
from ledger.reader import LedgerReader
from ledger.schema import ledger_identity
from ledger.times import utc_now
from ledger.tree import ledger_size, tree_root
from orchestrator.history.names import Generation
from orchestrator.projections.older_tables import make_present, older_format
from orchestrator.projections.trusted import refuse_untrusted

Roots: TypeAlias = dict[tuple[str, int], str]
"""Roots that are known already, by the id of the ledger and the number of events."""

_GENERATIONS = """
WITH marked (run_id, pipeline, definition, first_seq, is_new) AS (
    SELECT run_id, pipeline, definition, first_seq,
        definition IS NOT lag(definition) OVER (PARTITION BY pipeline ORDER BY first_seq)
    FROM audit_runs
)
-- What is recorded of a pipeline before its first run belongs to that: its definition is.
SELECT m.pipeline, iif(lag(m.first_seq) OVER (PARTITION BY m.pipeline ORDER BY m.first_seq) IS NULL, 0, m.first_seq),
    lead(m.first_seq) OVER (PARTITION BY m.pipeline ORDER BY m.first_seq), CAST(b.bytes AS TEXT)
FROM marked m LEFT JOIN blobs b ON b.digest = m.definition
WHERE m.is_new ORDER BY m.first_seq
"""


class Moment(NamedTuple):
    """
    Hold which moment of a ledger something was read at.

    Attributes:
        origin: Under which checkpoints speak of the ledger.
        size: How many events it had; *root* is the root over them, in hexadecimal.
        read_at: By the clock of whoever read it, UTC.
    """

    origin: str
    size: int
    root: str
    read_at: str


class Span(NamedTuple):
    """Hold where in a ledger a generation of a pipeline begins, and where the next one does, if there is one."""

    first_seq: int
    until: int | None


class Opened:
    """
    A ledger that is open for one moment.

    Attributes:
        moment: Which one that is.
        connection: For queries over the views.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, roots: Roots) -> None:
        self.path = path
        self.connection = connection
        self.ledger_id = ledger_identity(connection, str(path))
        self._roots = roots
        size = ledger_size(connection)
        self.moment = Moment(origin_of(self.ledger_id), size, self._root(size), utc_now())

    def root_at(self, size: int) -> str | None:
        """Return the root over the first *size* events in hexadecimal, or None where there are fewer."""
        return self._root(size) if size <= self.moment.size else None

    def _root(self, size: int) -> str:
        # Where nobody has sealed the last events, a root takes microseconds for each of them.
        known = self._roots.get((self.ledger_id, size))
        if known is None:
            known = self._roots[self.ledger_id, size] = tree_root(self.connection, size).hex()
        return known

    def formers(self) -> list[Former]:
        """Return the ledgers that this one continues, the oldest first."""
        return former_ledgers(self.path, self.connection)[::-1]

    def generations(self) -> list[tuple[Span, Generation]]:
        """Return each time in which a pipeline kept one definition, in the order in which they began."""
        rows = self.connection.execute(_GENERATIONS)
        return [(Span(first, until), Generation(pipeline, _parsed(text))) for pipeline, first, until, text in rows]


def _parsed(text: str | None) -> Mapping[str, Any]:
    try:
        found = {} if text is None else json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@contextlib.contextmanager
def opened(path: Path, roots: Roots) -> Iterator[Opened]:
    """
    Open the ledger at *path* for one moment: all that is read within is of it.

    Raises:
        LedgerNotFoundError: There is no such file.
        UnverifiableLedgerError: It is no ledger, a newer one, or one that would compute what it shows.
        StorageError: It cannot be read.
        ChangedWhileReadingError: It was read without locks, and changed meanwhile.
    """
    with LedgerReader(path) as reader:
        connection = reader.connection
        older = older_format(connection, path)
        if older is None:
            refuse_untrusted(connection, path)
        try:
            connection.execute("BEGIN")
            if older is not None:
                make_present(connection, older, lambda _: None)
            yield Opened(connection, path, roots)
            connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise StorageError(str(path), str(error)) from error
        reader.check_unchanged()


@contextlib.contextmanager
def opened_former(former: Former, roots: Roots) -> Iterator[Opened | str]:
    """Open a ledger that another one continues, or give what is wrong with it."""
    with contextlib.ExitStack() as stack:
        try:
            found: Opened | str = former.problem or stack.enter_context(opened(former.path, roots))
        except (LedgerError, sqlite3.Error) as error:
            found = str(error)
        yield found
