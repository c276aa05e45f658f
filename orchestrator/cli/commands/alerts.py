"""`orchestrate alerts`: who was told what, and who was not."""

from __future__ import annotations

from collections.abc import Mapping

import click

from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.options import json_option, ledger_option, local_option, pipeline_option
from orchestrator.cli.reading import View, viewing_if_any
from orchestrator.cli.times import shown_time
from orchestrator.core.outbox import Row
from orchestrator.projections.alert_facts import outbox_of, outboxes

EXAMPLES = """\b
Examples:
  orchestrate alerts
  orchestrate alerts send
  orchestrate alerts test --channel ops
"""


@click.command(epilog=EXAMPLES)
@click.argument("action", type=click.Choice(["list", "send", "test"]), default="list")
@click.option("--channel", metavar="NAME", help="With test: this channel alone.")
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N", help="List at most so many."
)
@pipeline_option
@ledger_option
@local_option
@json_option
def command(
    action: str,
    channel: str | None,
    limit: int,
    pipeline: str | None,
    ledger: str | None,
    *,
    local: bool,
    as_json: bool,
) -> int:
    """
    List the alerts, newest first; or send what waits; or send a message to each channel to see whether it arrives.

    What waits is also sent at the start of each run. After a week no start tries again, `send` does; a second cron may call it, which also sends the daily digest
    in its time. `send` and `test` end with 1 where something was not delivered.
    """
    if channel is not None and action != "test":
        raise UsageRefusedError("usage", "--channel goes with test")
    if action == "test":
        return _test(pipeline, ledger, channel, as_json=as_json)
    if action == "send":
        return _send(pipeline, ledger, as_json=as_json, local=local)
    with viewing_if_any(pipeline, ledger) as view:
        _show([] if view is None else _rows(view)[:limit], as_json=as_json, local=local)
    return ExitCode.OK


def _rows(view: View) -> list[Row]:
    """Return the alerts of the pipelines that *view* shows, newest first."""
    names = [name for name in outboxes(view.connection) if view.pipeline in (None, name)]
    rows = [row for name in names for row in outbox_of(view.connection, name).values()]
    return sorted(rows, key=lambda row: str(row["raised_at"]), reverse=True)


def _show(rows: list[Row], *, as_json: bool, local: bool) -> None:
    if as_json:
        render.out_json(rows)
        return
    cells = [
        (
            shown_time(row["raised_at"], local=local),
            str(row["channel"]),
            str(row["state"]).replace("_", " "),
            str(row["what"]) + (f" [{row['error']}]" if row["error"] else ""),
        )
        for row in rows
    ]
    render.out_lines(render.table(cells, ("raised", "channel", "state", "what")))


def _send(pipeline: str | None, ledger: str | None, *, as_json: bool, local: bool) -> int:
    from orchestrator.cli.alerting import send_waiting
    from orchestrator.cli.manual import acting

    with acting(pipeline, ledger) as (view, store):
        names = None if view.pipeline is None else [view.pipeline]
        tried = send_waiting(store, names, say=render.err)
        rows = [row for row in _rows(view) if row["alert"] in tried.get(str(row["pipeline"]), ())]
    _show(rows, as_json=as_json, local=local)
    return _code(all(row["state"] == "delivered" for row in rows))


def _test(pipeline: str | None, ledger: str | None, channel: str | None, *, as_json: bool) -> int:
    from orchestrator.cli.opening import refuse_other_users
    from orchestrator.cli.project import Options, load_project
    from orchestrator.cli.reach import reach_of
    from orchestrator.cli.trial import try_channels
    from orchestrator.core.names import shown, suggest

    project = load_project(Options(pipeline=pipeline, ledger=ledger))
    channels = project.pipeline.alerts.channels
    if channel is not None and channel not in channels:
        near = suggest(channel, channels)
        hint = f"did you mean {near}?" if near else f"defined are: {', '.join(channels) or 'none'}"
        raise UsageRefusedError("unknown_channel", f"no such channel: {shown(channel)} ({hint})")
    refuse_other_users(project.ledger)
    reach = reach_of(project.pipeline, project.definition, project.ledger)
    found = try_channels(reach, [*channels] if channel is None else [channel])
    if as_json:
        render.out_json(found)
    elif not found:
        render.err("the definition has no [alerts.channels]")
    for entry in () if as_json else found:
        render.out(_result(entry))
    return _code(all(entry["ok"] for entry in found))


def _result(entry: Mapping[str, object]) -> str:
    return f"{entry['channel']}: " + ("taken" if entry["ok"] else f"not taken: {entry['error']}")


def _code(all_well: bool) -> int:  # noqa: FBT001 - there is nothing else to say
    return ExitCode.OK if all_well else ExitCode.FAILED
