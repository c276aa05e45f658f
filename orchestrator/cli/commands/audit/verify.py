"""`orchestrate audit verify`: is the history complete and unaltered, how far is that shown, and who stands behind it."""

from __future__ import annotations

import click

from orchestrator.cli import render
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.options import json_option, ledger_option, pipeline_option

EXAMPLES = """\b
Examples:
  orchestrate audit verify
  orchestrate audit verify --key operator.vkey
  orchestrate audit verify --key operator.vkey --checkpoint last-visit.checkpoint --witness anna.vkey
  orchestrate audit verify --ledger /mnt/copy/ledger.db --key operator.vkey --strict --json
  orchestrate audit verify --skips
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="KEY",
    help="Pin this public key, or the one in a file; several for several.",
)
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="FILE",
    type=click.Path(),
    help="Hold the ledger to this checkpoint that you kept; may be given several times.",
)
@click.option(
    "--witness",
    "witnesses",
    multiple=True,
    metavar="KEY",
    help="Pin this public key of a witness, or the one in a file.",
)
@click.option("--strict", is_flag=True, help="Count unsealed events and keys replaced without a signature as problems.")
@click.option(
    "--skips", is_flag=True, help="Recompute from its certificate that each step that was skipped was skipped rightly."
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing where all is well; the exit code tells.")
@pipeline_option
@ledger_option
@json_option
def command(
    keys: tuple[str, ...],
    checkpoints: tuple[str, ...],
    witnesses: tuple[str, ...],
    pipeline: str | None,
    ledger: str | None,
    *,
    strict: bool,
    skips: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """
    Verify the whole ledger: the file, every event, every checkpoint, who signed them, and the tables over them.

    Never stops at a finding, writes nothing, and works while a run is on. Level 0 and 1 need the file alone and show that it agrees with itself; what
    it says of keys is not believed. Level 2 needs the operator's public key from elsewhere, level 3 a checkpoint that you kept, level 4 the key of a
    witness. Exit code 0 where nothing was found, else 3.
    """
    from orchestrator.cli.audit.skips import skips_checked
    from orchestrator.cli.audit.verifying import verdict_json, verdict_lines, verified, watching

    verdict = verified(
        pipeline, ledger, keys=keys, checkpoints=checkpoints, witnesses=witnesses, strict=strict, quiet=quiet or as_json
    )
    checked = None
    if skips:
        with watching("checking skips", quiet=quiet or as_json) as watch:
            verdict, checked = skips_checked(verdict, watch)
    if as_json:
        render.out_json(verdict_json(verdict) | ({} if checked is None else {"skips": checked.as_json()}))
    elif not quiet or not verdict.ok:
        render.out_lines(verdict_lines(verdict))
        render.out_lines(() if checked is None else checked.lines())
    return ExitCode.OK if verdict.ok else ExitCode.UNVERIFIED
