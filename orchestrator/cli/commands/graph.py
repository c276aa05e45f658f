"""`orchestrate graph [RUN]`: the graph as a picture, of the definition or of what a run made of it."""

from __future__ import annotations

from collections.abc import Mapping

import click

from orchestrator.cli import render
from orchestrator.cli.options import json_option, ledger_option, pipeline_option, some_run_argument
from orchestrator.cli.reading import viewing

EXAMPLES = """\b
Examples:
  orchestrate graph
  orchestrate graph latest --format svg > run.svg
  orchestrate graph --format dot | dot -Tpng > graph.png
"""


@click.command(epilog=EXAMPLES)
@some_run_argument
@pipeline_option
@ledger_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["mermaid", "dot", "svg"]),
    default="mermaid",
    show_default=True,
    help="Of what is printed.",
)
@json_option
def command(run: str | None, pipeline: str | None, ledger: str | None, form: str, *, as_json: bool) -> int:
    """Draw the graph of the pipeline, or with RUN what became of its steps in that run."""
    graph, statuses = _of_definition(pipeline, ledger) if run is None else _of_run(run, pipeline, ledger)
    if as_json:
        render.out_json({**graph, "statuses": statuses})
    elif form == "svg":
        from orchestrator.projections.graph_svg import graph_svg

        render.out(graph_svg(graph, statuses))
    else:
        from orchestrator.projections.graph_text import dot, mermaid

        render.out((dot if form == "dot" else mermaid)(graph, statuses).rstrip("\n"))
    return 0


def _of_definition(pipeline: str | None, ledger: str | None) -> tuple[dict[str, object], dict[str, str]]:
    from orchestrator.cli.project import Options, load_project
    from orchestrator.runtime.assembly import graph_document

    project = load_project(Options(pipeline, ledger))
    return graph_document(project.pipeline, project.graph), {}


def _of_run(run: str, pipeline: str | None, ledger: str | None) -> tuple[dict[str, object], dict[str, str]]:
    with viewing(pipeline, ledger) as view:
        holder, run_id = view.holding(run)
        detail = holder.detail(run_id, history=False)
    graph, steps = detail["graph"], detail["steps"]
    assert isinstance(graph, dict)
    assert isinstance(steps, list)
    return graph, {str(step["step"]): _status(step) for step in steps}


def _status(step: Mapping[str, object]) -> str:
    return str(step["status"])
