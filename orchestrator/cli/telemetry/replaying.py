"""Sending history again: run by run, in order, waiting for each answer."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence

import attrs

from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.manual import masking_known
from orchestrator.cli.reading import View, viewing
from orchestrator.cli.telemetry.encoding import require_extra
from orchestrator.cli.telemetry.feeds import recall_of
from orchestrator.cli.telemetry.of_run import WHAT, telemetry_event
from orchestrator.cli.telemetry.outlet import Outcome
from orchestrator.cli.telemetry.places import NotTakenError, Place, RejectedError
from orchestrator.cli.telemetry.settings import Settings, Signal, telemetry_settings
from orchestrator.cli.telemetry.ways import place_of
from orchestrator.core.names import shown
from orchestrator.core.nights import parse_date
from orchestrator.projections.telemetry_facts import ALL_RUNS, arrivals

_UNLESS_ASKED: tuple[Signal, ...] = ("traces", "logs")
"""What is sent again where nobody says what; most back ends refuse points of metrics that are older than an hour or so."""

_PAUSES_SECONDS = (1.0, 2.0, 4.0)
_WORTH_A_PAUSE = ("connection_dropped", "http_429", "http_502", "http_503", "http_504")


@attrs.define
class Sent:
    """Count what was sent of one signal; *error* is what ended it before its time."""

    signal: Signal
    runs: int = 0
    items: int = 0
    rejected: int = 0
    error: str | None = None


@attrs.frozen
class Replayed:
    """
    Say what was sent.

    Attributes:
        runs: How many runs there were to send.
        recorded: Of how many runs it was known that something was missing, and is recorded now that it arrived.
    """

    runs: int
    signals: Sequence[Sent]
    recorded: int

    @property
    def code(self) -> ExitCode:
        """What the command ends with."""
        well = all(sent.error is None and not sent.rejected for sent in self.signals)
        return ExitCode.OK if well else ExitCode.FAILED

    def as_json(self) -> dict[str, object]:
        """Return it as `--json` prints it."""
        signals = [attrs.asdict(sent) for sent in self.signals]
        return {"runs": self.runs, "signals": signals, "recorded": self.recorded}

    def lines(self) -> Iterator[str]:
        """Yield it for people."""
        for sent in self.signals:
            yield f"{sent.signal}: {sent.items} {WHAT[sent.signal]} of {sent.runs} of {self.runs} runs sent"
            if sent.rejected:
                yield f"{sent.signal}: {sent.rejected} were rejected, and would be again"
            if sent.error is not None:
                yield f"{sent.signal}: the collector took no more: {sent.error}; sending them again does no harm"


def replay(
    pipeline: str | None,
    ledger: str | None,
    *,
    since: str,
    until: str | None,
    name: str | None,
    chosen: Sequence[Signal],
    quiet: bool,
) -> Replayed:
    """
    Send what is to be sent of the runs that ended from *since* to *until*, days in UTC, to where the environment says.

    Args:
        name: Only runs of this pipeline.
        chosen: These signals alone; empty for traces and logs.
        quiet: Show no progress.

    Raises:
        UsageRefusedError: A day is none, the ledger knows no such pipeline, or nothing says where to send.
        MissingExtraError: The extra is not installed.
    """
    first, end = _days(since, until)
    wanted = chosen or _UNLESS_ASKED
    settings = telemetry_settings(os.environ)
    for problem in settings.problems:
        render.err(f"warning: telemetry: {problem}")
    signals = [signal for signal in settings.endpoints if signal in wanted]
    if not signals:
        what = f"nothing says where to send {' or '.join(wanted)}: set OTEL_EXPORTER_OTLP_ENDPOINT, such as http://127.0.0.1:4318"
        raise UsageRefusedError("no_endpoint", what)
    require_extra()
    with viewing(pipeline, ledger) as view:
        settings = settings.masked(masking_known(view, os.environ))
        runs = _runs(view, first, end, name)
        missing = _known_missing(view, signals)
        done = [_send(view, signal, settings, runs, quiet=quiet) for signal in signals]
    delivered = [
        (pipeline_of, outcome) for _, outcomes in done for pipeline_of, outcome in outcomes if (outcome.signal, outcome.run_id) in missing
    ]  # fmt: skip
    _record(pipeline, ledger, delivered)
    return Replayed(len(runs), [sent for sent, _ in done], len({outcome.run_id for _, outcome in delivered}))


def _days(since: str, until: str | None) -> tuple[str, str]:
    """Return the time from which on, and the time before which a run has ended."""
    for option, text in (("--since", since), ("--until", until)):
        if text is not None and parse_date(text) is None:
            raise UsageRefusedError("bad_date", f"{option} takes a date such as 2026-01-31, not {shown(text)}")
    until = "9999-12-31" if until is None else until
    if until < since:
        raise UsageRefusedError("bad_range", f"--since {since} is later than --until {until}")
    # No moment of that day has such an hour, and the last day of all has none after it.
    return since, f"{until}T24"


def _runs(view: View, first: str, end: str, name: str | None) -> list[tuple[str, str]]:
    """Return id and pipeline of each run that is to be sent, oldest first."""
    wanted = name if name is not None else view.pipeline
    if name is not None:
        known = view.connection.execute("SELECT 1 FROM pipelines WHERE pipeline = ?", (name,)).fetchone()
        if known is None:
            raise UsageRefusedError("unknown_pipeline", f"the ledger knows no pipeline {shown(name)}")
    return view.connection.execute(
        f"SELECT run_id, pipeline FROM ({ALL_RUNS}) WHERE status <> 'running' AND finished_at >= ? AND finished_at < ?"  # noqa: S608 - our own text
        " AND pipeline = coalesce(?, pipeline) ORDER BY first_seq",
        (first, end, wanted),
    ).fetchall()


def _known_missing(view: View, signals: Sequence[Signal]) -> set[tuple[Signal, str]]:
    """Return of which runs, and of which signals, the ledger knows that the collector has not taken everything."""
    names = [name for (name,) in view.connection.execute("SELECT pipeline FROM pipelines")]
    ends = view.connection.execute(f"SELECT run_id, last_seq FROM ({ALL_RUNS}) WHERE last_seq IS NOT NULL").fetchall()  # noqa: S608 - our own text
    found = {signal: arrivals(view.connection, names, signal, "otlp") for signal in signals}
    return {(signal, run_id) for signal in signals for run_id, last in ends if found[signal].missed(run_id, last)}


def _send(
    view: View, signal: Signal, settings: Settings, runs: Sequence[tuple[str, str]], *, quiet: bool
) -> tuple[Sent, list[tuple[str, Outcome]]]:
    """Send *signal* of *runs*, up to the first batch that is not taken; return also what arrived, run by run, with its pipeline."""
    from orchestrator.cli.audit.verifying import watching

    place, sent, outcomes = place_of(signal, "otlp", settings), Sent(signal), []
    with watching(f"sending {signal}", "", quiet=quiet, unit="runs") as (watch, _):
        for run_id, pipeline in runs:
            try:
                outcome = _send_run(view.connection, signal, run_id, settings, place)
            except NotTakenError as error:
                sent.error = error.word
                break
            sent.runs += 1
            sent.items += outcome.taken
            sent.rejected += outcome.missed
            outcomes.append((pipeline, outcome))
            watch(sent.runs, len(runs))
    return sent, outcomes


def _send_run(connection: sqlite3.Connection, signal: Signal, run_id: str, settings: Settings, place: Place) -> Outcome:
    items, outcome = recall_of(signal)(connection, run_id, settings), Outcome(signal, run_id)
    size = settings.batching_of(signal).size
    for first in range(0, len(items), size):
        batch = items[first : first + size]
        try:
            _patiently_send(place, batch)
        except RejectedError as error:
            outcome.missed += min(error.count, len(batch))
            outcome.error = error.word
    outcome.taken = len(items) - outcome.missed
    return outcome


def _patiently_send(place: Place, batch: Sequence[object]) -> None:
    """Send *batch*, again after a pause where that may help."""
    for pause in _PAUSES_SECONDS:
        try:
            place.send(batch)
        except NotTakenError as error:
            if error.word not in _WORTH_A_PAUSE:
                raise
            time.sleep(pause)
        else:
            return
    place.send(batch)


def _record(pipeline: str | None, ledger: str | None, delivered: Sequence[tuple[str, Outcome]]) -> None:
    """Record what was known to be missing and has arrived; the ledger is opened to write only where there is something."""
    if not delivered:
        return
    from orchestrator.cli.holding import append_event
    from orchestrator.cli.manual import acting

    with acting(pipeline, ledger) as (_, store):
        for name, outcome in delivered:
            append_event(store, f"pipeline/{name}", telemetry_event(name, "otlp", outcome))
