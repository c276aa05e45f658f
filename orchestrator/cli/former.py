"""Looking into the ledgers that a restored one continues: they lie beside it, and are read as they are."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence

from ledger.chain import former_ledgers
from ledger.errors import LedgerError
from ledger.reader import LedgerReader
from orchestrator.cli import render
from orchestrator.cli.damage import naming_damage
from orchestrator.cli.reading import View, show_present


def former_views(view: View) -> Sequence[View]:
    """Return a view of each ledger that the one of *view* continues, the newest first; one that cannot be read is named on stderr."""
    found = []
    for former in former_ledgers(view.path, view.connection):
        if former.problem is not None:
            render.err(f"warning: a part of the history is not there: {former.problem}")
            continue
        with contextlib.ExitStack() as stack:
            try:
                connection = stack.enter_context(LedgerReader(former.path)).connection
                with naming_damage(former.path):
                    show_present(connection, former.path)
            except (LedgerError, sqlite3.Error) as error:
                render.err(f"warning: a part of the history is not there: {error}")
                continue
            stack.pop_all()
        found.append(View(view.path, connection, view.pipeline, moment=view.moment))
    return found
