"""`orchestrate cancel RUN`: a run that is on is ended, from another terminal."""

from __future__ import annotations

import os

import click

from ledger.store import Ledger
from orchestrator.cli import render
from orchestrator.cli.cancelling import close_lost, end_run, orchestrator_of
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.manual import acting, append_checked, checked_reason, masking
from orchestrator.cli.options import json_option, ledger_option, pipeline_option, run_argument
from orchestrator.core.durations import parse_duration
from orchestrator.core.events import RunCancelRequested
from orchestrator.projections.reproductions import any_run
from orchestrator.runtime.provenance import current_actor

EXAMPLES = """\b
Examples:
  orchestrate cancel latest
  orchestrate cancel latest:shop --force --reason "it eats the memory, ticket 4711"
"""


@click.command(epilog=EXAMPLES)
@run_argument
@click.option("--force", is_flag=True, help="Kill what runs, without the time that a step is given to end.")
@click.option("--reason", metavar="TEXT", help="Why; recorded, and needed where the pipeline requires one.")
@click.option("--timeout", default="2m", show_default=True, metavar="DURATION", help="How long to wait for its end.")
@pipeline_option
@ledger_option
@json_option
def command(
    run: str, reason: str | None, timeout: str, pipeline: str | None, ledger: str | None, *, force: bool, as_json: bool
) -> int:
    """
    End a run that is on: what runs of it is told to end, clean-up still runs, the rest is skipped.

    A run that `reproduce` runs again is one of its own, and is ended by its own id. Needs a ledger alone, and waits until the end is recorded. A run that has lost its orchestrator is closed as interrupted. Exit codes: 0 it has ended, 1 it
    has not within the timeout, 2 it had ended before, or is out of reach, 4 something else has the pipeline.
    """
    seconds = parse_duration(timeout, zero_allowed=True) / 1e6
    with acting(pipeline, ledger) as (view, store):
        run_id = view.find(run)
        name = str(any_run(view.connection, run_id)["pipeline"])
        why = checked_reason(view, name, reason, "cancel")
        mask = masking(view, name, os.environ)
        _check_on(store, run_id)

        def requested() -> RunCancelRequested:
            _check_on(store, run_id)
            return RunCancelRequested(
                name, run_id, force, current_actor(os.environ), None if why is None else mask(why)
            )

        with orchestrator_of(store, run_id, name) as target:
            append_checked(store, name, requested)
            if target is None:
                close_lost(store, run_id, name, say=render.err)
                ended = True
            else:
                ended = end_run(store, run_id, target, force=force, seconds=seconds, say=render.err)
        status = str(any_run(store.connection, run_id)["status"])
    if as_json:
        render.out_json({"run_id": run_id, "pipeline": name, "status": status, "ended": ended})
    elif ended:
        render.out(f"ended: run {run_id}, {status.replace('_', ' ')}")
    else:
        more = "" if force else "; `orchestrate cancel --force` kills what runs"
        render.out(f"run {run_id} has been told to end and has not within {timeout}{more}")
    return ExitCode.OK if ended else ExitCode.FAILED


def _check_on(store: Ledger, run_id: str) -> None:
    """
    Make sure that the run counts as running.

    Raises:
        UsageRefusedError: It has its end.
    """
    status = str(any_run(store.connection, run_id)["status"])
    if status != "running":
        message = f"run {run_id} has ended ({status.replace('_', ' ')}): there is nothing to cancel"
        raise UsageRefusedError("has_ended", message)
