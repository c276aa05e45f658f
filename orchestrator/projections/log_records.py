"""
The program's own log of a run as a function of its events: one record for each, which says where in the trace of the run it belongs.

The ids are those of the spans of `projections.spans`, so that a back end shows a record beside its span, and a person finds a trace from a line of a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import attrs

from ledger.events import RecordedEvent
from orchestrator.core.tracing import TraceParent, parse_traceparent, span_id_of, trace_id_of
from orchestrator.projections.span_words import Value, run_resource
from orchestrator.projections.spans import nanoseconds

Level: TypeAlias = Literal["INFO", "ERROR"]

FIELDS = ("step", "attempt", "status", "reason", "error_class")
"""What a record has of the data of its event, where that has it."""

_WORSE = ("failed", "timed_out", "interrupted")


@attrs.frozen
class Place:
    """
    Say where in a trace something belongs.

    Attributes:
        caller_samples: Whether the caller, in whose trace the run was started, records it; None without a caller.
    """

    trace_id: str
    span_id: str
    caller_samples: bool | None = None


@attrs.frozen
class Record:
    """
    Hold a record of the log.

    Attributes:
        message: The type of the event, or the line that a step has printed.
        time_ns: When that was recorded, or read, in nanoseconds since the epoch.
        level: None for what a step has printed, of which nobody knows.
        is_event: It tells of a recorded event.
        fields: Of an event `run`, `seq` and those of `FIELDS` that it has; of a line `run`, `step`, `attempt`, its number `line`, and `is_cut` where it went on.
        resource: What the run and its host are; shared by the records of one part of a run.
    """

    message: str
    time_ns: int
    level: Level | None
    is_event: bool
    fields: Mapping[str, str | int]
    place: Place
    resource: Mapping[str, Value]

    @property
    def bound(self) -> dict[str, str | int]:
        """The fields, and the ids of its place."""
        return {**self.fields, "trace_id": self.place.trace_id, "span_id": self.place.span_id}


class RunLog:
    """Fold the events of one run, and make a record of each."""

    def __init__(self) -> None:
        self._run_id = ""
        self._part = 0
        self._parent: TraceParent | None = None
        self._resource: Mapping[str, Value] = {}

    def apply(self, event: RecordedEvent) -> Record:
        """Return the record of *event*, which follows those before it in the stream of the run."""
        data = event.data
        self._run_id = event.stream.removeprefix("run/")
        if event.type == "run.started":
            self._parent = parse_traceparent(_text(data.get("traceparent")), _text(data.get("tracestate")))
            self._resource = run_resource(data)
        elif event.type == "run.resumed":
            self._part += 1
            self._resource = run_resource(data)
        attempt = data.get("attempt") if event.type.startswith("attempt.") else None
        told = {name: value for name in FIELDS if isinstance(value := data.get(name), str | int)}
        return Record(
            message=event.type,
            time_ns=nanoseconds(event.recorded_at),
            level="ERROR" if data.get("status") in _WORSE else "INFO",
            is_event=True,
            fields={"run": self._run_id, "seq": event.seq, **told},
            place=self._place(_text(data.get("step")), attempt if isinstance(attempt, int) else None),
            resource=self._resource,
        )

    def printed(self, step: str, attempt: int) -> Printed:
        """Return what makes records of the lines that the attempt prints; the run has started."""
        return Printed(self._run_id, step, attempt, self._place(step, attempt), self._resource)

    def _place(self, step: str | None, attempt: int | None) -> Place:
        """Return the place of the span of the run as it goes on now, of a step of it, or of an attempt."""
        parent = self._parent
        return Place(
            trace_id_of(self._run_id, parent),
            span_id_of(self._run_id, part=self._part, step=step, attempt=attempt),
            None if parent is None else parent.sampled,
        )


@attrs.frozen
class Printed:
    """Make records of the lines of one attempt."""

    run_id: str
    step: str
    attempt: int
    place: Place
    resource: Mapping[str, Value]

    def record(self, line: str, time_ns: int, number: int, *, is_cut: bool) -> Record:
        """Return the record of *line*, the one of *number* in the log of the attempt."""
        fields: dict[str, str | int] = {"run": self.run_id, "step": self.step, "attempt": self.attempt, "line": number}
        if is_cut:
            fields["is_cut"] = True
        return Record(line, time_ns, None, is_event=False, fields=fields, place=self.place, resource=self.resource)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
