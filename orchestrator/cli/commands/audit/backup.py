"""`orchestrate audit backup FILE`: one complete, checked copy of the ledger."""

from __future__ import annotations

import os
from pathlib import Path

import click

from orchestrator.cli import render
from orchestrator.cli.options import json_option, ledger_option, pipeline_option

EXAMPLES = """\b
Examples:
  orchestrate audit backup /mnt/backup/ledger.db
  orchestrate audit backup --force /mnt/backup/ledger.db --json
"""


@click.command(epilog=EXAMPLES)
@click.argument("file", metavar="FILE", type=click.Path())
@pipeline_option
@ledger_option
@click.option("--force", is_flag=True, help="Put it in the place of a FILE that is there.")
@json_option
def command(file: str, pipeline: str | None, ledger: str | None, *, force: bool, as_json: bool) -> int:
    """
    Write one complete copy of the ledger to FILE, check every event in it, and say what it holds.

    May be called while a run is on: the copy is of one moment. FILE appears when all of it was found right and is on the disk, or not at all; nothing else is
    needed beside it. Keep the checkpoint that is printed somewhere else: it shows later whether FILE is what was written today. Logs and reports are
    files of their own, and so are the former ledgers of one that was restored.
    """
    from orchestrator.cli.audit.safekeeping import back_up

    done = back_up(pipeline, ledger, Path(os.path.abspath(file)), force=force)
    if as_json:
        render.out_json(done.as_json())
    else:
        render.out_lines(done.lines())
        for path in done.former:
            render.err(f"note: the ledger continues {path.name}, which is not in the copy: keep {path} as well")
    return 0
