"""
The checkpoint that seals a run, as reports and `show` name it.

Only the standard library is loaded here, see `queries`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping


def checkpoint_over(connection: sqlite3.Connection, last_seq: object) -> dict[str, object] | None:
    """Return size, root and whether it is signed of the smallest checkpoint that covers the event *last_seq*; None where none does."""
    # A ledger of the first format has no checkpoints.
    known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'checkpoints'").fetchone()
    if known is None or last_seq is None:
        return None
    row = connection.execute(
        "SELECT size, lower(hex(root)), instr(note, char(10, 10)) > 0 AS signed FROM checkpoints WHERE size > ?"
        " ORDER BY size, signed DESC LIMIT 1",
        (last_seq,),
    ).fetchone()
    return None if row is None else {"size": row[0], "root": row[1], "signed": bool(row[2])}


def checkpoint_text(checkpoint: object) -> str | None:
    """Return the *checkpoint* of a run in words, or None where there is none."""
    if not isinstance(checkpoint, Mapping):
        return None
    signed = "signed" if checkpoint["signed"] else "unsigned"
    return f"{checkpoint['size']} events, root {checkpoint['root']} ({signed})"
