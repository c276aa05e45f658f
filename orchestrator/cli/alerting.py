"""
Telling people: what is due is raised in the outbox, which is part of the ledger, and what waits there is sent.

A run waits for it half a minute at its start and half a minute at its end at most, and its result is recorded and sealed before. What goes wrong here is said on
standard error and changes nothing else.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ledger.errors import LedgerError, WrongExpectedVersionError
from ledger.events import NewEvent
from ledger.locks import KernelLock
from ledger.reader import LedgerReader
from ledger.store import Ledger
from orchestrator.cli.holding import append_event, has_lost_its_orchestrator
from orchestrator.cli.project import Prepared
from orchestrator.cli.reach import Reach, prepared_reach, recorded_reach
from orchestrator.cli.tails import tail_of
from orchestrator.core.alerts import (
    Occasion,
    digest_occasion,
    due_alerts,
    lost_occasion,
    missing_occasions,
    run_occasion,
    stale_occasion,
    told_channels,
)
from orchestrator.core.definition import Alerts, Pipeline
from orchestrator.core.events import AlertDelivered, AlertFailed, AlertRaised, DeadmanPinged, event_data, event_type
from orchestrator.core.outbox import Row, stream_of, undelivered
from orchestrator.core.parse_values import build_pipeline
from orchestrator.core.state import RESUMABLE
from orchestrator.projections.alert_facts import definition_of_run, last_ended, outbox_of, outboxes, run_begun, run_end
from orchestrator.projections.alert_message import Message, Tail, alert_message
from orchestrator.projections.queries import unfinished_runs
from orchestrator.runtime.provenance import host_name

Say = Callable[[str], None]

ROUND_SECONDS = 30.0
"""All sending at the start or the end of a run takes no longer than this."""

_TAIL_LINES = 15
_RUNS_LOOKED_AT = 3
_POLL_SECONDS = 0.1


@contextlib.contextmanager
def harmless(say: Say) -> Iterator[None]:
    """Say what goes wrong within the block, and go on: a night does not fail because nobody could be told of it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - alerts change no result, whatever is wrong with them
        say(f"warning: alerts: {type(error).__name__}: {error}")


def tell_at_start(ledger: Ledger, prepared: Prepared, run_id: str, *, say: Say) -> None:
    """
    Raise what a run that was cut off could not, send what waits in any outbox of *ledger*, and ask for the address that a start asks for.

    The caller holds the lock of the pipeline, and has closed what a dead orchestrator left.
    """
    pipeline = prepared.project.pipeline
    with harmless(say):
        names = (pipeline.name, *pipeline.formerly)
        for ended in last_ended(ledger.connection, names, _RUNS_LOOKED_AT):
            _raise_of_run(ledger, ended, names)
        waiting = outboxes(ledger.connection)
        if waiting:
            sending = Round(ledger, prepared_reach(prepared), say=say)
            for name in waiting:
                sending.send(name)
    if pipeline.deadman.start is not None:
        with harmless(say):
            ping(prepared_reach(prepared), "start", run_id=run_id, ledger=ledger, say=say)


def tell_of_run(ledger: Ledger, prepared: Prepared, run_id: str, *, say: Say) -> None:
    """Tell people how the run *run_id* has ended; what cannot be raised in the outbox is sent all the same."""
    pipeline, connection = prepared.project.pipeline, ledger.connection
    if not pipeline.alerts.channels and not (pipeline.deadman.success or pipeline.deadman.failure):
        return
    with harmless(say):
        reach = prepared_reach(prepared)
        end = run_end(connection, run_id, (pipeline.name, *pipeline.formerly))
        if end is None:
            return
        ping(reach, "failure" if end.status in RESUMABLE else "success", run_id=run_id, ledger=ledger, say=say)
        occasion = run_occasion(end)
        tell(ledger, reach, [*([] if occasion is None else [occasion]), *digests(pipeline)], say=say)


