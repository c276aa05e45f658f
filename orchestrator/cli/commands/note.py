"""`orchestrate note RUN[/STEP] TEXT`: something that a person knows about a run, kept with it."""

from __future__ import annotations

import os

import attrs
import click

from orchestrator.cli import render
from orchestrator.cli.manual import acting, append_checked, checked_reason, checked_text, masking
from orchestrator.cli.options import json_option, ledger_option, pipeline_option, run_and_step_argument
from orchestrator.core.events import NoteAdded
from orchestrator.projections.find_run import check_step
from orchestrator.projections.queries import run_row
from orchestrator.runtime.provenance import current_actor

EXAMPLES = """\b
Examples:
  orchestrate note latest "the airport had delivered twice"
  orchestrate note 20260131T0200/silver "row counts checked by hand"
"""


@click.command(epilog=EXAMPLES)
@run_and_step_argument
@click.argument("text", metavar="TEXT")
@click.option("--reason", metavar="TEXT", help="Why it is noted; recorded, and needed where the pipeline requires one.")
@pipeline_option
@ledger_option
@json_option
def command(run: str, text: str, reason: str | None, pipeline: str | None, ledger: str | None, *, as_json: bool) -> int:
    """
    Write something down about a run or one of its steps; show, explain and the report have it from then on.

    Needs a ledger alone, and works while the run is on. Nothing can be taken back: a later note corrects an earlier one.
    """
    text = checked_text(text, "the note")
    word, slash, step = run.partition("/")
    with acting(pipeline, ledger) as (view, store):
        run_id = view.find(word)
        if slash:
            check_step(view.connection, run_id, step)
        name = str(run_row(view.connection, run_id)["pipeline"])
        why = checked_reason(view, name, reason, "note")
        mask = masking(view, name, os.environ)
        event = NoteAdded(
            pipeline=name,
            run_id=run_id,
            step=step if slash else None,
            text=mask(text),
            actor=current_actor(os.environ),
            reason=None if why is None else mask(why),
        )
        recorded = append_checked(store, name, lambda: event)
    if as_json:
        render.out_json({"seq": recorded.seq, "recorded_at": recorded.recorded_at, **attrs.asdict(event)})
    else:
        render.out(f"noted: run {run_id}{f', step {step}' if slash else ''}")
    return 0
