"""
What alerts are decided by, as the ledger has it: how a run ended and what was before it, and the outbox of each pipeline.

Only the standard library and plain values, but for `run_end`, which only those ask who tell somebody.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.core.ended import WELL, is_whole
from orchestrator.core.outbox import Row, outbox, stream_of
from orchestrator.projections.queries import load_blob

if TYPE_CHECKING:
    from orchestrator.core.alerts import RunEnd

_STREAMS = stream_of("")


def outboxes(connection: sqlite3.Connection) -> list[str]:
    """Return the pipelines for which an alert was ever raised."""
    rows = connection.execute(
        "SELECT DISTINCT substr(stream, ?) FROM events WHERE stream >= ? AND stream < ? ORDER BY 1",
        (len(_STREAMS) + 1, _STREAMS, f"{_STREAMS[:-1]}0"),
    )
    return [pipeline for (pipeline,) in rows]


def outbox_of(connection: sqlite3.Connection, pipeline: str) -> dict[str, Row]:
    """Return the alerts of *pipeline* by id, in order, see `core.outbox`."""
    rows = connection.execute(
        "SELECT type, data, recorded_at FROM events WHERE stream = ? ORDER BY version", (stream_of(pipeline),)
    )
    return outbox((kind, json.loads(data), recorded_at) for kind, data, recorded_at in rows)


def run_end(connection: sqlite3.Connection, run_id: str, names: Sequence[str]) -> RunEnd | None:
    """
    Return what the end of the run *run_id*, which exists, is judged by; None while it is on.

    Args:
        names: The present and the former names of its pipeline.
    """
    from orchestrator.core.alerts import RunEnd

    pipeline, night, status, first, seq, selection, cause = connection.execute(
        "SELECT pipeline, night, status, first_seq, last_seq, selection, root_cause FROM runs WHERE run_id = ?",
        (run_id,),
    ).fetchone()
    if seq is None or status == "running":
        return None
    resumed = connection.execute(
        "SELECT 1 FROM events WHERE stream = 'run/' || ? AND type = 'run.resumed' LIMIT 1", (run_id,)
    ).fetchone()
    return RunEnd(
        pipeline=pipeline,
        run_id=run_id,
        night=night,
        status=status,
        seq=seq,
        begun=run_begun(connection, run_id),
        cause=None if cause is None else json.loads(cause),
        resumed=resumed is not None,
        whole=is_whole(json.loads(selection)),
        before=_before(connection, names, first),
    )


def run_begun(connection: sqlite3.Connection, run_id: str) -> int:
    """Return the place in the ledger of the start of the run *run_id*, which exists, or of its last resume."""
    (seq,) = connection.execute(
        "SELECT max(seq) FROM events WHERE stream = 'run/' || ? AND type IN ('run.started', 'run.resumed')", (run_id,)
    ).fetchone()
    return int(seq)


def _before(connection: sqlite3.Connection, names: Sequence[str], first: int) -> str | None:
    """Return how the last run before the event *first* ended that did not end well or was about all steps."""
    rows = connection.execute(
        "SELECT status, selection FROM runs WHERE pipeline IN (SELECT value FROM json_each(?)) AND first_seq < ?"
        " AND status <> 'running' ORDER BY first_seq DESC",
        (json.dumps(list(names)), first),
    )
    for status, selection in rows:
        if status not in WELL or is_whole(json.loads(selection)):
            return str(status)
    return None


def last_ended(connection: sqlite3.Connection, names: Sequence[str], count: int) -> list[str]:
    """Return the newest *count* runs under *names* that have ended, oldest first."""
    rows = connection.execute(
        "SELECT run_id FROM runs WHERE pipeline IN (SELECT value FROM json_each(?)) AND status <> 'running'"
        " ORDER BY first_seq DESC LIMIT ?",
        (json.dumps(list(names)), count),
    ).fetchall()
    return [run_id for (run_id,) in reversed(rows)]


def last_begun(connection: sqlite3.Connection, pipeline: str) -> int | None:
    """Return the place in the ledger of the newest start of a run of *pipeline*, or None where it never ran."""
    (seq,) = connection.execute("SELECT max(first_seq) FROM runs WHERE pipeline = ?", (pipeline,)).fetchone()
    return None if seq is None else int(seq)


def newest_refusal(connection: sqlite3.Connection, pipeline: str) -> int | None:
    """Return the place in the ledger of the newest start of *pipeline* that was refused, or None."""
    (seq,) = connection.execute("SELECT max(seq) FROM audit_refusals WHERE pipeline = ?", (pipeline,)).fetchone()
    return None if seq is None else int(seq)


def definition_of_run(connection: sqlite3.Connection, run_id: str) -> dict[str, object]:
    """Return the definition that the run *run_id* had, as the plain values of its file; empty where it is not kept."""
    (digest,) = connection.execute("SELECT definition FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    return load_blob(connection, digest) or {}
