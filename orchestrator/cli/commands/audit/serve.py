"""`orchestrate audit serve`: the ledger in the browser."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import click

from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.ledger_files import keep_off_ledger
from orchestrator.cli.options import json_option, ledger_option, pipeline_option

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.cli.audit import serving

EXAMPLES = """\b
Examples:
  orchestrate audit serve --open
  orchestrate audit serve --port 0 --json
  orchestrate audit serve --snapshot january.db
"""


@click.command(epilog=EXAMPLES)
@pipeline_option
@ledger_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8001,
    show_default=True,
    metavar="N",
    help="0 for any that is free.",
)
@click.option(
    "--snapshot",
    metavar="FILE",
    type=click.Path(),
    help="Show a copy of this moment; FILE is made where it is not there yet.",
)
@click.option("--open", "browser", is_flag=True, help="Open the browser.")
@json_option
def command(
    pipeline: str | None, ledger: str | None, port: int, snapshot: str | None, *, browser: bool, as_json: bool
) -> int:
    """Open the ledger in the browser, read only, for this machine alone, until Ctrl-C; new events show as they come."""
    from orchestrator.cli.audit import serving

    serving.need_web()
    return serving.until_told(partial(_show, pipeline, ledger, port, snapshot, browser=browser, as_json=as_json))


def _show(
    pipeline: str | None, ledger: str | None, port: int, snapshot: str | None, *, browser: bool, as_json: bool
) -> None:
    from orchestrator.cli.audit import serving
    from orchestrator.cli.audit.new_files import file_named

    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(serving.listen(port))
        if snapshot is None:
            served, facts = _live(pipeline, ledger), None
        else:
            keep_off_ledger(pipeline, ledger, snapshot)
            served, facts = _snapshot(pipeline, ledger, file_named("--snapshot", snapshot))
        key = serving.new_key()
        url = f"http://{serving.HOST}:{listening.getsockname()[1]}/{key}/"
        if as_json:
            render.out_json({"url": url, "ledger": str(served.path), "snapshot": facts})
        else:
            render.out(url)
            render.err(f"{served.title}: {served.description}; whoever knows this address may read it, Ctrl-C ends it")
        render.flush()
        if browser:
            stack.enter_context(serving.opened(url))
        serving.serve(served, listening, key)


def _live(pipeline: str | None, ledger: str | None) -> serving.Served:
    from orchestrator.cli.audit.evidence import one_moment
    from orchestrator.cli.audit.serving import Served

    with one_moment(pipeline, ledger) as moment:
        _refuse_older(older=moment.view.older)
        return Served(moment.path, "Ledger", "live, new events show as they come", immutable=False)


def _snapshot(pipeline: str | None, ledger: str | None, path: Path) -> tuple[serving.Served, Mapping[str, object]]:
    from orchestrator.cli.audit.evidence import one_moment
    from orchestrator.cli.audit.serving import Served
    from orchestrator.cli.audit.snapshots import check_moment, check_snapshot, take_snapshot
    from orchestrator.runtime.clock import SystemClock

    if os.path.lexists(path):
        facts = check_snapshot(path)
        with one_moment(None, str(path)) as moment:
            _refuse_older(older=moment.view.older)
            check_moment(path, facts, moment)
    else:
        with one_moment(pipeline, ledger) as moment:
            _refuse_older(older=moment.view.older)
            facts = take_snapshot(moment, path, SystemClock().now())
    description = f"snapshot of {facts['exported_at']}, {facts['size']} events, root {facts['root']}"
    return Served(path, "Ledger", description, immutable=True), facts


def _refuse_older(*, older: bool) -> None:
    if older:
        message = "an older program made this ledger, which has no views for the page yet: `orchestrate audit upgrade` makes them"
        raise UsageRefusedError("old_tables", message)
