"""`orchestrate run`: the pipeline, once."""

from __future__ import annotations

import click

from orchestrator.cli import render
from orchestrator.cli.ending import show_end
from orchestrator.cli.ledger_files import keep_off_ledger
from orchestrator.cli.manual import checked_text
from orchestrator.cli.observing import Watching
from orchestrator.cli.options import json_option, run_options
from orchestrator.cli.project import Options
from orchestrator.cli.refusal_alerts import refusals_told
from orchestrator.cli.running import Start
from orchestrator.cli.starting import run_once

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
@click.option("--log-file", metavar="FILE", help="Write the program's own log there, as JSON lines; - is stderr.")
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
    keep_off_ledger(options.pipeline, options.ledger, log_file)
    watching = Watching(log_file=log_file, verbose=verbose, silent=quiet or as_json)
    start = Start(jobs=jobs, wait=wait, moved=moved, reason=reason)
    with refusals_told(options, say=render.err):
        path, run_id, unsealed = run_once(options, start, watching, quiet=quiet, told=set())
        return show_end(path, run_id, unsealed, quiet=quiet, as_json=as_json)
