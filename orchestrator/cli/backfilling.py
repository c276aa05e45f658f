"""`orchestrate backfill`: which nights of a range are run, and running them one after the other, each as a run of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from zoneinfo import ZoneInfo

import attrs

from orchestrator.cli import render
from orchestrator.cli.ending import Ending, finish
from orchestrator.cli.errors import RefusedError, UsageRefusedError, exit_code_of
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.observing import Watching
from orchestrator.cli.project import Options, Project, night_of
from orchestrator.cli.reading import viewing_if_any
from orchestrator.cli.refusal_alerts import refusals_told
from orchestrator.cli.running import Start
from orchestrator.cli.starting import run_once
from orchestrator.core.names import shown
from orchestrator.core.nights import Schedule, nights_between, parse_date
from orchestrator.projections.schedules import done_nights

_NIGHTS_MAX = 3_660
_YEAR_MIN = 1900
_SIGNALLED = (ExitCode.HANGUP, ExitCode.INTERRUPTED, ExitCode.TERMINATED)


@attrs.frozen
class Night:
    """
    What became of one night of the range.

    Attributes:
        status: `planned`, `done_before`, `refused`, `not_reached`, `interrupted` where the storage failed, or that of its run.
        exit_code: None where nothing was started.
        problem: Why it was refused, or what kept it from coming to its end; else None.
    """

    night: str
    status: str
    run_id: str | None = None
    exit_code: int | None = None
    duration_seconds: object = None
    problem: str | None = None


def planned_nights(project: Project, since: str, until: str, *, force: bool) -> list[Night]:
    """
    Return the nights from *since* to *until*, in order: those of the schedule, or every date where there is none.

    Args:
        force: Plan also those whose newest run ended well.

    Raises:
        UsageRefusedError: These are no dates, or none that can be run.
        MissingExtraError: There is a schedule, and what knows it is not installed.
    """
    pipeline = project.pipeline
    first, last = _range(since, until, pipeline.timezone)
    zone = ZoneInfo(pipeline.timezone)
    schedule = None if pipeline.schedule_cron is None else Schedule(pipeline.schedule_cron, zone)
    nights = [night.isoformat() for night in nights_between(first, last, schedule)]
    done: set[str] = set()
    if not force:
        with viewing_if_any(None, str(project.ledger)) as view:
            if view is not None:
                done = done_nights(view.connection, (pipeline.name, *pipeline.formerly))
    return [Night(night, "done_before" if night in done else "planned") for night in nights]


def _range(since: str, until: str, zone: str) -> tuple[date, date]:
    for option, text in (("--since", since), ("--until", until)):
        if parse_date(text) is None:
            raise UsageRefusedError("bad_night", f"{option} takes a date such as 2026-01-31, not {shown(text)}")
    today = night_of(None, zone)
    if until > today:
        raise UsageRefusedError("bad_range", f"--until {until} has not come yet: today is {today} in {zone}")
    first, last = date.fromisoformat(since), date.fromisoformat(until)
    if first.year < _YEAR_MIN:
        raise UsageRefusedError("bad_range", f"--since {since} is before the year {_YEAR_MIN}")
    if first > last:
        raise UsageRefusedError("bad_range", f"--since {since} is later than --until {until}")
    if (last - first).days >= _NIGHTS_MAX:
        raise UsageRefusedError("bad_range", f"from {since} to {until} are more than {_NIGHTS_MAX} nights: take parts")
    return first, last


def run_nights(
    nights: Sequence[Night],
    options: Options,
    start: Start,
    watching: Watching,
    *,
    keep_going: bool,
    quiet: bool,
    show: Callable[[Night, Ending | None], None],
) -> Iterator[Night]:
    """
    Run what is planned of *nights* in order, and yield what became of each.

    The first night that does not end well is the last one that is started, unless *keep_going* is set; a signal, and an active run, end it in any case.

    Args:
        show: Told of each night that was started, with how its run ended, or None where it was refused.

    Raises:
        DefinitionError, LedgerError: As in `running.execute`, from the first night that is started; from a later one it is what became of that night.
    """
    stopped, begun, told = False, False, set[str]()
    for night in nights:
        if night.status != "planned":
            yield night
            continue
        if stopped:
            yield attrs.evolve(night, status="not_reached")
            continue
        try:
            ended, ending = _run(night, options, start, watching, quiet=quiet, told=told)
            stopped = bool(ended.exit_code) and (not keep_going or ended.exit_code in (*_SIGNALLED, ExitCode.ACTIVE))
        except Exception as error:
            code = exit_code_of(error)
            if code is None or not begun:
                raise
            # It would be the same for the next night; what became of those before is told all the same.
            status = "interrupted" if code == ExitCode.STORAGE else "refused"
            ended, ending = attrs.evolve(night, status=status, exit_code=int(code), problem=str(error)), None
            stopped = True
        begun = True
        show(ended, ending)
        yield ended


def _run(
    night: Night, options: Options, start: Start, watching: Watching, *, quiet: bool, told: set[str]
) -> tuple[Night, Ending | None]:
    options = attrs.evolve(options, night=night.night)
    try:
        with refusals_told(options, say=render.err):
            path, run_id, unsealed = run_once(options, start, watching, quiet=quiet, told=told)
            ending = finish(path, run_id, unsealed)
    except RefusedError as error:
        return attrs.evolve(night, status="refused", exit_code=int(error.code), problem=str(error)), None
    detail = ending.detail
    ended = Night(night.night, str(detail["status"]), run_id, int(ending.code), detail["duration_seconds"])
    return ended, ending
