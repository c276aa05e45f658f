"""
Giving a ledger a key, or another one: the event first, then the key, and what was interrupted in between is finished by whoever seals next.

Once the event stands, nothing more is sealed with the former key: nobody signs between the two, and a checkpoint of it that covers more counts for
nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ledger.checkpoints import checkpoint_at, keep_seal, origin_of
from ledger.errors import KeyFileError
from ledger.events import NewEvent
from ledger.folders import make_private
from ledger.keys import ADDED, REPLACED, ROTATED, key_changes, rotation_statement
from ledger.locks import KernelLock
from ledger.signer import LOCK, Signer, keep_next_key, next_key, use_next_key
from ledger.signing import SigningKey
from ledger.store import Ledger
from ledger.tree import ledger_size
from ledger.verifier import Rotation, VerifierKey

_CHANGING = "changing"

MakeEvent = Callable[[VerifierKey | None, int], NewEvent]
"""From the present key and the number of events to the event that says what follows."""


def present_key(ledger: Ledger) -> VerifierKey | None:
    """Return the key that signs the checkpoints of *ledger*, as its last event about keys says; None where it has none."""
    changes = key_changes(ledger.connection)
    return changes[-1].after if changes else None


def is_begun(ledger: Ledger, folder: Path) -> bool:
    """Return whether the key in *folder* that is to be the next one stands in *ledger* already; raises as `finish_replacing`."""
    following = next_key(folder)
    return following is not None and following.verifier == present_key(ledger)


def add_key(ledger: Ledger, folder: Path, facts: Mapping[str, object], *, lost: bool) -> VerifierKey:
    """
    Make the key of *ledger* in *folder*, and record that with the *facts*.

    Args:
        lost: There was one, and nobody has it any more.

    Raises:
        KeyFileError: The folder cannot be written, what is in it is damaged, or there is a key, and *lost* is not set.
        MissingExtraError: What signs is not installed.
        StorageError: The disk refused.
    """

    def check() -> SigningKey | None:
        present = present_key(ledger)
        if present is not None and not lost:
            raise KeyFileError(str(folder), f"somebody else has made the key {present.id.hex()} meanwhile")
        return None

    return _changed(ledger, folder, check, facts)


def rotate_key(ledger: Ledger, folder: Path, facts: Mapping[str, object]) -> VerifierKey:
    """
    Put a new key in the place of the one in *folder*; what both have signed is recorded with the *facts*. Raises as `add_key`.

    Raises:
        KeyFileError: The key in *folder* is not the one that signs *ledger*, or is damaged.
    """

    def check() -> SigningKey:
        former, present = Signer(folder).key, present_key(ledger)
        if former.verifier != present:
            shown = "none" if present is None else present.id.hex()
            what = f"it is the key {former.verifier.id.hex()}, and that of the ledger is {shown}"
            raise KeyFileError(str(folder), what)
        return former

    return _changed(ledger, folder, check, facts)


def finish_replacing(ledger: Ledger, folder: Path) -> None:
    """
    Put the next key in *folder* to use where *ledger* names it already; one that nobody has begun to use is left alone.

    Raises:
        KeyFileError: What is in the folder is damaged, or it cannot be written.
        MissingExtraError: What signs is not installed.
        StorageError: The disk refused.
    """
    if is_begun(ledger, folder):
        # Whoever has begun it may be about to finish it.
        with KernelLock(folder / _CHANGING):
            if is_begun(ledger, folder):
                _install(ledger, folder, None)


def _changed(
    ledger: Ledger, folder: Path, check: Callable[[], SigningKey | None], facts: Mapping[str, object]
) -> VerifierKey:
    """Go through with a change, or with one that was begun; *check* gives the former key, asked for when nobody else can change it."""

    def event(present: VerifierKey | None, size: int) -> NewEvent:
        data: dict[str, object] = {"after": new.verifier.text, **facts}
        if present is None:
            return NewEvent(ADDED, 1, data)
        signers = [new] if former is None else [former, new]
        statement = rotation_statement(Rotation(present, new.verifier, size), signers)
        return NewEvent(
            REPLACED if former is None else ROTATED, 1, data | {"before": present.text, "statement": statement}
        )

    make_private(folder)
    # Two of them would make two keys. It is not the lock of the signer, who takes that within a transaction of the ledger.
    with KernelLock(folder / _CHANGING):
        begun = is_begun(ledger, folder)
        former = None if begun else check()
        new = keep_next_key(folder, lambda: SigningKey.generate(origin_of(ledger.ledger_id)))
        _install(ledger, folder, None if begun else event)
        return new.verifier


def _install(ledger: Ledger, folder: Path, event: MakeEvent | None) -> None:
    """Record *event*, if it is not recorded yet, put the next key to use, and seal the ledger with it."""
    lock = KernelLock(folder / LOCK)
    try:
        with ledger.transaction() as connection:
            # From here on nobody signs, with whichever key, until the new one is in its place.
            lock.acquire(wait=True)
            if event is not None:
                made = event(present_key(ledger), ledger_size(connection))
                ledger.record(connection, "ledger", [made])
            first = checkpoint_at(connection, ledger.ledger_id, ledger_size(connection))
        note = use_next_key(folder, first)
    except OSError as error:
        raise KeyFileError(str(folder), error.strerror or str(error)) from None
    finally:
        lock.release()
    keep_seal(ledger, note)
