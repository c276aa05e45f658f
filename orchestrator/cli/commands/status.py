"""`orchestrate status`: the morning after."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from orchestrator.cli import render
from orchestrator.cli.locate import definition_path, ledger_path
from orchestrator.cli.options import as_of_option, json_option, ledger_option, local_option, pipeline_option
from orchestrator.cli.reading import View, complete_from_former, viewing_if_any
from orchestrator.cli.times import shown_seconds, shown_time
from orchestrator.core.ended import WELL
from orchestrator.core.printable import printable
from orchestrator.projections.manual_actions import (
    acknowledged_text,
    lateness_terms,
    recorded_definition,
    requires_reason,
)
from orchestrator.projections.queries import pipeline_overview
from orchestrator.runtime.room import DAYS_WARNED, free_bytes, is_large_log, recent_growth, shown_bytes

EXAMPLES = """\b
Examples:
  orchestrate status
  orchestrate status --ledger /srv/etl/.orchestrate/ledger.db --json
  orchestrate status --as-of time:2026-01-31T06:00Z
"""
_NIGHTS_SHOWN = 5
_ENDED = {
    "failed": "failed",
    "timed_out": "ran out of time",
    "cancelled": "was cancelled",
    "interrupted": "was interrupted",
}


@click.command(epilog=EXAMPLES)
@pipeline_option
@ledger_option
@as_of_option
@local_option
@json_option
def command(pipeline: str | None, ledger: str | None, as_of: str | None, *, local: bool, as_json: bool) -> int:
    """
    Show each pipeline: its last run, missing nights, what needs attention, and what to type next.

    Needs a ledger alone. A run that lost its orchestrator is named; the next run closes it.
    """
    with viewing_if_any(pipeline, ledger, as_of) as view:
        entries = [] if view is None else _entries(view, local=local)
        past = view is not None and view.moment is not None
        if view is not None and not past:
            _warn_of_room(view)
            _warn_of_log(view)
        path = ledger_path(ledger, definition_path(pipeline))
        loss = _loss(path) if view is None else None
        if loss is not None:
            render.err(f"warning: {printable(loss)}")
        if as_json:
            render.out_json(entries)
        elif not entries and loss is None:
            what = "holds no pipeline yet" if view is not None else "does not exist yet"
            render.err(f"the ledger {path} {what}; `orchestrate run` makes a start")
        for number, entry in enumerate(entries if not as_json else []):
            render.out_lines(
                [*([""] if number else []), *_lines(entry if not past else entry | {"next": []}, local=local)]
            )
    return 0


def _loss(path: Path) -> str | None:
    from orchestrator.cli.lost_ledgers import loss_at

    return loss_at(path)


def _warn_of_room(view: View) -> None:
    """Say in a line that the disk will soon be full, with all that the ledger's folder takes."""
    with contextlib.suppress(OSError):
        free = free_bytes(view.folder)
        days = recent_growth(view.connection, view.folder).days_left(free, datetime.now(UTC).date())
        if days is not None and days < DAYS_WARNED:
            what = f"{shown_bytes(free)} are free where {view.folder} lies, about {days} days of runs like the latest"
            render.err(f"warning: {printable(what)}; `orchestrate doctor` shows what grows")


def _warn_of_log(view: View) -> None:
    """Say in a line that somebody keeps the ledger's log from being folded back."""
    if is_large_log(view.path):
        from orchestrator.runtime.place import held_log

        held = held_log(view.path)
        if held is not None:
            render.err(f"warning: {held}")


def _entries(view: View, *, local: bool) -> list[dict[str, object]]:
    now = view.now
    today = now.date().isoformat()
    overview = pipeline_overview(view.connection, today=today)
    entries = [entry for entry in overview if view.pipeline in (None, entry["pipeline"])]
    for entry in entries:
        holder = view if entry["last_success"] is not None else complete_from_former(entry, view, today=today)
        entry["alive"], entry["next"], entry["acknowledged"] = None, [], None
        last = entry["last_run"]
        if isinstance(last, Mapping):
            run_id = str(last["run_id"])
            if last["status"] == "running":
                entry["alive"] = holder.is_active(run_id)
            # After a night that went well nothing is left to type, and a run may have 20,000 steps.
            if last["status"] not in WELL:
                from orchestrator.core.explain import next_command

                detail = holder.detail(run_id, history=False)
                entry["next"], entry["acknowledged"] = next_command(detail), detail["acknowledged"]
        entry["next"] = [*_list(entry["next"]), *_late(entry, view, now), *_acknowledge(view, entry)]
        entry["attention"] = _attention(entry, local=local)
    return entries


