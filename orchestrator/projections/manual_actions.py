"""
What people did by hand around runs, as the tables hold it: notes, acknowledgements, moves; and which failures nobody has acknowledged.

Only the standard library is loaded here, and views are asked where there is one, see `queries`: notes, acknowledgements and moves have none of
their own, since `audit_manual_actions` is all of them at once and would be gone through as a whole.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ledger.reader import read_rows

Row = dict[str, object]

FAILURES = ("failed", "timed_out", "cancelled", "interrupted")
"""How a run ends that somebody has to know of; the only ones that can be acknowledged."""

LISTED_AT_MOST = 31

# A run that is resumed may fail again: what was acknowledged is the end that it had then.
_NOT_ACKNOWLEDGED = (
    " FROM audit_runs u WHERE pipeline = ? AND status IN ('failed', 'timed_out', 'cancelled', 'interrupted')"
    " AND NOT EXISTS (SELECT 1 FROM acknowledgements k WHERE k.run_id = u.run_id AND k.seq > u.last_seq)"
)


def notes_of(connection: sqlite3.Connection, run_id: str) -> list[Row]:
    """Return the notes on the run *run_id* and on its steps, in order."""
    return _rows(
        connection,
        "SELECT seq, step, recorded_at, text, reason, actor FROM notes WHERE run_id = ? ORDER BY seq",
        (run_id,),
    )


def acknowledgement_of(connection: sqlite3.Connection, run_id: str) -> Row | None:
    """Return who acknowledged the end of the run *run_id*, when and why, or None where nobody did, or only one that it had before it was resumed."""
    rows = _rows(
        connection,
        "SELECT k.seq, k.status, k.recorded_at, k.reason, k.actor FROM acknowledgements k JOIN audit_runs r ON r.run_id = k.run_id"
        " WHERE k.run_id = ? AND k.seq > r.last_seq ORDER BY k.seq LIMIT 1",
        (run_id,),
    )
    return rows[0] if rows else None


def unacknowledged(connection: sqlite3.Connection, pipeline: str) -> tuple[int, list[Row]]:
    """Return how many runs of *pipeline* did not end well and are not acknowledged, and the newest 31 of them."""
    (count,) = connection.execute(f"SELECT count(*){_NOT_ACKNOWLEDGED}", (pipeline,)).fetchone()
    if not count:
        return 0, []
    rows = _rows(
        connection,
        f"SELECT run_id, night, status, finished_at{_NOT_ACKNOWLEDGED} ORDER BY first_seq DESC LIMIT ?",
        (pipeline, LISTED_AT_MOST),
    )
    return count, rows


def accepted_since(connection: sqlite3.Connection, run: Row) -> list[str]:
    """Return the steps of *run* whose outputs somebody has accepted since they had their end in it, whichever run that was about."""
    rows = connection.execute(
        "SELECT DISTINCT a.step FROM acceptances a JOIN steps s ON s.run_id = ? AND s.step = a.step"
        " WHERE a.pipeline = ? AND a.night IN ('', ?) AND a.seq > s.finished_seq ORDER BY a.step",
        (run["run_id"], run["pipeline"], run["night"]),
    )
    return [step for (step,) in rows]


def moves_before(connection: sqlite3.Connection, run_id: str) -> list[Row]:
    """Return by which moves the run *run_id* came to where it ran: those since its pipeline's run before it, in order."""
    return _rows(
        connection,
        "SELECT m.seq, m.recorded_at, m.kind, m.before, m.after, m.reason, m.actor FROM audit_runs r JOIN moves m USING (pipeline)"
        " WHERE r.run_id = ? AND m.seq < r.first_seq AND m.seq > coalesce((SELECT max(p.first_seq) FROM audit_runs p"
        " WHERE p.pipeline = r.pipeline AND p.first_seq < r.first_seq), -1) ORDER BY m.seq",
        (run_id,),
    )


def moves_as_changes(connection: sqlite3.Connection, pipeline: str | None = None) -> list[Row]:
    """Return every move to another host or path, newest first, as `queries.definition_changes` gives changes: with one difference each."""
    rows = _rows(
        connection,
        "SELECT m.*, d.after AS definition, d.definition_path FROM moves m LEFT JOIN audit_definition_changes d ON d.seq ="
        " (SELECT max(seq) FROM audit_definition_changes WHERE pipeline = m.pipeline AND seq < m.seq)"
        " WHERE m.pipeline = coalesce(?, m.pipeline) ORDER BY m.seq DESC",
        (pipeline,),
    )
    found = []
    for row in rows:
        name = {"host": "host", "definition": "definition_path"}[str(row["kind"])]
        change = {"path": name, "kind": "changed", "before": row["before"], "after": row["after"]}
        kept = {key: row[key] for key in ("seq", "pipeline", "recorded_at", "definition_path", "actor", "reason")}
        digest = row["definition"]
        found.append(
            kept | {"kind": name, "before": digest, "after": digest, "changes": [change], "git": None}
        )  # fmt: skip
    return found


