"""What decisions compare with, as the tables have it: the rows of baselines, with what is known of the attempts that they name."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ledger.reader import read_rows

Row = dict[str, object]


def baselines_for(
    connection: sqlite3.Connection, pipeline: str, formerly: Sequence[str] = (), *, night: str | None = None
) -> dict[tuple[str, str], Row]:
    """
    Return what the steps of *pipeline* compare themselves with, by step and counted night.

    Args:
        formerly: Former names of the pipeline; what is known under the present name goes first.
        night: Leave out what is counted by another night.
    """
    found: dict[tuple[str, str], Row] = {}
    for name in (*reversed(formerly), pipeline):
        rows = read_rows(
            connection,
            "SELECT b.step, b.night, b.run_id, b.attempt, b.key, b.outputs, b.last_run_id, b.last_attempt,"
            " coalesce(s.components, cs.components) AS components, CASE WHEN b.accepted THEN 'accepted'"
            " WHEN coalesce(l.reason, cl.reason) = 'lost' THEN 'lost' ELSE coalesce(l.status, cl.status) END AS last_status,"
            # About which run a lost attempt was accepted, and the night that the attempt was for.
            " CASE WHEN b.accepted AND coalesce(l.reason, cl.reason) = 'lost' THEN (SELECT a.run_id FROM acceptances a WHERE a.pipeline = b.pipeline AND a.step = b.step"
            "  AND a.night = b.night ORDER BY a.seq DESC LIMIT 1) END AS vouched_run,"
            " CASE WHEN b.accepted AND coalesce(l.reason, cl.reason) = 'lost' THEN coalesce(r.night, nullif(b.night, '')) END AS vouched_night"
            " FROM baselines b"
            " LEFT JOIN attempts s ON s.run_id = b.run_id AND s.step = b.step AND s.attempt = b.attempt"
            " LEFT JOIN attempts l ON l.run_id = b.last_run_id AND l.step = b.step AND l.attempt = b.last_attempt"
            " LEFT JOIN runs r ON r.run_id = b.last_run_id"
            # What a former ledger knows of attempts that this one compares with.
            " LEFT JOIN carried_attempts cs ON cs.run_id = b.run_id AND cs.step = b.step AND cs.attempt = b.attempt"
            " LEFT JOIN carried_attempts cl ON cl.run_id = b.last_run_id AND cl.step = b.step AND cl.attempt = b.last_attempt"
            " WHERE b.pipeline = ? AND (? IS NULL OR b.night IN ('', ?))",
            (name, night, night),
        )
        found.update({(str(row["step"]), str(row["night"])): row for row in rows})
    return found
