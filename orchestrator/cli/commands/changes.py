"""`orchestrate changes`: every change of a definition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import click

from orchestrator.cli import render
from orchestrator.cli.options import as_of_option, json_option, ledger_option, local_option, pipeline_option
from orchestrator.cli.reading import viewing_if_any
from orchestrator.cli.times import shown_time
from orchestrator.core.explain import short_digest
from orchestrator.core.printable import printable
from orchestrator.projections.change_text import change_text
from orchestrator.projections.queries import definition_changes

EXAMPLES = """\b
Examples:
  orchestrate changes
  orchestrate changes --json
"""


@click.command(epilog=EXAMPLES)
@pipeline_option
@ledger_option
@as_of_option
@local_option
@json_option
def command(pipeline: str | None, ledger: str | None, as_of: str | None, *, local: bool, as_json: bool) -> int:
    """List the changes of the definition, its host and its place, newest first: what differs, at which commit, and who was there."""
    with viewing_if_any(pipeline, ledger, as_of) as view:
        rows: Sequence[Mapping[str, object]] = []
        if view is not None:
            rows = view.along_the_chain(lambda of, _: definition_changes(of.connection, pipeline=of.pipeline), None)
    if as_json:
        render.out_json(rows)
    for row in rows if not as_json else []:
        render.out_lines(_lines(row, local=local))
    return 0


def _lines(row: Mapping[str, object], *, local: bool) -> Iterator[str]:
    actor, git = row["actor"], row["git"]
    who = f", {actor.get('user')} on {actor.get('host')}" if isinstance(actor, Mapping) else ""
    commit = ""
    if isinstance(git, Mapping):
        commit = f", commit {str(git.get('commit'))[:12]}{' with changes' if git.get('dirty') else ''}"
    if row["kind"] != "definition":
        what = "moved"
    else:
        what = f"{short_digest(row['before'])} -> {short_digest(row['after'])}" if row["before"] else "first seen"
    reason = f": {row['reason']}" if row["reason"] else ""
    yield printable(f"{shown_time(row['recorded_at'], local=local)}  {row['pipeline']}: {what}{commit}{who}{reason}")
    changes = row["changes"]
    assert isinstance(changes, list)
    for change in changes:
        yield printable(f"  {change_text(change)}")
