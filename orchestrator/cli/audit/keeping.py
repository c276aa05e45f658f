"""What the commands about keys and checkpoints do: make, replace and use keys, seal a ledger, and witness it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import attrs

from ledger.checkpoints import Seal, checkpoint_at, keep_seal, last_seal, origin_of
from ledger.errors import KeyFileError
from ledger.events import NewEvent
from ledger.folders import write_private
from ledger.keys import ADDED, REPLACED, ROTATED, key_changes, rotation_statement, trusted_keys
from ledger.outside import checkpoint_folder, read_note, write_outside
from ledger.schema import ledger_identity
from ledger.signer import Signer, has_key, keep_next_key, next_key, use_next_key
from ledger.signing import SigningKey
from ledger.store import Ledger
from ledger.tree import consistency, ledger_size
from ledger.verifier import Checkpoint, VerifierKey, open_checkpoint
from ledger.witness import Witness, install_witness
from orchestrator.cli import render
from orchestrator.cli.damage import naming_damage
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.keyring import given_key, operator_folder, witness_folder
from orchestrator.cli.locate import definition_path, ledger_path
from orchestrator.cli.opening import open_to_write
from orchestrator.cli.reading import viewing
from orchestrator.cli.sealing import hold_to_last_seal, seal_ledger
from orchestrator.core.printable import as_utf8
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
        folder = operator_folder(store.ledger_id)
        changes = key_changes(store.connection)
        present = changes[-1].after if changes else None
        begun = next_key(folder)
        if present is not None and not lost and (begun is None or begun.verifier != present):
            where = "it lies in" if has_key(folder) else "its private half is not in"
            message = f"the ledger is signed with the key {present.id.hex()} already, and {where} {folder}"
            hint = "orchestrate audit rotate-key replaces it; --lost begins anew where nobody has it any more"
            raise UsageRefusedError("key_exists", f"{message}: {hint}")
        key = keep_next_key(folder, lambda: SigningKey.generate(origin_of(store.ledger_id)))
        if present != key.verifier:
            data: dict[str, object] = {"after": key.verifier.text}
            if present is not None:
                statement = rotation_statement(origin_of(store.ledger_id), present, [key], key)
                data |= {"before": present.text, "statement": statement}
            _record(store, ADDED if present is None else REPLACED, data, reason)
        return _installed(store, folder, key)


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
        signer = Signer(folder)
        new = keep_next_key(folder, lambda: SigningKey.generate(origin_of(store.ledger_id)))
        changes = key_changes(store.connection)
        if not changes or changes[-1].after != new.verifier:
            seal_ledger(store, say=render.err)
            before = signer.key.verifier
            statement = rotation_statement(origin_of(store.ledger_id), before, [signer.key, new], new)
            data = {"before": before.text, "after": new.verifier.text, "statement": statement}
            _record(store, ROTATED, data, reason)
        return _installed(store, folder, new)


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

        keys = trusted_keys([pinned], key_changes(connection))
        found, cosigned = witness.cosign(
            note, keys, prove, str(view.path), now=lambda: int(datetime.now(UTC).timestamp())
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


def _record(store: Ledger, name: str, data: Mapping[str, object], reason: str | None) -> None:
    full = {**data, "actor": current_actor(os.environ)}
    if reason:
        full["reason"] = as_utf8(reason)
    store.append("ledger", [NewEvent(name, 1, full)], expected_version=None)


def _installed(store: Ledger, folder: Path, key: SigningKey) -> Made:
    """Put *key* to use and seal the ledger with it."""
    # Nobody can seal meanwhile, so that what the new key remembers is the most that was ever signed.
    with store.transaction() as connection:
        first = checkpoint_at(connection, store.ledger_id, ledger_size(connection))
        try:
            note = use_next_key(folder, first)
        except OSError as error:
            raise KeyFileError(str(folder), error.strerror or str(error)) from None
    keep_seal(store, note)
    seal_ledger(store, say=render.err)
    return Made(key.verifier, folder)


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
