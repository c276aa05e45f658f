"""Opening a ledger to append to it, whoever does: with the orchestrator's tables, and brought up to date where an older program made it."""

from __future__ import annotations

import os
import pwd
import shlex
import sqlite3
from collections.abc import Callable
from pathlib import Path

from ledger.computing import refuse_computing
from ledger.errors import LedgerError
from ledger.store import Ledger, open_ledger
from ledger.times import utc_now
from ledger.upgrade import SMALL_EVENTS, Upgrading
from orchestrator import __version__
from orchestrator.cli.errors import RefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.core.problems import Problem
from orchestrator.projections.queries import run_process
from orchestrator.projections.read_models import ReadModels
from orchestrator.runtime.liveness import is_alive
from orchestrator.runtime.provenance import current_actor


class OtherUserError(RefusedError, LedgerError):
    """Raised when the ledger belongs to another user: what this one would leave beside it, its owner could not write."""


def user_name(uid: int) -> str:
    """Return the name of the user *uid* as `sudo -u` takes it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


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
        OtherUserError: It belongs to another user.
        InconsistentHistoryError: It is older, and not what was sealed last; or it is not there, and one that this user has signed should be.
        LedgerError: It cannot be used, see `ledger.store.open_ledger`.
    """
    refuse_other_users(path)
    if not path.exists():
        from orchestrator.cli.lost_ledgers import refuse_lost, warn_of_remains

        refuse_lost(path)
        warn_of_remains(path)

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


def is_of_another_user(path: Path) -> bool:
    """Whether the ledger at *path* is there and somebody else's: what his definition has for commands is not for this user to run."""
    try:
        return path.stat().st_uid != os.geteuid()
    except OSError:
        return False


def refuse_other_users(path: Path) -> None:
    """Leave a ledger to its owner: files of root's in its folder would break the next night, whoever may write there."""
    try:
        owner, user = path.stat().st_uid, os.geteuid()
    except OSError:
        return  # It is not there yet; or whoever opens it says what is wrong with the place.
    if owner != user:
        name = user_name(owner)
        message = f"{path} belongs to the user {name}, and this is {user_name(user)}: only its owner writes to a ledger"
        hint = f"type `sudo -u {shlex.quote(name)} orchestrate …`; reading is possible as it is"
        raise OtherUserError([Problem("other_user", message, suggestion=hint)])


def _refuse_while_a_run_is_on(connection: sqlite3.Connection, path: Path) -> None:
    """Leave a ledger alone in which the older program is at work: it could not append to what this one makes of it."""
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'runs'").fetchone() is None:
        return
    refuse_computing(connection, path, ["runs"])
    for (run_id,) in connection.execute("SELECT run_id FROM runs WHERE status = 'running'").fetchall():
        if is_alive(**run_process(connection, run_id)):
            message = f"{path} was made by an older program, and run {run_id} of it is on"
            problem = Problem("active", message, suggestion="wait for its end: it could not go on in the new format")
            raise RefusedError([problem], ExitCode.ACTIVE)
