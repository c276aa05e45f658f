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
from orchestrator.runtime.at_work import is_at_work
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
    """Whether the ledger at *path* is somebody else's, or would lie with what is his."""
    return other_owner(path) is not None


def refuse_other_users(path: Path) -> None:
    """Leave a ledger to its owner, also one that is not there yet: files of root's in its folder would break the next night, whoever may write there."""
    found = other_owner(path)
    if found is not None:
        place, owner = found
        name, user = user_name(owner), user_name(os.geteuid())
        why = "only its owner writes to a ledger"
        if place not in (path, path.parent):
            why = f"a ledger that {user} makes in it could not be written by {name}"
        message = f"{place} belongs to the user {name}, and this is {user}: {why}"
        raise OtherUserError([Problem("other_user", message, suggestion=_what_to_type(path, place, name, user))])


def other_owner(path: Path) -> tuple[Path, int] | None:
    """
    Return what is another user's, and whose: the ledger at *path*, or where that is not there or hidden, the nearest folder above it that is there.

    None where it is this user's, or a folder of root's, who prepares them for others.
    """
    user, hidden = os.geteuid(), False
    for place in (path, *path.parents):
        try:
            owner = place.stat().st_uid
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError:
            hidden = True
            continue
        except OSError:
            return None  # Whoever opens it says what is wrong with the place.
        is_prepared = owner == 0 and place != path and not hidden
        return None if owner == user or is_prepared else (place, owner)
    return None


def _what_to_type(path: Path, place: Path, name: str, user: str) -> str:
    as_owner = f"type `sudo -u {shlex.quote(name)} orchestrate …`"
    if place not in (path, path.parent):
        return f"{as_owner}; or where {user} is to keep the ledger, make {path.parent} first"
    if path.parent.parent.stat().st_uid == os.geteuid():
        # Somebody else has begun it where this user works: it would stay his for good.
        return f"give it back with `sudo chown -R {shlex.quote(user)}: {shlex.quote(str(path.parent))}`, or {as_owner}"
    return f"{as_owner}; reading is possible as it is"


def _refuse_while_a_run_is_on(connection: sqlite3.Connection, path: Path) -> None:
    """Leave a ledger alone in which the older program is at work: it could not append to what this one makes of it."""
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'runs'").fetchone() is None:
        return
    refuse_computing(connection, path, ["runs"])
    for run_id, name in connection.execute("SELECT run_id, pipeline FROM runs WHERE status = 'running'").fetchall():
        if is_at_work(path.resolve().parent, run_id, name, **run_process(connection, run_id)):
            message = f"{path} was made by an older program, and run {run_id} of it is on"
            problem = Problem("active", message, suggestion="wait for its end: it could not go on in the new format")
            raise RefusedError([problem], ExitCode.ACTIVE)
