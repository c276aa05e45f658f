"""
Checkpoints of a ledger: the root over its first events, kept in the ledger and handed out (C2SP tlog-checkpoint v1.0.0).

A checkpoint is a row and no event: it says something about the events, and one that was an event would ask for the next. Signed where there is
a signer; without one the text alone is kept, which still is something to hold the ledger to once it lies elsewhere.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import attrs

from ledger.errors import InconsistentHistoryError, ProofError
from ledger.store import Ledger
from ledger.times import utc_now
from ledger.tree import extend_tree, ledger_size, tree_root
from ledger.verifier import Checkpoint, open_checkpoint

Sign = Callable[[Checkpoint], str]
"""From a checkpoint to the signed note; refuses by an error."""


@attrs.frozen
class Seal:
    """
    Hold a checkpoint as it stands in a ledger.

    Attributes:
        note: A signed note, or the bare text where nobody signed it.
        recorded_at: When it was put there.
    """

    checkpoint: Checkpoint
    note: str
    recorded_at: str

    @property
    def is_signed(self) -> bool:
        """Whether somebody signed it; by whom is for whoever has the key to say."""
        return self.note != self.checkpoint.text


def origin_of(ledger_id: str) -> str:
    """Return the name under which checkpoints speak of the ledger *ledger_id*."""
    return f"orchestrate-ledger/{ledger_id}"


def checkpoint_at(connection: sqlite3.Connection, ledger_id: str, size: int) -> Checkpoint:
    """Return the checkpoint over the first *size* events, which exist."""
    return Checkpoint(origin_of(ledger_id), size, tree_root(connection, size))


def hold_to(connection: sqlite3.Connection, ledger_id: str, path: str, checkpoint: Checkpoint) -> None:
    """
    Make sure that the ledger continues what *checkpoint* says of it; one of another ledger says nothing.

    Raises:
        InconsistentHistoryError: It has fewer events, or others.
    """
    if checkpoint.origin != origin_of(ledger_id):
        return
    size = ledger_size(connection)
    if size < checkpoint.size:
        what = f"it has {size} events, {checkpoint.size} were sealed: the last {checkpoint.size - size} are missing"
        raise InconsistentHistoryError(path, what)
    root = tree_root(connection, checkpoint.size)
    if root != checkpoint.root:
        what = f"the root over its first {checkpoint.size} events is {root.hex()}, sealed was {checkpoint.root.hex()}"
        raise InconsistentHistoryError(path, what)


def seal(
    ledger: Ledger, size: int | None = None, *, sign: Sign | None = None, now: Callable[[], str] = utc_now
) -> Seal:
    """
    Keep a checkpoint over the first *size* events, or all of them, in *ledger* and return it; one that is there already is not made again.

    Raises:
        InconsistentHistoryError: The signer knows of another history; nothing was kept.
        StorageError: The disk refused.
    """
    with ledger.transaction() as connection:
        head = ledger_size(connection)
        size = head if size is None else min(size, head)
        extend_tree(connection, head)
        checkpoint = checkpoint_at(connection, ledger.ledger_id, size)
        # Whatever stands there already, the signer is asked: a row is not his word. The same text has the same signature.
        note = None if sign is None else sign(checkpoint)
        found = _known(connection, checkpoint, note)
        if found is not None:
            return found
        new = Seal(checkpoint, note or checkpoint.text, now())
        _insert(connection, new)
    return new


def keep_seal(ledger: Ledger, note: str) -> Seal:
    """
    Keep a *note* that somebody made elsewhere of a checkpoint of this ledger.

    Raises:
        ProofError: It is no checkpoint.
    """
    checkpoint, _ = open_checkpoint(note)
    new = Seal(checkpoint, note, utc_now())
    with ledger.transaction() as connection:
        known = connection.execute("SELECT 1 FROM checkpoints WHERE note = ?", (note,)).fetchone()
        if known is None:
            _insert(connection, new)
    return new


def seals(connection: sqlite3.Connection) -> list[Seal]:
    """
    Return all checkpoints of the ledger, the smallest first.

    Raises:
        ProofError: One of them is none.
    """
    rows = connection.execute("SELECT note, recorded_at FROM checkpoints ORDER BY size, id")
    return [Seal(open_checkpoint(note)[0], note, at) for note, at in rows]


def last_seal(connection: sqlite3.Connection, *, signed: bool = False) -> Seal | None:
    """Return the largest checkpoint of the ledger, among equals the signed and the newest; or None."""
    condition = " WHERE instr(note, char(10, 10))" if signed else ""
    row = connection.execute(
        f"SELECT note, recorded_at FROM checkpoints{condition}"  # noqa: S608 - both forms stand here
        " ORDER BY size DESC, instr(note, char(10, 10)) > 0 DESC, id DESC LIMIT 1"
    ).fetchone()
    return None if row is None else Seal(open_checkpoint(row[0])[0], *row)


def _insert(connection: sqlite3.Connection, new: Seal) -> None:
    connection.execute(
        "INSERT INTO checkpoints (size, root, note, recorded_at) VALUES (?, ?, ?, ?)",
        (new.checkpoint.size, new.checkpoint.root, new.note, new.recorded_at),
    )


def _known(connection: sqlite3.Connection, checkpoint: Checkpoint, note: str | None) -> Seal | None:
    """Return the newest row that is *note*, or where that is None, the newest that says of the ledger what *checkpoint* does."""
    rows = connection.execute(
        "SELECT note, recorded_at FROM checkpoints WHERE size = ? ORDER BY id DESC", (checkpoint.size,)
    ).fetchall()
    for text, recorded_at in rows:
        try:
            found = Seal(open_checkpoint(text)[0], text, recorded_at)
        except ProofError:
            continue  # Somebody has put it there; verifying says so.
        if found.checkpoint == checkpoint and note in (None, found.note):
            return found
    return None
