"""
The telemetry of one run: an observer that makes items of recorded events and offers them, and at the end the record of what arrived.

It may change no result and hold up no step: offering never waits, at the end it waits a second at most, or what `[telemetry] wait` says, and what goes wrong in it is said on
standard error and no more. What did not arrive is recorded once, and sent by the next run.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs

from ledger.events import RecordedEvent
from ledger.store import Ledger
from orchestrator.cli.holding import append_event
from orchestrator.cli.telemetry.feeds import Feed, feed_of, recall_of
from orchestrator.cli.telemetry.log_feed import LogFeed
from orchestrator.cli.telemetry.missed import MissedRuns
from orchestrator.cli.telemetry.outlet import Outcome, Outlet
from orchestrator.cli.telemetry.settings import Settings, Signal
from orchestrator.cli.telemetry.step_output import StepOutput
from orchestrator.cli.telemetry.ways import PlaceName, place_of, ways_of
from orchestrator.core.classification import is_withheld
from orchestrator.core.definition import Pipeline
from orchestrator.core.events import TelemetryDelivered, TelemetryFailed
from orchestrator.projections.log_records import RunLog
from orchestrator.projections.reproductions import any_run
from orchestrator.projections.telemetry_facts import arrivals
from orchestrator.projections.traces import checkpoint_of_size
from orchestrator.projections.withheld import step_classes
from orchestrator.runtime.output import Listen, nobody
from orchestrator.runtime.ports import Observer

Say = Callable[[str], None]

WHAT: Mapping[Signal, str] = {
    "traces": "spans",
    "metrics": "metrics",
    "logs": "log records",
    "step_output": "lines of steps",
}
"""What the items of each signal are called."""


@attrs.frozen
class _Way:
    """One signal on its way to one place."""

    signal: Signal
    place: PlaceName
    outlet: Outlet


class RunTelemetry:
    """
    Observe the run *run_id*, and send what is made of it; made by `make_telemetry`.

    Args:
        missed: Where outlets find what earlier runs have missed.
        feeds: By signal.
    """

    def __init__(
        self,
        ledger: Ledger,
        run_id: str,
        pipeline: Pipeline,
        settings: Settings,
        feeds: Mapping[Signal, Feed],
        missed: MissedRuns,
        say: Say,
    ) -> None:
        self._ledger = ledger
        self._run_id = run_id
        self._pipeline = pipeline
        self.settings = settings
        self._feeds = dict(feeds)
        self._say = say
        self._missed = missed
        self._broken: dict[Signal, str] = {}
        self._ways: list[_Way] = []
        self._until = 0.0
        self.observers: Sequence[Observer] = (self,)
        self.listen: Listen = nobody

    def add_way(self, signal: Signal, place: PlaceName, outlet: Outlet) -> None:
        """Send the items of *signal* by *outlet* too."""
        self._ways.append(_Way(signal, place, outlet))
        outlet.start()

    def add_step_output(self, log: RunLog, outlets: Mapping[PlaceName, Outlet]) -> None:
        """Send what steps print by *outlets* too."""
        for place, outlet in outlets.items():
            self.add_way("step_output", place, outlet)
        # A run that was resumed under a definition that says less is withheld as it was.
        classes = step_classes(self._ledger.connection, self._run_id)
        withheld = {step for step, classification in classes.items() if is_withheld(classification)}
        self.listen = StepOutput(log, tuple(outlets.values()), withheld, self._say).listen

    def recorded(self, event: RecordedEvent) -> None:
        """Offer what *event* makes."""
        for signal in list(self._feeds):
            with self._harmless(signal):
                self.offer(signal, self._feeds[signal].items(event))

    def offer(self, signal: Signal, items: Sequence[object]) -> None:
        """Offer *items* to every place where *signal* goes."""
        for way in self._ways:
            if way.signal == signal:
                way.outlet.offer(items)

    def tick(self) -> int | None:
        """Ask for nothing."""
        return None

    def finish(self) -> None:
        """Offer what is left, now that the run has ended and is sealed. From now on the time runs, and alerts go out meanwhile."""
        self._until = time.monotonic() + self._pipeline.telemetry.wait_us / 1e6
        checkpoint = None
        with self._harmless(None):
            last = any_run(self._ledger.connection, self._run_id)["last_seq"]
            checkpoint = checkpoint_of_size(self._ledger.connection, last + 1)
        for signal in list(self._feeds):
            with self._harmless(signal):
                self.offer(signal, self._feeds[signal].last_items(checkpoint))
        for way in self._ways:
            way.outlet.close()

    def record(self) -> None:
        """Wait for what is on its way, no longer than the bound, and record what arrived."""
        ended = [(way, way.outlet.outcomes(self._until)) for way in self._ways]
        self._missed.stop()
        for way, outcomes in ended:
            with self._harmless(None):
                own, *others = outcomes
                self._record_own(way, own)
                for other in others:
                    self._record_other(way, other)

    def give_up(self) -> None:
        """Send nothing more; where `record` came before, there is nothing to do."""
        for way in self._ways:
            way.outlet.outcomes(0)
        self._missed.stop()

    def _record_own(self, way: _Way, own: Outcome) -> None:
        if way.signal in self._broken:
            # How many are missing nobody knows.
            own = attrs.evolve(own, missed=max(own.missed, 1), error=self._broken[way.signal])
        self._append(way, own)
        if not own.missed:
            return
        total = own.taken + own.missed
        self._say(
            f"warning: telemetry: {own.missed} of {total} {WHAT[way.signal]} were not delivered ({way.place}: {own.error});"
            + (" nobody sends them again" if _is_final(own) else " the next run sends them again")
        )

    def _record_other(self, way: _Way, other: Outcome) -> None:
        """Record that what another run had missed was delivered; that it failed again is known already."""
        if not other.missed or other.error == "rejected":
            self._append(way, other)

    def _append(self, way: _Way, outcome: Outcome) -> None:
        name = self._pipeline.name
        append_event(self._ledger, f"pipeline/{name}", telemetry_event(name, way.place, outcome))

    @contextlib.contextmanager
    def _harmless(self, signal: Signal | None) -> Iterator[None]:
        """Say what goes wrong within the block and go on, without the feed of *signal*: a run does not fail because nobody could watch it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - telemetry changes no result, whatever is wrong with it
            if signal is not None:
                self._feeds.pop(signal, None)
                self._broken[signal] = f"bug_{type(error).__name__}"
            self._say(f"warning: telemetry: {type(error).__name__}: {error}")


