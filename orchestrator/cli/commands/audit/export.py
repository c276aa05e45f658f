"""`orchestrate audit export`: the ledger as files for other programs."""

from __future__ import annotations

import click

from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.ledger_files import keep_off_ledger
from orchestrator.cli.options import json_option, ledger_option, pipeline_option
from orchestrator.core.printable import printable

EXAMPLES = """\b
Examples:
  orchestrate audit export --jsonl events.jsonl
  orchestrate audit export --csv tables --from 2026-01-01 --to 2026-01-31
  orchestrate audit export --parquet tables --jsonl events.jsonl --json
"""


@click.command(epilog=EXAMPLES)
@pipeline_option
@ledger_option
@click.option("--jsonl", metavar="FILE", type=click.Path(), help="Write the text of each event as a line.")
@click.option(
    "--csv", metavar="DIR", type=click.Path(), help="Write each view as a CSV file; formulas are neutralised."
)
@click.option("--parquet", metavar="DIR", type=click.Path(), help="Write each view as a Parquet file.")
@click.option("--from", "begin", metavar="SEQ|TIME", help="Only events from this one on.")
@click.option("--to", "end", metavar="SEQ|TIME", help="Only events up to this one; a date is that whole day, in UTC.")
@click.option("--force", is_flag=True, help="Write files that exist anew.")
@json_option
def command(
    pipeline: str | None,
    ledger: str | None,
    jsonl: str | None,
    csv: str | None,
    parquet: str | None,
    begin: str | None,
    end: str | None,
    *,
    force: bool,
    as_json: bool,
) -> int:
    """Write events or views as files, all of one moment, each with a manifest: events, root, rows, digests."""
    from orchestrator.cli.audit.evidence import one_moment
    from orchestrator.cli.audit.exporting import FileFacts, facts_of, jobs_of
    from orchestrator.cli.audit.new_files import refuse_existing, refuse_odd
    from orchestrator.cli.audit.seq_range import range_of
    from orchestrator.runtime.clock import SystemClock

    jobs = jobs_of(jsonl, csv, parquet)
    if not jobs:
        raise UsageRefusedError("usage", "say what to write: --jsonl FILE, --csv DIR, --parquet DIR")
    paths = [path for job in jobs for path in job.files]
    keep_off_ledger(pipeline, ledger, *paths)
    refuse_existing(paths, force=force)
    refuse_odd(paths)
    files: list[FileFacts] = []
    with one_moment(pipeline, ledger) as moment:
        stretch = range_of(moment.connection, moment.size, begin, end)
        facts = facts_of(moment, stretch, SystemClock().now())
        for job in jobs:
            files += job.write(moment, stretch, facts)
    if as_json:
        render.out_json({**facts, "files": files})
        return 0
    for file in files:
        render.out(printable(f"{file['file']}: {file['rows']} rows, sha256 {file['sha256']}"))
    render.out(f"events {stretch.first} to {stretch.last} of {moment.size}, root {facts['root']}")
    return 0