def last_host(connection: sqlite3.Connection, pipelines: Sequence[str]) -> str | None:
    """Return the host that the newest run of any of *pipelines* was started on, in a former ledger if need be, or None where there is no run."""
    names = json.dumps(list(pipelines))
    row = connection.execute(
        "SELECT json_extract(data, '$.host') FROM audit_events WHERE seq = (SELECT max(first_seq) FROM audit_runs"
        " WHERE pipeline IN (SELECT value FROM json_each(?)))",
        (names,),
    ).fetchone()
    if row is None:
        row = connection.execute(
            "SELECT host FROM carried_pipelines WHERE host IS NOT NULL AND pipeline IN (SELECT value FROM json_each(?))",
            (names,),
        ).fetchone()
    return None if row is None else str(row[0])


def recorded_definition(connection: sqlite3.Connection, pipeline: str) -> Row:
    """Return the definition that *pipeline* last ran with, as the plain values of its file; empty where it is not kept."""
    row = connection.execute(
        "SELECT b.bytes FROM pipelines p JOIN blobs b ON b.digest = p.definition WHERE p.pipeline = ?", (pipeline,)
    ).fetchone()
    document: Row = {} if row is None else json.loads(row[0])
    return document


def lateness_terms(connection: sqlite3.Connection, pipeline: str) -> bool:
    """Whether the definition that *pipeline* last ran with says when it is due or how fresh its data must be; the definition is not read for it."""
    row = connection.execute(
        "WITH document (text) AS (SELECT CAST(b.bytes AS TEXT) FROM pipelines p JOIN blobs b ON b.digest = p.definition WHERE p.pipeline = ?)"
        " SELECT json_extract(text, '$.schedule.cron') IS NOT NULL OR EXISTS (SELECT 1 FROM json_each(text, '$.datasets') d"
        " WHERE json_extract(d.value, '$.fresh_within') IS NOT NULL) FROM document",
        (pipeline,),
    ).fetchone()
    return row is not None and bool(row[0])


def asks_for_digest(connection: sqlite3.Connection, pipeline: str) -> bool:
    """Whether the definition that *pipeline* last ran with has a rule for a daily digest; the definition is not read for it."""
    row = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM pipelines p JOIN blobs b ON b.digest = p.definition, json_each(CAST(b.bytes AS TEXT), '$.alerts.rules') r,"
        " json_each(r.value, '$.on') o WHERE p.pipeline = ? AND o.value = 'digest')",
        (pipeline,),
    ).fetchone()
    return bool(row[0])


def requires_reason(document: Row) -> bool:
    """Whether the definition *document* refuses manual actions that give no reason."""
    audit = document.get("audit")
    return isinstance(audit, dict) and audit.get("require_reason") is True


def who(row: Row) -> str:
    """Return who did what *row* tells of, as people read it: `alice on etl1`."""
    actor = row["actor"]
    return f"{actor.get('user')} on {actor.get('host')}" if isinstance(actor, dict) else "somebody"


def acknowledged_text(row: Row, time: Callable[[object], str]) -> str:
    """Return an acknowledgement as a sentence without a full stop; *time* puts a stored time into words."""
    return f"acknowledged by {_who_and_when(row, time)}"


def manual_lines(
    detail: Mapping[str, Any], time: Callable[[object], str], *, step: str | None = None
) -> Iterator[tuple[str, str]]:
    """
    Yield label and text of what was done by hand around a run: moves before it, its acknowledgement, its notes.

    Args:
        detail: The run as `queries.run_detail` gives it.
        time: Puts a stored time into words.
        step: Leave out moves and what was noted on other steps.
    """
    for row in detail["moves"] if step is None else ():
        yield "moved", f"{row['kind']} {row['before']} -> {row['after']}, by {_who_and_when(row, time)}"
    if detail["acknowledged"] is not None:
        yield "acknowledged", f"by {_who_and_when(detail['acknowledged'], time)}"
    for row in detail["notes"]:
        if step is None or row["step"] in (None, step):
            place = f"{row['step']}: " if row["step"] else ""
            yield "note", f"{place}{row['text']} (by {_who_and_when(row, time)})"


def _who_and_when(row: Row, time: Callable[[object], str]) -> str:
    reason = f": {row['reason']}" if row["reason"] else ""
    return f"{who(row)}, {time(row['recorded_at'])}{reason}"


def _rows(connection: sqlite3.Connection, sql: str, values: Sequence[object]) -> list[Row]:
    rows = read_rows(connection, sql, values)
    for row in rows:
        if "actor" in row:
            row["actor"] = json.loads(row["actor"])
    return rows
