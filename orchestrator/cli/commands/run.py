"""`orchestrate run`: the pipeline, once."""

from __future__ import annotations

import os
from pathlib import Path

import click

from orchestrator.cli import render
from orchestrator.cli.ending import show_end
from orchestrator.cli.manual import checked_text
from orchestrator.cli.observing import Watching
from orchestrator.cli.options import json_option, run_options
from orchestrator.cli.project import Options, Prepared, load_project, prepare
from orchestrator.cli.refusal_alerts import refusals_told
from orchestrator.cli.refusals import record_definition_refusal
from orchestrator.cli.running import Start, execute
from orchestrator.core.errors import DefinitionError

EXAMPLES = """\b
Examples:
  orchestrate run
  orchestrate run --for 2026-01-31 --reason "delivered late"
  orchestrate run --only gold --force
  orchestrate run --from silver --omit report --set REGION=nyc --json
"""


@click.command(epilog=EXAMPLES)
@run_options
@click.option("--jobs", type=click.IntRange(1, 1024), metavar="N", help="Most steps side by side.")
@click.option("--wait", is_flag=True, help="Wait while another run of this pipeline is active.")
@click.option("--moved", is_flag=True, help="The definition has moved: its name belongs to this place from now on.")
@click.option("--reason", metavar="TEXT", help="Why it is started by hand; recorded.")
@click.option("--log-file", metavar="FILE", help="Write the program's own log there, as JSON lines.")
@click.option("-v", "--verbose", is_flag=True, help="Show the program's own log.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress; the summary only where something failed.")
@json_option
def command(
    options: Options,
    jobs: int | None,
    reason: str | None,
    log_file: str | None,
    *,
    wait: bool,
    moved: bool,
    verbose: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """
    Run the pipeline for one night.

    Definition, environment and sources are checked first; every problem is listed and nothing starts. Exit codes: 0 succeeded or nothing to do, 1 failed, 2
    refused, 3 the ledger cannot be trusted, 4 another run is active, 5 storage failed.
    """
    if reason is not None and reason.strip():
        checked_text(reason, "--reason")
    watching = Watching(log_file=log_file, verbose=verbose, silent=quiet or as_json)
    start = Start(jobs=jobs, wait=wait, moved=moved, reason=reason)
    with refusals_told(options, say=render.err):
        path, run_id, unsealed = _ran(options, start, watching, quiet=quiet)
        return show_end(path, run_id, unsealed, quiet=quiet, as_json=as_json)


def _ran(options: Options, start: Start, watching: Watching, *, quiet: bool) -> tuple[Path, str, Exception | None]:
    """
    Run, and return the path of the ledger, the id of the run, and what kept its checkpoint from being made.

    What the run was made of goes with this frame, before the reports take their own memory.
    """
    told: set[str] = set()

    def prepared(options: Options) -> Prepared:
        found = _prepared(options)
        warnings = [str(item) for item in (*found.project.warnings, *found.problems) if item.severity == "warning"]
        for warning in () if quiet else warnings:
            if warning not in told:
                render.err(f"warning: {warning}")
        told.update(warnings)
        return found

    ended = execute(prepared, options, start, observers=watching.observers, say=render.err)
    return ended.ledger, ended.state.run_id, ended.unsealed


def _prepared(options: Options) -> Prepared:
    """Prepare the run; a definition that is refused is recorded where the ledger knows whose it is."""
    try:
        project = load_project(options)
    except DefinitionError as error:
        record_definition_refusal(options, error.problems)
        raise
    return prepare(project, options, os.environ)
