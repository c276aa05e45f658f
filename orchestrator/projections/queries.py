"""
Questions to the tables, answered as plain values; what every reading command and every report is made of.

Only the standard library is loaded here, so that looking into a ledger starts fast. Times are text (UTC), durations in answers are seconds,
since that is what people and their programs read; inside the ledger they are integer microseconds.

The documented views are asked, as everybody else does. A table itself is asked only for what no view shows: what the runtime decides by
(baselines, the components of keys, where definitions lie, which process has a run), and for one run, since a reproduction stands in no view.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from ledger.reader import kept_blob, read_rows
from orchestrator.core.ended import WELL
from orchestrator.projections.estimates import expected_seconds, history_of_graph
from orchestrator.projections.manual_actions import (
    accepted_since,
    acknowledgement_of,
    moves_as_changes,
    moves_before,
    notes_of,
    unacknowledged,
)

Row = dict[str, object]

_NIGHTS_AT_MOST = 31
_LISTED = "run_id, pipeline, night, status, started_at, finished_at, duration_seconds"

# fmt: off
_SHOWN_OF_RUN = (
    "run_id", "pipeline", "night", "status", "exit_code", "started_at", "finished_at", "duration_seconds", "trigger", "actor", "reason",
    "git", "definition", "root_cause", "counts", "notes", "acknowledged", "moves", "checkpoint", "reproduces", "verdicts",
)
_SHOWN_OF_STEP = ("step", "status", "reason", "evidence", "error_class", "duration_seconds", "metrics", "retry_at")
_SHOWN_OF_ATTEMPT = (
    "attempt", "status", "reason", "error_class", "message", "started_at", "finished_at", "exit_code", "signal", "duration_seconds",
    "log", "start_reason", "start_evidence",
)

_OF_STEP = "run_id, step, position, status, reason, evidence, error_class, attempts, duration_us / 1e6 AS duration_seconds, outputs, retry_at, finished_seq"
_OF_ATTEMPT = (
    "run_id, step, attempt, status, start_reason, start_evidence, key, started_at, finished_at, reason, error_class, message, exit_code,"
    " signal, duration_us / 1e6 AS duration_seconds, log, log_bytes, log_lines, log_sha256, metrics, masked, started_seq, finished_seq"
)
# fmt: on


def list_runs(
    connection: sqlite3.Connection,
    *,
    pipeline: str | None = None,
    status: Sequence[str] = (),
    night: str | None = None,
    limit: int | None = None,
) -> list[Row]:
    """Return the runs, newest first: `run_id, pipeline, night, status, started_at, finished_at, duration_seconds`."""
    return read_rows(
        connection,
        f"SELECT {_LISTED} FROM audit_runs"  # noqa: S608 - fixed names
        " WHERE pipeline = coalesce(?, pipeline) AND night = coalesce(?, night)"
        " AND (? OR status IN (SELECT value FROM json_each(?))) ORDER BY first_seq DESC LIMIT ?",
        (pipeline, night, not status, json.dumps(list(status)), -1 if limit is None else limit),
    )


def run_detail(connection: sqlite3.Connection, run_id: str, *, history: bool = True) -> Row:
    """
    Return everything that is known of the run *run_id*, which exists: the run, its graph, its steps, their attempts.

    Args:
        history: Also look up how long each step took before, for comparison.
    """
    from orchestrator.projections.reproductions import any_run, verdicts_on
    from orchestrator.projections.sealing import checkpoint_over
    from orchestrator.projections.withheld import step_classes

    run = any_run(connection, run_id)
    graph = load_blob(connection, str(run["graph"])) or {"steps": [], "datasets": {}}
    former = history_of_graph(connection, str(run["pipeline"]), graph, before=run_id) if history else {}
    attempts = _attempts(connection, run_id)
    sql = f"SELECT {_OF_STEP} FROM steps WHERE run_id = ? ORDER BY position"  # noqa: S608 - fixed names
    steps = [
        _step(row, attempts.get(str(row["step"]), []), former.get(str(row["step"]), []))
        for row in read_rows(connection, sql, (run_id,))
    ]
    detail = _with_seconds(run)
    for name in ("actor", "selection", "git", "counts"):
        detail[name] = _parsed(run[name])
    detail["root_cause"] = _cause(run["root_cause"])
    detail["repaired_by"] = None if run["reproduces"] else _repaired_by(connection, run)
    detail["notes"], detail["moves"] = notes_of(connection, run_id), moves_before(connection, run_id)
    detail["acknowledged"], detail["verdicts"] = acknowledgement_of(connection, run_id), verdicts_on(connection, run_id)
    detail["accepted_since"], detail["is_newest"] = accepted_since(connection, run), _is_newest(connection, run)
    detail["has_settings"] = has_settings(connection, run_id)
    detail["checkpoint"] = checkpoint_over(connection, run["last_seq"])
    detail["classes"] = step_classes(connection, run_id)
    detail.update(graph=graph, steps=steps, counts=detail["counts"] or _counts(steps))
    return detail


def run_row(connection: sqlite3.Connection, run_id: str) -> Row:
    """Return the run *run_id*, which exists, as `list_runs` does."""
    from orchestrator.projections.reproductions import any_run

    run = _with_seconds(any_run(connection, run_id))
    return {name: run[name] for name in _LISTED.split(", ")}


def has_settings(connection: sqlite3.Connection, run_id: str) -> bool:
    """Whether the run *run_id* was started with values given by --set, which a new run of its night lacks and a resumed one has."""
    (found,) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM events e, json_each(e.data, '$.variables') v WHERE e.stream = 'run/' || ?"
        " AND e.type = 'run.started' AND json_extract(v.value, '$.origin') = '--set')",
        (run_id,),
    ).fetchone()
    return bool(found)


def show_json(detail: Mapping[str, object]) -> Row:
    """Return what `show --json` prints of a run's *detail*."""
    shown = {name: detail[name] for name in _SHOWN_OF_RUN}
    shown["steps"] = [
        {name: step[name] for name in _SHOWN_OF_STEP}
        | {"attempts": [{name: attempt[name] for name in _SHOWN_OF_ATTEMPT} for attempt in _list(step["attempts"])]}
        for step in _list(detail["steps"])
    ]
    return shown


