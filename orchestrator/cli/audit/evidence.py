"""Reading a ledger as evidence: one moment of it, its schema compared first, with the root that says which moment."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from ledger.errors import DamagedLedgerError
from ledger.schema import check_schema
from orchestrator.cli.reading import View, viewing
from orchestrator.projections.read_model_tables import SCRIPT
from orchestrator.projections.views import VIEW_SCRIPT


class Moment:
    """
    A ledger as it is at one moment; everything that is read through it belongs together.

    Attributes:
        view: What the options have opened and restricted it to.
        path: Of the ledger.
        connection: Within one read transaction.
        size: How many events there are.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self.path = view.path
        self.connection = view.connection
        (self.size,) = self.connection.execute("SELECT coalesce(max(seq) + 1, 0) FROM events").fetchone()

    @property
    def seq_range(self) -> list[int]:
        """The first and the last seq."""
        return [0, self.size - 1]

    def root(self) -> str:
        """Return the root over all its events, in hexadecimal."""
        from ledger.tree import tree_root

        return tree_root(self.connection, self.size).hex()


@contextlib.contextmanager
def reading_events(path: Path) -> Iterator[None]:
    """
    Turn what the form of an event in the ledger at *path* leads to into an error that names the file: evidence is made of what it says.

    Raises:
        DamagedLedgerError: An event is not as this program makes them.
    """
    try:
        yield
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        what = f"an event in it is not of its form ({type(error).__name__}: {error}); `audit verify` says which"
        raise DamagedLedgerError(str(path), [what]) from None


@contextlib.contextmanager
def one_moment(
    pipeline: str | None, ledger: str | None, prepare: Callable[[sqlite3.Connection], None] | None = None
) -> Iterator[Moment]:
    """
    Open the ledger that the options name, as `viewing` does, and hold on to the present moment.

    Args:
        prepare: Done with the connection before that.

    Raises:
        DamagedLedgerError: Its tables, views or guards are not as they were made: what they show may not be what happened.
    """
    with viewing(pipeline, ledger) as view:
        if prepare is not None:
            prepare(view.connection)
        if not view.connection.in_transaction:
            view.connection.execute("BEGIN")
        try:
            check_schema(view.connection, str(view.path), [] if view.older else [SCRIPT + VIEW_SCRIPT])
            yield Moment(view)
        finally:
            view.connection.execute("ROLLBACK")
