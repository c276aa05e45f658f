"""
What was pruned, as the events say it: for whoever looks for a log, and for whoever checks skips.

Nothing is kept of it in the tables: the events of a pipeline's own stream are few.
"""

from __future__ import annotations

import json
import sqlite3

Row = dict[str, object]

_FILES = """
SELECT e.seq, e.recorded_at, json_extract(e.data, '$.keep') AS keep, json_extract(e.data, '$.policy') AS policy, f.value AS file
FROM events e, json_each(e.data, '$.files') f
WHERE e.stream = 'pipeline/' || ? AND e.type = 'files.pruned' AND (? IS NULL OR json_extract(f.value, '$.run') = ?)
ORDER BY e.seq
"""

_BLOB = """
SELECT e.seq, e.recorded_at, json_extract(e.data, '$.keep') FROM events e, json_each(e.data, '$.blobs') b
WHERE e.type = 'blobs.pruned' AND json_extract(b.value, '$.digest') = ? ORDER BY e.seq DESC LIMIT 1
"""


def pruned_files(connection: sqlite3.Connection, pipeline: str, run_id: str | None = None) -> dict[str, Row]:
    """
    Return by path what events of *pipeline* say was pruned, the last one of each path: `seq, recorded_at, keep, policy, sha256`.

    Args:
        run_id: Of this run alone.
    """
    found: dict[str, Row] = {}
    for seq, recorded_at, keep, policy, text in connection.execute(_FILES, (pipeline, run_id, run_id)):
        file = json.loads(text)
        row = {"seq": seq, "recorded_at": recorded_at, "keep": keep, "policy": policy, "sha256": file["sha256"]}
        found[str(file["path"])] = row
    return found


def pruned_blobs(connection: sqlite3.Connection) -> set[str]:
    """Return the digest of each blob that an event says was pruned; it may be kept again since."""
    rows = connection.execute(
        "SELECT json_extract(b.value, '$.digest') FROM events e, json_each(e.data, '$.blobs') b WHERE e.type = 'blobs.pruned'"
    )
    return {str(digest) for (digest,) in rows}


def pruned_blob(connection: sqlite3.Connection, digest: str) -> Row | None:
    """Return what the last event says by which the blob *digest* was pruned, as `pruned_files` does; None where no event does."""
    row = connection.execute(_BLOB, (digest,)).fetchone()
    return None if row is None else dict(zip(("seq", "recorded_at", "keep"), row, strict=True))


def pruned_text(row: Row) -> str:
    """Return what *row*, of `pruned_files`, says, as people read it."""
    return f"{pruned_when(row)}; digests stay in the ledger"


def pruned_when(row: Row) -> str:
    """Return when, why and by which event that was pruned which *row* tells of, as people read it."""
    return f"pruned at {row['recorded_at']} after {row['keep']} (event {row['seq']})"


def pruned_summary(files: object) -> str | None:
    """Return in one line what of a run's *files*, as `pruned_files` gives them, was pruned; None where nothing was."""
    assert isinstance(files, dict)
    if not files:
        return None
    last = max(files.values(), key=lambda row: row["seq"])
    return f"{len(files)} of logs and reports {pruned_text(last)}"


def pruned_json(files: object) -> list[Row]:
    """Return *files*, as `pruned_files` gives them, as a list with their paths."""
    assert isinstance(files, dict)
    return [{"path": path, **row} for path, row in files.items()]
