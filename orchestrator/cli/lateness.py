"""
What is late of a pipeline, as a ledger and the files within reach tell: nights without a run, data that is too old.

What looks into a schedule or at files is loaded only for a pipeline whose definition asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from orchestrator.cli.reading import View
from orchestrator.core.freshness import Age, freshness_text, limits_of, state_of
from orchestrator.core.interpolation import UnresolvedReferenceError, resolve
from orchestrator.projections.manual_actions import recorded_definition
from orchestrator.projections.schedules import (
    last_values,
    last_written,
    missing_by_schedule,
    renamed_pipelines,
    schedule_rules,
    zone_of,
)

NIGHTS_AT_MOST = 31

Row = dict[str, Any]


def add_lateness(entry: Row, view: View, now: datetime) -> None:
    """
    Complete the *entry* of a pipeline, see `queries.pipeline_overview`, with `schedule` and `freshness`; by a schedule, `missing_nights` are those due.

    `schedule` stays None where there is none, else it is `{"cron", "timezone", "next", "problem"}`; the problem says why nothing can be told of its nights.
    """
    pipeline = str(entry["pipeline"])
    _add_schedule(entry, view, pipeline, now)
    entry["freshness"] = freshness_of(view, pipeline, now)


def _add_schedule(entry: Row, view: View, pipeline: str, now: datetime) -> None:
    rules = schedule_rules(view.connection, pipeline)
    if not rules or rules[-1].cron is None or pipeline in renamed_pipelines(view.connection):
        return
    from ledger.errors import MissingExtraError

    schedule: Row = {"cron": rules[-1].cron, "timezone": rules[-1].timezone, "next": None, "problem": None}
    entry["schedule"] = schedule
    try:
        entry["missing_nights"] = missing_by_schedule(view.connection, pipeline, rules, now, most=NIGHTS_AT_MOST)
        schedule["next"] = _next(rules[-1].cron, rules[-1].timezone, now)
    except MissingExtraError as error:
        schedule["problem"] = str(error)
    except ValueError as error:
        # Whoever recorded it did not check it, or had another machine.
        schedule["problem"] = f"which nights are due cannot be told of cron {schedule['cron']}: {error}"


def _next(cron: str, timezone: str, now: datetime) -> str | None:
    """Return when the next night is due, as times stand in the ledger, or None where nothing is due any more."""
    from datetime import UTC

    from orchestrator.core.nights import Schedule, next_due

    due = next_due(Schedule(cron, zone_of(timezone)), now)
    return None if due is None else due.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def freshness_of(view: View, pipeline: str, now: datetime) -> list[Row]:
    """Return what is known of the age of each dataset of *pipeline* that says `fresh_within`, by name."""
    document: Mapping[str, Any] = recorded_definition(view.connection, pipeline)
    limited = {name: table for name, table in document.get("datasets", {}).items() if "fresh_within" in table}
    if not limited:
        return []
    folder = _folder(view, pipeline)
    values = last_values(view.connection, pipeline)
    writers = {name: step for step, table in document.get("steps", {}).items() for name in table.get("writes", ())}
    found = []
    for name, table in limited.items():
        age = None if folder is None else _by_files(folder, table, values, now)
        limits = limits_of(table["fresh_within"])
        age = age or _by_writer(view, pipeline, writers.get(name), now)
        found.append(
            {
                "dataset": name,
                "state": state_of(age, limits),
                "basis": age.basis,
                "age_seconds": None if age.age_us is None else age.age_us / 1e6,
                "warn_seconds": None if limits.warn_us is None else limits.warn_us / 1e6,
                "error_seconds": None if limits.error_us is None else limits.error_us / 1e6,
                "text": freshness_text(name, age, limits),
            }
        )
    return found


def _folder(view: View, pipeline: str) -> Path | None:
    """Return the folder of the definition where that is within reach: a copy of the ledger elsewhere, and an earlier moment, say nothing of the files."""
    if view.moment is not None:
        return None
    row = view.connection.execute("SELECT definition_path FROM pipelines WHERE pipeline = ?", (pipeline,)).fetchone()
    definition = view.folder / row[0]
    return definition.parent if definition.is_file() else None


def _by_files(folder: Path, table: Mapping[str, Any], values: Mapping[str, str], now: datetime) -> Age | None:
    if "path" not in table:
        return None
    from orchestrator.runtime.freshness import age_by_files

    try:
        path, pattern = (resolve(text, values) for text in (table["path"], table.get("pattern", "**/*")))
    except UnresolvedReferenceError:
        return None
    return age_by_files(str(folder / path), pattern, round(now.timestamp() * 1e6))


def _by_writer(view: View, pipeline: str, writer: str | None, now: datetime) -> Age:
    written = None if writer is None else last_written(view.connection, pipeline, writer)
    if written is None:
        return Age("none", None)
    return Age("writer", max(0, round((now - datetime.fromisoformat(written)).total_seconds() * 1e6)))


def run_missing(nights: Sequence[str], where: str) -> list[str]:
    """Return the command that runs the missing *nights*, newest first as they are; *where* are the options that find the pipeline."""
    if not nights:
        return []
    if len(nights) == 1:
        return [f"orchestrate run --for {nights[0]}{where}"]
    return [f"orchestrate backfill --since {nights[-1]} --until {nights[0]}{where}"]
