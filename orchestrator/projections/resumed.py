"""What the tables say of a run that goes on: as if it had not ended, but for the steps that have succeeded and the attempts that there were."""

from __future__ import annotations

import json
import sqlite3

from ledger.canonical import canonical_text
from ledger.events import RecordedEvent
from ledger.reader import kept_blob
from orchestrator.core.events import RunResumed


def load_graph(connection: sqlite3.Connection, digest: str) -> list[dict[str, object]]:
    """Return the steps of the graph that is kept under *digest*; none where it is not kept."""
    kept = kept_blob(connection, digest)
    steps: list[dict[str, object]] = [] if kept is None else json.loads(kept)["steps"]
    return steps


def open_again(_models: object, connection: sqlite3.Connection, _recorded: RecordedEvent, event: RunResumed) -> None:
    """
    Take the end of a run back, and those of its steps that did not succeed; what waited to be tried again still does.

    A step that the definition lacks with which the run goes on keeps how it ended, after all others; where it was not attempted, it goes.
    """
    steps = [str(entry["step"]) for entry in load_graph(connection, event.graph)]
    connection.execute(
        "UPDATE runs SET status = 'running', exit_code = NULL, finished_at = NULL, duration_us = NULL, root_cause = NULL,"
        " counts = NULL, last_seq = NULL, definition = ?, graph = ?, git = ? WHERE run_id = ?",
        (event.definition, event.graph, None if event.git is None else canonical_text(event.git), event.run_id),
    )
    connection.execute("UPDATE pipelines SET definition = ? WHERE pipeline = ?", (event.definition, event.pipeline))
    connection.execute("DELETE FROM steps WHERE run_id = ? AND attempts = 0", (event.run_id,))
    connection.execute("UPDATE steps SET position = position + ? WHERE run_id = ?", (len(steps), event.run_id))
    connection.executemany(
        "INSERT INTO steps (run_id, step, position, status) VALUES (?, ?, ?, 'pending') ON CONFLICT (run_id, step) DO UPDATE"
        " SET position = excluded.position",
        ((event.run_id, step, position) for position, step in enumerate(steps)),
    )
    # Nobody tries again what is not defined any more: it has failed as its last attempt did.
    connection.execute(
        "UPDATE steps SET status = 'failed', retry_at = NULL, (reason, error_class) = (SELECT a.reason, a.error_class FROM attempts a"
        " WHERE a.run_id = steps.run_id AND a.step = steps.step AND a.attempt = steps.attempts)"
        " WHERE run_id = ? AND status = 'retrying' AND position >= ?",
        (event.run_id, len(steps)),
    )
    connection.execute(
        "UPDATE steps SET status = 'pending', reason = NULL, evidence = NULL, error_class = NULL, duration_us = NULL, outputs = NULL,"
        " finished_seq = NULL WHERE run_id = ? AND status NOT IN ('succeeded', 'retrying') AND position < ?",
        (event.run_id, len(steps)),
    )