def pipeline_overview(connection: sqlite3.Connection, *, today: str) -> list[Row]:
    """
    Return one entry for each pipeline that ran or was refused: its last run, its last success, nights that lack one, refusals since the last run.

    The cost does not grow with the length of the history, but for the nights: one row for each run.

    Args:
        today: Later nights are not missing yet.
    """
    found = []
    known = "SELECT pipeline FROM pipelines UNION SELECT pipeline FROM audit_refusals ORDER BY pipeline"
    for (pipeline,) in connection.execute(known).fetchall():
        runs = list_runs(connection, pipeline=pipeline, limit=1)
        good = list_runs(connection, pipeline=pipeline, status=WELL, limit=1)
        entry: Row = {
            "pipeline": pipeline,
            "last_run": runs[0] if runs else None,
            "last_success": good[0] if good else None,
        }
        entry["root_cause"] = None
        if runs:
            (cause,) = connection.execute(
                "SELECT root_cause FROM runs WHERE run_id = ?", (runs[0]["run_id"],)
            ).fetchone()
            entry["root_cause"] = _cause(cause)
        entry["missing_nights"] = _missing_nights(connection, pipeline, today)
        entry["failed_nights"] = _failed_nights(connection, pipeline, runs[0]["night"]) if runs else []
        since = runs[0]["started_at"] if runs else ""
        (entry["refusals_since"],) = connection.execute(
            "SELECT count(*) FROM audit_refusals WHERE pipeline = ? AND recorded_at > ?", (pipeline, since)
        ).fetchone()
        entry["unacknowledged_count"], entry["unacknowledged"] = unacknowledged(connection, pipeline)
        found.append(entry)
    return found


def refusals(connection: sqlite3.Connection, *, pipeline: str | None = None, limit: int = 20) -> list[Row]:
    """Return the refused starts, newest first."""
    rows = read_rows(
        connection,
        "SELECT seq, pipeline, night, recorded_at, exit_code, problems, definition_path, holder, actor FROM audit_refusals"
        " WHERE pipeline = coalesce(?, pipeline) ORDER BY seq DESC LIMIT ?",
        (pipeline, limit),
    )
    return [row | {name: _parsed(row[name]) for name in ("problems", "holder", "actor")} for row in rows]


def definition_changes(connection: sqlite3.Connection, *, pipeline: str | None = None) -> list[Row]:
    """Return every change of a definition, its host or its place, newest first, with the differences, the commit and who was there."""
    rows = read_rows(
        connection,
        "SELECT seq, pipeline, recorded_at, before, after, changes, definition_path, git, actor FROM audit_definition_changes"
        " WHERE pipeline = coalesce(?, pipeline)",
        (pipeline,),
    )
    parsed = [row | {name: _parsed(row[name]) for name in ("changes", "git", "actor")} for row in rows]
    changes = [row | {"kind": "definition", "reason": None} for row in parsed] + moves_as_changes(connection, pipeline)
    return sorted(changes, key=lambda row: int(str(row["seq"])), reverse=True)


