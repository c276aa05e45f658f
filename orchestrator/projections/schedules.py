"""
What the ledger alone knows of when a pipeline is due and how fresh its data must be: from the definitions that it ran with.

Only the standard library is loaded here, see `queries`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import NamedTuple

from orchestrator.core.ended import WELL

Row = dict[str, object]


class Rule(NamedTuple):
    """Which schedule a definition said, from when on, as stored text; `cron` is None where it said none."""

    since: str
    cron: str | None
    timezone: str


SCHEDULES = """
SELECT c.pipeline, 0 AS seq, e.recorded_at, json_extract(CAST(b.bytes AS TEXT), '$.schedule.cron') AS cron,
    json_extract(CAST(b.bytes AS TEXT), '$.schedule.timezone') AS timezone
FROM carried_pipelines c JOIN events e ON e.seq = 0 LEFT JOIN blobs b ON b.digest = coalesce(
    (SELECT before FROM audit_definition_changes WHERE pipeline = c.pipeline ORDER BY seq LIMIT 1),
    (SELECT definition FROM pipelines WHERE pipeline = c.pipeline))
UNION ALL
SELECT d.pipeline, d.seq, d.recorded_at, json_extract(CAST(b.bytes AS TEXT), '$.schedule.cron'), json_extract(CAST(b.bytes AS TEXT), '$.schedule.timezone')
FROM audit_definition_changes d LEFT JOIN blobs b ON b.digest = d.after
"""
"""
What each definition said of when its pipeline is due, from which event on; `cron` is empty where it said nothing.

A schedule that was carried over from a former ledger is in force from the beginning of this one.
"""


def schedule_rules(connection: sqlite3.Connection, pipeline: str) -> list[Rule]:
    """
    Return the schedules of *pipeline* in the order in which they came into force, each until the next one; empty where it never had one.

    A ledger that continues a former one knows the schedule that was carried over, and counts from its own beginning.
    """
    rows = connection.execute(
        f"SELECT recorded_at, cron, timezone FROM ({SCHEDULES}) WHERE pipeline = ? ORDER BY seq",  # noqa: S608 -- ours
        (pipeline,),
    )
    rules: list[Rule] = []
    for since, cron, zone in rows:
        rule = Rule(since, cron, zone or "UTC")
        if not rules or rules[-1][1:] != rule[1:]:
            rules.append(rule)
    return rules if any(rule.cron for rule in rules) else []


def missing_by_schedule(
    connection: sqlite3.Connection, pipeline: str, rules: list[Rule], now: datetime, *, most: int
) -> list[str]:
    """
    Return the nights that were due by *rules* and have no run, the newest first, *most* at most.

    Raises:
        MissingExtraError: What knows cron's fields is not installed.
        ValueError: A rule's expression or zone is not one that is known here.
    """
    from orchestrator.core.nights import Period, Schedule, missing_nights

    ran = {night for (night,) in connection.execute("SELECT DISTINCT night FROM runs WHERE pipeline = ?", (pipeline,))}
    ends = [datetime.fromisoformat(rule.since) for rule in rules[1:]]
    periods = [
        Period(None if rule.cron is None else Schedule(rule.cron, zone_of(rule.timezone)), since, until)
        for rule, since, until in zip(
            rules, [datetime.fromisoformat(rules[0].since), *ends], [*ends, None], strict=True
        )
    ]
    return missing_nights(periods, ran, now, most=most)


def zone_of(name: str) -> tzinfo:
    """
    Return the zone *name*.

    Raises:
        ValueError: This machine does not know it.
    """
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"this machine does not know the zone {name}") from None


def renamed_pipelines(connection: sqlite3.Connection) -> set[str]:
    """Return the former names of pipelines: nothing is due under them any more."""
    rows = connection.execute(
        "SELECT f.value FROM pipelines p JOIN blobs b ON b.digest = p.definition,"
        " json_each(CAST(b.bytes AS TEXT), '$.pipeline.formerly') f"
    )
    return {str(name) for (name,) in rows}


def failed_nights(connection: sqlite3.Connection, pipeline: str) -> list[Row]:
    """Return the nights whose newest run did not end well and which nobody has acknowledged, newest first, 31 at most: `night, run_id, status`."""
    rows = connection.execute(
        "SELECT n.night, n.last_run_id, n.last_status FROM audit_nights n WHERE n.pipeline = ?"
        " AND n.last_status NOT IN ('succeeded', 'nothing_to_do', 'running')"
        " AND NOT EXISTS (SELECT 1 FROM acknowledgements k JOIN audit_runs r ON r.run_id = k.run_id"
        "  WHERE k.run_id = n.last_run_id AND k.seq > r.last_seq) ORDER BY n.night DESC LIMIT 31",
        (pipeline,),
    )
    return [{"night": night, "run_id": run_id, "status": status} for night, run_id, status in rows]


def done_nights(connection: sqlite3.Connection, pipelines: tuple[str, ...]) -> set[str]:
    """Return the nights whose newest run, under any of the names *pipelines*, ended well, as did one of them with all steps selected."""
    rows = connection.execute(
        "SELECT night, status, max(first_seq), sum(status IN ('succeeded', 'nothing_to_do') AND NOT EXISTS ("
        "  SELECT 1 FROM json_each(selection) s WHERE s.key <> 'force' AND json_array_length(s.value) > 0))"
        " FROM runs WHERE pipeline IN (SELECT value FROM json_each(?)) GROUP BY night",
        (json.dumps(pipelines),),
    )
    return {night for night, status, _, whole in rows if whole and status in WELL}


def last_values(connection: sqlite3.Connection, pipeline: str) -> dict[str, str]:
    """Return what `${NAME}` stood for in the newest run of *pipeline*: its plain variables and `NIGHT`."""
    from orchestrator.projections.starts import last_start

    row = connection.execute(
        "SELECT run_id, night FROM runs WHERE pipeline = ? ORDER BY first_seq DESC LIMIT 1", (pipeline,)
    ).fetchone()
    if row is None:
        return {}
    recorded = last_start(connection, row[0]).get("variables")
    variables = recorded if isinstance(recorded, Mapping) else {}
    values = {name: str(entry["value"]) for name, entry in variables.items() if "value" in entry}
    return values | {"NIGHT": str(row[1])}


def last_written(connection: sqlite3.Connection, pipeline: str, step: str) -> str | None:
    """Return when *step* of *pipeline* last succeeded, or None."""
    row = connection.execute(
        "SELECT max(a.finished_at) FROM audit_attempts a WHERE a.pipeline = ? AND a.step = ?"
        " AND a.status IN ('succeeded', 'no_new_data')",
        (pipeline, step),
    ).fetchone()
    return None if row is None or row[0] is None else str(row[0])
