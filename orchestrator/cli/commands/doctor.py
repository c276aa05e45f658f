"""`orchestrate doctor`: what of this machine and this ledger may bite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from orchestrator.cli import render
from orchestrator.cli.doctoring import WAL_RESET_BUG, environment_problems, examine
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.locate import definition_path, ledger_path
from orchestrator.cli.options import json_option, ledger_option, pipeline_option
from orchestrator.core.printable import printable
from orchestrator.runtime.room import shown_bytes

EXAMPLES = """\b
Examples:
  orchestrate doctor
  orchestrate doctor --ledger /srv/etl/.orchestrate/ledger.db --json
"""
_DAYS_COUNTED = 3650
"""Beyond ten years no number says anything."""


@click.command(epilog=EXAMPLES)
@pipeline_option
@ledger_option
@json_option
def command(pipeline: str | None, ledger: str | None, *, as_json: bool) -> int:
    """
    Say what of this machine and this ledger may bite: SQLite, room on the disk, owner and file system, extras, the key, who may read `.env`.

    Changes nothing, and needs neither definition nor ledger. Exit codes: 0 a run can leave its traces, also with warnings; 3 the ledger cannot be trusted; 5 the
    storage cannot be used: no room, not writable, not readable.
    """
    definition = definition_path(pipeline)
    facts, problems, code = examine(ledger_path(ledger, definition), today=datetime.now(UTC).date())
    problems += environment_problems(definition)
    if as_json:
        status = "unusable" if code != ExitCode.OK else "warnings" if problems else "well"
        shown = [problem.as_json() for problem in problems]
        render.out_json({"status": status, "exit_code": int(code), "problems": shown, **facts})
        return code
    render.out_lines(map(printable, _lines(facts)))
    render.out("")
    render.out_lines(printable(f"{problem.severity}: {problem}") for problem in problems)
    if not problems:
        render.out("nothing was found that may bite")
    return code


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    place, room, key = facts["place"], facts["room"], facts["key"]
    yield f"ledger   {facts['ledger']}{'' if facts['exists'] else ', not there yet, or not readable'}"
    kind = place["file_system"] or "an unknown file system"
    yield f"folder   {place['folder']}, owner {place['owner']}, mode {place['mode']}, on {kind}"
    yield f"sqlite   {facts['sqlite']['version']}{_bug(facts['sqlite']['wal_reset_bug'])}"
    yield f"room     {shown_bytes(room['free_bytes'])} free, {shown_bytes(room['needed_bytes'])} needed before a run{_lasts(room)}"
    for name, part in room["parts"].items():
        yield f"  {name:<8} grows by {shown_bytes(part['bytes_a_day'])} a day{_lasts(part)}"
    yield from _usage_lines(facts["usage"])
    state = {"none": "none of this user's", "usable": "usable, and so is its memory", "unusable": "cannot be used"}
    yield f"key      {state[key['state']]}" + ("" if key["state"] == "none" else f", in {key['folder']}")
    extras: Mapping[str, bool] = facts["extras"]
    yield f"extras   {', '.join(name for name, there in extras.items() if there) or 'none'}"
    missing = [name for name, there in extras.items() if not there]
    yield from [f"  not installed: {', '.join(missing)}"] if missing else []


def _usage_lines(usage: Mapping[str, Any] | None) -> Iterator[str]:
    if usage is None:
        return
    kept = f"{usage['blobs']} documents in it {shown_bytes(usage['blobs_bytes'])}, unused {shown_bytes(usage['unused_bytes'])}"
    yield f"taken    the ledger's file {shown_bytes(usage['file_bytes'])}: {kept}; `orchestrate prune` removes what is past its retention"
    parts = ("events_bytes", "logs_bytes", "reports_bytes", "scratch_bytes", "bytes")
    rows = [
        (item.get("run_id", item["pipeline"]), *(shown_bytes(item[part]) for part in parts))
        for item in (*usage["pipelines"], *usage["runs"])
    ]
    header = ("pipeline or run, the largest first", "events", "logs", "reports", "scratch", "all")
    yield from (f"  {line}" for line in (render.table(rows, header) if rows else ()))
    for left in usage["left_folders"]:
        told = "no run is recorded of it; `orchestrate prune --apply` removes it, unless it is older than this ledger or was put there by hand"
        yield printable(f"  {left['path']} takes {shown_bytes(left['bytes'])}: {told}")


def _bug(there: bool) -> str:  # noqa: FBT001 - one of two texts
    first, last = (".".join(map(str, version)) for version in WAL_RESET_BUG)
    if not there:
        return f", without the WAL-reset bug of {first} to {last}"
    return f", with the WAL-reset bug of {first} to {last}, which is held off: one process at a time folds the log back"


def _lasts(part: Mapping[str, Any]) -> str:
    days = part["days_left"]
    if days is None:
        return ""
    return f", enough for {days if days <= _DAYS_COUNTED else f'more than {_DAYS_COUNTED}'} days at the present growth"
