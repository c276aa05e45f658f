"""Rows beside the events that say something of them: the ledger's id and beginning, and the blobs that events name."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

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


def check_blobs(connection: sqlite3.Connection, named: Mapping[str, int], findings: Findings) -> None:
    """Find blobs that are not what their digest says, and those that are *named*, each by the event of that place, and not there."""
    missing = dict(named)
    rows = connection.execute("SELECT digest, coalesce(CAST(bytes AS BLOB), x'') FROM main.blobs")
    for digest, data in rows:
        seq = missing.pop(digest, None)
        if blob_digest(data) != digest:
            findings.add("altered_blob", f"the blob {digest!s:.100} is not what its digest says", seq=seq)
    for digest, seq in missing.items():
        findings.add("missing_blob", f"event {seq} names the blob {digest}", seq=seq)