def tell(ledger: Ledger, reach: Reach, occasions: Sequence[Occasion], *, say: Say) -> None:
    """Raise what the rules ask for about *occasions* in the outbox and send what waits there; send it without where it cannot be raised."""
    pipeline = reach.pipeline
    try:
        raise_alerts(ledger, pipeline.name, pipeline.alerts, occasions)
    except (LedgerError, sqlite3.Error) as error:
        say(f"warning: alerts could not be recorded, and are sent without: {error}")
        from orchestrator.cli.direct_alerts import send_directly

        send_directly(reach, occasions, ledger=ledger, say=say)
        return
    Round(ledger, reach, say=say).send(pipeline.name, wait=True)


def tell_lateness(
    path: Path, rows: Sequence[Mapping[str, Any]], findings: Sequence[Mapping[str, Any]], *, say: Say
) -> None:
    """
    Tell people of what `check` found in the ledger at *path*, and of the digest that is due; the same is told once, or once a day, however often one looks.

    A run that did not end well was told at its end, unless that was cut off: then it is told here. The ledger is opened to write only where somebody is to be told.

    Args:
        rows: For each pipeline `pipeline`, `last_run` and whether that is `alive`, `missing_nights`, `failed_nights`, and `freshness`, a list of `dataset`,
            `state` and `text`.
        findings: `pipeline`, `kind` and `message` of each; those of the kind `too_old` are told here.
    """
    day = datetime.now(UTC).date().isoformat()
    for row in rows:
        name, last = str(row["pipeline"]), row["last_run"]
        occasions = missing_occasions(name, row["missing_nights"], None if last is None else str(last["night"]))
        texts = [(data["dataset"], data["text"]) for data in row["freshness"] if data["state"] == "error"]
        old = (finding for finding in findings if (finding["pipeline"], finding["kind"]) == (name, "too_old"))
        texts += [(f"run:{finding['kind']}", finding["message"]) for finding in old]  # No dataset has such a name.
        occasions += [stale_occasion(name, subject, text=text, day=day) for subject, text in texts]
        ended = [str(night["run_id"]) for night in row["failed_nights"][:_RUNS_LOOKED_AT]]
        lost = None if last is None or row["alive"] is not False else str(last["run_id"])
        with harmless(say):
            _tell_findings(path, name, occasions, say, ended=ended, lost=lost)


def _tell_findings(
    path: Path, pipeline: str, occasions: Sequence[Occasion], say: Say, *, ended: Sequence[str], lost: str | None
) -> None:
    from orchestrator.cli.direct_alerts import send_directly
    from orchestrator.cli.opening import is_of_another_user, open_to_write
    from orchestrator.cli.sealing import sealing_after

    # What the definition of another user has for commands is not for this one to run.
    if is_of_another_user(path):
        return
    with LedgerReader(path) as reader:
        reach = recorded_reach(reader.connection, path, pipeline)
        if lost is not None:
            occasions = [_lost(reader.connection, lost), *occasions]
        if reach is not None:
            occasions = [*occasions, *_due_digests(reader.connection, reach.pipeline)]
        names = (pipeline, *(() if reach is None else reach.pipeline.formerly))
        untold = [run_id for run_id in ended if _due_of_run(reader.connection, run_id, names)]
    if reach is None or not (untold or any(told_channels(reach.pipeline.alerts, occasion) for occasion in occasions)):
        return
    try:
        with open_to_write(path) as ledger, sealing_after(ledger, say=say):
            for run_id in reversed(untold):
                _raise_of_run(ledger, run_id, names)
            tell(ledger, reach, occasions, say=say)
    except LedgerError as error:
        say(f"warning: alerts could not be recorded, and are sent without: {error}")
        send_directly(reach, occasions, ledger=None, say=say)


