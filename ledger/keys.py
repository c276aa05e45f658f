"""
The keys of a ledger as its own history tells of them, and which of them a pinned key vouches for.

Three events of the stream `ledger`: `ledger.key_added` (the first key), `ledger.key_rotated` (a new one, its statement signed by the old and the
new) and `ledger.key_replaced` (the old one is lost, the statement is signed by the new one alone). Nothing in the file is trusted for being in the
file: a rotation counts for whoever has pinned one of its two keys, since both have signed it. A replacement counts for nobody, and shows as a gap.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

import attrs

from ledger.canonical import parse_canonical
from ledger.errors import CanonicalError, ProofError
from ledger.signing import SigningKey, signed_note
from ledger.verifier import VerifierKey, follow_rotations, read_rotation, rotation_text

ADDED = "ledger.key_added"
ROTATED = "ledger.key_rotated"
REPLACED = "ledger.key_replaced"


@attrs.frozen
class KeyChange:
    """
    Hold what one event says about the keys.

    Attributes:
        before: None for the first key.
        statement: The signed note of a rotation or a replacement.
    """

    seq: int
    type: str
    before: VerifierKey | None
    after: VerifierKey
    statement: str | None

    @property
    def is_vouched(self) -> bool:
        """Whether both keys have signed the change."""
        if self.type != ROTATED or self.before is None or self.statement is None:
            return False
        try:
            return read_rotation(self.statement) == (self.before, self.after)
        except ProofError:
            return False


def rotation_statement(origin: str, before: VerifierKey, keys: Iterable[SigningKey], after: SigningKey) -> str:
    """Return the statement that *after* takes the place of *before*, signed by *keys*."""
    text = rotation_text(origin, before, after.verifier)
    return signed_note(text, *(key.signature_line(text) for key in keys))


def key_changes(connection: sqlite3.Connection) -> list[KeyChange]:
    """Return what the ledger says about its keys, in order; what cannot be read is left out, and its event is found damaged by verifying."""
    rows = connection.execute(
        "SELECT seq, body FROM events WHERE stream = 'ledger' AND type IN (?, ?, ?) ORDER BY version",
        (ADDED, ROTATED, REPLACED),
    )
    return [change for seq, body in rows if (change := _change(seq, body)) is not None]


def trusted_keys(pinned: Sequence[VerifierKey], changes: Sequence[KeyChange]) -> list[VerifierKey]:
    """Return *pinned* and every key that they vouch for by an unbroken chain of rotations, in either direction."""
    return follow_rotations(pinned, rotations(changes).values())


def rotations(changes: Sequence[KeyChange]) -> dict[int, tuple[VerifierKey, VerifierKey]]:
    """Return each change that both of its keys have signed, by its seq: the key before and the key after."""
    vouched = (change for change in changes if change.is_vouched)
    return {change.seq: (change.before, change.after) for change in vouched if change.before is not None}


def _change(seq: int, body: str) -> KeyChange | None:
    try:
        envelope = parse_canonical(body)
        assert isinstance(envelope, dict)
        data = envelope["data"]
        before = data.get("before")
        return KeyChange(
            seq,
            envelope["type"],
            None if before is None else VerifierKey.parse(before),
            VerifierKey.parse(data["after"]),
            data.get("statement"),
        )
    except (CanonicalError, ProofError, KeyError, TypeError, AttributeError, AssertionError):
        return None
