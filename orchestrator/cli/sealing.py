"""
Sealing: the checkpoint of a ledger at the end of each run, signed where there is a key, and handed out so that the ledger can be held to it.

Before a run the ledger is held to what was sealed last: one that was turned back is not continued.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from ledger.checkpoints import Seal, Sign, hold_to, origin_of, seal
from ledger.errors import (
    InconsistentHistoryError,
    LedgerError,
    MissingExtraError,
    ProofError,
    UnverifiableLedgerError,
)
from ledger.keys import key_changes, rotations
from ledger.outside import checkpoint_folder, named_size, outside_files, read_note, write_outside
from ledger.replacing import finish_replacing
from ledger.signer import MEMORY, has_key, memory_of
from ledger.store import Ledger
from ledger.tree import consistency
from ledger.verifier import VerifierKey, open_checkpoint, open_note, open_vouched
from orchestrator.cli import render
from orchestrator.cli.anchors import anchored
from orchestrator.cli.holding import append_event
from orchestrator.cli.keyring import operator_folder, signer_of
from orchestrator.cli.lost_ledgers import note_place, refuse_lost
from orchestrator.core.definition import Pipeline
from orchestrator.core.events import CheckpointAnchored
from orchestrator.core.printable import printable
from orchestrator.projections.reproductions import any_run

Say = Callable[[str], None]

_WARNED_AT_MOST = 10


def hold_to_last_seal(ledger: Ledger) -> None:
    """
    Make sure that *ledger* continues what was sealed last, as the signer remembers it and as the files beside the ledger say.

    Anybody may have put such a file there. One that holds no checkpoint of the ledger is told and passed over. One that goes beyond what this user has
    signed, and that no key of the ledger has signed, is told and stops nothing; to who has no key, it is all there is, and stops.

    Raises:
        InconsistentHistoryError: It was turned back, or is another one than was signed at its place: nothing may be appended to it.
        KeyFileError: The signer's memory cannot be read.
    """
    memory = memory_of(operator_folder(ledger.ledger_id))
    if memory is not None:
        hold_to(ledger.connection, ledger.ledger_id, str(ledger.path), memory)
    refuse_lost(ledger.path, ledger.connection)
    # About what was signed here nobody else is asked.
    known = memory.size if memory is not None and memory.origin == origin_of(ledger.ledger_id) else 0
    ignored: list[str] = []
    try:
        # However many of them say nothing: a limit would be how many it takes to hide that a ledger was turned back.
        for file in reversed(outside_files(checkpoint_folder(ledger.path, ledger.ledger_id))):
            if named_size(file) <= known:
                break
            problem = _outside(ledger, file, signed_here=known)
            if problem is None:
                break
            ignored.append(f"warning: the checkpoint {file} {problem}; `orchestrate audit verify` says more")
    finally:
        for what in ignored[:_WARNED_AT_MOST]:
            render.err(printable(what))
        if len(ignored) > _WARNED_AT_MOST:
            render.err(f"warning: {len(ignored) - _WARNED_AT_MOST} more checkpoints beside the ledger say nothing")


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


def check_signer(ledger: Ledger) -> None:
    """
    Make sure that what seals *ledger* can be used, before anything is done that has to be sealed.

    Raises:
        KeyFileError: The key of this user or the memory beside it is missing or damaged.
    """
    # Without what signs the checkpoint stays unsigned, which is told when it is made.
    with contextlib.suppress(MissingExtraError):
        signer = signer_of(ledger.ledger_id)
        if signer is not None:
            signer.remembered()


def missing_key(connection: sqlite3.Connection, ledger_id: str) -> str | None:
    """Return what there is to say where the ledger is signed with a key, by its own history, and this user has none for it; else None."""
    changes = key_changes(connection)
    folder = operator_folder(ledger_id)
    if not changes or has_key(folder):
        return None
    return f"the ledger is signed with the key {changes[-1].after.id.hex()}, which is not in {folder}: what is sealed here stays unsigned"


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
    ledger: Ledger,
    run_id: str,
    pipeline: Pipeline,
    *,
    folder: Path,
    clean: Callable[[str], str],
    say: Say,
    then: Callable[[], None] = lambda: None,
) -> LedgerError | None:
    """
    Seal the run *run_id*, which has ended, anchor its checkpoint, do what is left to do *then*, and seal what came after.

    Args:
        folder: Which anchors are relative to.
        clean: Masks secrets in what is recorded of anchors.
        then: Called once, whether the run could be sealed or not.

    Returns:
        What kept a checkpoint from being made, or None; the run is what it is. An anchor that failed is told and recorded.
    """
    try:
        last = any_run(ledger.connection, run_id)["last_seq"]
        found = seal_ledger(ledger, last + 1, say=say)
        outcomes = anchored(found, pipeline, folder, ledger.ledger_id, clean)
        if outcomes:
            size, root = found.checkpoint.size, found.checkpoint.root.hex()
            event = CheckpointAnchored(pipeline.name, run_id, size, root, tuple(outcomes))
            append_event(ledger, f"pipeline/{pipeline.name}", event)
        for outcome in outcomes:
            if not outcome["ok"]:
                say(f"warning: the checkpoint did not reach the anchor {outcome['anchor']}: {outcome['detail']}")
    except LedgerError as error:
        then()
        return error
    then()
    try:
        seal_ledger(ledger, say=say)
    except LedgerError as error:
        return error
    return None


def _sign(ledger: Ledger, say: Say) -> Sign | None:
    try:
        finish_replacing(ledger, operator_folder(ledger.ledger_id))
        signer = signer_of(ledger.ledger_id)
    except MissingExtraError as error:
        say(f"warning: the checkpoint stays unsigned: {error}")
        return None
    if signer is None:
        return None

    def prove(size1: int, size2: int) -> list[bytes]:
        return consistency(ledger.connection, size1, size2)

    note_place(ledger.ledger_id, ledger.path)
    return lambda checkpoint: signer.sign(checkpoint, prove, str(ledger.path))


def _outside(ledger: Ledger, path: Path, *, signed_here: int) -> str | None:
    """
    Hold *ledger* to the checkpoint in *path*, and return why that says nothing, or None.

    Raises:
        InconsistentHistoryError: It does not continue it.
    """
    try:
        note = read_note(path)
        checkpoint, _ = open_checkpoint(note)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ProofError as error:
        return f"is none: {error}"
    if checkpoint.origin != origin_of(ledger.ledger_id):
        return f"is of another ledger, {checkpoint.origin}"
    if checkpoint.size != named_size(path):
        # An older one under a larger name would hide those between.
        return f"covers {checkpoint.size} events, its name says {named_size(path)}"
    try:
        hold_to(ledger.connection, ledger.ledger_id, str(ledger.path), checkpoint)
    except InconsistentHistoryError as error:
        if signed_here and not _is_vouched(ledger, note):
            return f"covers {checkpoint.size} events; {signed_here} were signed here, and no key of the ledger has signed it"
        whose = "" if "\n\n" in note else ", which nobody has signed"
        how = "`orchestrate audit verify` shows what is missing: restore it, or, where nothing is, move that file away"
        error.args = (f"{error}; so says {path}{whose}. {how}",)
        raise
    return None


def _is_vouched(ledger: Ledger, note: str) -> bool:
    """Return whether *note* is signed with the key that the signer's memory is signed with, or one that it vouches for."""
    changes = key_changes(ledger.connection)
    try:
        memory = read_note(operator_folder(ledger.ledger_id) / MEMORY)
        own = [change.after for change in changes if _is_signed(memory, change.after)]
        return bool(own) and bool(open_vouched(note, own, rotations(changes).values()))
    except (OSError, ProofError):
        return False


def _is_signed(note: str, key: VerifierKey) -> bool:
    try:
        return bool(open_note(note, [key]))
    except ProofError:
        return False
