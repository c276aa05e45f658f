"""
How long steps took before, and what to expect of them therefore.

The durations come from the table `steps` itself: exact microseconds, which the views give in seconds, and no look at the run for each step.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

_RUNS = 20
_ROWS_AT_MOST = 40_000


def duration_history(
    connection: sqlite3.Connection,
    pipelines: Sequence[str],
    *,
    renamed: Mapping[str, str] | None = None,
    before: str | None = None,
) -> dict[str, list[int]]:
    """
    Return the durations of each step's last successes, in microseconds, oldest first.

    Looks at the last 20 runs that began before the run *before*, fewer where they have many thousand steps.

    Args:
        pipelines: The pipeline's name, and its former ones.
        renamed: Former names of steps to present ones.
    """
    runs = [
        run_id
        for (run_id,) in connection.execute(
            "SELECT run_id FROM audit_runs WHERE pipeline IN (SELECT value FROM json_each(?)) AND status <> 'running'"
            " AND first_seq < coalesce((SELECT first_seq FROM audit_runs WHERE run_id = ?), 1 << 62) ORDER BY first_seq DESC LIMIT ?",
            (json.dumps(list(pipelines)), before, _RUNS),
        )
    ]
    names = renamed or {}
    found: dict[str, list[int]] = {}
    seen = 0
    for run_id in runs:
        rows = connection.execute(
            "SELECT step, duration_us FROM steps WHERE run_id = ? AND status = 'succeeded' AND duration_us IS NOT NULL",
            (run_id,),
        ).fetchall()
        for step, duration_us in rows:
            found.setdefault(names.get(step, step), []).insert(0, duration_us)
        seen += len(rows)
        if seen > _ROWS_AT_MOST:
            break
    return found


def history_of_graph(
    connection: sqlite3.Connection, pipeline: str, graph: Mapping[str, Any], *, before: str | None = None
) -> dict[str, list[int]]:
    """Return `duration_history` for the steps of *graph*, the document that a run keeps, which knows their former names."""
    renamed = {old: str(entry["step"]) for entry in graph["steps"] for old in entry.get("formerly", ())}
    return duration_history(connection, [pipeline, *graph.get("formerly", ())], renamed=renamed, before=before)


def expected_us(history_us: list[int]) -> int | None:
    """Return the median of *history_us* (the lower one of two), or None for an empty history."""
    return sorted(history_us)[(len(history_us) - 1) // 2] if history_us else None


def expected_seconds(history_us: list[int]) -> float | None:
    """Return `expected_us` in seconds."""
    expected = expected_us(history_us)
    return None if expected is None else expected / 1e6
