"""`orchestrate telemetry replay`: history, sent again."""

from __future__ import annotations

from typing import Literal

import click

from orchestrator.cli import render
from orchestrator.cli.options import json_option, ledger_option, pipeline_option

EXAMPLES = """\b
Examples:
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 orchestrate telemetry replay --since 2026-01-01
  orchestrate telemetry replay --since 2026-01-01 --until 2026-01-07 --pipeline-name nightly --json
  orchestrate telemetry replay --since 2026-01-01 --signal metrics
"""


@click.command(epilog=EXAMPLES)
@click.option("--since", required=True, metavar="DATE", help="Runs that ended on that day (UTC) or later.")
@click.option("--until", metavar="DATE", help="Runs that ended on that day or earlier.")
@click.option("--pipeline-name", "name", metavar="NAME", help="Runs of this pipeline alone.")
@click.option(
    "--signal",
    "signals",
    type=click.Choice(["traces", "metrics", "logs"]),
    multiple=True,
    help="This alone; may stand again. Without it traces and logs.",
)
@pipeline_option
@ledger_option
@json_option
def command(
    since: str,
    until: str | None,
    name: str | None,
    signals: tuple[Literal["traces", "metrics", "logs"], ...],
    pipeline: str | None,
    ledger: str | None,
    *,
    as_json: bool,
) -> int:
    """
    Send traces and logs of the runs that ended in that time to where the OTEL_* variables say, with the ids that they have always had.

    What has arrived before arrives twice and is the same. Metrics are sent where they are asked for: most back ends refuse points that are older than an hour
    or so. What was known to be missing is recorded as delivered. Exit codes: 0 all was taken, 1 something was not, 2 nothing says where to send, or the extra
    otlp is missing.
    """
    from orchestrator.cli.telemetry.replaying import replay

    done = replay(pipeline, ledger, since=since, until=until, name=name, chosen=signals, quiet=as_json)
    if as_json:
        render.out_json(done.as_json())
    else:
        render.out_lines(done.lines())
    return done.code
