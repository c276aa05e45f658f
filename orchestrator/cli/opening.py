"""Opening a ledger to append to it, whoever does: with the orchestrator's tables, and brought up to date where an older program made it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from ledger.store import Ledger, open_ledger
from ledger.times import utc_now
from ledger.upgrade import SMALL_EVENTS, Upgrading
from orchestrator import __version__
from orchestrator.cli.errors import RefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.core.problems import Problem
from orchestrator.projections.read_models import ReadModels
from orchestrator.runtime.liveness import is_alive
from orchestrator.runtime.provenance import current_actor

_RUNNING = """
SELECT r.run_id, json_extract(e.data, '$.pid'), json_extract(e.data, '$.process_start'), json_extract(e.data, '$.boot_id')
FROM runs r JOIN events e ON e.seq = r.first_seq WHERE r.status = 'running'
"""
"""As tables of every version have it; views came later."""


def open_to_write(
    path: Path,
    *,
    large: bool = False,
    watch: Callable[[int, int], None] = lambda *_: None,
    reason: str | None = None,
) -> Ledger:
    """
    Open the ledger at *path*, or make it.

    Args:
        large: Bring an older one up to date however large it is.
        watch: Told how many events an older one has given so far, of how many.
        reason: Why an older one is brought up to date, without secrets.

    Raises:
        UpgradeNeededError: It is older and too large for being brought up to date on the way.
        RefusedError: It is older, and a run of the older program is on.
        InconsistentHistoryError: It is older, and not what was sealed last.
        LedgerError: It cannot be used, see `ledger.store.open_ledger`.
    """

    def check(connection: sqlite3.Connection) -> None:
        # Only older ledgers need it; and what seals records events in ledgers that are opened here.
        from orchestrator.cli.sealing import hold_to_last_seal

        _refuse_while_a_run_is_on(connection, path)
        hold_to_last_seal(Ledger(path.resolve(), connection, (), utc_now, read_only=True))

    def facts() -> dict[str, object]:
        told: dict[str, object] = {"program": __version__, "actor": current_actor(os.environ)}
        return told if reason is None else told | {"reason": reason}

    how = Upgrading(most_events=None if large else SMALL_EVENTS, facts=facts, check=check, watch=watch)
    return open_ledger(path, projections=[ReadModels()], upgrading=how)


def _refuse_while_a_run_is_on(connection: sqlite3.Connection, path: Path) -> None:
    """Leave a ledger alone in which the older program is at work: it could not append to what this one makes of it."""
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'runs'").fetchone() is None:
        return
    for run_id, pid, start, boot in connection.execute(_RUNNING).fetchall():
        if is_alive(pid=pid, start=start, boot=boot):
            message = f"{path} was made by an older program, and run {run_id} of it is on"
            problem = Problem("active", message, suggestion="wait for its end: it could not go on in the new format")
            raise RefusedError([problem], ExitCode.ACTIVE)
