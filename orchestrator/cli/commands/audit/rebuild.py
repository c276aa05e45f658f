"""`orchestrate audit rebuild`: the tables over the events, made anew and compared with what stands there."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ledger.errors import LedgerNotFoundError
from ledger.events import RecordedEvent
from ledger.reader import LedgerReader
from ledger.rebuild import Found, compare_projections, rebuild
from ledger.schema import FORMAT, registered_projections
from orchestrator.cli import render
from orchestrator.cli.audit.quiet import quiet
from orchestrator.cli.damage import naming_damage
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.locate import definition_path, ledger_path
from orchestrator.cli.manual import ledger_reason
from orchestrator.cli.opening import refuse_other_users
from orchestrator.cli.options import json_option, ledger_option, pipeline_option
from orchestrator.cli.sealing import sealing_after
from orchestrator.core.printable import printable
from orchestrator.projections.find_run import RunLookupError
from orchestrator.projections.read_model_tables import NAME, VERSION
from orchestrator.projections.read_models import ReadModels
from orchestrator.runtime.provenance import current_actor

EXAMPLES = """\b
Examples:
  orchestrate audit rebuild --dry-run
  orchestrate audit rebuild --reason "verify named a changed row, ticket 4711"
"""
_SHOWN_AT_MOST = 20


@click.command(epilog=EXAMPLES)
@click.option("--dry-run", is_flag=True, help="Compare, and change nothing; exit code 3 where something differs.")
@click.option("--reason", metavar="TEXT", help="Why; recorded.")
@pipeline_option
@ledger_option
@json_option
def command(pipeline: str | None, ledger: str | None, reason: str | None, *, dry_run: bool, as_json: bool) -> int:
    """
    Make the tables over the events anew, compare them with those that are there, and replace what differs.

    For tables that were changed, damaged or lost: the events decide, and are verified first. All of it is one transaction, which ends with an event that
    tells who did it, why, and what differed, and is sealed. Where nothing differs, nothing is written. A ledger that was turned back since it was sealed last is
    refused, and so is one in which a run is on.
    """
    path = ledger_path(ledger, definition_path(pipeline))
    _check_version(path)

    found, event = compare_projections(path, [ReadModels()]), None
    if not dry_run and not found.is_same:
        found, event = _rebuilt(path, reason)
    if as_json:
        render.out_json(_json(found, None if event is None else event.seq))
    else:
        render.out_lines(_lines(found, None if event is None else event.seq, dry_run=dry_run))
    return ExitCode.UNVERIFIED if dry_run and not found.is_same else ExitCode.OK


def _rebuilt(path: Path, reason: str | None) -> tuple[Found, RecordedEvent | None]:
    def facts(connection: sqlite3.Connection) -> dict[str, object]:
        why = ledger_reason(connection, path.parent, reason, "audit rebuild", os.environ)
        told: dict[str, object] = {"actor": current_actor(os.environ)}
        return told if why is None else told | {"reason": why}

    refuse_other_users(path)
    # Whoever appends waits for a minute and no longer, which is less than a large ledger takes.
    with quiet(path):
        return rebuild(path, [ReadModels()], facts, around=lambda ledger: sealing_after(ledger, say=render.err))


def _check_version(path: Path) -> None:
    """
    Make sure that there is a ledger, and that no older program made it.

    Raises:
        RunLookupError: There is none.
        UsageRefusedError: It is older: bringing it up to date is more than this.
    """
    try:
        with LedgerReader(path) as reader, naming_damage(path):
            known = registered_projections(reader.connection).get(NAME, VERSION)
            is_older = reader.format < FORMAT or known < VERSION
    except LedgerNotFoundError:
        raise RunLookupError("no_ledger", f"there is no ledger at {path}: nothing can be made anew") from None
    if is_older:
        message = (
            f"the tables of {path} were made by an older program: orchestrate audit upgrade brings them up to date"
        )
        raise UsageRefusedError("old_tables", message)


def _json(found: Found, seq: int | None) -> dict[str, Any]:
    return {
        "same": found.is_same,
        "rebuilt": seq is not None,
        "seq": seq,
        "events": found.events,
        "tables": dict(found.counts),
        "schema": list(found.schema),
        "rows": [
            {
                "table": row.table,
                "kind": row.kind,
                "key": dict(row.key),
                "columns": list(row.columns),
                "stored": row.stored,
                "made": row.made,
            }
            for row in found.rows
        ],
    }


def _lines(found: Found, seq: int | None, *, dry_run: bool) -> Iterator[str]:
    if found.is_same:
        yield f"the tables are what the {found.events} events give: nothing was to be done"
        return
    yield from (f"schema: {printable(what)}" for what in found.schema)
    yield from (f"row: {printable(str(row))}" for row in found.rows[:_SHOWN_AT_MOST])
    total = sum(found.counts.values())
    if total > _SHOWN_AT_MOST:
        yield f"and {total - _SHOWN_AT_MOST} more: " + ", ".join(
            f"{name} {count}" for name, count in found.counts.items()
        )
    if dry_run:
        yield "nothing was changed; without --dry-run they are made anew"
    else:
        yield f"made anew from {found.events} events, and recorded as event {seq}"