def _late(entry: dict[str, object], view: View, now: datetime) -> list[str]:
    """Complete *entry* with what is late, and return what to type for nights that are missing by a schedule; nothing is loaded where none is said."""
    name = str(entry["pipeline"])
    entry["schedule"], entry["freshness"] = None, []
    if not lateness_terms(view.connection, name):
        return []
    from orchestrator.cli.lateness import add_lateness, run_missing

    add_lateness(entry, view, now)
    return run_missing(_list(entry["missing_nights"]), view.where(name)) if entry["schedule"] else []


def _acknowledge(view: View, entry: Mapping[str, object]) -> list[str]:
    """Return the command that acknowledges the newest failure that nobody has acknowledged, if there is one."""
    failures = _list(entry["unacknowledged"])
    if not failures:
        return []
    name = str(entry["pipeline"])
    reason = ' --reason "…"' if requires_reason(recorded_definition(view.connection, name)) else ""
    return [f"orchestrate ack {failures[0]['run_id']}{reason}{view.where(name)}"]


def _attention(entry: Mapping[str, object], *, local: bool) -> list[str]:
    """Return what a person should know, the most important first; empty where all is well."""
    found: list[str] = []
    last = entry["last_run"]
    if isinstance(last, Mapping):
        if entry["alive"] is False:
            found.append(f"run {last['run_id']} lost its orchestrator; the next run closes it")
        elif last["status"] not in (*WELL, "running"):
            found.append(f"the last run {_ENDED[str(last['status'])]}")
        if isinstance(entry["acknowledged"], dict):
            found.append(acknowledged_text(entry["acknowledged"], functools.partial(shown_time, local=local)))
    cause = entry["root_cause"]
    if isinstance(cause, Mapping):
        message = f": {cause['message']}" if cause.get("message") else ""
        found.append(f"first failure: {cause.get('step')} ({cause.get('reason')}){message}")
    if entry["unacknowledged"]:
        found.append(_unacknowledged_text(entry))
    refused = entry["refusals_since"]
    if refused:
        what = "a start was" if refused == 1 else f"{refused} starts were"
        found.append(f"{what} refused since; `orchestrate runs --refused` tells why")
    return [*found, *_late_text(entry)]


def _late_text(entry: Mapping[str, object]) -> Iterator[str]:
    for name, words in (
        ("failed_nights", "nights that did not end well and were not run again"),
        ("missing_nights", "nights without a run"),
    ):
        nights = _list(entry[name])
        if nights:
            yield f"{words}: {_some(nights)}"
    if isinstance(entry["schedule"], dict) and entry["schedule"]["problem"]:
        yield str(entry["schedule"]["problem"])
    yield from (str(data["text"]) for data in _list(entry["freshness"]) if data["state"] in ("warn", "error"))


def _data_text(data: Mapping[str, object]) -> str:
    if data["age_seconds"] is None:
        return f"{data['dataset']} {'without a file' if data['basis'] == 'files' else 'not within reach'}"
    how = " (by its last writing)" if data["basis"] == "writer" else ""
    return f"{data['dataset']} {shown_seconds(data['age_seconds'])} old{how}"


def _unacknowledged_text(entry: Mapping[str, object]) -> str:
    count = entry["unacknowledged_count"]
    nights = list(dict.fromkeys(str(failure["night"]) for failure in _list(entry["unacknowledged"])))
    what = "a failure" if count == 1 else f"{count} failures"
    return f"{what} that nobody has acknowledged: {_some(nights)}"


def _some(nights: list[str]) -> str:
    return ", ".join(nights[:_NIGHTS_SHOWN]) + (", …" if len(nights) > _NIGHTS_SHOWN else "")


def _list(value: object) -> list[Any]:
    assert isinstance(value, list)
    return value


def _lines(entry: Mapping[str, object], *, local: bool) -> Iterator[str]:
    last, good = entry["last_run"], entry["last_success"]
    if not isinstance(last, Mapping):
        yield f"{entry['pipeline']}: never run"
    else:
        status = "interrupted" if entry["alive"] is False else str(last["status"]).replace("_", " ")
        when = shown_time(last["finished_at"] or last["started_at"], local=local)
        took = "" if last["duration_seconds"] is None else f" in {shown_seconds(last['duration_seconds'])}"
        yield f"{entry['pipeline']}: {status}{took}, night {last['night']}, {when}, run {last['run_id']}"
    if isinstance(last, Mapping) and isinstance(good, Mapping) and good["run_id"] != last["run_id"]:
        yield f"  last success: night {good['night']}, {shown_time(good['finished_at'], local=local)}, run {good['run_id']}"
    if isinstance(entry["schedule"], dict) and entry["schedule"]["next"]:
        yield f"  next night due: {shown_time(entry['schedule']['next'], local=local)}"
    if entry["freshness"]:
        yield f"  data: {', '.join(_data_text(data) for data in _list(entry['freshness']))}"
    yield from (f"  {printable(str(line))}" for line in _list(entry["attention"]))
    commands = _list(entry["next"])
    yield from (f"  next: {line}" if number == 0 else f"        {line}" for number, line in enumerate(commands))
