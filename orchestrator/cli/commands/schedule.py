"""`orchestrate schedule`: what starts the pipeline at night."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.keyring import CONFIG_HOME
from orchestrator.cli.locate import DEFINITION, LEDGER
from orchestrator.cli.opening import user_name
from orchestrator.cli.options import json_option, ledger_option, pipeline_option
from orchestrator.cli.project import Options, Project, load_project
from orchestrator.core.calendars import on_calendar, shifted_nights
from orchestrator.core.definition import DEFAULT_PASS, Pipeline
from orchestrator.core.nights import CronError
from orchestrator.core.units import Start, cron_lines, service_unit, timer_unit, unit_name

EXAMPLES = """\b
Examples:
  orchestrate schedule
  orchestrate schedule --timer | sudo tee /etc/systemd/system/orchestrate-shop.timer
  orchestrate schedule --cron
  orchestrate schedule --json
"""
_COMMON_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
_SECONDS_TO_RECORD = 30


@click.command(epilog=EXAMPLES)
@pipeline_option
@ledger_option
@click.option("--service", "part", flag_value="service", help="Print the systemd service alone.")
@click.option("--timer", "part", flag_value="timer", help="Print the systemd timer alone.")
@click.option("--cron", "part", flag_value="crontab", help="Print the lines for cron alone.")
@json_option
def command(pipeline: str | None, ledger: str | None, part: str | None, *, as_json: bool) -> int:
    """
    Print what starts the pipeline when its [schedule] cron says: a hardened systemd service and timer, or a line for cron that mails only on trouble.

    Nothing is installed. The program, the folder and the user are those of this call; the ledger's owner is the user where the ledger is there already.
    """
    project = load_project(Options(pipeline, ledger))
    cron, timezone = project.pipeline.schedule_cron, project.pipeline.timezone
    if cron is None:
        hint = f'add [schedule] cron = "30 2 * * *" to {project.shown}'
        raise UsageRefusedError("no_schedule", f"the pipeline {project.pipeline.name} has no schedule: {hint}")
    start = _start(project)
    try:
        calendar = on_calendar(cron, timezone)
        shifted = shifted_nights(cron, ZoneInfo(timezone), datetime.now(UTC).date())
    except CronError as error:
        raise UsageRefusedError("no_calendar", f"schedule.cron {cron}: {error}") from None
    name = unit_name(project.pipeline.name)
    texts = {
        "service": service_unit(start),
        "timer": timer_unit(project.pipeline.name, calendar),
        "crontab": cron_lines(start, cron, timezone),
    }
    notes = list(_notes(project, shifted, timezone))
    if as_json:
        facts = {
            "pipeline": project.pipeline.name,
            "unit": name,
            "cron": cron,
            "timezone": timezone,
            "calendar": calendar,
        }
        render.out_json({**facts, **texts, "notes": notes})
        return 0
    for note in notes:
        render.err(f"note: {note}")
    if part is not None:
        render.out(texts[part].rstrip("\n"))
        return 0
    for ending in ("service", "timer"):
        render.out(f"# /etc/systemd/system/{name}.{ending}\n{texts[ending]}")
    render.out(f"# then: systemctl daemon-reload && systemctl enable --now {name}.timer\n")
    render.out(f"# or with cron instead:\n{texts['crontab'].rstrip()}")
    return 0


def _start(project: Project) -> Start:
    pipeline = project.pipeline
    program = [sys.executable, "-m", "orchestrator"]
    script = Path(sys.executable).with_name("orchestrate")
    if os.access(script, os.X_OK):
        program = [str(script)]
    words = [*program, "run"]
    if project.definition.name != DEFINITION:
        words += ["--pipeline", project.definition.name]
    if project.ledger != project.folder / LEDGER:
        words += ["--ledger", str(project.ledger)]
    places = [str(project.folder), str(project.ledger.parent)]
    path = dict.fromkeys([str(script.parent), *_found(project), *_COMMON_PATH])
    user = _user(project)
    variables = {"PATH": ":".join(path), **_configuration(user)}
    broken = next((word for word in (*words, *places, *variables.values()) if not word.isprintable()), None)
    if broken is not None:
        raise UsageRefusedError(
            "bad_path", f"{broken!a} stands on more than one line in a unit or a crontab: rename it"
        )
    return Start(pipeline.name, user, places[0], words, variables, places, _stop_seconds(pipeline))


def _configuration(user: str) -> dict[str, str]:
    """Return the variable that says where the keys of *user* lie, where it is set: without it a night would not find them."""
    place = os.environ.get(CONFIG_HOME, "")
    return {CONFIG_HOME: place} if place.startswith("/") and user == user_name(os.geteuid()) else {}


def _stop_seconds(pipeline: Pipeline) -> int:
    """Return how long a run may take to end: the longest grace, once for processes and once for what they leave, clean-up, anchors, and time to record all that."""
    steps = pipeline.steps.values()
    grace_us = max(step.grace_us for step in steps)
    cleaning_us = sum((step.timeout_us or 0) + step.grace_us for step in steps if step.when != "upstream_ok")
    anchors_us = pipeline.audit.anchor_timeout_us if pipeline.audit.anchors or pipeline.audit.anchor_command else 0
    return -(-(2 * grace_us + cleaning_us + anchors_us) // 1_000_000) + _SECONDS_TO_RECORD


def _found(project: Project) -> Iterator[str]:
    """Yield the folders in which the commands of steps are found here and now."""
    for step in project.pipeline.steps.values():
        word = step.command[0] if step.command else "sh"
        found = shutil.which(word) if "/" not in word and "${" not in word else None
        if found is not None:
            yield str(Path(found).parent)


def _user(project: Project) -> str:
    try:
        return user_name(project.ledger.stat().st_uid)
    except OSError:
        return user_name(os.geteuid())


def _notes(project: Project, shifted: list[str], timezone: str) -> Iterator[str]:
    """Yield what a person should know before installing it."""
    if shifted:
        what = f"the clocks in {timezone} leave out the time of the night {shifted[0]}"
        yield f"{what}: a systemd timer leaves out that night, cron starts it late; another hour avoids it"
    unset = [name for name in project.pipeline.env_pass if name not in DEFAULT_PASS]
    if unset:
        yield f"[env] pass names {', '.join(unset)}: neither systemd nor cron sets it by itself"
