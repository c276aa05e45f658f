"""What the commands about keys and checkpoints do: make, replace and use keys, seal a ledger, and witness it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import attrs

from ledger.checkpoints import Seal, last_seal
from ledger.errors import KeyFileError
from ledger.folders import write_private
from ledger.keys import key_changes, rotations
from ledger.outside import checkpoint_folder, read_note, write_outside
from ledger.replacing import add_key, is_begun, present_key, rotate_key
from ledger.schema import ledger_identity
from ledger.signer import has_key
from ledger.store import Ledger
from ledger.tree import consistency
from ledger.verifier import Checkpoint, VerifierKey, open_checkpoint
from ledger.witness import Witness, install_witness
from orchestrator.cli import render
from orchestrator.cli.damage import naming_damage
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.keyring import given_key, operator_folder, witness_folder
from orchestrator.cli.locate import definition_path, ledger_path
from orchestrator.cli.manual import ledger_reason
from orchestrator.cli.opening import open_to_write
from orchestrator.cli.reading import viewing
from orchestrator.cli.sealing import hold_to_last_seal, seal_ledger
from orchestrator.runtime.provenance import current_actor


@attrs.frozen
class Made:
    """Hold the public half of a key that was made, and the folder in which the private half lies."""

    key: VerifierKey
    folder: Path


@attrs.frozen
class Cosigned:
    """
    Hold what a witness did.

    Attributes:
        note: The checkpoint with her cosignature.
        path: Where it was written.
        before: How many events she had seen before, or None.
    """

    checkpoint: Checkpoint
    note: str
    path: Path
    witness: VerifierKey
    before: int | None


def make_operator_key(pipeline: str | None, ledger: str | None, *, lost: bool, reason: str | None) -> Made:
    """
    Make the key of a ledger, record that, and seal the ledger with it; a making that was interrupted is finished.

    Args:
        lost: Put it in the place of a key that nobody has any more.

    Raises:
        UsageRefusedError: The ledger is signed with a key already.
        MissingExtraError: What signs is not installed.
    """
    with _writing(pipeline, ledger) as store:
        folder, present = operator_folder(store.ledger_id), present_key(store)
        if present is not None and not lost and not is_begun(store, folder):
            where = "it lies in" if has_key(folder) else "its private half is not in"
            message = f"the ledger is signed with the key {present.id.hex()} already, and {where} {folder}"
            hint = "orchestrate audit rotate-key replaces it; --lost begins anew where nobody has it any more"
            raise UsageRefusedError("key_exists", f"{message}: {hint}")
        key = add_key(store, folder, _facts(store, reason, "audit keygen"), lost=lost)
        seal_ledger(store, say=render.err)
        return Made(key, folder)


def rotate_operator_key(pipeline: str | None, ledger: str | None, *, reason: str | None) -> Made:
    """
    Put a new key in the place of the present one; what both signed is recorded. One that was interrupted is finished.

    Raises:
        KeyFileError: The present key is missing or damaged.
        InconsistentHistoryError: The ledger is not what the present key has signed.
    """
    with _writing(pipeline, ledger) as store:
        folder = operator_folder(store.ledger_id)
        if not has_key(folder):
            message = f"there is no key of this ledger in {folder}: nothing to replace"
            raise UsageRefusedError("no_key", f"{message}; orchestrate audit keygen makes one")
        facts = _facts(store, reason, "audit rotate-key")
        if not is_begun(store, folder):
            seal_ledger(store, say=render.err)
        key = rotate_key(store, folder, facts)
        seal_ledger(store, say=render.err)
        return Made(key, folder)


def make_witness_key(name: str) -> Made:
    """Make this user's key as a witness; raises as `install_witness`."""
    folder = witness_folder()
    try:
        return Made(install_witness(folder, name).verifier, folder)
    except OSError as error:
        raise KeyFileError(str(folder), error.strerror or str(error)) from None


def new_checkpoint(pipeline: str | None, ledger: str | None) -> Seal:
    """Seal a whole ledger and return the checkpoint."""
    with _writing(pipeline, ledger) as store:
        return seal_ledger(store, say=render.err)


def last_checkpoint(pipeline: str | None, ledger: str | None) -> Seal:
    """
    Return the last checkpoint of a ledger.

    Raises:
        UsageRefusedError: There is none.
    """
    with viewing(pipeline, ledger) as view:
        found = last_seal(view.connection)
    if found is None:
        raise UsageRefusedError("no_checkpoint", "nothing is sealed yet; orchestrate audit checkpoint seals it")
    return found


def cosign(
    checkpoint: str | None, pipeline: str | None, ledger: str | None, *, key: str | None, out: str | None
) -> Cosigned:
    """
    Cosign a checkpoint of a ledger with this user's key as a witness, and write it where it is asked for.

    Raises:
        UsageRefusedError: There is no checkpoint, or it is not known by which key the ledger signs.
        ProofError: The checkpoint is not signed with that key.
        InconsistentHistoryError: It does not continue what was cosigned before.
    """
    witness = Witness(witness_folder())
    with viewing(pipeline, ledger) as view:
        connection = view.connection
        note = _note_to_cosign(connection, checkpoint)
        origin = open_checkpoint(note)[0].origin
        pinned = given_key(key) if key is not None else witness.known_key(origin)
        if pinned is None:
            message = f"the first time you cosign {origin}, --key has to say with which public key it is signed"
            raise UsageRefusedError("no_key", f"{message}: have its operator tell it to you, not the ledger")
        last = witness.remembered(origin)

        def prove(size1: int, size2: int) -> list[bytes]:
            return consistency(connection, size1, size2)

        vouched = rotations(key_changes(connection)).values()
        found, cosigned = witness.cosign(
            note, pinned, vouched, prove, str(view.path), now=lambda: int(datetime.now(UTC).timestamp())
        )
        folder = checkpoint_folder(view.path, ledger_identity(connection, str(view.path)))
    path = _written(cosigned, found, folder, witness.key.name, out)
    return Cosigned(found, cosigned, path, witness.key.verifier, None if last is None else last.size)


@contextlib.contextmanager
def _writing(pipeline: str | None, ledger: str | None) -> Iterator[Ledger]:
    path = ledger_path(ledger, definition_path(pipeline))
    with naming_damage(path), open_to_write(path) as store:
        hold_to_last_seal(store)
        yield store


def _facts(store: Ledger, reason: str | None, action: str) -> dict[str, object]:
    checked = ledger_reason(store.connection, store.path.parent, reason, action, os.environ)
    return {"actor": current_actor(os.environ)} | ({"reason": checked} if checked else {})


def _note_to_cosign(connection: sqlite3.Connection, checkpoint: str | None) -> str:
    if checkpoint is not None:
        try:
            return read_note(Path(checkpoint))
        except OSError as error:
            raise UsageRefusedError("no_checkpoint", f"{checkpoint} cannot be read: {error.strerror}") from None
    found = last_seal(connection, signed=True)
    if found is None:
        raise UsageRefusedError(
            "no_checkpoint", "the ledger has no signed checkpoint: its operator has to make a key first"
        )
    return found.note


def _written(note: str, checkpoint: Checkpoint, folder: Path, witness: str, out: str | None) -> Path:
    if out is not None:
        path = Path(out)
        try:
            write_private(path, note)
        except OSError as error:
            raise UsageRefusedError("output", f"{out} cannot be written: {error.strerror}") from None
        return path
    try:
        return write_outside(folder, checkpoint, note, witness=witness)
    except OSError:
        return write_outside(Path(), checkpoint, note, witness=witness)
