"""`orchestrate runs`: the history, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.options import as_of_option, json_option, ledger_option, local_option, pipeline_option
from orchestrator.cli.reading import View, viewing_if_any
from orchestrator.cli.times import shown_seconds, shown_time
from orchestrator.core.nights import parse_date
from orchestrator.core.printable import printable
from orchestrator.projections.queries import list_runs, refusals

EXAMPLES = """\b
Examples:
  orchestrate runs
  orchestrate runs --status failed --status interrupted --limit 5
  orchestrate runs --night 2026-01-31 --json
  orchestrate runs --refused
  orchestrate runs --as-of seq:4711
"""
_STATUSES = ("running", "succeeded", "nothing_to_do", "failed", "timed_out", "cancelled", "interrupted")


@click.command(epilog=EXAMPLES)
@pipeline_option
@ledger_option
@click.option("--status", multiple=True, type=click.Choice(_STATUSES), help="Only these; may be given several times.")
@click.option("--night", metavar="DATE", help="Only runs for this night.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N", help="At most so many.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--refused", is_flag=True, help="List the starts that were refused instead.")
@as_of_option
@local_option
@json_option
def command(
    pipeline: str | None,
    ledger: str | None,
    status: tuple[str, ...],
    night: str | None,
    limit: int,
    as_of: str | None,
    *,
    everything: bool,
    refused: bool,
    local: bool,
    as_json: bool,
) -> int:
    """List the runs, newest first; those of ledgers that this one continues come after its own."""
    if night is not None and parse_date(night) is None:
        raise UsageRefusedError("bad_night", f"--night takes a date such as 2026-01-31, not {night[:60]!a}")
    most = None if everything else limit
    with viewing_if_any(pipeline, ledger, as_of) as view:
        rows: Sequence[Mapping[str, object]] = []
        if view is not None:

            def listed(of: View, limit: int | None) -> Sequence[Mapping[str, object]]:
                if refused:
                    return refusals(of.connection, pipeline=of.pipeline, limit=-1 if limit is None else limit)
                return list_runs(of.connection, pipeline=of.pipeline, status=status, night=night, limit=limit)

            rows = view.along_the_chain(listed, most)
    if as_json:
        render.out_json(rows)
    elif refused:
        render.out_lines(_refusal_lines(rows, local=local))
    else:
        cells = [
            (
                str(row["run_id"]),
                str(row["pipeline"]),
                str(row["night"]),
                str(row["status"]),
                shown_time(row["started_at"], local=local),
                shown_seconds(row["duration_seconds"]),
            )
            for row in rows
        ]
        render.out_lines(render.table(cells, ("run", "pipeline", "night", "status", "started", "took")))
        if most is not None and len(rows) == most:
            render.err(f"the newest {most}; --all lists every run")
    return 0


def _refusal_lines(rows: Sequence[Mapping[str, object]], *, local: bool) -> list[str]:
    lines = []
    for row in rows:
        night = f", night {row['night']}" if row["night"] else ""
        lines.append(
            f"{shown_time(row['recorded_at'], local=local)}  {row['pipeline']}{night}, exit code {row['exit_code']}"
        )
        problems = row["problems"]
        assert isinstance(problems, list)
        lines += [printable(f"  {problem['kind']}: {problem['message']}") for problem in problems]
    return lines
