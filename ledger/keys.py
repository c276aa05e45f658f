"""
The keys of a ledger as its own history tells of them, and which of them a pinned key vouches for.

Three events of the stream `ledger`: `ledger.key_added` (the first key), `ledger.key_rotated` (a new one, its statement signed by the old and the
new) and `ledger.key_replaced` (the old one is lost, the statement is signed by the new one alone). Nothing in the file is trusted for being in the
file: a rotation counts for whoever has pinned one of its two keys, since both have signed it. A replacement counts for nobody, and shows as a gap.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import attrs

from ledger.canonical import parse_canonical
from ledger.errors import CanonicalError, ProofError
from ledger.signing import SigningKey, signed_note
from ledger.verifier import Rotation, VerifierKey

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
    def rotation(self) -> Rotation | None:
        """The change as both keys have signed it; None where they have not, or have signed another one."""
        if self.type != ROTATED or self.before is None or self.statement is None:
            return None
        try:
            found = Rotation.read(self.statement)
        except ProofError:
            return None
        return found if found[:2] == (self.before, self.after) and found.size <= self.seq else None


def rotation_statement(rotation: Rotation, keys: Iterable[SigningKey]) -> str:
    """Return the statement of *rotation*, signed by *keys*."""
    return signed_note(rotation.text, *(key.signature_line(rotation.text) for key in keys))


def key_changes(connection: sqlite3.Connection) -> list[KeyChange]:
    """Return what the ledger says about its keys, in order; what cannot be read is left out, and its event is found damaged by verifying."""
    rows = connection.execute(
        "SELECT seq, body FROM events WHERE stream = 'ledger' AND type IN (?, ?, ?) ORDER BY version",
        (ADDED, ROTATED, REPLACED),
    )
    return [change for seq, body in rows if (change := _change(seq, body)) is not None]


def rotations(changes: Iterable[KeyChange]) -> dict[int, Rotation]:
    """Return each change that both of its keys have signed, by its seq."""
    return {change.seq: rotation for change in changes if (rotation := change.rotation) is not None}


def _change(seq: int, body: str) -> KeyChange | None:
    try:
        envelope = parse_canonical(body)
        assert isinstance(envelope, dict)
        data = envelope["data"]
        before, statement = data.get("before"), data.get("statement")
        assert statement is None or isinstance(statement, str)
        return KeyChange(
            seq,
            envelope["type"],
            None if before is None else VerifierKey.parse(before),
            VerifierKey.parse(data["after"]),
            statement,
        )
    except (CanonicalError, ProofError, KeyError, TypeError, AttributeError, AssertionError):
        return None
