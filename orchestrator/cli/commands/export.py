"""`orchestrate export RUN`: a run, for other programs."""

from __future__ import annotations

import json

import click

from orchestrator.cli import render
from orchestrator.cli.delivering import deliver
from orchestrator.cli.export_formats import FORMATS, documents_of
from orchestrator.cli.ledger_files import keep_off_ledger
from orchestrator.cli.options import json_option, ledger_option, pipeline_option, run_argument
from orchestrator.cli.reading import viewing

EXAMPLES = """\b
Examples:
  orchestrate export latest --format otlp > trace.jsonl
  orchestrate export 20261130T184509Z --format otlp --output trace.jsonl
"""


@click.command(epilog=EXAMPLES)
@run_argument
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), required=True, help=" ".join(f"{name}: {what}" for name, what in FORMATS.items())
)  # fmt: skip
@click.option("--output", metavar="FILE", type=click.Path(), help="Write the lines there instead of to stdout; FILE is made anew.")
@pipeline_option
@ledger_option
@json_option
def command(run: str, pipeline: str | None, ledger: str | None, form: str, output: str | None, *, as_json: bool) -> int:
    """Write a run in a form that other programs take, one document a line; made from the ledger, and the same each time."""
    output = None if output == "-" else output
    keep_off_ledger(pipeline, ledger, output)
    with viewing(pipeline, ledger) as view:
        holder, run_id = view.holding(run)
        documents = list(documents_of(form, holder, run_id))
    lines = [json.dumps(document, separators=(",", ":"), ensure_ascii=False) for document in documents]
    if output is not None:
        deliver(output, "".join(f"{line}\n" for line in lines))
    if as_json:
        shown = documents if output is None else None
        render.out_json({"run_id": run_id, "format": form, "output": output, "lines": len(lines), "documents": shown})
    elif output is None:
        render.out_lines(lines)
    return 0