def acceptances(connection: sqlite3.Connection, run_id: str, step: str | None = None) -> list[Row]:
    """Return what was accepted by hand of the run *run_id*, in order."""
    rows = read_rows(
        connection,
        "SELECT * FROM acceptances WHERE run_id = ? AND step = coalesce(?, step) ORDER BY seq",
        (run_id, step),
    )
    return [row | {name: _parsed(row[name]) for name in ("outputs", "before", "actor")} for row in rows]


def accepted_basis(connection: sqlite3.Connection, run_id: str, step: str, *, per_night: bool) -> Row | None:
    """
    Return what accepting the outputs of *step* in the run *run_id* would rest on, or None where it was never attempted.

    Its keys: `night` (counted), `outputs` of its last success, `key`, `last_status`, `last_run_id`, and whether that run is `newer`.
    """
    pipeline, night, started = connection.execute(
        "SELECT pipeline, night, first_seq FROM runs WHERE run_id = ?", (run_id,)
    ).fetchone()
    counted = night if per_night else ""
    rows = read_rows(
        connection,
        "SELECT b.night, b.outputs, b.last_run_id, a.key, a.status AS last_status, r.first_seq > ? AS newer FROM baselines b"
        " JOIN attempts a ON a.run_id = b.last_run_id AND a.step = b.step AND a.attempt = b.last_attempt"
        " JOIN runs r ON r.run_id = b.last_run_id WHERE b.pipeline = ? AND b.step = ? AND b.night = ?",
        (started, pipeline, step, counted),
    )
    return rows[0] | {"outputs": _parsed(rows[0]["outputs"]) or {}} if rows else None


def pipeline_row(connection: sqlite3.Connection, pipeline: str) -> Row | None:
    """Return where the definition of *pipeline* lies and the digest of the last one that ran, or None."""
    rows = read_rows(connection, "SELECT * FROM pipelines WHERE pipeline = ?", (pipeline,))
    return rows[0] if rows else None


def case_twin(connection: sqlite3.Connection, pipeline: str) -> str | None:
    """Return a pipeline of the ledger whose name differs from *pipeline* only in case, or None."""
    row = connection.execute(
        "SELECT pipeline FROM pipelines WHERE lower(pipeline) = lower(?) AND pipeline <> ?", (pipeline, pipeline)
    ).fetchone()
    return None if row is None else str(row[0])


def pipeline_of_path(connection: sqlite3.Connection, definition_path: str) -> str | None:
    """Return the pipeline whose definition lies at *definition_path*, or None."""
    row = connection.execute("SELECT pipeline FROM pipelines WHERE definition_path = ?", (definition_path,)).fetchone()
    return None if row is None else str(row[0])


def unfinished_runs(connection: sqlite3.Connection, pipeline: str) -> list[str]:
    """Return the runs of *pipeline* without an end, oldest first."""
    rows = connection.execute(
        "SELECT run_id FROM audit_runs WHERE pipeline = ? AND status = 'running' ORDER BY first_seq", (pipeline,)
    )
    return [run_id for (run_id,) in rows]


def run_process(connection: sqlite3.Connection, run_id: str) -> dict[str, Any]:
    """Return which process runs *run_id*, or last did: its `pid`, its `start` and the machine's `boot`, as `liveness.is_alive` takes them."""
    from orchestrator.projections.starts import last_start

    begun = last_start(connection, run_id)
    return {"pid": begun["pid"], "start": begun["process_start"], "boot": begun["boot_id"]}


def attempt_key(connection: sqlite3.Connection, run_id: str, step: str, attempt: object) -> tuple[str, Row]:
    """Return the key of an attempt and what it is made of."""
    key, components = connection.execute(
        "SELECT key, components FROM attempts WHERE run_id = ? AND step = ? AND attempt = ?", (run_id, step, attempt)
    ).fetchone()
    return str(key), load_json(connection, components)


def load_blob(connection: sqlite3.Connection, digest: str) -> dict[str, object] | None:
    """Return the JSON object that is kept under *digest*, or None."""
    kept = kept_blob(connection, digest)
    value: dict[str, object] | None = None if kept is None else json.loads(kept)
    return value


