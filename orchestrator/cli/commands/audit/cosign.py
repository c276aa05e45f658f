"""`orchestrate audit cosign`: a second person says how far she has seen the ledger grow."""

from __future__ import annotations

import click

from orchestrator.cli import render
from orchestrator.cli.ledger_files import keep_off_ledger
from orchestrator.cli.options import json_option, ledger_option, pipeline_option

EXAMPLES = """\b
Examples:
  orchestrate audit cosign --key operator.vkey
  orchestrate audit cosign --ledger /srv/etl/.orchestrate/ledger.db
  orchestrate audit cosign handed-over.checkpoint --out cosigned.checkpoint
"""


@click.command(epilog=EXAMPLES)
@click.argument("checkpoint", required=False, type=click.Path(), metavar="[FILE]")
@pipeline_option
@ledger_option
@click.option("--key", metavar="KEY", help="The public key of the ledger, or a file with it; needed the first time.")
@click.option("--out", metavar="FILE", type=click.Path(), help="Write the cosigned checkpoint there.")
@json_option
def command(
    checkpoint: str | None, pipeline: str | None, ledger: str | None, key: str | None, out: str | None, *, as_json: bool
) -> int:
    """
    Witness a checkpoint: the one in FILE, or the last signed one of the ledger.

    Needs your own key (`orchestrate audit keygen --witness NAME`) and reading the ledger. It is cosigned only if it is signed with the key that you pinned and
    continues what you cosigned before; your memory of that lies with your key. The result is written beside the ledger, or into the present folder
    where that cannot be written; nothing in the ledger changes.
    """
    from orchestrator.cli.audit.keeping import cosign

    keep_off_ledger(pipeline, ledger, out)
    done = cosign(checkpoint, pipeline, ledger, key=key, out=out)
    if as_json:
        shown = {"origin": done.checkpoint.origin, "size": done.checkpoint.size, "root": done.checkpoint.root.hex()}
        render.out_json(shown | {"witness": done.witness.text, "file": str(done.path), "note": done.note})
    else:
        render.out(f"cosigned: {done.checkpoint.size} events of {done.checkpoint.origin}")
        render.out(f"  root:    {done.checkpoint.root.hex()}")
        render.out(
            f"  before:  {'nothing; from now on you hold it to this' if done.before is None else f'{done.before} events'}"
        )
        render.out(f"  written: {done.path}")
        render.out(f"  verify with: --witness {done.witness.text}")
    return 0
