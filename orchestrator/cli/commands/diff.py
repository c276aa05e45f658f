"""`orchestrate diff RUN RUN`: how a run differs from another one of the same pipeline."""

from __future__ import annotations

import click

from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.ledger_files import keep_off_ledger
from orchestrator.cli.options import as_of_option, json_option, ledger_option, pipeline_option, two_run_arguments
from orchestrator.cli.reading import View, viewing

EXAMPLES = """\b
Examples:
  orchestrate diff 20260131T0200 latest
  orchestrate diff 20260131T0200 20260201T0200 --html diff.html
  orchestrate diff 20260131T0200 latest --json
"""


@click.command(epilog=EXAMPLES)
@two_run_arguments
@pipeline_option
@ledger_option
@as_of_option
@click.option("--html", "html", metavar="FILE", type=click.Path(), help="Write one self-contained page; - is stdout.")
@json_option
def command(
    before: str,
    after: str,
    pipeline: str | None,
    ledger: str | None,
    as_of: str | None,
    html: str | None,
    *,
    as_json: bool,
) -> int:
    """
    Compare two runs of a pipeline: definition, code, environment, inputs, decisions, outcomes, outputs, durations.

    The first step that went another way stands on top, with the first thing in which it differs. Needs a ledger alone; values of secrets are not in it, and whether one changed is told.
    """
    from orchestrator.projections.run_diff import run_diff
    from orchestrator.projections.run_diff_pages import diff_html, diff_lines
    from orchestrator.projections.run_sides import side_of

    if html == "-" and as_json:
        raise UsageRefusedError("usage", "only one of --html - and --json can have stdout")
    keep_off_ledger(pipeline, ledger, None if html == "-" else html)
    with viewing(pipeline, ledger, as_of) as view:
        (one, first), (other, second) = view.holding(before), view.holding(after)
        sides = side_of(one.connection, first), side_of(other.connection, second)
        names = [_names(one, first), _names(other, second)]
        if names[0].isdisjoint(names[1]):
            message = (
                f"run {first} is of pipeline {sides[0].run['pipeline']}, run {second} of {sides[1].run['pipeline']}: "
                "only runs of one pipeline can be compared"
            )
            raise UsageRefusedError("other_pipeline", message)
        found = run_diff(*sides)
    if html is not None:
        from orchestrator.cli.delivering import deliver

        deliver(html, diff_html(found))
    if as_json:
        render.out_json(found)
    elif html is None:
        render.out_lines(diff_lines(found))
    return 0


def _names(view: View, run_id: str) -> set[str]:
    """Return the name of the pipeline of the run *run_id*, and those that it had before."""
    from orchestrator.projections.queries import load_blob
    from orchestrator.projections.reproductions import any_run

    run = any_run(view.connection, run_id)
    pipeline, graph = run["pipeline"], run["graph"]
    former = (load_blob(view.connection, str(graph)) or {}).get("formerly", [])
    return {str(pipeline), *(former if isinstance(former, list) else ())}
