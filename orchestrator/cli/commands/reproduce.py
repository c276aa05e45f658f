"""`orchestrate reproduce RUN`: a run that has ended is run again in a scratch folder, and what comes of it is compared."""

from __future__ import annotations

import os
from collections.abc import Iterator

import click

from orchestrator.cli import render
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.observing import Watching
from orchestrator.cli.options import json_option, ledger_option, pipeline_option, run_argument
from orchestrator.cli.recorded_run import RecordedRun
from orchestrator.cli.reproducing import Request, Result, reproduce
from orchestrator.cli.verdict_text import verdict_lines
from orchestrator.core.events import event_data
from orchestrator.core.printable import printable
from orchestrator.runtime.signals import left_by_signals

EXAMPLES = """\b
Examples:
  orchestrate reproduce latest
  orchestrate reproduce 20260131T0200 --into /tmp/again
  orchestrate reproduce latest:flights --json --reason "ticket 4711"
"""


@click.command(epilog=EXAMPLES)
@run_argument
@click.option("--into", metavar="DIR", help="Run it there: an empty folder, or none yet. It stays.")
@click.option("--keep", is_flag=True, help="Keep the scratch folder beside the ledger.")
@click.option(
    "--env-file", "env_files", multiple=True, metavar="FILE", type=click.Path(), help="Read secrets from there too."
)
@click.option(
    "--trust-secret",
    "trusted",
    multiple=True,
    metavar="NAME",
    help="Take this secret as it is today, though it is not known to be what the run had; recorded.",
)
@click.option("--jobs", type=click.IntRange(1, 1024), metavar="N", help="Most steps side by side.")
@click.option("--reason", metavar="TEXT", help="Why; recorded, and needed where the pipeline requires one.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@pipeline_option
@ledger_option
@json_option
def command(
    run: str,
    into: str | None,
    env_files: tuple[str, ...],
    trusted: tuple[str, ...],
    jobs: int | None,
    reason: str | None,
    pipeline: str | None,
    ledger: str | None,
    *,
    keep: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """
    Run a run again with the inputs, the code and the definition that it had, and compare what it left.

    It runs in a scratch folder: the data and the outputs stay untouched, and so does all that is decided by the history. Needs a ledger alone. Exit codes: 0
    identical or equivalent, 1 different, or ended early, 2 not reproducible, or refused.
    """
    request = Request(run, pipeline, ledger, into, keep, env_files, trusted, jobs, reason)
    watching = Watching(log_file=None, verbose=False, silent=quiet or as_json)

    def began(recorded: RecordedRun) -> None:
        if not quiet:
            render.err(f"run {recorded.run_id} of {recorded.name}, night {recorded.night}, is run again")

    try:
        with left_by_signals():
            result = reproduce(request, observers=watching.observers, say=render.err, began=began)
    except (KeyboardInterrupt, SystemExit) as ending:
        told = "interrupted" if isinstance(ending, KeyboardInterrupt) else "told to end"
        render.err(f"{told}: there is no verdict")
        raise
    code = _exit_code(result)
    with render.reader_may_leave():
        if as_json:
            render.out_json(_json(result, code))
        else:
            render.out_lines(printable(line) for line in _lines(result))
    return code


def _exit_code(result: Result) -> int:
    if result.verdict is None:
        return ExitCode.FAILED if result.exit_code is None else result.exit_code
    verdict = result.verdict.verdict
    if verdict == "not_reproducible":
        return ExitCode.REFUSED
    return ExitCode.FAILED if verdict == "different" else ExitCode.OK


def _json(result: Result, code: int) -> dict[str, object]:
    recorded, verdict = result.recorded, result.verdict
    told = {} if verdict is None else event_data(verdict)
    shown = {name: told.get(name, default) for name, default in _SHOWN.items()}
    return {
        "run_id": recorded.run_id,
        "reproduction": result.reproduction,
        "pipeline": recorded.name,
        "night": recorded.night,
        "status": result.status,
        "exit_code": code,
        **shown,
        "folder": None if result.folder is None else str(result.folder),
    }


_SHOWN: dict[str, object] = {
    "verdict": None,
    "first": None,
    "steps": [],
    "causes": [],
    "left_out": {},
    "trusted": [],
}


def _lines(result: Result) -> Iterator[str]:
    if result.verdict is None:
        status = str(result.status).replace("_", " ")
        yield f"run {result.recorded.run_id} of {result.recorded.name}: no verdict, since running it again was ended early ({status})"
    else:
        yield from verdict_lines(result.verdict)
    if result.folder is not None:
        yield f"kept: {os.path.relpath(result.folder)}"
    if result.reproduction is not None:
        yield f"recorded as run {result.reproduction}; `orchestrate show {result.reproduction}{result.where}` shows its steps"