def _is_final(own: Outcome) -> bool:
    """Return whether what was missed stays so."""
    return own.error == "rejected" or own.signal == "step_output"


def telemetry_event(pipeline: str, place: PlaceName, outcome: Outcome) -> TelemetryDelivered | TelemetryFailed:
    """Return the event that tells *outcome*."""
    if not outcome.missed:
        return TelemetryDelivered(pipeline, outcome.run_id, outcome.signal, place, outcome.taken)
    return TelemetryFailed(
        pipeline, outcome.run_id, outcome.signal, place, outcome.missed, outcome.error or "not_delivered"
    )


def make_telemetry(ledger: Ledger, run_id: str, pipeline: Pipeline, settings: Settings, *, say: Say) -> RunTelemetry:
    """Return the telemetry of the run *run_id* as *settings* say, sending already what is left of its former parts and of earlier runs."""
    before = ledger.read_stream(f"run/{run_id}")
    names = (pipeline.name, *pipeline.formerly)
    feeds = {signal: feed_of(signal, ledger.connection, settings, before) for signal in settings.signals}
    missed = MissedRuns(ledger.path, run_id, names, settings)
    telemetry = RunTelemetry(ledger, run_id, pipeline, settings, feeds, missed, say)
    lines: dict[PlaceName, Outlet] = {}
    for signal, place in ways_of(settings):
        recall = recall_of(signal)
        batching, backlog = settings.batching_of(signal), missed.backlog(signal, place, recall)
        outlet = Outlet(signal, run_id, place_of(signal, place, settings), batching, backlog=backlog)
        known = arrivals(ledger.connection, names, signal, place) if before else None
        if known is not None and known.settled.get(run_id, -1) < before[-1].seq:
            outlet.offer(recall(ledger.connection, run_id, settings))
        telemetry.add_way(signal, place, outlet)
        if signal == "logs" and pipeline.telemetry.step_output:
            lines[place] = Outlet("step_output", run_id, place_of(signal, place, settings), batching)
    if lines:
        log = feeds["logs"]
        assert isinstance(log, LogFeed)
        telemetry.add_step_output(log.log, lines)
    return telemetry