def send_waiting(ledger: Ledger, pipelines: Sequence[str] | None, *, say: Say) -> dict[str, set[str]]:
    """
    Raise what runs that were cut off could not, and the digest of each pipeline that asks for one, and send whatever waits, also what was given up.

    Args:
        pipelines: Only of these, or None for all that the ledger knows.

    Returns:
        The ids of the alerts that were to be sent, by pipeline.
    """
    connection = ledger.connection
    known = [name for (name,) in connection.execute("SELECT pipeline FROM pipelines ORDER BY pipeline")]
    for name in known if pipelines is None else pipelines:
        reach = recorded_reach(connection, ledger.path, name)
        if reach is not None:
            own = (name, *reach.pipeline.formerly)
            for ended in last_ended(connection, own, _RUNS_LOOKED_AT):
                _raise_of_run(ledger, ended, own)
            lost = [run for run in unfinished_runs(connection, name) if has_lost_its_orchestrator(ledger, run, name)]
            occasions = [*(_lost(connection, run_id) for run_id in lost), *digests(reach.pipeline)]
            raise_alerts(ledger, name, reach.pipeline.alerts, occasions)
    sending = Round(ledger, None, say=say, again=True)
    names = outboxes(connection) if pipelines is None else pipelines
    waiting = {name: undelivered(outbox_of(connection, name), given_up=True) for name in names}
    for name in names:
        sending.send(name, wait=True)
    return {name: {str(row["alert"]) for row in rows} for name, rows in waiting.items()}


def digests(pipeline: Pipeline) -> list[Occasion]:
    """Return the digest of today where a rule of *pipeline* asks for one; whether it is time yet stands in the rule."""
    if not any("digest" in rule.on for rule in pipeline.alerts.effective):
        return []
    now = datetime.now(ZoneInfo(pipeline.timezone))
    return [digest_occasion(pipeline.name, now.date().isoformat(), f"{now:%H:%M}")]


def _due_digests(connection: sqlite3.Connection, pipeline: Pipeline) -> list[Occasion]:
    """Return the digest of today where somebody is to be told and was not, so that a ledger is not opened to write for it all day."""
    found, known = digests(pipeline), outbox_of(connection, pipeline.name)
    return found if due_alerts(pipeline.name, pipeline.alerts, found, known) else []


def raise_alerts(ledger: Ledger, pipeline: str, alerts: Alerts, occasions: Sequence[Occasion]) -> list[AlertRaised]:
    """Raise what *alerts* ask for about *occasions* and what was not raised before, and return it; whoever does the same meanwhile, it is raised once."""
    stream = stream_of(pipeline)
    while True:
        version = ledger.stream_version(stream)
        due = due_alerts(pipeline, alerts, occasions, outbox_of(ledger.connection, pipeline))
        if not due:
            return []
        with contextlib.suppress(WrongExpectedVersionError):
            events = [NewEvent(*event_type(event), event_data(event)) for event in due]
            ledger.append(stream, events, expected_version=version)
            return due


