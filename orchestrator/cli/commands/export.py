"""`orchestrate export`: a run, or those of a range of nights, for other programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import render
from orchestrator.cli.delivering import deliver
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.export_formats import FORMATS, documents_of
from orchestrator.cli.ledger_files import keep_off_ledger
from orchestrator.cli.options import json_option, ledger_option, pipeline_option, some_run_argument
from orchestrator.cli.reading import View, viewing
from orchestrator.core.durations import parse_duration
from orchestrator.core.names import shown
from orchestrator.core.nights import parse_date

if TYPE_CHECKING:
    from orchestrator.cli.lineage import Sent

EXAMPLES = """\b
Examples:
  orchestrate export latest --format otlp > trace.jsonl
  orchestrate export 20261130T184509Z --format otlp --output trace.jsonl
  orchestrate export latest --format openlineage
  orchestrate export --format openlineage --since 2026-01-01 --output lineage.jsonl
  OPENLINEAGE_URL=http://127.0.0.1:5000 orchestrate export --format openlineage --since 2026-01-01 --send
"""

_LONGEST_SECONDS = 86_400


@click.command(epilog=EXAMPLES)
@some_run_argument
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), required=True, help=" ".join(f"{name}: {what}" for name, what in FORMATS.items())
)  # fmt: skip
@click.option("--since", metavar="DATE", help="In the place of RUN: every run of a night from this one on, in order.")
@click.option("--until", metavar="DATE", help="With --since: up to this night.")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(),
    help="Write the lines there instead of to stdout, which - is too; FILE is made anew.",
)
@click.option("--send", "sends", is_flag=True, help="With openlineage: hand the events to where OPENLINEAGE_URL says.")
@click.option(
    "--timeout", default="60s", show_default=True, metavar="DURATION", help="How long --send may take, a day at most."
)
@pipeline_option
@ledger_option
@json_option
def command(
    run: str | None,
    pipeline: str | None,
    ledger: str | None,
    form: str,
    since: str | None,
    until: str | None,
    output: str | None,
    timeout: str,
    *,
    sends: bool,
    as_json: bool,
) -> int:
    """
    Write a run in a form that other programs take, one document a line; made from the ledger, and the same each time.

    With --since it is all runs of a range of nights, so that a catalogue can be filled. With --send they are sent instead of printed, in order; the first that is not taken
    ends it with exit code 1, and since ids and times are the same each time, everything can be sent again.
    """
    _check(run, form, since, until, sends=sends)
    seconds = _seconds(timeout)
    output = None if output == "-" else output
    keep_off_ledger(pipeline, ledger, output)
    with viewing(pipeline, ledger) as view:
        chosen = [view.holding(run)] if run is not None else list(_between(view, since, until))
        documents = [document for holder, run_id in chosen for document in documents_of(form, holder, run_id)]
    lines = [json.dumps(document, separators=(",", ":"), ensure_ascii=False) for document in documents]
    if output is not None:
        deliver(output, "".join(f"{line}\n" for line in lines))
    if not chosen:
        render.err(f"no run of a night from {since} {'on' if until is None else f'to {until}'}")
    sent = _sent(documents, seconds) if sends else None
    if as_json:
        printed = documents if output is None and sent is None else None
        render.out_json(
            {
                "run_id": chosen[0][1] if run is not None else None,
                "runs": len(chosen),
                "format": form,
                "output": output,
                "lines": len(lines),
                "documents": printed,
                "sent": None if sent is None else sent._asdict(),
            }
        )
    elif sent is not None:
        runs = "1 run" if len(chosen) == 1 else f"{len(chosen)} runs"
        render.out(f"sent: {sent.delivered} of {len(documents)} events of {runs}")
    elif output is None:
        render.out_lines(lines)
    if sent is None or sent.error is None:
        return ExitCode.OK
    render.err(f"error: not everything was taken: {sent.error}")
    return ExitCode.FAILED


def _check(run: str | None, form: str, since: str | None, until: str | None, *, sends: bool) -> None:
    if (run is None) == (since is None) or (until is not None and since is None):
        raise UsageRefusedError(
            "usage", "export takes a RUN, or in its place --since DATE, with --until DATE if need be"
        )
    for option, value in (("--since", since), ("--until", until)):
        if value is not None and parse_date(value) is None:
            raise UsageRefusedError("bad_night", f"{option} takes a date such as 2026-01-31, not {shown(value)}")
    if since is not None and until is not None and until < since:
        raise UsageRefusedError("bad_range", f"--since {since} is later than --until {until}")
    if sends and form != "openlineage":
        raise UsageRefusedError("usage", "--send is for openlineage; `orchestrate telemetry replay` sends traces again")


def _seconds(timeout: str) -> float:
    seconds = parse_duration(timeout) / 1e6
    if seconds > _LONGEST_SECONDS:
        raise UsageRefusedError("usage", f"--timeout takes a day at most, not {timeout}")
    return seconds


def _between(view: View, since: str | None, until: str | None) -> Iterator[tuple[View, str]]:
    """Yield the runs of the nights from *since* to *until*, the oldest first, also of the ledgers that this one continues."""
    for holder in (*reversed(view.former()), view):
        rows = holder.connection.execute(
            "SELECT run_id FROM runs WHERE night >= ? AND (? IS NULL OR night <= ?) AND pipeline = coalesce(?, pipeline) ORDER BY first_seq",
            (since, until, until, view.pipeline),
        ).fetchall()
        yield from ((holder, run_id) for (run_id,) in rows)


def _sent(documents: Sequence[Mapping[str, Any]], seconds: float) -> Sent:
    from orchestrator.cli.lineage import send

    return send(documents, seconds=seconds)
