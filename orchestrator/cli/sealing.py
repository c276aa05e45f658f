"""
Sealing: the checkpoint of a ledger at the end of each run, signed where there is a key, and handed out so that the ledger can be held to it.

Before a run the ledger is held to what was sealed last: one that was turned back is not continued.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ledger.checkpoints import Seal, Sign, hold_to, seal
from ledger.errors import LedgerError, MissingExtraError, ProofError, UnverifiableLedgerError
from ledger.outside import checkpoint_folder, outside_files, read_note, write_outside
from ledger.signer import memory_of
from ledger.store import Ledger
from ledger.tree import consistency
from ledger.verifier import Checkpoint, open_checkpoint
from orchestrator.cli.holding import append_event
from orchestrator.cli.keyring import operator_folder, signer_of
from orchestrator.core.definition import Audit, Pipeline
from orchestrator.core.events import CheckpointAnchored

Say = Callable[[str], None]


def hold_to_last_seal(ledger: Ledger) -> None:
    """
    Make sure that *ledger* continues what was sealed last, as the signer remembers it and as the files beside the ledger say.

    Raises:
        InconsistentHistoryError: It was turned back, or is another one: nothing may be appended to it.
        KeyFileError: The signer's memory cannot be read.
    """
    known = [memory_of(operator_folder(ledger.ledger_id))]
    files = outside_files(checkpoint_folder(ledger.path, ledger.ledger_id))
    if files:
        known.append(_outside(files[-1]))
    for checkpoint in known:
        if checkpoint is not None:
            hold_to(ledger.connection, ledger.ledger_id, str(ledger.path), checkpoint)


@contextlib.contextmanager
def sealing_after(ledger: Ledger, *, say: Say) -> Iterator[None]:
    """
    Hold *ledger* to its last seal, let a person's action be recorded, and seal that: what was done by hand is not what should stay unsealed.

    Raises:
        InconsistentHistoryError: The ledger was turned back, or is another one.
    """
    hold_to_last_seal(ledger)
    yield
    try:
        seal_ledger(ledger, say=say)
    except UnverifiableLedgerError:
        raise
    except LedgerError as error:
        say(f"warning: it is recorded and not sealed: {error}")


def seal_ledger(ledger: Ledger, size: int | None = None, *, say: Say) -> Seal:
    """
    Seal the first *size* events of *ledger*, or all of them, and write the checkpoint beside the ledger.

    It is signed where this user has the key of the ledger; where what signs is not installed, *say* tells so.

    Raises:
        InconsistentHistoryError: The signer knows of another history.
        KeyFileError: The key is damaged.
        StorageError: The disk refused.
    """
    found = seal(ledger, size, sign=_sign(ledger, say))
    try:
        write_outside(checkpoint_folder(ledger.path, ledger.ledger_id), found.checkpoint, found.note)
    except OSError as error:
        say(f"warning: the checkpoint could not be written beside the ledger: {error}")
    return found


def seal_run(
    ledger: Ledger, run_id: str, pipeline: Pipeline, *, folder: Path, clean: Callable[[str], str], say: Say
) -> LedgerError | None:
    """
    Seal the run *run_id*, which has ended, anchor its checkpoint, and seal what came after.

    Args:
        folder: Which anchors are relative to.
        clean: Masks secrets in what is recorded of anchors.

    Returns:
        What kept a checkpoint from being made, or None; the run is what it is. An anchor that failed is told and recorded.
    """
    try:
        (last,) = ledger.connection.execute("SELECT last_seq FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        found = seal_ledger(ledger, last + 1, say=say)
        outcomes = _anchored(found, pipeline.audit, folder, ledger.ledger_id, clean)
        if outcomes:
            size, root = found.checkpoint.size, found.checkpoint.root.hex()
            event = CheckpointAnchored(pipeline.name, run_id, size, root, tuple(outcomes))
            append_event(ledger, f"pipeline/{pipeline.name}", event)
        for outcome in outcomes:
            if not outcome["ok"]:
                say(f"warning: the checkpoint did not reach the anchor {outcome['anchor']}: {outcome['detail']}")
        seal_ledger(ledger, say=say)
    except LedgerError as error:
        return error
    return None


def _sign(ledger: Ledger, say: Say) -> Sign | None:
    try:
        signer = signer_of(ledger.ledger_id)
    except MissingExtraError as error:
        say(f"warning: the checkpoint stays unsigned: {error}")
        return None
    if signer is None:
        return None

    def prove(size1: int, size2: int) -> list[bytes]:
        return consistency(ledger.connection, size1, size2)

    return lambda checkpoint: signer.sign(checkpoint, prove, str(ledger.path))


def _outside(path: Path) -> Checkpoint | None:
    """Return the checkpoint in *path*; one that is damaged is for `audit verify` to name."""
    try:
        return open_checkpoint(read_note(path))[0]
    except (OSError, ProofError):
        return None


# Anchors


def _anchored(
    found: Seal, audit: Audit, folder: Path, ledger_id: str, clean: Callable[[str], str]
) -> list[Mapping[str, object]]:
    outcomes: list[Mapping[str, object]] = []
    for anchor in audit.anchors:
        place = folder / os.path.expanduser(anchor)  # noqa: PTH111 - which never fails
        outcomes.append(_outcome(clean(anchor), _to_folder(place, ledger_id, found)))
    if audit.anchor_command:
        detail = _to_command(audit.anchor_command, found.note, folder, audit.anchor_timeout_us)
        outcomes.append(_outcome(clean(audit.anchor_command[0]), detail))
    return outcomes


def _outcome(anchor: str, failure: str | None) -> dict[str, object]:
    return {"anchor": anchor, "ok": failure is None} | ({} if failure is None else {"detail": failure})


def _to_folder(place: Path, ledger_id: str, found: Seal) -> str | None:
    # An anchor that is not there is a disk that is not mounted: making the folder would hide that.
    if not place.is_dir():
        return "there is no such folder"
    try:
        write_outside(checkpoint_folder(place / "ledger.db", ledger_id), found.checkpoint, found.note)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _to_command(command: Sequence[str], note: str, folder: Path, timeout_us: int) -> str | None:
    """Hand *note* to *command*; what has not ended in time is killed with everything in its session."""
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        return f"it could not be started: {error.strerror}"
    try:
        process.communicate(note.encode(), timeout=timeout_us / 1e6)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"it did not end within {timeout_us / 1e6:g} s"
    except BrokenPipeError:
        process.wait()
    return None if process.returncode == 0 else f"it ended with exit code {process.returncode}"
