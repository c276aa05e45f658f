"""What of telemetry has arrived, as the ledger has it, and of which runs something is to be sent again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from orchestrator.core.outbox import GIVEN_UP_AFTER

TRIED_FOR = GIVEN_UP_AFTER
"""What ended longer ago is sent by `telemetry replay` alone."""

_TOLD = (
    "SELECT seq, type, json_extract(data, '$.run_id'), json_extract(data, '$.error') FROM events"
    " WHERE stream IN (SELECT 'pipeline/' || value FROM json_each(:names)) AND type IN ('telemetry.delivered', 'telemetry.failed')"
    " AND json_extract(data, '$.signal') = :signal AND json_extract(data, '$.place') = :place"
)


ALL_RUNS = " UNION ALL ".join(
    f"SELECT run_id, pipeline, status, finished_at, first_seq, last_seq FROM {table}"  # noqa: S608 - our own names
    for table in ("runs", "reproductions")
)
"""What is sent of a ledger: runs, and those that run one of them again."""


class Arrivals(NamedTuple):
    """
    Hold what is recorded of one signal at one place.

    Attributes:
        first: Where in the ledger something was recorded of it for the first time; None where nothing was.
        settled: Where it was recorded last, for each run, that everything was taken, or rejected for good.
        failed: The runs of which something was not taken at some time.
    """

    first: int | None
    settled: Mapping[str, int]
    failed: frozenset[str]

    def missed(self, run_id: str, last: int) -> bool:
        """Return whether something of the run is missing there, whose last event is at the place *last*."""
        if self.settled.get(run_id, -1) > last:
            return False
        return run_id in self.failed or (self.first is not None and last > self.first)


def arrivals(connection: sqlite3.Connection, names: Sequence[str], signal: str, place: str) -> Arrivals:
    """Return what has arrived of the pipeline that has, or had, one of *names*."""
    given = {"names": json.dumps(list(names)), "signal": signal, "place": place}
    settled: dict[str, int] = {}
    failed: set[str] = set()
    first: int | None = None
    for seq, kind, run_id, error in connection.execute(_TOLD, given):
        first = seq if first is None else min(first, seq)
        if kind == "telemetry.delivered" or error == "rejected":
            settled[run_id] = max(seq, settled.get(run_id, -1))
        else:
            failed.add(run_id)
    return Arrivals(first, settled, frozenset(failed))


def missed_runs(
    connection: sqlite3.Connection, names: Sequence[str], signal: str, place: str, *, since: str, most: int
) -> list[str]:
    """
    Return the runs that have ended and of which *place* has not taken everything of *signal*, oldest first.

    That are those of which so much is recorded, and those of which nothing is, though it was of an earlier one: their orchestrator was killed before it could
    send, or they ran without.

    Args:
        since: Only what ended after that time.
        most: The newest ones alone, so many.
    """
    found = arrivals(connection, names, signal, place)
    rows = connection.execute(
        f"SELECT run_id, last_seq FROM ({ALL_RUNS}) WHERE pipeline IN (SELECT value FROM json_each(?)) AND status <> 'running'"  # noqa: S608 - our own text
        " AND last_seq IS NOT NULL AND finished_at >= ? ORDER BY first_seq DESC LIMIT ?",
        (json.dumps(list(names)), since, most),
    ).fetchall()
    return [run_id for run_id, last in reversed(rows) if found.missed(run_id, last)]
