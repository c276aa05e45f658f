"""`orchestrate audit checkpoint`: the ledger, sealed as it is now."""

from __future__ import annotations

from pathlib import Path

import click

from ledger.folders import write_private
from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.ledger_files import keep_off_ledger
from orchestrator.cli.options import json_option, ledger_option, pipeline_option

EXAMPLES = """\b
Examples:
  orchestrate audit checkpoint
  orchestrate audit checkpoint --out /mnt/worm/ledger.checkpoint
  orchestrate audit checkpoint --last
"""


@click.command(epilog=EXAMPLES)
@pipeline_option
@ledger_option
@click.option("--last", is_flag=True, help="Print the last checkpoint; seal nothing, write nothing.")
@click.option("--out", metavar="FILE", type=click.Path(), help="Write it there instead of to the terminal.")
@json_option
def command(pipeline: str | None, ledger: str | None, out: str | None, *, last: bool, as_json: bool) -> int:
    """
    Seal every event that there is, and print the checkpoint: origin, size, root, and the signature where you have the key.

    Each run seals itself; this is for what came after, and for handing a checkpoint to somebody. Whoever keeps one can later show that the ledger was
    turned back or changed.
    """
    from orchestrator.cli.audit.keeping import last_checkpoint, new_checkpoint

    keep_off_ledger(pipeline, ledger, out)
    seal = last_checkpoint(pipeline, ledger) if last else new_checkpoint(pipeline, ledger)
    if out is not None:
        try:
            write_private(Path(out), seal.note)
        except OSError as error:
            raise UsageRefusedError("output", f"{out} cannot be written: {error.strerror}") from None
    if as_json:
        checkpoint = seal.checkpoint
        shown = {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}
        render.out_json(shown | {"signed": seal.is_signed, "recorded_at": seal.recorded_at, "note": seal.note})
    elif out is None:
        render.out(seal.note.removesuffix("\n"))
    return 0
