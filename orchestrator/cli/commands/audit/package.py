"""`orchestrate audit package`: the evidence of a period, for whoever reviews it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import click

from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.ledger_files import keep_off_ledger
from orchestrator.cli.options import json_option, ledger_option, pipeline_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.cli.audit.packaging import Packaged

_SEED_LENGTH_MAX = 200

EXAMPLES = """\b
Examples:
  orchestrate audit package --from 2026-01-01 --to 2026-03-31 --out q1.zip
  orchestrate audit package --from 2026-01-01 --to 2026-03-31 --out q1 --sample 40 --seed "dice 4 2 6"
"""


@click.command(epilog=EXAMPLES)
@click.option("--from", "first", required=True, metavar="DATE", help="The first day, such as 2026-01-01.")
@click.option("--to", "last", required=True, metavar="DATE", help="The last day, included.")
@click.option("--out", required=True, metavar="FILE|FOLDER", type=click.Path(), help="A zip file, or a new folder.")
@click.option(
    "--sample", "count", default=25, show_default=True, metavar="N", type=click.IntRange(0, 10_000), help="Steps drawn."
)
@click.option("--seed", metavar="TEXT", help="Of the sample; the root where it is not given. Choose it yourself.")
@click.option("--pipeline-name", "names", multiple=True, metavar="NAME", help="Only this pipeline; several times.")
@click.option("--force", is_flag=True, help="Write a zip file that exists anew.")
@pipeline_option
@ledger_option
@json_option
def command(
    first: str,
    last: str,
    out: str,
    count: int,
    seed: str | None,
    names: tuple[str, ...],
    pipeline: str | None,
    ledger: str | None,
    *,
    force: bool,
    as_json: bool,
) -> int:
    """
    Write the evidence of a period: every event, tables, a sample with proofs, and a cover page to print and to sign.

    A period is whole days of UTC by the time of recording, both included. Every event between the checkpoint before it and the one after it is handed over, so that
    nothing can be left out; runs, refusals, overlaps, missing nights, manual actions, changes, notes and acknowledgements stand in tables. The same ledger and
    the same options give the same bytes. `orchestrate audit check-proof` checks it.
    """
    from orchestrator.cli.audit.packaging import package_period
    from orchestrator.projections.period import Period

    for option, text in (("--from", first), ("--to", last)):
        _check_date(option, text)
    if first > last:
        raise UsageRefusedError("usage", f"the period ends before it begins: --from {first}, --to {last}")
    if seed is not None and not (seed.isprintable() and 0 < len(seed) <= _SEED_LENGTH_MAX):
        raise UsageRefusedError(
            "usage", f"not a seed: {seed[:40]!a}; expected up to {_SEED_LENGTH_MAX} plain characters"
        )
    keep_off_ledger(pipeline, ledger, out)
    period = Period(first, last, tuple(sorted(set(names))) or None)
    done = package_period(pipeline, ledger, period, out, count=count, seed=seed, force=force)
    for warning in done.facts["warnings"]:
        render.err(f"warning: {warning}")
    if as_json:
        render.out_json(done.as_json())
    else:
        render.out_lines(_lines(done))
    return 0


def _check_date(option: str, text: str) -> None:
    if text == date.max.isoformat():
        raise UsageRefusedError("usage", f"{option} {text} is the last day of all; give one before it")
    try:
        if date.fromisoformat(text).isoformat() == text:
            return
    except ValueError:
        pass
    raise UsageRefusedError("usage", f"not a date for {option}: {text[:40]!a}; expected a day such as 2026-01-31")


def _lines(done: Packaged) -> Iterator[str]:
    facts = done.facts
    yield f"written: {done.path}"
    yield f"  period:     {facts['first']} to {facts['last']}, {facts['inside']} events"
    yield f"  checkpoint: {facts['size']} events of {facts['origin']}"
    yield f"  root:       {facts['root']}"
    yield f"  {facts['signed']}"
    yield f"  manifest:   {done.digest}"
    yield from (f"  not here:   {what}" for what in facts["open_end"])
    for title, rows, _ in facts["tables"]:
        yield f"  {rows:>6} {title}"
    yield f"  {len(facts['sample']):>6} of {facts['population']} steps in the sample, seed {facts['seed']}"
    yield f"check it with: orchestrate audit check-proof {done.path} --key KEY"
