"""
What decisions need of a former ledger, carried over into the one that continues it: every skip is kept and can be checked against the archive.

The state is a function of the former ledger's events. It is kept as one blob, which an event names, and the tables are filled from it, so that they are
made anew from the events like all others.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping

from ledger.canonical import blob_digest, canonical_bytes
from ledger.events import RecordedEvent
from ledger.reader import kept_blob, read_rows
from orchestrator.core.events import HistoryCarried
from orchestrator.projections.blob_names import blobs_below

Row = dict[str, object]

VERSION = 1

# What a run without an end has left: nobody can say how it went on.
_ATTEMPTS = """
WITH wanted (run_id, step, attempt) AS (
    SELECT run_id, step, attempt FROM baselines WHERE run_id IS NOT NULL
    UNION
    SELECT last_run_id, step, last_attempt FROM baselines
), known AS (
    SELECT a.run_id, a.step, a.attempt, CASE a.status WHEN 'running' THEN 'failed' ELSE a.status END AS status,
        CASE a.status WHEN 'running' THEN 'lost' ELSE a.reason END AS reason, a.key, a.components
    FROM attempts a
    UNION ALL
    SELECT run_id, step, attempt, status, reason, key, components FROM carried_attempts
)
SELECT known.* FROM wanted JOIN known USING (run_id, step, attempt) ORDER BY run_id, step, attempt
"""

_PIPELINES = """
SELECT p.pipeline, p.definition_path, p.definition, coalesce(
    (SELECT json_extract(e.body, '$.data.host') FROM events e
        WHERE e.seq = (SELECT max(first_seq) FROM runs WHERE pipeline = p.pipeline)),
    (SELECT host FROM carried_pipelines c WHERE c.pipeline = p.pipeline)) AS host
FROM pipelines p ORDER BY p.pipeline
"""


def carried_state(connection: sqlite3.Connection, ledger_id: str, size: int) -> tuple[str, dict[str, bytes]]:
    """
    Return the digest of what is to be carried over of a ledger, and the blobs that this needs, itself among them.

    Args:
        connection: Its tables are those of this program, made from its *size* events.
    """
    text = canonical_bytes({"version": VERSION, "ledger": ledger_id, "events": size, **decision_rows(connection)})
    return blob_digest(text), {blob_digest(text): text, **blobs_below(connection, [text])}


def decision_rows(connection: sqlite3.Connection) -> dict[str, list[Row]]:
    """Return what decisions need of a ledger, as its tables have it: its pipelines, their baselines, and the attempts that those name."""
    return {
        "pipelines": read_rows(connection, _PIPELINES),
        "baselines": read_rows(connection, "SELECT * FROM baselines ORDER BY pipeline, step, night"),
        "attempts": read_rows(connection, _ATTEMPTS),
    }


def carried_problem(
    connection: sqlite3.Connection, former: sqlite3.Connection, former_id: str, size: int
) -> str | None:
    """
    Say in which way the state that a ledger carries is not that of its former ledger, or return None.

    Args:
        connection: The ledger that continues.
        former: Its former ledger; its tables are those of this program, made from its *size* events.
    """
    row = connection.execute(
        "SELECT json_extract(data, '$.ledger'), json_extract(data, '$.state') FROM main.events WHERE seq = 1 AND type = 'history.carried'"
    ).fetchone()
    if row is None:
        return "it carries no state of the ledger that it continues"
    digest, _ = carried_state(former, former_id, size)
    if row != (former_id, digest):
        return f"the state that it carries is {row[1]}, that of {former_id} after {size} events is {digest}"
    return None


def take_carried(
    _models: object, connection: sqlite3.Connection, _recorded: RecordedEvent, event: HistoryCarried
) -> None:
    """Fill the tables with the state that *event* names."""
    kept = kept_blob(connection, event.state)
    state = {} if kept is None else json.loads(kept)
    for row in state.get("pipelines", []):
        _insert(connection, "pipelines", {key: value for key, value in row.items() if key != "host"})
        _insert(
            connection, "carried_pipelines", {"pipeline": row["pipeline"], "ledger": event.ledger, "host": row["host"]}
        )
    for row in state.get("baselines", []):
        _insert(connection, "baselines", row)
    for row in state.get("attempts", []):
        _insert(connection, "carried_attempts", {**row, "ledger": event.ledger})


def _insert(connection: sqlite3.Connection, table: str, row: Mapping[str, object]) -> None:
    names = ", ".join(f'"{name}"' for name in row)
    places = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", tuple(row.values()))  # noqa: S608 - our own names
