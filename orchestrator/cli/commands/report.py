"""`orchestrate report RUN`: what happened, for people who read and people who look."""

from __future__ import annotations

from collections.abc import Callable

import click

from orchestrator.cli import render
from orchestrator.cli.delivering import deliver
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.ledger_files import keep_off_ledger
from orchestrator.cli.options import json_option, ledger_option, pipeline_option, some_run_argument
from orchestrator.cli.reading import viewing, viewing_if_any

EXAMPLES = """\b
Examples:
  orchestrate report latest
  orchestrate report latest --html report.html
  orchestrate report 20260131T0200 --markdown - >> mail.md
  orchestrate report --governance --since 2026-01-01 --until 2026-03-31 --html data.html
"""


@click.command(epilog=EXAMPLES)
@some_run_argument
@pipeline_option
@ledger_option
@click.option("--html", "html", metavar="FILE", type=click.Path(), help="Write one self-contained page; - is stdout.")
@click.option("--markdown", "markdown", metavar="FILE", type=click.Path(), help="Write Markdown; - is stdout.")
@click.option("--governance", is_flag=True, help="Report who touched which class of data instead of a run.")
@click.option("--since", metavar="DATE", help="With --governance: from this night on.")
@click.option("--until", metavar="DATE", help="With --governance: up to this night.")
@json_option
def command(
    run: str | None,
    pipeline: str | None,
    ledger: str | None,
    html: str | None,
    markdown: str | None,
    since: str | None,
    until: str | None,
    *,
    governance: bool,
    as_json: bool,
) -> int:
    """
    Print the summary of a run, or write its report.

    The report is made from the ledger each time, so that it can be had again at any time. With --governance it is not about a run: which steps
    touched which class of data, on which nights, under whose definition, and what is past its retention.
    """
    if [html, markdown].count("-") + as_json > 1:
        raise UsageRefusedError("usage", "only one of --html -, --markdown - and --json can have stdout")
    if governance == (run is not None):
        raise UsageRefusedError("usage", "report takes a RUN, or --governance in its place")
    keep_off_ledger(pipeline, ledger, *(None if name == "-" else name for name in (html, markdown)))
    if run is None:
        _governance(pipeline, ledger, html, markdown, since, until, as_json=as_json)
    elif since is None and until is None:
        _of_run(run, pipeline, ledger, html, markdown, as_json=as_json)
    else:
        raise UsageRefusedError("usage", "--since and --until choose nights for --governance; a RUN is one already")
    return 0


def _of_run(
    run: str, pipeline: str | None, ledger: str | None, html: str | None, markdown: str | None, *, as_json: bool
) -> None:
    from orchestrator.cli.tails import failed_tails
    from orchestrator.projections.summary import summary_json, summary_lines

    with viewing(pipeline, ledger) as view:
        holder, run_id = view.holding(run)
        detail = holder.detail(run_id, recorded=as_json)
        tails = failed_tails(detail, view.folder)

    def as_html() -> str:
        from orchestrator.projections.report_html import report_html

        return report_html(detail, tails)

    def as_markdown() -> str:
        from orchestrator.projections.report_markdown import report_markdown

        return report_markdown(detail, tails)

    _deliver_both(html, as_html, markdown, as_markdown)
    if as_json:
        render.out_json(summary_json(detail))
    elif html is None and markdown is None:
        render.out_lines(summary_lines(detail, tails))


def _governance(
    pipeline: str | None,
    ledger: str | None,
    html: str | None,
    markdown: str | None,
    since: str | None,
    until: str | None,
    *,
    as_json: bool,
) -> None:
    from orchestrator.cli.governing import governance_report
    from orchestrator.projections.governance_pages import governance_html, governance_markdown, sections

    with viewing_if_any(pipeline, ledger) as view:
        report = governance_report(view, since, until)
    _deliver_both(html, lambda: governance_html(report), markdown, lambda: governance_markdown(report))
    if as_json:
        render.out_json(report)
    elif html is None and markdown is None:
        for place, section in enumerate(sections(report)):
            rows = [["" if cell is None else str(cell) for cell in row] for row in section.rows]
            render.out_lines([*([""] if place else []), section.title + (":" if rows else ": none")])
            render.out_lines(f"  {line}" for line in render.table(rows, section.header) if line)


def _deliver_both(
    html: str | None, as_html: Callable[[], str], markdown: str | None, as_markdown: Callable[[], str]
) -> None:
    if html is not None:
        deliver(html, as_html())
    if markdown is not None:
        deliver(markdown, as_markdown())