def load_json(connection: sqlite3.Connection, value: object) -> dict[str, object]:
    """Return the object in a JSON column, fetching the blob that it may only name (`{"blob": digest}`)."""
    parsed = _parsed(value)
    found = parsed if isinstance(parsed, dict) else {}
    if found.keys() == {"blob"}:
        return load_blob(connection, str(found["blob"])) or {}
    return found


def _attempts(connection: sqlite3.Connection, run_id: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    sql = f"SELECT {_OF_ATTEMPT} FROM attempts WHERE run_id = ? ORDER BY step, attempt"  # noqa: S608 - fixed names
    for row in read_rows(connection, sql, (run_id,)):
        attempt = dict(row)
        for name in ("start_evidence", "metrics", "masked"):
            attempt[name] = _parsed(row[name])
        found.setdefault(str(row["step"]), []).append(attempt)
    return found


def _step(row: Row, attempts: list[Row], history_us: list[int]) -> Row:
    step = dict(row)
    step["evidence"] = _parsed(row["evidence"]) or {}
    step["outputs"] = _parsed(row["outputs"]) or {}
    step["attempts"] = attempts
    last = attempts[-1] if attempts else {}
    step["log"] = last.get("log")
    step["metrics"] = last.get("metrics")
    step["expected_seconds"] = expected_seconds(history_us)
    step["history_seconds"] = [value / 1e6 for value in history_us]
    return step


def _counts(steps: Sequence[Row]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for step in steps:
        counts[str(step["status"])] = counts.get(str(step["status"]), 0) + 1
    return counts


def _failed_nights(connection: sqlite3.Connection, pipeline: str, last: object) -> list[str]:
    """Return the nights whose newest run did not end well, but for the night *last*: newest first, 31 at most."""
    rows = connection.execute(
        "SELECT night FROM audit_nights WHERE pipeline = ? AND night <> ?"
        " AND last_status NOT IN ('succeeded', 'nothing_to_do', 'running') ORDER BY night DESC LIMIT ?",
        (pipeline, last, _NIGHTS_AT_MOST),
    )
    return [night for (night,) in rows]


def _missing_nights(connection: sqlite3.Connection, pipeline: str, today: str) -> list[str]:
    """Return nights without a run between the first and the last one that is not later than *today*: newest first, 31 at most."""
    from datetime import date, timedelta

    nights = {
        night
        for (night,) in connection.execute("SELECT DISTINCT night FROM audit_runs WHERE pipeline = ?", (pipeline,))
    }
    if not nights:
        return []
    first, night = date.fromisoformat(min(nights)), date.fromisoformat(min(max(nights), today))
    missing: list[str] = []
    while night > first and len(missing) < _NIGHTS_AT_MOST:
        night -= timedelta(days=1)
        if night.isoformat() not in nights:
            missing.append(night.isoformat())
    return missing


def _with_seconds(row: Row) -> Row:
    changed = dict(row)
    duration = changed.pop("duration_us")
    changed["duration_seconds"] = duration / 1e6 if isinstance(duration, int) else None
    return changed


def _repaired_by(connection: sqlite3.Connection, run: Row) -> str | None:
    """Return the first later run of the same night that ended well, or None."""
    row = connection.execute(
        "SELECT run_id FROM audit_runs WHERE pipeline = ? AND night = ? AND first_seq > ? AND status IN ('succeeded', 'nothing_to_do')"
        " ORDER BY first_seq LIMIT 1",
        (run["pipeline"], run["night"], run["first_seq"]),
    ).fetchone()
    return None if row is None else str(row[0])


def _is_newest(connection: sqlite3.Connection, run: Row) -> bool:
    """Whether *run* is the newest of its pipeline, so that it may be resumed; one that reproduces another is none of the pipeline's."""
    newest = list_runs(connection, pipeline=str(run["pipeline"]), limit=1)
    return bool(newest) and newest[0]["run_id"] == run["run_id"]


def _cause(value: object) -> Row | None:
    """Return a run's first failure with all its keys; what is not known is None."""
    cause = _parsed(value)
    keys = ("step", "reason", "error_class", "message")
    return {key: cause.get(key) for key in keys} if isinstance(cause, dict) else None


def _parsed(value: object) -> object:
    return json.loads(value) if isinstance(value, str | bytes) else None


def _list(value: object) -> list[dict[str, object]]:
    assert isinstance(value, list)
    return value
