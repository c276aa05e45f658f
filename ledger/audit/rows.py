"""Rows beside the events that say something of them: the ledger's id and beginning, and the blobs that events name."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ledger.audit.findings import Findings
from ledger.canonical import blob_digest
from ledger.schema import is_identity


def checked_id(connection: sqlite3.Connection, findings: Findings) -> str | None:
    """Return the ledger's id; one that no program has made, which may name any path, is a finding and None."""
    rows = connection.execute("SELECT one, ledger FROM main.ledger_meta").fetchall()
    if len(rows) != 1:
        findings.add("wrong_ledger", f"ledger_meta has {len(rows)} rows, expected one with the ledger's id")
        return None
    one, found = rows[0]
    if one != 1:
        # SQLite does not look at a CHECK where it may not write.
        findings.add("wrong_ledger", f"the row of ledger_meta is the row {one!r}, expected 1")
    if isinstance(found, str) and is_identity(found):
        return found
    findings.add("wrong_ledger", f"the ledger's id is {found!r:.100}, expected 32 hexadecimal digits")
    return None


def check_beginning(connection: sqlite3.Connection, findings: Findings) -> None:
    """Find a ledger that says of its beginning what its first event does not."""
    rows = connection.execute("SELECT created_at FROM main.ledger_meta").fetchall()
    first = connection.execute("SELECT recorded_at FROM main.events WHERE seq = 0").fetchone()
    if first is not None and rows and rows[0] != first:
        what = f"ledger_meta says that it was created at {rows[0][0]!r:.100}, its first event says {first[0]!r:.100}"
        findings.add("wrong_ledger", what)


class NamedBlobs:
    """
    Collect the blobs that events name and those that events say are removed, in the order of the events.

    Attributes:
        named: Each that has to be there, with the place of the first event that names it, or of the first one after it was removed.
        removed: Those that need not be there.
    """

    def __init__(self) -> None:
        self.named: dict[str, int] = {}
        self.removed: set[str] = set()

    def take(self, seq: int, digests: Iterable[str], removed: Iterable[str]) -> None:
        """Take what the event at *seq* names, and what it says is removed."""
        for digest in digests:
            self.named.setdefault(digest, seq)
            # Whoever names it after it was removed has kept it again.
            self.removed.discard(digest)
        for digest in removed:
            self.named.pop(digest, None)
            self.removed.add(digest)


def check_blobs(connection: sqlite3.Connection, blobs: NamedBlobs, findings: Findings) -> int:
    """Find those of *blobs* that are not what their digest says or not there, and return how many are not there since they were removed."""
    missing, removed = dict(blobs.named), set(blobs.removed)
    rows = connection.execute("SELECT digest, coalesce(CAST(bytes AS BLOB), x'') FROM main.blobs")
    for digest, data in rows:
        seq = missing.pop(digest, None)
        removed.discard(digest)
        if blob_digest(data) != digest:
            findings.add("altered_blob", f"the blob {digest!s:.100} is not what its digest says", seq=seq)
    for digest, seq in missing.items():
        findings.add("missing_blob", f"event {seq} names the blob {digest}", seq=seq)
    return len(removed)
