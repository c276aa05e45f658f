"""Opening a ledger to append to it, whoever does: with the orchestrator's tables, and brought up to date where an older program made it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from ledger.store import Ledger, open_ledger
from ledger.upgrade import SMALL_EVENTS, Upgrading
from orchestrator import __version__
from orchestrator.cli.errors import RefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.core.problems import Problem
from orchestrator.projections.queries import run_process
from orchestrator.projections.read_models import ReadModels
from orchestrator.runtime.liveness import is_alive
from orchestrator.runtime.provenance import current_actor


def open_to_write(path: Path, *, large: bool = False, watch: Callable[[int, int], None] = lambda *_: None) -> Ledger:
    """
    Open the ledger at *path*, or make it.

    Args:
        large: Bring an older one up to date however large it is.
        watch: Told how many events an older one has given so far, of how many.

    Raises:
        UpgradeNeededError: It is older and too large for being brought up to date on the way.
        RefusedError: It is older, and a run of the older program is on.
        LedgerError: It cannot be used, see `ledger.store.open_ledger`.
    """

    def check(connection: sqlite3.Connection) -> None:
        _refuse_while_a_run_is_on(connection, path)

    how = Upgrading(most_events=None if large else SMALL_EVENTS, facts=_facts, check=check, watch=watch)
    return open_ledger(path, projections=[ReadModels()], upgrading=how)


def _facts() -> dict[str, object]:
    return {"program": __version__, "actor": current_actor(os.environ)}


def _refuse_while_a_run_is_on(connection: sqlite3.Connection, path: Path) -> None:
    """Leave a ledger alone in which the older program is at work: it could not append to what this one makes of it."""
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'runs'").fetchone() is None:
        return
    for (run_id,) in connection.execute("SELECT run_id FROM runs WHERE status = 'running'").fetchall():
        if is_alive(**run_process(connection, run_id)):
            message = f"{path} was made by an older program, and run {run_id} of it is on"
            problem = Problem("active", message, suggestion="wait for its end: it could not go on in the new format")
            raise RefusedError([problem], ExitCode.ACTIVE)
