"""
The metrics of a run as a function of its events: the same points at its end, and from the ledger afterwards.

Names and values follow the semantic conventions of OpenTelemetry 1.44 for CI/CD pipelines; what they have no name for stands below `orchestrate.`. A run is
one interval of collection: its points begin with its start, or with its last resume, and end with what was recorded last. No attribute tells one run from
another, so that the number of series does not grow with the nights. Nothing here knows the SDK.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import attrs

from ledger.events import RecordedEvent
from orchestrator.projections.span_words import RESULTS, Value, ending_words, run_resource
from orchestrator.projections.spans import nanoseconds

Attributes: TypeAlias = tuple[tuple[str, str], ...]

BOUNDS: tuple[float, ...] = (0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800)
"""Upper bounds of the buckets of every histogram, in seconds: from steps that hardly do anything to nights that do not end."""

_OF_THE_PIPELINE = ("cicd.pipeline.name", "cicd.worker.id", "cicd.worker.name")
_NO_ERROR = ("success", "skip", "cancellation")


@attrs.frozen
class Instrument:
    """Name what is measured, and how; a histogram holds microseconds, which are told in seconds."""

    name: str
    kind: Literal["histogram", "counter"]
    unit: str
    description: str


RUN_DURATION = Instrument(
    "cicd.pipeline.run.duration", "histogram", "s", "How long a run took, from its start or its last resume."
)
RUN_ERRORS = Instrument(
    "cicd.pipeline.run.errors",
    "counter",
    "{error}",
    "Attempts that failed, steps that failed without one, and runs that ended badly without either.",
)
RUNS = Instrument("orchestrate.runs", "counter", "{run}", "Runs that ended, once for each start or resume.")
STEP_DURATION = Instrument(
    "orchestrate.step.duration", "histogram", "s", "How long the last attempt of a step took, from spawn to exit."
)
STEP_RETRIES = Instrument("orchestrate.step.retries", "counter", "{retry}", "Attempts that were scheduled again.")
STEP_QUEUE = Instrument(
    "orchestrate.step.queue.duration",
    "histogram",
    "s",
    "How long a decided attempt waited for a place or for shares of pools; zero where it did not.",
)
INSTRUMENTS = (RUN_DURATION, RUN_ERRORS, RUNS, STEP_DURATION, STEP_RETRIES, STEP_QUEUE)
"""All of them, in the order in which they are sent."""


@attrs.frozen
class Point:
    """
    Hold what was measured of one combination of attributes.

    Attributes:
        start_ns: Nanoseconds since the epoch: when the start or the last resume of the run was recorded.
        end_ns: When the last event was recorded that was taken into account.
        count: How many values there were; of a counter, its value.
        sum_us: Of a histogram, in microseconds like *min_us* and *max_us*.
        buckets: How many values lay at or below each of `BOUNDS` and above the one before, and how many above all; empty for a counter.
    """

    attributes: Attributes
    start_ns: int
    end_ns: int
    count: int
    sum_us: int = 0
    min_us: int = 0
    max_us: int = 0
    buckets: tuple[int, ...] = ()


@attrs.frozen
class Metric:
    """
    Hold the points of one instrument, of one part of a run.

    Attributes:
        resource: The pipeline and its host; not the run, nor what changes with it.
    """

    instrument: Instrument
    points: tuple[Point, ...]
    resource: Mapping[str, Value]


class RunMetrics:
    """Fold the events of one run; what is told is of the part that the last start or resume began."""

    def __init__(self) -> None:
        self._pipeline = ""
        self._resource: Mapping[str, Value] = {}
        self._start_ns = self._end_ns = 0
        self._values: dict[tuple[Instrument, Attributes], list[int]] = {}
        self._failed: set[str] = set()
        self._has_errors = False
        self._is_a_night = True

    def apply(self, event: RecordedEvent) -> None:
        """Take *event*, which follows those before it in the stream of the run, into account; what it does not know changes nothing."""
        data = event.data
        match event.type:
            case "run.started" | "run.resumed":
                self._begin(data, nanoseconds(event.recorded_at))
            case "attempt.started":
                self._note(STEP_QUEUE, data.get("waited_us") or 0, self._of_step(data))
            case "attempt.finished":
                self._attempt_finished(data)
            case "retry.scheduled":
                words = {"orchestrate.error_class": str(data["error_class"])}
                self._note(STEP_RETRIES, 1, self._of_step(data) | words)
            case "step.finished":
                self._step_finished(data)
            case "run.finished":
                self._run_finished(data)
        self._end_ns = nanoseconds(event.recorded_at)

    def metrics(self) -> list[Metric]:
        """Return what was measured so far; instruments without a value are not among it."""
        if not self._is_a_night:
            return []  # What runs one again is no run of its pipeline, and no attribute could tell.
        found: dict[Instrument, list[Point]] = {}
        for (instrument, attributes), values in self._values.items():
            found.setdefault(instrument, []).append(self._point(instrument, attributes, values))
        return [
            Metric(instrument, tuple(found[instrument]), self._resource)
            for instrument in INSTRUMENTS
            if instrument in found
        ]

    def _begin(self, data: Mapping[str, object], at: int) -> None:
        self._pipeline = str(data["pipeline"])
        self._is_a_night = self._is_a_night and data.get("reproduces") is None
        known = run_resource(data)
        self._resource = {name: known[name] for name in _OF_THE_PIPELINE if name in known}
        self._start_ns = at
        self._values, self._failed, self._has_errors = {}, set(), False

    def _attempt_finished(self, data: Mapping[str, object]) -> None:
        words = ending_words(data)
        if words["cicd.pipeline.task.run.result"] not in _NO_ERROR:
            self._failed.add(str(data["step"]))
            self._error(words["error.type"])

    def _step_finished(self, data: Mapping[str, object]) -> None:
        words = ending_words(data)
        result = words["cicd.pipeline.task.run.result"]
        if result not in _NO_ERROR and data["step"] not in self._failed:
            self._error(words["error.type"])
        if data.get("duration_us") is not None:
            told = {name: words[name] for name in ("cicd.pipeline.task.run.result", "error.type") if name in words}
            self._note(STEP_DURATION, data["duration_us"], self._of_step(data) | told)

    def _run_finished(self, data: Mapping[str, object]) -> None:
        status = str(data["status"])
        result = RESULTS.get(status, status)
        if result not in _NO_ERROR and not self._has_errors:
            self._error(status)
        words = {"cicd.pipeline.name": self._pipeline, "cicd.pipeline.result": result}
        self._note(RUNS, 1, words | {"orchestrate.status": status})
        # How long a run took whose orchestrator died is not known.
        if data.get("duration_us") is not None:
            words["cicd.pipeline.run.state"] = "executing"
            if result not in ("success", "skip"):
                words["error.type"] = status
            self._note(RUN_DURATION, data["duration_us"], words)

    def _error(self, kind: object) -> None:
        self._has_errors = True
        self._note(RUN_ERRORS, 1, {"cicd.pipeline.name": self._pipeline, "error.type": kind})

    def _note(self, instrument: Instrument, value: object, attributes: Mapping[str, object]) -> None:
        assert isinstance(value, int)
        words = tuple(sorted((name, str(word)) for name, word in attributes.items()))
        self._values.setdefault((instrument, words), []).append(value)

    def _of_step(self, data: Mapping[str, object]) -> dict[str, object]:
        return {"cicd.pipeline.name": self._pipeline, "cicd.pipeline.task.name": data["step"]}

    def _point(self, instrument: Instrument, attributes: Attributes, values: list[int]) -> Point:
        if instrument.kind == "counter":
            return Point(attributes, self._start_ns, self._end_ns, count=sum(values))
        buckets = [0] * (len(BOUNDS) + 1)
        for value in values:
            buckets[bisect_left(BOUNDS, value / 1e6)] += 1
        return Point(
            attributes,
            self._start_ns,
            self._end_ns,
            count=len(values),
            sum_us=sum(values),
            min_us=min(values),
            max_us=max(values),
            buckets=tuple(buckets),
        )


def metrics_of(events: Iterable[RecordedEvent]) -> list[Metric]:
    """Return the metrics of a run that may have been resumed: those of each part that has ended, in the order of the parts."""
    fold, found = RunMetrics(), list[Metric]()
    for event in events:
        fold.apply(event)
        if event.type == "run.finished":
            found += fold.metrics()
    return found
