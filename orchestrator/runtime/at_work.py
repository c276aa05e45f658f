"""Whether somebody works on a run: its process is there, or its lock is held by one that cannot be seen from here, such as in another container."""

from __future__ import annotations

from pathlib import Path

from ledger.locks import KernelLock, is_held
from orchestrator.runtime.liveness import is_alive


def is_at_work(folder: Path, run_id: str, pipeline: str, *, pid: int, start: str, boot: str) -> bool:
    """
    Return whether somebody works on the run *run_id* of *pipeline*.

    Args:
        folder: Of the ledger.
        pid: With *start* and *boot* the process that began or resumed it, see `liveness.is_alive`.
    """
    if is_alive(pid=pid, start=start, boot=boot):
        return True
    lock = lock_of_pipeline(folder, pipeline)
    # Whoever prunes or restores holds it too, and a new run before it has closed those that were lost.
    is_its_own = is_held(lock) and KernelLock(lock).holder().get("run_id") == run_id
    return is_its_own or is_held(lock_of_reproduction(folder, run_id))


def lock_of_pipeline(folder: Path, name: str) -> Path:
    """Return the lock of whoever runs the pipeline *name* in the ledger in *folder*."""
    return folder / "locks" / f"{name}.lock"


def lock_of_reproduction(folder: Path, run_id: str) -> Path:
    """Return the lock of the reproduction *run_id* alone; not named like those of pipelines, see `audit.quiet`."""
    return folder / "locks" / f"{run_id}.reproduction"
