"""`orchestrate plan`: what a run would do now, and why."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import click

from ledger.errors import LedgerNotFoundError
from ledger.store import Ledger, open_ledger
from orchestrator.cli import render
from orchestrator.cli.errors import RefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.holding import owner_problem
from orchestrator.cli.keying import keyed_surroundings
from orchestrator.cli.measuring import measuring
from orchestrator.cli.options import json_option, run_options
from orchestrator.cli.project import Options, Prepared, load_project, prepare
from orchestrator.cli.reading import show_present
from orchestrator.cli.running import make_plan
from orchestrator.core.decide import Measurement
from orchestrator.core.explain import overwritten_text, reason_text
from orchestrator.core.forecast import Forecast, forecast
from orchestrator.core.printable import printable
from orchestrator.core.run_plan import RunPlan
from orchestrator.core.state import initial_state
from orchestrator.projections.estimates import expected_seconds, history_of_graph
from orchestrator.runtime.assembly import graph_document, run_plan
from orchestrator.runtime.digests import FileDigester
from orchestrator.runtime.ports import MeasureRequest

EXAMPLES = """\b
Examples:
  orchestrate plan
  orchestrate plan --from silver --force
  orchestrate plan --for 2026-01-31 --json
"""
_WORDS = {"run": "run", "skip": "skip", "fail": "fail", "depends": "depends"}


@click.command(epilog=EXAMPLES)
@run_options
@json_option
def command(options: Options, *, as_json: bool) -> int:
    """
    Show what would run and what would be skipped, and why.

    Takes the selection of `run` and writes nothing. A step below one that would run may depend on what that one writes. Exit codes: 0, or 2 where a run would be
    refused.
    """
    prepared = prepare(load_project(options), options, os.environ)
    if prepared.errors:
        raise RefusedError(prepared.errors)
    entries, usual = _forecast(prepared, options)
    if as_json:
        render.out_json(
            {
                "pipeline": prepared.project.pipeline.name,
                "night": prepared.night,
                "steps": [
                    {
                        "step": entry.step,
                        "outlook": entry.outlook,
                        "reason": entry.reason,
                        "evidence": entry.evidence,
                        "expected_seconds": usual.get(entry.step),
                    }
                    for entry in entries
                ],
            }
        )
        return ExitCode.OK
    render.out_lines(render.table([_row(entry, usual) for entry in entries], ("plan", "step", "usually", "why")))
    counts = {word: sum(entry.outlook == word for entry in entries) for word in _WORDS}
    render.out("")
    render.out(", ".join(f"{count} {word}" for word, count in counts.items() if count))
    return ExitCode.OK


def _row(entry: Forecast, usual: Mapping[str, float]) -> tuple[str, str, str, str]:
    from orchestrator.cli.times import shown_seconds

    status = {"run": "run", "depends": "run", "fail": "failed"}.get(entry.outlook, "skipped")
    why = reason_text(status, entry.reason, entry.evidence)
    overwritten = overwritten_text(entry.reason, entry.evidence)
    text = why if overwritten is None or entry.reason == "output_changed" else f"{why}; {overwritten}"
    return entry.outlook, entry.step, shown_seconds(usual.get(entry.step)), printable(text)


def _forecast(prepared: Prepared, options: Options) -> tuple[Sequence[Forecast], dict[str, float]]:
    path = prepared.project.ledger
    try:
        ledger = open_ledger(path, read_only=True)
    except LedgerNotFoundError:
        plan = _plan_without_history(prepared, options)
        return _entries(prepared, plan, None), {}
    with ledger:
        show_present(ledger.connection, path)
        problem = owner_problem(prepared.project, ledger.connection)
        if problem is not None:
            raise RefusedError([problem])
        plan = make_plan(prepared, options, ledger, run_id="plan")
        pipeline = prepared.project.pipeline
        history = history_of_graph(ledger.connection, pipeline.name, graph_document(pipeline, prepared.project.graph))
        usual = {step: seconds for step, values in history.items() if (seconds := expected_seconds(values)) is not None}
        return _entries(prepared, plan, ledger), usual


def _entries(prepared: Prepared, plan: RunPlan, ledger: Ledger | None) -> list[Forecast]:
    with measuring(prepared, (lambda _: None) if ledger is None else ledger.blob, read_only=True) as digester:
        return forecast(plan, lambda step: _measure(plan, digester, step))


def _measure(plan: RunPlan, digester: FileDigester, name: str) -> Measurement:
    entry = plan.steps[name]
    known = entry.baseline.components.get("inputs")
    former = known if isinstance(known, Mapping) else {}
    reads = {dataset: former.get(dataset) for dataset in entry.step.reads}
    measured = digester.measure(MeasureRequest(name, reads, entry.step.writes))
    return plan.measurement(
        name,
        initial_state(),
        inputs=measured.inputs,
        outputs=measured.outputs,
        code=measured.code,
        files=measured.files,
    )


def _plan_without_history(prepared: Prepared, options: Options) -> RunPlan:
    project = prepared.project
    return run_plan(
        project.pipeline,
        project.graph,
        keyed_surroundings(prepared, make=False),
        run_id="plan",
        night=prepared.night,
        selected=prepared.selected,
        forced=options.selection.force,
        max_parallel=1,
        baselines={},
    )
