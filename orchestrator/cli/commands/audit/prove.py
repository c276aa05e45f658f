"""`orchestrate audit prove`: what happened, so that somebody without the ledger can check it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.ledger_files import keep_off_ledger
from orchestrator.cli.options import json_option, ledger_option, pipeline_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.cli.audit.bundling import Proved

EXAMPLES = """\b
Examples:
  orchestrate audit prove --seq 7
  orchestrate audit prove --run latest --out night.zip --logs
  orchestrate audit prove --run 20260131T0200 --at kept.checkpoint
"""


@click.command(epilog=EXAMPLES)
@click.option("--seq", metavar="N", type=click.IntRange(min=0), help="Prove this event: a .tlog-proof, and its text.")
@click.option("--run", metavar="RUN", help="Prove every event of this run, in one bundle.")
@click.option(
    "--out", metavar="FILE", type=click.Path(), help="Where to write it; a bundle is a zip file or a new folder."
)
@click.option("--at", metavar="SIZE|FILE", help="The checkpoint to prove it against; the largest signed one otherwise.")
@click.option("--logs", is_flag=True, help="Put the logs of the run into the bundle.")
@click.option("--no-blobs", is_flag=True, help="Leave out what events name by digest, such as long lists of files.")
@click.option("--force", is_flag=True, help="Write files that exist anew.")
@pipeline_option
@ledger_option
@json_option
def command(
    seq: int | None,
    run: str | None,
    out: str | None,
    at: str | None,
    pipeline: str | None,
    ledger: str | None,
    *,
    logs: bool,
    no_blobs: bool,
    force: bool,
    as_json: bool,
) -> int:
    """
    Write proofs for an event or a run, against a checkpoint, for somebody who has neither the ledger nor trust.

    `orchestrate audit check-proof` checks them, and so does the one file verify.py in each bundle, with Python alone. An event that no checkpoint covers yet
    cannot be proved: `orchestrate audit checkpoint` seals it.
    """
    from orchestrator.cli.audit.bundling import prove_event, prove_run

    if (seq is None) == (run is None):
        raise UsageRefusedError("usage", "one of --seq N and --run RUN says what to prove")
    named = out is not None and Path(out).name not in ("", "..")
    keep_off_ledger(pipeline, ledger, out, Path(str(out)).with_suffix(".json") if named else None)
    if seq is not None:
        if logs or no_blobs:
            raise UsageRefusedError("usage", "--logs and --no-blobs are about a bundle: they go with --run")
        done = prove_event(pipeline, ledger, seq, out=out, at=at, force=force)
    else:
        assert run is not None
        done = prove_run(pipeline, ledger, run, out=out, at=at, logs=logs, blobs=not no_blobs, force=force)
    for problem in done.problems:
        render.err(f"warning: {problem}, so it is not included")
    if as_json:
        render.out_json(done.as_json())
    else:
        render.out_lines(_lines(done))
    return 0


def _lines(done: Proved) -> Iterator[str]:
    from orchestrator.cli.audit.bundling import signed_words

    for path in done.files:
        yield f"written: {path}"
    checkpoint = done.seal.checkpoint
    what = f"event {done.seqs[0]}" if done.kind == "proof" else f"{len(done.seqs)} events of run {done.run_id}"
    yield f"  proves:     {what}"
    yield f"  checkpoint: {checkpoint.size} events of {checkpoint.origin}"
    yield f"  root:       {checkpoint.root.hex()}"
    yield f"  {signed_words(done.seal)}"
    if done.digest is not None:
        yield f"  manifest:   {done.digest}"
    if done.not_sealed:
        yield f"  left out:   {done.not_sealed} later events that no checkpoint covers yet; `orchestrate audit checkpoint` seals them"
    yield f"check it with: orchestrate audit check-proof {done.files[0]} --key KEY"
