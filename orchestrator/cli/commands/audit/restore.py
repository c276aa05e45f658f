"""`orchestrate audit restore FILE`: history goes on from a backup, in a new ledger that names what was lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import render
from orchestrator.cli.manual import checked_text
from orchestrator.cli.options import json_option, ledger_option, pipeline_option

if TYPE_CHECKING:
    from orchestrator.cli.audit.restoring import Restored

EXAMPLES = """\b
Examples:
  orchestrate audit restore /mnt/backup/ledger.db --reason "the disk died, ticket 4711"
  orchestrate audit restore /mnt/backup/ledger.db --replace --checkpoint /mnt/worm/last.checkpoint --reason "pages damaged"
"""
_RUNS_SHOWN = 10


@click.command(epilog=EXAMPLES)
@click.argument("file", metavar="FILE", type=click.Path())
@click.option("--reason", required=True, metavar="TEXT", help="Why; recorded.")
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="FILE",
    type=click.Path(),
    help="A checkpoint that somebody kept; may be given several times.",
)
@click.option("--replace", is_flag=True, help="Move what stands in the ledger's place aside; nothing of it is lost.")
@pipeline_option
@ledger_option
@json_option
def command(
    file: str,
    reason: str,
    checkpoints: tuple[str, ...],
    pipeline: str | None,
    ledger: str | None,
    *,
    replace: bool,
    as_json: bool,
) -> int:
    """
    Go on from the backup FILE, in a new ledger with an id of its own that names the former one, its last known checkpoint and what was lost.

    FILE is checked and compared with every checkpoint that is known outside of it: those beside the ledger, what the signer remembers, and those that
    you name. It then lies beside the new ledger, read only, so that its runs are still found. What is up to date stays so. The new ledger has a new origin and needs a
    new key.
    """
    from orchestrator.cli.audit.restoring import restore

    checked_text(reason, "--reason")
    place = Path(os.path.abspath(file))
    done = restore(place, pipeline, ledger, checkpoints=checkpoints, reason=reason, replace=replace)
    if as_json:
        render.out_json(done.as_json())
    else:
        render.out_lines(_lines(done))
    return 0


def _lines(done: Restored) -> Iterator[str]:
    contents, known, lost = done.contents, done.known, done.lost
    yield f"{done.path}: a new ledger, {done.ledger_id}"
    yield f"  continues: {contents.ledger_id}, {contents.events} events, the last of {contents.last_at}"
    yield f"  archive:   {done.archive}"
    yield from (f"  moved:     {path}" for path in done.moved)
    if known is None:
        yield "  lost:      nobody can say: no checkpoint of the former ledger was found outside of the backup"
    else:
        yield f"  known:     {known.checkpoint.size} events, by {known.place}; {done.compared} checkpoints compared"
        if lost is None:
            yield "  lost:      nothing that is known of"
    if lost is not None:
        yield f"  lost:      {_range(lost)}"
        runs = lost["runs"]
        assert isinstance(runs, list)
        if runs:
            more = f" and {len(runs) - _RUNS_SHOWN} more" if len(runs) > _RUNS_SHOWN else ""
            yield f"  lost runs: {', '.join(runs[:_RUNS_SHOWN])}{more}; their logs or reports are still here"
    yield "next: orchestrate audit keygen       # the new ledger has a new origin; the former key does not sign it"
    yield "      orchestrate audit verify"
    yield "      orchestrate plan"


def _range(lost: object) -> str:
    assert isinstance(lost, dict)
    if "last" not in lost:
        return f"events from {lost['first']} on, after {lost['after']}"
    return f"events {lost['first']} to {lost['last']}, between {lost['after']} and {lost['before']}"
