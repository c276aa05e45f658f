"""`orchestrate check`: for a second cron, and for monitoring."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from orchestrator.cli import render
from orchestrator.cli.checking import Checked, Finding, check_all, nagios_line, state_of_all
from orchestrator.cli.errors import UsageRefusedError, exit_code_of
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.locate import definition_path, ledger_path, relative_to_ledger, where
from orchestrator.cli.options import json_option, ledger_option, pipeline_option
from orchestrator.cli.reading import View, viewing_if_any
from orchestrator.cli.times import shown_seconds
from orchestrator.core.durations import parse_duration
from orchestrator.core.printable import printable
from orchestrator.projections.queries import pipeline_of_path

EXAMPLES = """\b
Examples:
  orchestrate check --max-age 26h --quiet
  orchestrate check --pipeline /srv/shop
  orchestrate check --max-age 26h --ignore experiments --json
  orchestrate check --max-age 26h --nagios
"""
_UNKNOWN = 3
_CODES = {"ok": ExitCode.OK, "warning": ExitCode.OK, "stale": ExitCode.STALE, "unknown": ExitCode.REFUSED}


class _Plugin(click.Command):
    """A command that says in the words of Nagios too that it was called in a wrong way."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse *args*; with `--nagios` among them, what is wrong with them is unknown (3) and a line, not a usage error, which would be critical."""
        is_plugin = "--nagios" in args and "--json" not in args
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if not is_plugin:
                raise
            render.out(_unknown(error.format_message()))
            raise click.exceptions.Exit(_UNKNOWN) from None


def _unknown(problem: str) -> str:
    """Return the line that says why nothing can be told."""
    return f"ORCHESTRATE UNKNOWN - {' '.join(printable(problem).replace('|', '/').split())}"


@click.command(cls=_Plugin, epilog=EXAMPLES)
@pipeline_option
@ledger_option
@click.option(
    "--max-age", metavar="DURATION", help="How long ago the last success of each pipeline may be, such as 26h."
)
@click.option("--ignore", multiple=True, metavar="NAME", help="Do not judge this pipeline; may be given several times.")
@click.option("--nagios", is_flag=True, help="One line with figures, and the exit codes of Nagios plugins: 0 to 3.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing where all is well.")
@json_option
def command(
    pipeline: str | None,
    ledger: str | None,
    max_age: str | None,
    ignore: tuple[str, ...],
    *,
    nagios: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """
    Say whether what was due has run, has ended well and is recent enough, and what to type next.

    Found are: a ledger that is not there, a run that has lost its orchestrator, nights that were due by [schedule] cron and have no run, nights that did not end
    well and that nobody has acknowledged, a last success older than --max-age, data older than its fresh_within. Exit codes: 0 all is well, 6 something is stale or missing, 2 it cannot be told.
    """
    if nagios and as_json:
        raise UsageRefusedError("usage", "--nagios and --json exclude each other: one line is asked for, or one value")
    try:
        max_age_us = None if max_age is None else parse_duration(max_age)
        checked = _checked(pipeline, ledger, max_age_us, ignore)
    except Exception as error:
        if not nagios or exit_code_of(error) is None:
            raise
        render.out(_unknown(str(error)))
        return _UNKNOWN
    if checked.path is not None and (checked.findings or checked.digest):
        from orchestrator.cli.alerting import tell_lateness

        findings = [finding._asdict() for finding in checked.findings]
        tell_lateness(checked.path, checked.pipelines, findings, say=render.err)
    state = state_of_all(checked.findings)
    if nagios:
        code, line = nagios_line(checked, max_age_us)
        render.out(printable(line))
        return code
    if as_json:
        render.out_json(
            {
                "status": state,
                "exit_code": int(_CODES[state]),
                "pipelines": checked.pipelines,
                "findings": [finding._asdict() for finding in checked.findings],
            }
        )
    elif not quiet or checked.findings:
        render.out_lines(printable(line) for line in _lines(checked))
    return _CODES[state]


def _checked(pipeline: str | None, ledger: str | None, max_age_us: int | None, ignore: tuple[str, ...]) -> Checked:
    definition = definition_path(pipeline)
    path = ledger_path(ledger, definition)
    first = [f"orchestrate run{where(definition, path)}"]
    never_ran = Finding(
        None, "never_ran", "critical", f"the pipeline of {definition} has never run on {path}", next=first
    )
    try:
        with viewing_if_any(pipeline, ledger) as view:
            if view is None:
                return Checked([], [_no_ledger(path, first)])
            checked = check_all(view, datetime.now(UTC), max_age_us=max_age_us, ignored=ignore)
            found = {finding.kind for finding in checked.findings}
            if ledger is None and "never_ran" not in found and _is_unknown(view, definition):
                return checked._replace(findings=[never_ran, *checked.findings])
            return checked
    except UsageRefusedError as error:
        # It is there and has never run: whoever checks it expects that it does.
        if error.kind == "unknown_pipeline" and definition.is_file():
            return Checked([], [never_ran])
        raise


def _no_ledger(path: Path, first: list[str]) -> Finding:
    """Return that nothing is at *path*: no night has run, or what this user has signed there is lost."""
    from orchestrator.cli.lost_ledgers import loss_at

    loss = loss_at(path)
    if loss is not None:
        return Finding(None, "no_ledger", "critical", loss)
    return Finding(None, "no_ledger", "critical", f"there is no ledger at {path}: no night has run", next=first)


def _is_unknown(view: View, definition: Path) -> bool:
    """Whether there is a definition here, in the folder that one stands in, that the ledger of others does not know."""
    return definition.is_file() and pipeline_of_path(view.connection, relative_to_ledger(definition, view.path)) is None


def _lines(checked: Checked) -> Iterator[str]:
    for finding in checked.findings:
        about = f"{finding.pipeline}: " if finding.pipeline else ""
        yield f"{about}{finding.message}"
        yield from (f"  next: {line}" if number == 0 else f"        {line}" for number, line in enumerate(finding.next))
    if not checked.findings:
        for row in checked.pipelines:
            good, age = row["last_success"], shown_seconds(round(row["age_seconds"] or 0))
            yield f"{row['pipeline']}: on time, " + (
                f"last success {age} ago, night {good['night']}" if good else "no success yet"
            )
