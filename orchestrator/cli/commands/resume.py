"""`orchestrate resume RUN`: a run that did not end well goes on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import click

from ledger.store import Ledger
from orchestrator.cli import render
from orchestrator.cli.ending import show_end
from orchestrator.cli.ledger_files import keep_off_ledger
from orchestrator.cli.manual import checked_text
from orchestrator.cli.observing import Watching
from orchestrator.cli.options import json_option, ledger_option, pipeline_option, run_argument
from orchestrator.cli.project import Options, prepare
from orchestrator.cli.refusal_alerts import refusals_told
from orchestrator.cli.resuming import resumption_of
from orchestrator.cli.running import Start, execute
from orchestrator.cli.starting import load_to_start
from orchestrator.core.run_plan import RunPlan
from orchestrator.runtime.ports import Observer

EXAMPLES = """\b
Examples:
  orchestrate resume latest
  orchestrate resume latest:shop --reason "the disk has room again"
  orchestrate resume 20260131T0200 --accept-definition --json
"""


@click.command(epilog=EXAMPLES)
@run_argument
@click.option("--accept-definition", is_flag=True, help="Go on though the definition has changed since.")
@click.option(
    "--env-file", "env_files", multiple=True, metavar="FILE", type=click.Path(), help="Read this .env file too."
)
@click.option("--jobs", type=click.IntRange(1, 1024), metavar="N", help="Most steps side by side.")
@click.option("--reason", metavar="TEXT", help="Why it goes on; recorded, and needed where the pipeline requires one.")
@click.option("--log-file", metavar="FILE", help="Write the program's own log there, as JSON lines; - is stderr.")
@click.option("-v", "--verbose", is_flag=True, help="Show the program's own log.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress; the summary only where something failed.")
@pipeline_option
@ledger_option
@json_option
def command(
    run: str,
    env_files: tuple[str, ...],
    jobs: int | None,
    reason: str | None,
    log_file: str | None,
    pipeline: str | None,
    ledger: str | None,
    *,
    accept_definition: bool,
    verbose: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """
    Go on with a run that failed, was cancelled, ran out of time or lost its orchestrator.

    What had succeeded stays as long as its outputs are as it left them; every other step is decided again, and attempts are numbered on. Night, selection and
    `--set` are those of its start. RUN is the newest run of its pipeline. Exit codes are those of `run`.
    """
    if reason is not None and reason.strip():
        checked_text(reason, "--reason")
    options = Options(pipeline, ledger, env_files=env_files)
    keep_off_ledger(pipeline, ledger, log_file)
    with refusals_told(options, say=render.err):
        project = load_to_start(options)
        resumption = resumption_of(project, run, options, accepted=accept_definition)
        watching = Watching(log_file=log_file, verbose=verbose, silent=quiet)

        @contextlib.contextmanager
        def observers(plan: RunPlan, store: Ledger, last_line: Callable[[str], str | None]) -> Iterator[list[Observer]]:
            if not quiet:
                render.err(f"run {plan.run_id} of {plan.pipeline.name}, night {plan.night}, goes on")
            with watching.observers(plan, store, last_line) as chosen:
                yield chosen

        prepared = prepare(project, resumption.options, os.environ)
        if not quiet:
            for problem in (*project.warnings, *prepared.problems):
                if problem.severity == "warning":
                    render.err(f"warning: {problem}")
        ended = execute(
            lambda _: prepared,  # A resume never waits.
            resumption.options,
            Start(jobs=jobs, reason=reason),
            observers=observers,
            say=render.err,
            resumption=resumption,
        )
        return show_end(project.ledger, resumption.run_id, ended.unsealed, quiet=quiet, as_json=as_json)
