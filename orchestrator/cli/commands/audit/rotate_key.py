"""`orchestrate audit rotate-key`: a new signing key in the place of the old one."""

from __future__ import annotations

import click

from orchestrator.cli import render
from orchestrator.cli.options import json_option, ledger_option, pipeline_option

EXAMPLES = """\b
Examples:
  orchestrate audit rotate-key --reason "yearly"
"""


@click.command(epilog=EXAMPLES)
@pipeline_option
@ledger_option
@click.option("--reason", metavar="TEXT", help="Why; recorded.")
@json_option
def command(pipeline: str | None, ledger: str | None, reason: str | None, *, as_json: bool) -> int:
    """
    Replace the signing key of this ledger by a new one; the change is an event, signed by both.

    Whoever has pinned the old key goes on verifying with it, and may pin the new one at leisure. An interrupted replacing is finished by calling this again.
    Where the old key is lost: orchestrate audit keygen --lost.
    """
    from orchestrator.cli.audit.keeping import rotate_operator_key

    made = rotate_operator_key(pipeline, ledger, reason=reason)
    if as_json:
        render.out_json({"name": made.key.name, "key": made.key.text, "folder": str(made.folder)})
    else:
        render.out(made.key.text)
        render.err("the new public half is the line on standard output; checkpoints are signed with it from now on")
    return 0
