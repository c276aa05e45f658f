"""`orchestrate explain RUN STEP`: why a step ran, was skipped or failed, with what the decision rested on."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from orchestrator.cli import render
from orchestrator.cli.options import (
    as_of_option,
    json_option,
    ledger_option,
    local_option,
    pipeline_option,
    run_argument,
    step_argument,
)
from orchestrator.cli.reading import viewing
from orchestrator.cli.times import shown_seconds, shown_time
from orchestrator.core.explain import next_command, overwritten_text, reason_text
from orchestrator.core.printable import printable, printable_line
from orchestrator.projections.find_run import check_step
from orchestrator.projections.last_time import since_last_success
from orchestrator.projections.manual_actions import manual_lines
from orchestrator.projections.queries import acceptances, attempt_key

EXAMPLES = """\b
Examples:
  orchestrate explain latest silver
  orchestrate explain latest:flights gold --json
"""


@click.command(epilog=EXAMPLES)
@run_argument
@step_argument
@pipeline_option
@ledger_option
@as_of_option
@local_option
@json_option
def command(
    run: str, step: str, pipeline: str | None, ledger: str | None, as_of: str | None, *, local: bool, as_json: bool
) -> int:
    """Say why a step ran, was skipped or failed, with the evidence: digests, exit codes, the step upstream."""
    with viewing(pipeline, ledger, as_of) as present:
        view, run_id = present.holding(run)
        check_step(view.connection, run_id, step)
        detail = view.detail(run_id, recorded=as_json)
        found = next(entry for entry in _steps(detail) if entry["step"] == step)
        for attempt in _list(found["attempts"]):
            attempt["key"], attempt["components"] = attempt_key(view.connection, run_id, step, attempt["attempt"])
            attempt["last_success"] = since_last_success(view.connection, detail, step, attempt)
        accepted = acceptances(view.connection, run_id, step)
        folder = view.folder
    upstream = _upstream(detail, step)
    notes = [row for row in _list(detail["notes"]) if row["step"] in (None, step)]
    if as_json:
        render.out_json(
            {"run_id": run_id, "pipeline": detail["pipeline"], "night": detail["night"], **found}
            | {"upstream": upstream, "accepted": accepted, "next": next_command(detail)}
            | {"notes": notes, "acknowledged": detail["acknowledged"]}
        )
        return 0
    times = functools.partial(shown_time, local=local)
    by_hand = [printable(f"{label}: {text}") for label, text in manual_lines(detail, times, step=step)]
    lines = [*_lines(detail, found, local=local), *_acceptances(accepted, local=local)]
    lines += [*([""] if by_hand else []), *by_hand, *_tail(detail, found, folder)]
    if upstream:
        lines += ["", "upstream: " + ", ".join(f"{name} {status}" for name, status in upstream.items())]
    concerned = found["status"] == "failed" or found["reason"] == "input_untrusted"
    commands = [line for line in next_command(detail) if concerned and as_of is None and " explain " not in line]
    lines += [f"next: {commands[0]}", *(f"      {line}" for line in commands[1:])] if commands else []
    render.out_lines(lines)
    return 0


def _lines(detail: Mapping[str, object], step: Mapping[str, object], *, local: bool) -> Iterator[str]:
    why = ""
    if step["reason"]:
        evidence = step["evidence"]
        assert isinstance(evidence, Mapping)
        why = ": " + reason_text(str(step["status"]), str(step["reason"]), evidence)
    yield printable(f"{step['step']} {step['status']} in run {detail['run_id']}, night {detail['night']}{why}")
    if step["evidence"]:
        yield f"  evidence: {_json(step['evidence'])}"
    for attempt in _list(step["attempts"]):
        started = attempt["start_evidence"]
        evidence = started if isinstance(started, Mapping) else {}
        yield ""
        when = shown_time(attempt["started_at"], local=local)
        took = shown_seconds(attempt["duration_seconds"])
        yield f"attempt {attempt['attempt']}: {attempt['status']}, started {when}, took {took}"
        yield printable(f"  it ran because: {reason_text('run', str(attempt['start_reason']), evidence)}")
        if evidence:
            yield f"  evidence: {_json(evidence)}"
        yield from _since(attempt["last_success"])
        overwritten = overwritten_text(str(attempt["start_reason"]), evidence)
        if overwritten is not None:
            yield printable(f"  {overwritten}")
        facts = ("exit_code", "signal", "reason", "error_class", "message", "metrics", "masked", "log")
        yield from (printable(f"  {name}: {_plain(attempt[name])}") for name in facts if attempt[name] is not None)
        yield f"  key: {attempt['key']}"
        yield from (f"    {line}" for line in _components(attempt["components"]))


def _since(known: object) -> Iterator[str]:
    """Say what of the key is not as it was at the last success."""
    if isinstance(known, Mapping):
        found = known["difference"]
        words = "its key is the same" if found is None else reason_text("run", "code_changed", found)
        yield printable(f"  since its last success, {known['run_id']}/{known['attempt']}: {words}")


def _components(components: object) -> Iterator[str]:
    if not isinstance(components, Mapping):
        return
    for name, value in components.items():
        if name in ("code", "variables", "inputs", "needs") and isinstance(value, Mapping):
            yield from (printable(f"{name} {entry}: {_plain(part)}") for entry, part in value.items())
        elif name != "recipe":
            yield printable(f"{name}: {_plain(value)}")


def _acceptances(accepted: list[dict[str, object]], *, local: bool) -> Iterator[str]:
    for entry in accepted:
        actor = entry["actor"]
        who = actor.get("user") if isinstance(actor, Mapping) else "somebody"
        yield ""
        yield printable(f"accepted by {who}, {shown_time(entry['recorded_at'], local=local)}: {entry['reason']}")
        yield f"  was {_json(entry['before'])}"
        yield f"  is  {_json(entry['outputs'])}"


def _tail(detail: Mapping[str, object], step: Mapping[str, object], folder: Path) -> Iterator[str]:
    if step["status"] != "failed":
        return
    from orchestrator.cli.tails import tail_of

    lines = tail_of(detail, step, folder)
    if lines:
        yield ""
        yield printable(f"last lines of {step['log']}:")
        yield from (f"  {printable_line(line)}" for line in lines)


def _upstream(detail: Mapping[str, object], step: str) -> dict[str, str]:
    graph = detail["graph"]
    assert isinstance(graph, Mapping)
    statuses = {str(entry["step"]): str(entry["status"]) for entry in _steps(detail)}
    names: list[str] = next((entry["upstream"] for entry in graph["steps"] if entry["step"] == step), [])
    return {name: statuses.get(name, "not defined") for name in names}


def _json(value: object) -> str:
    return printable(json.dumps(value, ensure_ascii=False, sort_keys=True))


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _steps(detail: Mapping[str, object]) -> list[dict[str, object]]:
    return _list(detail["steps"])


def _list(value: object) -> list[dict[str, object]]:
    assert isinstance(value, list)
    return value
