"""`orchestrate accept RUN STEP`: a person vouches for outputs that no attempt wrote."""

from __future__ import annotations

import os
from collections.abc import Mapping

import attrs
import click

from ledger.errors import LedgerNotFoundError
from ledger.store import Ledger, open_ledger
from orchestrator.cli import render
from orchestrator.cli.errors import RefusedError, UsageRefusedError
from orchestrator.cli.holding import append_event, check_owner, pipeline_held
from orchestrator.cli.manual import checked_text, typed_text
from orchestrator.cli.measuring import measuring
from orchestrator.cli.opening import open_to_write
from orchestrator.cli.options import (
    environment_options,
    json_option,
    ledger_option,
    pipeline_option,
    run_argument,
    step_argument,
)
from orchestrator.cli.project import Options, Prepared, Project, load_project, prepare
from orchestrator.cli.sealing import sealing_after
from orchestrator.core.events import OutputAccepted, event_data
from orchestrator.core.explain import short_digest
from orchestrator.core.names import shown
from orchestrator.core.selection import Selection
from orchestrator.projections.find_run import RunLookupError, check_step, find_own_run
from orchestrator.projections.queries import accepted_basis
from orchestrator.runtime.ports import MeasureRequest
from orchestrator.runtime.provenance import current_actor

EXAMPLES = """\b
Examples:
  orchestrate accept latest silver --reason "two rows corrected by hand, ticket 4711"
"""


@click.command(epilog=EXAMPLES)
@run_argument
@step_argument
@click.option("--reason", required=True, metavar="TEXT", help="Why they are right; recorded.")
@pipeline_option
@ledger_option
@environment_options
@click.option("--wait", is_flag=True, help="Wait while a run of this pipeline is active.")
@json_option
def command(
    run: str,
    step: str,
    reason: str,
    pipeline: str | None,
    ledger: str | None,
    settings: tuple[str, ...],
    env_files: tuple[str, ...],
    night: str | None,
    *,
    wait: bool,
    as_json: bool,
) -> int:
    """
    Declare the present outputs of a step to be current, flagged and with a reason.

    For an output that was mended by hand, and for a step that must not be run again after its attempt was lost. From then on the step counts as done with what
    lies there now. RUN is the run that last attempted it, or a later one.
    """
    checked_text(reason, "--reason")
    options = Options(pipeline, ledger, Selection(only=(step,)), settings, env_files, night)
    project = load_project(options)
    if step not in project.pipeline.steps:
        raise UsageRefusedError("unknown_step", f"{shown(step)} is no step of {project.shown}")
    try:
        open_ledger(project.ledger, read_only=True).close()
    except LedgerNotFoundError:
        raise RunLookupError("no_ledger", f"there is no ledger at {project.ledger} yet") from None
    with open_to_write(project.ledger) as store, sealing_after(store, say=render.err):
        run_id = find_own_run(store.connection, run, project.pipeline.name)
        check_step(store.connection, run_id, step)
        holder = {"run_id": run_id, "pid": os.getpid(), "command": "accept"}
        with pipeline_held(project, store, wait=wait, holder=holder, say=render.err, night=None):
            check_owner(project, store, moved=False, night=None)
            event = _accepted(project, store, options, run_id, step, reason)
            append_event(store, f"pipeline/{project.pipeline.name}", event)
    if as_json:
        render.out_json(event_data(event))
    else:
        render.out(f"accepted: {step} in run {run_id}")
        for dataset, digest in event.outputs.items():
            render.out(
                f"  {dataset}: {short_digest(digest)}, the step had left {short_digest(event.before.get(dataset))}"
            )
    return 0


def _accepted(
    project: Project, ledger: Ledger, options: Options, run_id: str, step: str, reason: str
) -> OutputAccepted:
    """
    Return the event, after looking at what there is to accept.

    Raises:
        UsageRefusedError: The step was never attempted, was attempted again since, has lost an output, or nothing has changed.
    """
    pipeline = project.pipeline
    basis = accepted_basis(ledger.connection, run_id, step, per_night=pipeline.steps[step].per_night)
    if basis is None:
        raise UsageRefusedError("never_attempted", f"step {step} was never attempted: there is nothing to accept")
    if basis["newer"]:
        message = f"step {step} was attempted again after run {run_id}, in run {basis['last_run_id']}: accept that one"
        raise UsageRefusedError("attempted_since", message)
    night = str(basis["night"]) or None
    prepared = prepare(project, attrs.evolve(options, night=options.night or night), os.environ)
    outputs = _measured(prepared, step)
    before = basis["outputs"]
    assert isinstance(before, Mapping)
    if outputs == dict(before) and basis["last_status"] in ("succeeded", "no_new_data"):
        raise UsageRefusedError("nothing_to_accept", f"the outputs of {step} are as it left them: nothing to accept")
    return OutputAccepted(
        pipeline=pipeline.name,
        run_id=run_id,
        step=step,
        night=str(basis["night"]),
        outputs=outputs,
        before=before,
        key=str(basis["key"]),
        actor=current_actor(os.environ),
        reason=typed_text(ledger.connection, prepared, reason),
    )


def _measured(prepared: Prepared, step: str) -> dict[str, object]:
    """Return the content digest of each output as it is now."""
    writes = prepared.project.pipeline.steps[step].writes
    if not set(writes) <= prepared.places.keys():
        raise RefusedError(prepared.errors)
    with measuring(prepared, lambda _: None, read_only=False) as digester:
        measured = digester.measure(MeasureRequest(step, outputs=writes, code=False))
    outputs = dict(measured.outputs)
    places = {name: prepared.places[name].path or measured.extents[name].failure for name in writes}
    missing = [f"{name} ({places[name]})" for name, digest in outputs.items() if digest is None]
    if missing:
        raise UsageRefusedError("missing_output", f"step {step} has outputs that do not exist: {', '.join(missing)}")
    return dict(outputs)
