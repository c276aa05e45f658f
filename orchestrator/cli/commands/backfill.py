"""`orchestrate backfill`: a range of nights, one after the other."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

import attrs
import click

from orchestrator.cli import render
from orchestrator.cli.backfilling import Night, planned_nights, run_nights
from orchestrator.cli.ending import Ending, show_summary
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.locate import where
from orchestrator.cli.manual import checked_text
from orchestrator.cli.observing import Watching
from orchestrator.cli.options import json_option, ledger_option, only_option, pipeline_option, setting_options
from orchestrator.cli.project import Options, Project, load_project
from orchestrator.cli.refusal_alerts import refusals_told
from orchestrator.cli.running import Start
from orchestrator.cli.starting import load_to_start
from orchestrator.cli.times import shown_seconds
from orchestrator.core.ended import WELL
from orchestrator.core.printable import printable
from orchestrator.core.selection import Selection

EXAMPLES = """\b
Examples:
  orchestrate backfill --since 2026-01-01 --until 2026-01-31 --dry-run
  orchestrate backfill --since 2026-01-01 --until 2026-01-31 --keep-going
  orchestrate backfill --since 2026-01-01 --until 2026-01-31 --only gold --force
"""


@click.command(epilog=EXAMPLES)
@pipeline_option
@ledger_option
@click.option("--since", required=True, metavar="DATE", help="The first night, such as 2026-01-01.")
@click.option("--until", required=True, metavar="DATE", help="The last night; it is run as well.")
@click.option("--force", is_flag=True, help="Also nights that have succeeded, and steps that have nothing new.")
@click.option("--keep-going", is_flag=True, help="Go on with the next night after one that did not end well.")
@click.option("--dry-run", is_flag=True, help="Only show which nights would be run.")
@only_option
@setting_options
@click.option("--jobs", type=click.IntRange(1, 1024), metavar="N", help="Most steps side by side.")
@click.option("--wait", is_flag=True, help="Wait while another run of this pipeline is active.")
@click.option("--reason", metavar="TEXT", help="Why it is started by hand; recorded with each run.")
@click.option("-q", "--quiet", is_flag=True, help="Show nothing but nights that did not end well.")
@json_option
def command(
    pipeline: str | None,
    ledger: str | None,
    since: str,
    until: str,
    only: tuple[str, ...],
    settings: tuple[str, ...],
    env_files: tuple[str, ...],
    jobs: int | None,
    reason: str | None,
    *,
    force: bool,
    keep_going: bool,
    dry_run: bool,
    wait: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """
    Run a range of nights in order, each as a run of its own, as `run --for` does.

    Both dates are run. Where there is a [schedule] cron, only nights that it names are; nights that have succeeded as a whole are left out. It stops at the
    first night that does not end well, and its exit code is that of this night. Ctrl-C ends the night that is on, and the range with it.
    """
    if reason is not None and reason.strip():
        checked_text(reason, "--reason")
    options = Options(pipeline, ledger, Selection(only=only, force=force), settings, env_files)
    if dry_run:
        project = load_project(options)
    else:
        with refusals_told(options, say=render.err):
            project = load_to_start(options)
    nights = planned_nights(project, since, until, force=force)
    if not dry_run:
        start = Start(jobs=jobs, wait=wait, reason=reason)
        watching = Watching(log_file=None, verbose=False, silent=quiet or as_json)

        def show(night: Night, ending: Ending | None) -> None:
            if not as_json:
                _show(night, ending, quiet=quiet)

        nights = list(
            run_nights(nights, options, start, watching, keep_going=keep_going, quiet=quiet or as_json, show=show)
        )
    code = next((night.exit_code for night in nights if night.exit_code), int(ExitCode.OK))
    if as_json:
        facts = {"pipeline": project.pipeline.name, "since": since, "until": until, "dry_run": dry_run}
        render.out_json({**facts, "exit_code": code, "nights": [attrs.asdict(night) for night in nights]})
        return code
    with render.reader_may_leave():
        if dry_run:
            render.out_lines(f"{night.night}  {_WORDS.get(night.status, night.status)}" for night in nights)
        if not quiet or code:
            render.out_lines(_ending(nights, project, options, since, until))
    return code


_WORDS = {"planned": "would be run", "done_before": "has ended well", "nothing_to_do": "nothing to do"}


def _show(night: Night, ending: Ending | None, *, quiet: bool) -> None:
    """Print a line for the night, and the summary of its run where that did not end well."""
    if quiet and not night.exit_code:
        return
    with render.reader_may_leave():
        if ending is None:
            render.out(printable(f"{night.night}  {night.status}: {night.problem}"))
            return
        took = "" if night.duration_seconds is None else f" in {shown_seconds(night.duration_seconds)}"
        render.out(
            f"{night.night}  {_WORDS.get(night.status, night.status.replace('_', ' '))}{took}, run {night.run_id}"
        )
        if night.exit_code:
            show_summary(ending)


def _ending(nights: list[Night], project: Project, options: Options, since: str, until: str) -> Iterable[str]:
    """Yield how many nights ended how, and how to go on where some were not reached."""
    if not nights:
        yield f"no night of {project.pipeline.name} is due from {since} to {until}"
        return
    counts: dict[str, int] = {}
    for night in nights:
        word = _WORDS.get(night.status, night.status.replace("_", " "))
        counts[word] = counts.get(word, 0) + 1
    yield f"{len(nights)} nights: {', '.join(f'{count} {word}' for word, count in counts.items())}"
    left = [night.night for night in nights if night.status not in (*WELL, "done_before", "planned")]
    if any(night.status == "not_reached" for night in nights):
        rest = f"{where(project.definition, project.ledger)}{_repeated(options)}"
        yield printable(f"go on with: orchestrate backfill --since {left[0]} --until {until}{rest}")


def _repeated(options: Options) -> str:
    """Return what the nights that are left need as those before did, as it was typed; a secret is no value of --set."""
    given = {"--only": options.selection.only, "--set": options.settings, "--env-file": options.env_files}
    words = "".join(f" {option} {shlex.quote(value)}" for option, values in given.items() for value in values)
    return f"{words} --force" if options.selection.force else words
