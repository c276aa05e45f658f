"""`orchestrate ack RUN`: a person knows of a run that did not end well."""

from __future__ import annotations

import os

import click

from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.manual import acting, append_checked, checked_reason, masking
from orchestrator.cli.options import json_option, ledger_option, pipeline_option, run_argument
from orchestrator.cli.reading import View
from orchestrator.cli.times import shown_time
from orchestrator.core.events import RunAcknowledged
from orchestrator.projections.find_run import refuse_reproduction
from orchestrator.projections.manual_actions import FAILURES, acknowledgement_of, who
from orchestrator.projections.queries import run_row
from orchestrator.runtime.provenance import current_actor

EXAMPLES = """\b
Examples:
  orchestrate ack latest
  orchestrate ack 20260131T0200 --reason "the disk was full, ticket 4711"
"""


@click.command(epilog=EXAMPLES)
@run_argument
@click.option("--reason", metavar="TEXT", help="What is known; recorded, and needed where the pipeline requires one.")
@pipeline_option
@ledger_option
@json_option
def command(run: str, reason: str | None, pipeline: str | None, ledger: str | None, *, as_json: bool) -> int:
    """
    Acknowledge a run that did not end well, so that status stops asking for it; the run stays what it was.

    Needs a ledger alone. A run that ended well, that is still on, or that somebody has acknowledged already is refused; `note` adds what there is to add.
    """
    with acting(pipeline, ledger) as (view, store):
        run_id = view.find(run)
        refuse_reproduction(view.connection, run_id)
        name = str(run_row(view.connection, run_id)["pipeline"])
        why = checked_reason(view, name, reason, "ack")
        mask = masking(view, name, os.environ)

        def acknowledged() -> RunAcknowledged:
            status = _failed_status(view, run_id)
            said = None if why is None else mask(why)
            return RunAcknowledged(name, run_id, status, current_actor(os.environ), said)

        append_checked(store, name, acknowledged)
        event = acknowledgement_of(view.connection, run_id)
    assert event is not None
    if as_json:
        render.out_json({"pipeline": name, "run_id": run_id, **event})
    else:
        render.out(f"acknowledged: run {run_id}, {str(event['status']).replace('_', ' ')}")
    return 0


def _failed_status(view: View, run_id: str) -> str:
    """
    Return how the run *run_id* ended, which was not well and which nobody has acknowledged.

    Raises:
        UsageRefusedError: It is otherwise.
    """
    status = str(run_row(view.connection, run_id)["status"])
    if status == "running":
        on = view.is_active(run_id)
        message = (
            "is still on" if on else "lost its orchestrator and has no end yet; the next `orchestrate run` closes it"
        )
        raise UsageRefusedError("not_ended", f"run {run_id} {message}: there is nothing to acknowledge")
    if status not in FAILURES:
        message = f"run {run_id} ended well ({status.replace('_', ' ')}): there is nothing to acknowledge"
        raise UsageRefusedError("not_failed", message)
    before = acknowledgement_of(view.connection, run_id)
    if before is not None:
        message = f"run {run_id} was acknowledged by {who(before)}, {shown_time(before['recorded_at'])}"
        raise UsageRefusedError("acknowledged", f"{message}; `orchestrate note` adds to it")
    return status
