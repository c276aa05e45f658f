"""`orchestrate audit keygen`: the key that signs checkpoints of a ledger, or the key of a witness."""

from __future__ import annotations

import re

import click

from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.options import json_option, ledger_option, pipeline_option

EXAMPLES = """\b
Examples:
  orchestrate audit keygen
  orchestrate audit keygen --lost --reason "disk of the old machine died"
  orchestrate audit keygen --witness audit.example/jane
"""
_WITNESS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")


@click.command(epilog=EXAMPLES)
@pipeline_option
@ledger_option
@click.option("--witness", metavar="NAME", help="Make your own key as a witness, under this name; needs no ledger.")
@click.option("--lost", is_flag=True, help="The former key is lost: begin anew, with a gap that verifying shows.")
@click.option("--reason", metavar="TEXT", help="Why; recorded.")
@json_option
def command(
    pipeline: str | None, ledger: str | None, witness: str | None, reason: str | None, *, lost: bool, as_json: bool
) -> int:
    """
    Make the key that signs the checkpoints of this ledger, and hand out its public half.

    The private half stays in your configuration folder, together with the memory of what was signed; it never lies beside the ledger. Give the public half,
    one line, to whoever will verify. That a key was made is recorded. With --witness it is your own key, for `audit cosign`.
    """
    from orchestrator.cli.audit.keeping import make_operator_key, make_witness_key

    if witness is not None:
        if not _WITNESS_NAME.fullmatch(witness):
            raise UsageRefusedError(
                "usage", f"not a name for a witness: {witness[:60]!a}; letters, digits, '.', '_', '/', '-'"
            )
        made = make_witness_key(witness)
    else:
        made = make_operator_key(pipeline, ledger, lost=lost, reason=reason)
    if as_json:
        render.out_json({"name": made.key.name, "key": made.key.text, "folder": str(made.folder)})
    else:
        render.out(made.key.text)
        render.err(f"the private key lies in {made.folder}: keep a copy where nobody else can read it")
        render.err("its public half is the line on standard output: hand it to whoever verifies")
    return 0
