"""
Runs that ran another one again, and the verdicts on them: in tables of their own, so that they are no part of their pipeline's history.

Only the standard library and plain values.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from ledger.reader import read_rows

Row = dict[str, Any]

_OF_RUN = (
    "run_id, pipeline, night, status, exit_code, started_at, finished_at, duration_us, trigger, actor, reason, definition, graph, selection, git,"
    " root_cause, counts, first_seq, last_seq"
)


def any_run(connection: sqlite3.Connection, run_id: str) -> Row:
    """Return the row of the run *run_id*, which exists, be it one of its pipeline or one that reproduces such a one; `reproduces` says which."""
    of_pipeline = f"SELECT {_OF_RUN}, NULL AS reproduces FROM runs WHERE run_id = ?"  # noqa: S608 - fixed names
    again = f"SELECT {_OF_RUN}, reproduces FROM reproductions WHERE run_id = ?"  # noqa: S608 - fixed names
    (row,) = read_rows(connection, of_pipeline, (run_id,)) or read_rows(connection, again, (run_id,))
    return row


def reproduced(connection: sqlite3.Connection, run_id: str) -> str | None:
    """Return the run that the run *run_id* ran again, or None where it is a run of its pipeline or none at all."""
    row = connection.execute("SELECT reproduces FROM reproductions WHERE run_id = ?", (run_id,)).fetchone()
    return None if row is None else str(row[0])


def verdicts_on(connection: sqlite3.Connection, run_id: str) -> list[Row]:
    """Return what came of running the run *run_id* again, oldest first; of a run that did that, its own verdict."""
    rows = connection.execute(
        "SELECT seq, verdict, reproduction, recorded_at FROM verdicts WHERE run_id = coalesce((SELECT reproduces FROM reproductions WHERE run_id = ?1), ?1)"
        " AND (reproduction = ?1 OR NOT EXISTS (SELECT 1 FROM reproductions WHERE run_id = ?1)) ORDER BY seq",
        (run_id,),
    )
    return [dict(zip(("seq", "verdict", "reproduction", "recorded_at"), row, strict=True)) for row in rows]


def unfinished_reproductions(connection: sqlite3.Connection, pipeline: str) -> list[str]:
    """Return the reproductions of runs of *pipeline* that have no end, oldest first."""
    rows = connection.execute(
        "SELECT run_id FROM reproductions WHERE pipeline = ? AND status = 'running' ORDER BY first_seq", (pipeline,)
    )
    return [run_id for (run_id,) in rows]


def starts_of(connection: sqlite3.Connection, run_id: str) -> list[Mapping[str, Any]]:
    """Return what each start of the run *run_id* has recorded, oldest first: that of `run`, and those of `resume`."""
    rows = connection.execute(
        "SELECT data FROM events WHERE stream = 'run/' || ? AND type IN ('run.started', 'run.resumed') ORDER BY version",
        (run_id,),
    )
    return [json.loads(data) for (data,) in rows]


def last_attempts(connection: sqlite3.Connection, run_id: str) -> dict[str, Row]:
    """Return for each step of the run *run_id* how it ended, and of its last attempt, where there is one, how that ended and its key's material."""
    rows = connection.execute(
        "SELECT s.step, s.status, s.reason, s.outputs, a.status, a.reason, a.exit_code, a.signal, a.components FROM steps s LEFT JOIN attempts a"
        " ON a.run_id = s.run_id AND a.step = s.step AND a.attempt = s.attempts WHERE s.run_id = ? ORDER BY s.position",
        (run_id,),
    )
    names = (
        *("step", "status", "reason", "outputs", "attempt_status", "attempt_reason", "exit_code", "signal"),
        "components",
    )
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}
