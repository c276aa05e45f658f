"""`orchestrate show RUN`: one run, its steps, their attempts, their reasons."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

import click

from orchestrator.cli import render
from orchestrator.cli.options import (
    as_of_option,
    json_option,
    ledger_option,
    local_option,
    pipeline_option,
    run_argument,
)
from orchestrator.cli.reading import viewing
from orchestrator.cli.times import shown_seconds, shown_time
from orchestrator.core.explain import next_command, reason_text
from orchestrator.core.printable import printable
from orchestrator.projections.pruned import pruned_json, pruned_summary
from orchestrator.projections.queries import show_json
from orchestrator.projections.sealing import checkpoint_text

EXAMPLES = """\b
Examples:
  orchestrate show latest
  orchestrate show latest:flights --json
  orchestrate show 20260131T0200
  orchestrate show latest --as-of time:2026-01-31T06:00Z
"""


@click.command(epilog=EXAMPLES)
@run_argument
@pipeline_option
@ledger_option
@as_of_option
@local_option
@json_option
def command(
    run: str, pipeline: str | None, ledger: str | None, as_of: str | None, *, local: bool, as_json: bool
) -> int:
    """Show one run: its steps, their attempts and their reasons. RUN is an id, the beginning of one, latest or latest:PIPELINE."""
    with viewing(pipeline, ledger, as_of) as view:
        holder, run_id = view.holding(run)
        detail = holder.detail(run_id, history=not as_json, recorded=as_json)
    if as_json:
        moment = {} if view.moment is None else {"as_of": view.moment.as_json()}
        render.out_json(show_json(detail) | {"pruned": pruned_json(detail["pruned"])} | moment)
    else:
        render.out_lines(_lines(detail, local=local, past=view.moment is not None))
    return 0


def _lines(detail: Mapping[str, object], *, local: bool, past: bool) -> Iterator[str]:
    from orchestrator.projections.manual_actions import manual_lines
    from orchestrator.projections.summary import cause_text, headline

    yield headline(detail)
    actor = detail["actor"]
    who = f"{actor.get('user')} on {actor.get('host')}" if isinstance(actor, Mapping) else "-"
    facts = {
        "started": shown_time(detail["started_at"], local=local),
        "finished": shown_time(detail["finished_at"], local=local),
        "exit code": detail["exit_code"],
        "started by": f"{who} ({detail['trigger']})",
        "reason": detail["reason"],
        "definition": detail["definition"],
        "commit": _commit(detail["git"]),
        "first failure": cause_text(detail),
        "repaired by": detail["repaired_by"],
        "reproduces": detail["reproduces"],
        "sealed": checkpoint_text(detail["checkpoint"]),
        "files": pruned_summary(detail["pruned"]),
    }
    yield from (printable(f"  {name + ':':<14} {value}") for name, value in facts.items() if value is not None)
    yield from (f"  {'verdict:':<14} {line}" for line in _verdicts(detail, local=local))
    yield from (
        printable(f"  {label + ':':<14} {text}")
        for label, text in manual_lines(detail, functools.partial(shown_time, local=local))
    )
    yield ""
    yield from _table(detail, local=local)
    commands = [] if past else next_command(detail)
    if commands:
        yield ""
        yield from (
            f"next: {command}" if number == 0 else f"      {command}" for number, command in enumerate(commands)
        )


def _verdicts(detail: Mapping[str, object], *, local: bool) -> Iterator[str]:
    """Yield what came of running the run again, each time that it was; of a run that did that, its own verdict."""
    verdicts = detail["verdicts"]
    assert isinstance(verdicts, list)
    for row in verdicts:
        by = "" if row["reproduction"] in (None, detail["run_id"]) else f", run {row['reproduction']}"
        yield f"{row['verdict'].replace('_', ' ')}{by}, {shown_time(row['recorded_at'], local=local)}"


def _table(detail: Mapping[str, object], *, local: bool) -> Iterator[str]:
    rows = []
    steps = detail["steps"]
    assert isinstance(steps, list)
    for step in steps:
        if step["retry_at"]:
            why = f"tried again at {shown_time(step['retry_at'], local=local)}"
        elif step["reason"]:
            why = reason_text(str(step["status"]), str(step["reason"]), step["evidence"])
        else:
            why = _started(step)
        rows.append(
            (
                str(step["status"]),
                str(step["step"]),
                shown_seconds(step["duration_seconds"]),
                _usual(step),
                printable(why),
            )
        )
        attempts = step["attempts"]
        if len(attempts) > 1 or step["status"] in ("failed", "running", "retrying", "cancelled"):
            rows.extend(_attempt_row(attempt) for attempt in attempts)
    yield from render.table(rows, ("status", "step", "took", "usually", "why"))


def _started(step: Mapping[str, object]) -> str:
    """Say why a step that has no other reason was started."""
    attempts = step["attempts"]
    if not isinstance(attempts, list) or not attempts:
        return ""
    return reason_text("run", str(attempts[-1]["start_reason"]), attempts[-1]["start_evidence"] or {})


def _attempt_row(attempt: Mapping[str, object]) -> tuple[str, str, str, str, str]:
    words = []
    evidence = {"exit_code": attempt["exit_code"]} if attempt["exit_code"] else {}
    if attempt["reason"]:
        words.append(reason_text("failed", str(attempt["reason"]), evidence))
    if attempt["error_class"]:
        words.append(f"({attempt['error_class']})")
    if attempt["message"]:
        words.append(str(attempt["message"]))
    name = f"  attempt {attempt['attempt']}"
    return f"  {attempt['status']}", name, shown_seconds(attempt["duration_seconds"]), "", printable(" ".join(words))


def _usual(step: Mapping[str, object]) -> str:
    return "" if step["expected_seconds"] is None else shown_seconds(step["expected_seconds"])


def _commit(git: object) -> str | None:
    if not isinstance(git, Mapping):
        return None
    return f"{git.get('commit')}{' with changes' if git.get('dirty') else ''}"
