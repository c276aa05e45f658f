"""`orchestrate prune`: remove logs, reports and blobs that are past their retention, and record what went."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.options import json_option, ledger_option, pipeline_option
from orchestrator.core.printable import printable
from orchestrator.core.retention import KINDS
from orchestrator.runtime.room import shown_bytes

if TYPE_CHECKING:
    from orchestrator.cli.pruning import Done, Part, Wish
    from orchestrator.runtime.usage import LeftFolder

EXAMPLES = """\b
Examples:
  orchestrate prune
  orchestrate prune --apply
  orchestrate prune --kind logs --older-than 30d --apply --reason "the disk is full, ticket 4711"
  orchestrate prune --kind blobs --apply --vacuum
"""
_SHOWN_AT_MOST = 20


@click.command(epilog=EXAMPLES)
@click.option("--apply", is_flag=True, help="Remove it; without this nothing is changed.")
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="This alone; may be given several times."
)
@click.option("--older-than", metavar="DURATION", help="Counts in the place of what [retention] says, for every kind.")
@click.option("--vacuum", is_flag=True, help="With --apply: write the ledger's file anew without its unused pages.")
@click.option("--reason", metavar="TEXT", help="Why; recorded.")
@pipeline_option
@ledger_option
@json_option
def command(
    kinds: tuple[str, ...],
    older_than: str | None,
    reason: str | None,
    pipeline: str | None,
    ledger: str | None,
    *,
    apply: bool,
    vacuum: bool,
    as_json: bool,
) -> int:
    """
    List logs, reports and blobs that are past their retention, and with --apply remove them.

    The retention is that of [retention] in the definition with which each pipeline of the ledger last ran; what it does not name is kept for ever. It counts
    from the end of a run. The newest run of a pipeline keeps everything, and datasets are never touched. What goes is recorded with its digest before it
    goes, so that `audit verify` knows it from what is missing. Scratch folders of reproductions that were killed go too, unless --kind
    is given. With --apply refused while a run is on.
    """
    from orchestrator.cli.pruning import Wish

    if vacuum and not apply:
        raise UsageRefusedError("usage", "--vacuum changes the ledger's file: it goes with --apply")
    wish = Wish(tuple(dict.fromkeys(kinds)) or KINDS, older_than, time.time_ns() // 1000)
    done, sizes = None, None
    if apply:
        parts, scratch, done, sizes = _applied(pipeline, ledger, wish, reason, vacuum=vacuum, scratch_too=not kinds)
    else:
        parts, scratch = _found(pipeline, ledger, wish, scratch_too=not kinds)
    code = ExitCode.FAILED if done is not None and done.failed else ExitCode.OK
    if as_json:
        render.out_json(_json(parts, scratch, done, sizes))
        return code
    for file in [*(file for part in parts for file in part.left), *(() if done is None else done.failed)][
        :_SHOWN_AT_MOST
    ]:
        render.err(printable(f"warning: {file.path} stays: {file.problem}"))
    render.out_lines(_lines(parts, scratch, done, sizes))
    return code


def _found(
    pipeline: str | None, ledger: str | None, wish: Wish, *, scratch_too: bool
) -> tuple[Sequence[Part], Sequence[LeftFolder]]:
    from orchestrator.cli.left_scratch import left_scratch
    from orchestrator.cli.pruning import parts_past
    from orchestrator.cli.reading import viewing_if_any

    with viewing_if_any(pipeline, ledger) as view:
        if view is None:
            return [], []
        return parts_past(view, wish, read=False), left_scratch(view.connection, view.folder) if scratch_too else []


def _applied(
    pipeline: str | None,
    ledger: str | None,
    wish: Wish,
    reason: str | None,
    *,
    vacuum: bool,
    scratch_too: bool,
) -> tuple[Sequence[Part], Sequence[LeftFolder], Done, tuple[int, int] | None]:
    from ledger.pruning import vacuum as vacuumed
    from ledger.tree import ledger_size
    from orchestrator.cli.audit.quiet import quiet
    from orchestrator.cli.holding import close_lost_reproductions
    from orchestrator.cli.left_scratch import left_scratch, remove_scratch
    from orchestrator.cli.locate import definition_path, ledger_path
    from orchestrator.cli.manual import acting
    from orchestrator.cli.pruning import parts_past, pruned_pipelines, removed

    path = Path(ledger_path(ledger, definition_path(pipeline)))
    with quiet(path):
        with acting(pipeline, ledger) as (view, store):
            for name in pruned_pipelines(view):
                close_lost_reproductions(store, name, say=render.err)
            since = ledger_size(store.connection)
            parts = parts_past(view, wish, read=True)
            done = removed(view, store, parts, since=since, reason=reason)
            # No reproduction is being prepared: each holds a lock from its first look at the ledger on.
            scratch = left_scratch(store.connection, view.folder) if scratch_too else []
            done = attrs.evolve(done, failed=[*done.failed, *remove_scratch(view.folder, scratch)])
        return parts, scratch, done, vacuumed(path) if vacuum else None


def _bytes(parts: Sequence[Part], scratch: Sequence[LeftFolder]) -> int:
    return sum(part.bytes for part in parts) + sum(folder.bytes for folder in scratch)


def _json(
    parts: Sequence[Part], scratch: Sequence[LeftFolder], done: Done | None, sizes: tuple[int, int] | None
) -> Mapping[str, object]:
    return {
        "applied": done is not None,
        "bytes": _bytes(parts, scratch),
        "events": [] if done is None else list(done.events),
        "parts": [
            {
                "pipeline": part.rule.pipeline,
                "kind": part.rule.kind,
                "keep": part.rule.keep,
                "policy": part.rule.policy,
                "before": part.before,
                "runs": len(part.runs),
                "items": len(part.there) + len(part.blobs),
                "absent": len(part.files) - len(part.there),
                "bytes": part.bytes,
            }
            for part in parts
        ],
        "scratch": [folder._asdict() for folder in scratch],
        "left": [
            {"run_id": file.run_id, "path": file.path, "problem": file.problem}
            for file in [*(file for part in parts for file in part.left), *(() if done is None else done.failed)]
        ],
        "vacuum": None if sizes is None else {"before_bytes": sizes[0], "after_bytes": sizes[1]},
    }


def _lines(
    parts: Sequence[Part], scratch: Sequence[LeftFolder], done: Done | None, sizes: tuple[int, int] | None
) -> Iterator[str]:
    if not parts:
        yield "nothing has a retention: [retention] of a definition counts from the next run on, --older-than at once"
    if not parts and not scratch:
        return
    rows = [
        (
            part.rule.pipeline,
            part.rule.kind,
            part.rule.keep + (f" ({part.rule.policy})" if part.rule.policy != "definition" else ""),
            str(len(part.runs)),
            str(len(part.there) + len(part.blobs)),
            shown_bytes(part.bytes),
        )
        for part in parts
    ]
    yield from render.table(rows, ("pipeline", "what", "kept for", "runs past it", "items", "size")) if rows else ()
    for folder in scratch:
        yield f"{folder.path}: {shown_bytes(folder.bytes)}, of a reproduction that was killed"
    absent = sum(len(part.files) - len(part.there) for part in parts)
    if absent:
        yield f"{absent} more were gone already{'' if done is None else ', which is recorded too'}"
    stays = 0 if done is None else sum(file.bytes for file in done.failed)
    total = shown_bytes(_bytes(parts, scratch) - stays)
    if done is None:
        yield f"would remove {total}; --apply does it"
    else:
        recorded = f", recorded as {'event' if len(done.events) == 1 else 'events'} {', '.join(map(str, done.events))}"
        yield f"removed {total}{recorded if done.events else ''}"
    if sizes is not None:
        yield f"the ledger's file had {shown_bytes(sizes[0])} and has {shown_bytes(sizes[1])}"
