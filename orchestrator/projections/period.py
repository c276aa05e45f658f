"""
What happened in a period, as tables for whoever reviews it; and which events belong to a run.

A period is whole days of UTC by the time of recording, both ends included: that is one stretch of the history, whose completeness can be shown. The
night that a run is for may be another one; runs for nights of the period that were recorded outside of it have a table of their own.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ledger.reader import read_rows

Row = dict[str, object]

_WITHIN = "{time} >= :begin AND {time} < :end AND (:pipelines IS NULL OR {pipeline} IN (SELECT value FROM json_each(:pipelines)))"


class Period(NamedTuple):
    """
    Hold a period and the pipelines that are looked at.

    Attributes:
        first: The first day, an ISO date.
        last: The last day, included.
        pipelines: None for all.
    """

    first: str
    last: str
    pipelines: tuple[str, ...] | None = None

    @property
    def values(self) -> dict[str, object]:
        """The named parameters of the queries here."""
        from datetime import date, timedelta

        following = date.fromisoformat(self.last) + timedelta(days=1)
        return {
            "begin": f"{self.first}T",
            "end": f"{following.isoformat()}T",
            "first": self.first,
            "last": self.last,
            "pipelines": None if self.pipelines is None else json.dumps(self.pipelines),
        }


class Table(NamedTuple):
    """
    Say what a table of a period holds.

    Attributes:
        title: For people.
        types: Of the events of which each has its row, or empty where only some have.
        select: Its first column is `seq`, the event that a row rests on, and its second `last`, the last one, where there are such.
    """

    title: str
    types: tuple[str, ...]
    select: str


def _from_view(view: str, time: str = "recorded_at", seq: str = "seq", last: str = "seq") -> str:
    within = _WITHIN.format(time=f"v.{time}", pipeline="v.pipeline")
    return f"SELECT v.{seq} AS event, v.{last} AS last, v.* FROM main.{view} v WHERE {within} ORDER BY v.{seq}"  # noqa: S608 -- ours


_OF_RUN = "runs r USING (run_id)"
_REVIEWS = f"""
SELECT n.seq AS event, n.seq AS last, n.seq, n.recorded_at, 'note' AS kind, n.pipeline, n.run_id, r.night, n.step, n.text, n.reason, n.actor
FROM main.notes n LEFT JOIN main.{_OF_RUN} WHERE {_WITHIN.format(time="n.recorded_at", pipeline="n.pipeline")}
UNION ALL
SELECT k.seq, k.seq, k.seq, k.recorded_at, 'acknowledgement', k.pipeline, k.run_id, r.night, NULL, k.status, k.reason, k.actor
FROM main.acknowledgements k LEFT JOIN main.{_OF_RUN} WHERE {_WITHIN.format(time="k.recorded_at", pipeline="k.pipeline")}
ORDER BY 1
"""  # noqa: S608 -- ours

TABLES: Mapping[str, Table] = {
    "runs": Table("runs", ("run.started",), _from_view("audit_runs", "started_at", "first_seq", "last_seq")),
    "refusals": Table("refused starts", ("run.refused",), _from_view("audit_refusals")),
    "overlaps": Table("starts that lost to an active run", (), _from_view("audit_overlaps")),
    "missing_nights": Table(
        "nights without a run",
        (),
        "SELECT NULL AS event, NULL AS last, v.* FROM main.audit_missing_nights v WHERE night BETWEEN :first AND :last"
        " AND (:pipelines IS NULL OR pipeline IN (SELECT value FROM json_each(:pipelines))) ORDER BY pipeline, night",
    ),
    "manual_actions": Table(
        "manual actions",
        (),
        _from_view("audit_manual_actions").replace(":pipelines IS NULL", ":pipelines IS NULL OR v.pipeline IS NULL"),
    ),
    "definition_changes": Table(
        "changes of definitions", ("definition.changed",), _from_view("audit_definition_changes")
    ),
    "moves": Table("moves of pipelines", ("pipeline.moved", "host.changed"), _from_view("moves")),
    "reviews": Table("notes and acknowledgements", ("note.added", "run.acknowledged"), _REVIEWS),
    "runs_elsewhere": Table(
        "runs for nights of the period that were recorded outside of it",
        (),
        "SELECT first_seq AS event, last_seq AS last, v.* FROM main.audit_runs v WHERE night BETWEEN :first AND :last"
        " AND NOT (started_at >= :begin AND started_at < :end)"
        " AND (:pipelines IS NULL OR pipeline IN (SELECT value FROM json_each(:pipelines))) ORDER BY first_seq",
    ),
}
"""By the name of the file; in the order of the cover page."""


def period_rows(
    connection: sqlite3.Connection, table: Table, period: Period, size: int
) -> tuple[list[str], list[tuple[object, ...]]]:
    """
    Return the names of the columns of *table* and its rows.

    `seq` is what `audit prove --seq` takes, and `sealed` whether everything that a row rests on lies before the event *size*.
    """
    cursor = connection.execute(table.select, period.values)
    names = [column[0] for column in cursor.description]
    if table.select.startswith("SELECT NULL"):
        return names[2:], [row[2:] for row in cursor]
    drop = names.index("seq") if "seq" in names[2:] else None
    rows = []
    for event, last, *rest in cursor:
        kept = [value for place, value in enumerate(rest, 2) if place != drop]
        rows.append((event, int(last is not None and last < size), *kept))
    return ["seq", "sealed", *(name for place, name in enumerate(names[2:], 2) if place != drop)], rows


def period_bounds(connection: sqlite3.Connection, period: Period) -> tuple[int, int]:
    """Return the seq of the first event that was recorded in *period* and the one after the last; equal where there is none."""
    values = {name: period.values[name] for name in ("begin", "end")}
    first, last = connection.execute(
        "SELECT min(seq), max(seq) FROM main.events WHERE recorded_at >= :begin AND recorded_at < :end", values
    ).fetchone()
    if first is not None:
        return first, last + 1
    (place,) = connection.execute(
        "SELECT coalesce((SELECT min(seq) FROM main.events WHERE recorded_at >= :end), (SELECT max(seq) + 1 FROM main.events))",
        values,
    ).fetchone()
    return place, place


def count_events(connection: sqlite3.Connection, period: Period, size: int) -> tuple[int, int]:
    """Return how many events were recorded in *period* before the event *size*, and how many from there on: those are not sealed."""
    row: tuple[int, int] = connection.execute(
        "SELECT count(*) FILTER (WHERE seq < :size), count(*) FILTER (WHERE seq >= :size) FROM main.events"
        " WHERE recorded_at >= :begin AND recorded_at < :end",
        {"size": size, **{name: period.values[name] for name in ("begin", "end")}},
    ).fetchone()
    return row


def finished_steps(connection: sqlite3.Connection, period: Period, begin: int, end: int) -> list[str]:
    """Return, as `run/step`, each step that ended between the events *begin* and *end*, of the runs that started in *period* there."""
    rows = connection.execute(
        "SELECT r.run_id || '/' || json_extract(e.data, '$.step') FROM main.runs r JOIN main.events e ON e.stream = 'run/' || r.run_id"
        " WHERE e.type = 'step.finished' AND e.seq >= :from_seq AND e.seq < :to_seq AND r.first_seq >= :from_seq AND r.first_seq < :to_seq"
        " AND r.started_at >= :begin AND r.started_at < :end"
        " AND (:pipelines IS NULL OR r.pipeline IN (SELECT value FROM json_each(:pipelines))) ORDER BY e.seq",
        {"from_seq": begin, "to_seq": end, **period.values},
    )
    return [item for (item,) in rows]


def step_events(connection: sqlite3.Connection, run_id: str, step: str) -> list[int]:
    """Return the seq of each event of the *step* in the run *run_id*, in order."""
    rows = connection.execute(
        "SELECT seq FROM main.events WHERE stream = ? AND json_extract(data, '$.step') = ? ORDER BY seq",
        (f"run/{run_id}", step),
    )
    return [seq for (seq,) in rows]


def run_events(connection: sqlite3.Connection, run_id: str, pipeline: str) -> Iterator[tuple[int, bool]]:
    """Yield the seq of each event that concerns the run *run_id* of *pipeline*, in order, with whether it is one of its own stream."""
    rows = connection.execute(
        "SELECT seq, 1 FROM main.events WHERE stream = :own UNION ALL SELECT seq, 0 FROM main.events WHERE stream = :other"
        " AND :run_id IN (json_extract(data, '$.run_id'), json_extract(data, '$.holder.run_id')) ORDER BY 1",
        {"own": f"run/{run_id}", "other": f"pipeline/{pipeline}", "run_id": run_id},
    )
    return ((seq, bool(own)) for seq, own in rows)


def nights_of_pipelines(connection: sqlite3.Connection, period: Period) -> list[Row]:
    """Return the first and the last night of each pipeline and how many runs it has, up to the end of *period*."""
    return read_rows(
        connection,
        "SELECT pipeline, min(night) AS first_night, max(night) AS last_night, count(*) AS runs FROM main.runs WHERE started_at < :end"
        " AND (:pipelines IS NULL OR pipeline IN (SELECT value FROM json_each(:pipelines))) GROUP BY pipeline ORDER BY pipeline",
        {name: period.values[name] for name in ("end", "pipelines")},
    )


def unknown_pipelines(connection: sqlite3.Connection, names: Sequence[str]) -> list[str]:
    """Return which of *names* are no pipelines of this ledger."""
    known = {
        name
        for (name,) in connection.execute("SELECT pipeline FROM main.runs UNION SELECT pipeline FROM main.refusals")
    }
    return [name for name in names if name not in known]
