"""Keeping every pipeline of a ledger from running, for what is done to all of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ledger.creation import making_lock
from ledger.locks import KernelLock
from orchestrator.cli.errors import RefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.holding import reproductions_lock
from orchestrator.core.problems import Problem


@contextlib.contextmanager
def quiet(path: Path) -> Iterator[None]:
    """
    Hold the locks of all pipelines of the ledger at *path*.

    Raises:
        RefusedError: One of them is active.
    """
    with contextlib.ExitStack() as stack:
        for place in sorted({*(path.parent / "locks").glob("*.lock"), reproductions_lock(path)}):
            lock = KernelLock(place, watched=True)
            if not lock.acquire():
                if place == reproductions_lock(path):
                    raise _active(f"a run of {path} is being run again")
                told = f"run {lock.holder().get('run_id', '(unknown)')} writes to {path}"
                raise _active(f"pipeline {place.stem} is active: {told}")
            stack.callback(lock.release)
        yield


@contextlib.contextmanager
def only_maker(path: Path) -> Iterator[None]:
    """
    Keep everybody else from making a ledger at *path*, which need not be there.

    Raises:
        RefusedError: Somebody is making one.
    """
    lock = making_lock(path)
    if not lock.acquire():
        raise _active(f"somebody else is making or restoring the ledger {path} at this moment")
    try:
        yield
    finally:
        lock.release()


def _active(message: str) -> RefusedError:
    return RefusedError([Problem("active", message, suggestion="wait for its end")], ExitCode.ACTIVE)
