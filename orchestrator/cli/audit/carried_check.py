"""Whether the state that restored ledgers have carried over is that of the ledgers before them, as these tell it by their events."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from ledger.chain import former_ledgers
from ledger.errors import LedgerError
from ledger.reader import LedgerReader
from orchestrator.cli.older import show_as_present
from orchestrator.core.errors import OrchestratorError
from orchestrator.projections.carried import carried_problem
from orchestrator.projections.read_model_tables import TABLES


def carried_problems(path: Path) -> list[str]:
    """
    Say for the ledger at *path* and each that it continues in which way what it has carried over is not what the one before it tells.

    A former ledger that is not there, or that cannot be read, is none of its findings: verifying the chain names it.
    """
    found = []
    with contextlib.ExitStack() as stack:
        try:
            reader = stack.enter_context(LedgerReader(path, TABLES))
            chain = former_ledgers(path, reader.connection)
        except (LedgerError, sqlite3.Error):
            return []
        name = path.name
        for former in chain:
            if former.problem is not None:
                break
            before = stack.enter_context(LedgerReader(former.path))
            told = former.continues
            try:
                show_as_present(before.connection, former.path, before.format)
                problem = carried_problem(reader.connection, before.connection, told.ledger, told.size)
            except (LedgerError, OrchestratorError, sqlite3.Error, ValueError) as error:
                problem = f"what it has carried over cannot be compared with {former.path.name}: {error}"
            if problem is not None:
                found.append(f"{name}: {problem}")
            reader, name = before, former.path.name
    return found
