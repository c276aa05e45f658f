"""`orchestrate audit upgrade`: an older ledger in the present format."""

from __future__ import annotations

import click

from orchestrator.cli import render
from orchestrator.cli.options import json_option, ledger_option, pipeline_option

EXAMPLES = """\b
Examples:
  orchestrate audit upgrade
  orchestrate audit upgrade --reason "version 0.2 is installed, ticket 4711"
  orchestrate audit upgrade --ledger /srv/etl/.orchestrate/ledger.db --json
"""


@click.command(epilog=EXAMPLES)
@click.option("--reason", metavar="TEXT", help="Why; recorded.")
@pipeline_option
@ledger_option
@json_option
def command(pipeline: str | None, ledger: str | None, reason: str | None, *, as_json: bool) -> int:
    """
    Bring a ledger that an older program made to the present format: back it up, make its tables anew, record that, seal it, and check it.

    The events stay as they are, byte for byte. A small ledger is brought up to date by the next run; a large one waits for this command, and can be read
    meanwhile. One that was turned back since it was sealed last is refused. The backup lies beside the ledger. A ledger of the present format is checked and otherwise left alone.
    """
    from orchestrator.cli.audit.safekeeping import upgrade

    done = upgrade(pipeline, ledger, reason=reason)
    if as_json:
        render.out_json(done.as_json())
    elif done.backup is None:
        render.out(f"{done.path} is up to date: {done.contents.events} events, checked")
    else:
        found, tables = done.before
        render.out(
            f"{done.path}: format {found}, tables {tables} before; now up to date: {done.contents.events} events, checked"
        )
        render.out(f"  as it was: {done.backup}")
    return 0
