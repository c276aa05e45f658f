"""Ending a run from another process: the orchestrator that works on it is found, told, and waited for."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from ledger.store import Ledger
from orchestrator.cli.errors import RefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.holding import (
    close_lost_reproductions,
    close_lost_runs,
    has_lost_its_orchestrator,
    pipeline_lock,
)
from orchestrator.core.printable import printable
from orchestrator.core.problems import Problem
from orchestrator.projections.reproductions import any_run, reproduced
from orchestrator.projections.starts import last_start
from orchestrator.runtime.liveness import boot_id, has_ended, process_start
from orchestrator.runtime.provenance import host_name

Say = Callable[[str], None]

_LOOK_SECONDS = 0.1
_SIGNALS_AT_MOST = 4
_STEPS_NAMED = 3


@attrs.frozen
class Target:
    """
    Hold the process that works on a run.

    Attributes:
        pidfd: Of that process and no other that may get its number.
    """

    pid: int
    pidfd: int

    def tell(self) -> None:
        """Send TERM; a process that has just ended needs none."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGTERM)


@contextlib.contextmanager
def orchestrator_of(ledger: Ledger, run_id: str, pipeline: str) -> Iterator[Target | None]:
    """
    Find the process that works on the run *run_id*, or give None where that is dead; then the pipeline's lock is held.

    Whoever holds the lock says which run it is on; that it is the process which the run was started or resumed by is told by the boot and by the time
    at which it started. A reproduction holds no lock of the pipeline, but one of its own, which says that it is on.

    Raises:
        RefusedError: Somebody else has the pipeline, or the process is on another machine, hidden from this one, or another user's.
    """
    process = last_start(ledger.connection, run_id)
    if reproduced(ledger.connection, run_id) is None:
        lock = pipeline_lock(ledger, pipeline)
        if lock.acquire():
            try:
                yield None
            finally:
                lock.release()
            return
        _check_holder(process, lock.holder(), run_id, pipeline)
    elif process["host"] == host_name() and has_lost_its_orchestrator(ledger, run_id, pipeline):
        # Of another machine nobody can tell.
        yield None
        return
    target = _living(process, run_id)
    try:
        yield target
    finally:
        os.close(target.pidfd)


def end_run(ledger: Ledger, run_id: str, target: Target, *, force: bool, seconds: float, say: Say) -> bool:
    """
    Send TERM to *target* and wait until the end of the run *run_id* is recorded, *seconds* at most; return whether it has ended.

    With *force* the signal is sent again: the second one that arrives makes the orchestrator kill what runs.
    """
    until, told, sent = time.monotonic() + seconds, "", 0
    while _is_on(ledger, run_id):
        if sent == 0 or (force and sent < _SIGNALS_AT_MOST):
            # Signals of one kind that come at once are one, so that each is given time.
            target.tell()
            sent += 1
        text = _running_text(ledger, run_id)
        if text != told:
            say(f"waiting for the end of run {run_id}: {text}")
            told = text
        if has_ended(target.pidfd, _LOOK_SECONDS):
            break
        if time.monotonic() >= until:
            return False
    if _is_on(ledger, run_id):
        # It died before it could say how the run ended.
        close_lost_run(ledger, run_id, say=say)
    return not _is_on(ledger, run_id)


def close_lost_run(ledger: Ledger, run_id: str, *, say: Say) -> None:
    """Give the run *run_id* its end, unless somebody else is about to."""
    pipeline = str(any_run(ledger.connection, run_id)["pipeline"])
    # A reproduction has no lock that anybody could hold.
    lock = None if reproduced(ledger.connection, run_id) else pipeline_lock(ledger, pipeline)
    if lock is None or lock.acquire():
        try:
            close_lost(ledger, run_id, pipeline, say=say)
        finally:
            if lock is not None:
                lock.release()


def close_lost(ledger: Ledger, run_id: str, pipeline: str, *, say: Say) -> None:
    """Give the run *run_id*, whose orchestrator is dead, its end, and with it what else of its kind *pipeline* has lost; see `orchestrator_of`."""
    if reproduced(ledger.connection, run_id) is None:
        close_lost_runs(ledger, pipeline, say=say)
    else:
        close_lost_reproductions(ledger, pipeline, say=say)


def _check_holder(process: Mapping[str, Any], holder: Mapping[str, object], run_id: str, pipeline: str) -> None:
    """
    Make sure that the *holder* of the lock is the *process* that the ledger names.

    Raises:
        RefusedError: It is another one.
    """
    who = f"process {process['pid']} on {process['host']}"
    if (holder.get("run_id"), holder.get("pid"), holder.get("host")) != (run_id, process["pid"], process["host"]):
        message = f"pipeline {pipeline} is held by run {holder.get('run_id', '(unknown)')}, process {holder.get('pid', '?')}, not by {who}"
        raise _refused("held", message, "look again with `orchestrate status`", ExitCode.ACTIVE)


def _living(process: Mapping[str, Any], run_id: str) -> Target:
    """
    Return the *process* that the ledger names.

    Raises:
        RefusedError: It cannot be told, or is out of reach.
    """
    pid, here = int(process["pid"]), host_name()
    who = f"process {pid} on {process['host']}"
    if process["host"] != here:
        raise _refused("other_host", f"run {run_id} is on another machine: {who}, this is {here}", "cancel it there")
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        pidfd = None
    if pidfd is None or process["boot_id"] != boot_id() or process_start(pid) != process["process_start"]:
        if pidfd is not None:
            os.close(pidfd)
        message = f"run {run_id} is worked on by {who}, which cannot be seen from here"
        raise _refused("not_seen", message, "cancel it from where it was started, such as the same container")
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except PermissionError:
        os.close(pidfd)
        message = f"run {run_id} belongs to another user: {who} cannot be signalled"
        raise _refused("other_user", message, "cancel it as its owner, or as root") from None
    except ProcessLookupError:
        pass  # It has ended just now, which whoever waits for it will see.
    return Target(pid, pidfd)


def _refused(kind: str, message: str, hint: str, code: ExitCode = ExitCode.REFUSED) -> RefusedError:
    return RefusedError([Problem(kind, printable(message), suggestion=hint)], code)


def _is_on(ledger: Ledger, run_id: str) -> bool:
    return any_run(ledger.connection, run_id)["status"] == "running"  # type: ignore[no-any-return]


def _running_text(ledger: Ledger, run_id: str) -> str:
    rows = ledger.connection.execute(
        "SELECT step FROM steps WHERE run_id = ? AND status IN ('running', 'retrying') ORDER BY position",
        (run_id,),
    ).fetchall()
    names = ", ".join(name for (name,) in rows[:_STEPS_NAMED]) + (", …" if len(rows) > _STEPS_NAMED else "")
    return f"{len(rows)} {'step runs' if len(rows) == 1 else 'steps run'}{f' ({names})' if names else ''}"
