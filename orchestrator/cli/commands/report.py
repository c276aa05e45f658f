"""`orchestrate report RUN`: what happened, for people who read and people who look."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import click

from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.ledger_files import keep_off_ledger
from orchestrator.cli.options import json_option, ledger_option, pipeline_option, run_argument
from orchestrator.cli.reading import viewing

EXAMPLES = """\b
Examples:
  orchestrate report latest
  orchestrate report latest --html report.html
  orchestrate report 20260131T0200 --markdown - >> mail.md
"""


@click.command(epilog=EXAMPLES)
@run_argument
@pipeline_option
@ledger_option
@click.option("--html", "html", metavar="FILE", type=click.Path(), help="Write one self-contained page; - is stdout.")
@click.option("--markdown", "markdown", metavar="FILE", type=click.Path(), help="Write Markdown; - is stdout.")
@json_option
def command(
    run: str, pipeline: str | None, ledger: str | None, html: str | None, markdown: str | None, *, as_json: bool
) -> int:
    """
    Print the summary of a run, or write its report.

    The report is made from the ledger each time, so that it can be had again at any time.
    """
    from orchestrator.cli.tails import failed_tails
    from orchestrator.projections.summary import summary_json, summary_lines

    if [html, markdown].count("-") + as_json > 1:
        raise UsageRefusedError("usage", "only one of --html -, --markdown - and --json can have stdout")
    keep_off_ledger(pipeline, ledger, *(None if name == "-" else name for name in (html, markdown)))
    with viewing(pipeline, ledger) as view:
        holder, run_id = view.holding(run)
        detail = holder.detail(run_id, recorded=as_json)
        tails = failed_tails(detail, view.folder)
    if html is not None:
        from orchestrator.projections.report_html import report_html

        _deliver(html, report_html(detail, tails))
    if markdown is not None:
        from orchestrator.projections.report_markdown import report_markdown

        _deliver(markdown, report_markdown(detail, tails))
    if as_json:
        render.out_json(summary_json(detail))
    elif html is None and markdown is None:
        render.out_lines(summary_lines(detail, tails))
    return 0


def _deliver(target: str, text: str) -> None:
    if target == "-":
        render.out_raw(text.encode("utf-8"))
        return
    from ledger.folders import write_private

    # A link means the file behind it; a device or a pipe is written to, never replaced.
    path = Path(os.path.realpath(target))
    try:
        if not target or path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
        else:
            write_private(path, text)
    except OSError as error:
        raise UsageRefusedError("unwritable", f"{target or repr(target)} cannot be written: {error.strerror}") from None
    render.err(f"written: {target}")