def _lost(connection: sqlite3.Connection, run_id: str) -> Occasion:
    """Return what there is to tell of the run *run_id*, which has lost its orchestrator and is not closed yet."""
    pipeline, night = connection.execute("SELECT pipeline, night FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    return lost_occasion(pipeline, run_id, night, run_begun(connection, run_id))


def _raise_of_run(ledger: Ledger, run_id: str, names: Sequence[str]) -> None:
    """Raise what there is to tell of the run *run_id* by the rules that it had; it was raised at its end, unless that was cut off."""
    end = run_end(ledger.connection, run_id, names)
    occasion = None if end is None else run_occasion(end)
    if end is not None and occasion is not None:
        raise_alerts(ledger, end.pipeline, _rules_of_run(ledger.connection, run_id), [occasion])


def _due_of_run(connection: sqlite3.Connection, run_id: str, names: Sequence[str]) -> bool:
    """Whether there is something to tell of the run *run_id* that was not raised."""
    end = run_end(connection, run_id, names)
    occasion = None if end is None else run_occasion(end)
    if end is None or occasion is None:
        return False
    rules = _rules_of_run(connection, run_id)
    return bool(due_alerts(end.pipeline, rules, [occasion], outbox_of(connection, end.pipeline)))


def _rules_of_run(connection: sqlite3.Connection, run_id: str) -> Alerts:
    document = definition_of_run(connection, run_id)
    return build_pipeline({"alerts": document.get("alerts", {})})[0].alerts


def ping(reach: Reach, on: str, *, run_id: str | None, ledger: Ledger | None, say: Say) -> None:
    """Ask for the address of `[deadman]` that belongs to *on*, if there is one, and record what came of it, if *ledger* is given."""
    address = {"start": reach.pipeline.deadman.start, "success": reach.pipeline.deadman.success}.get(
        on, reach.pipeline.deadman.failure
    )
    if address is None:
        return
    error = reach.ask(address)
    if error is not None:
        say(f"warning: deadman.{on} was not reached: {error}")
    if ledger is not None:
        name = reach.pipeline.name
        with harmless(say):
            append_event(ledger, f"pipeline/{name}", DeadmanPinged(name, run_id, on, error is None, error))


class Round:
    """
    Send what waits, for half a minute at most; a channel that has not taken one alert is left alone for the rest of the round.

    What was tried least goes first, so that an alert that a channel will never take keeps no other waiting.

    Args:
        own: How the people of the present pipeline are reached; those of others as their definitions say.
        again: Also send what was given up.
    """

    def __init__(self, ledger: Ledger, own: Reach | None, *, say: Say, again: bool = False) -> None:
        self._ledger = ledger
        self._reaches: dict[str, Reach | None] = {} if own is None else {own.pipeline.name: own}
        self._say = say
        self._again = again
        self._until = time.monotonic() + ROUND_SECONDS
        self._tried: set[str] = set()
        self._silent: set[tuple[str, str]] = set()

    def send(self, pipeline: str, *, wait: bool = False) -> None:
        """Send what waits in the outbox of *pipeline*; where somebody else is sending it, that is left to him, or with *wait* waited for."""
        lock = KernelLock(self._ledger.path.parent / "locks" / f"{pipeline}.alerts.lock")
        while not lock.acquire():
            if not wait or self._left_seconds() <= 0:
                return
            time.sleep(_POLL_SECONDS)
        try:
            while rows := self._untried(pipeline):
                for row in rows:
                    self._tried.add(row["alert"])
                    self._send(pipeline, row)
        finally:
            lock.release()

    def _untried(self, pipeline: str) -> list[Row]:
        rows = undelivered(outbox_of(self._ledger.connection, pipeline), given_up=self._again)
        return [row for row in rows if row["alert"] not in self._tried]

    def _send(self, pipeline: str, row: Row) -> None:
        left = self._left_seconds()
        channel = (pipeline, row["channel"])
        if left <= 0 or channel in self._silent:
            return
        try:
            error = self._sent(pipeline, row, round(left * 1e6))
        except Exception as problem:  # noqa: BLE001 - one that cannot be made keeps no other waiting
            error = f"it could not be made: {type(problem).__name__}"
        event: AlertDelivered | AlertFailed
        if error is not None:
            self._silent.add(channel)
            self._say(f"warning: alert {row['alert']} was not delivered: {error}")
            event = AlertFailed(row["alert"], pipeline, row["channel"], row["attempts"] + 1, error)
        else:
            event = AlertDelivered(row["alert"], pipeline, row["channel"], row["attempts"] + 1)
        append_event(self._ledger, stream_of(pipeline), event)

    def _sent(self, pipeline: str, row: Row, left_us: int) -> str | None:
        reach = self._reach(pipeline)
        if reach is None:
            return "the ledger does not know its definition any more"
        message = message_of(row, reach, self._ledger)
        return reach.send(row["channel"], message, left_us, ledger_id=self._ledger.ledger_id)

    def _reach(self, pipeline: str) -> Reach | None:
        if pipeline not in self._reaches:
            self._reaches[pipeline] = recorded_reach(self._ledger.connection, self._ledger.path, pipeline)
        return self._reaches[pipeline]

    def _left_seconds(self) -> float:
        return self._until - time.monotonic()


def message_of(row: Row, reach: Reach, ledger: Ledger | None) -> Message:
    """Return the message of the alert *row* as it stands now, with secrets in it; *ledger* is None where it cannot be read."""
    return alert_message(
        None if ledger is None else ledger.connection,
        row,
        where=reach.where,
        host=host_name(),
        today=datetime.now(UTC).date().isoformat(),
        tail=None if ledger is None or row["run_id"] is None else _tail_below(ledger.path.parent),
    )


def _tail_below(folder: Path) -> Tail:
    return lambda detail, step: tail_of(detail, step, folder, _TAIL_LINES)
