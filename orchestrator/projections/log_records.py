"""
The program's own log of a run as a function of its events: one record for each, which says where in the trace of the run it belongs.

The ids are those of the spans of `projections.spans`, so that a back end shows a record beside its span, and a person finds a trace from a line of a file.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ledger.events import RecordedEvent
from orchestrator.core.tracing import TraceParent, parse_traceparent, span_id_of, trace_id_of

FIELDS = ("step", "attempt", "status", "reason", "error_class")
"""What a record has of the data of its event, where that has it."""

_WORSE = ("failed", "timed_out", "interrupted")


@attrs.frozen
class Place:
    """Say where in a trace something belongs."""

    trace_id: str
    span_id: str
    is_sampled: bool = True


@attrs.frozen
class Record:
    """
    Hold a record of the log.

    Attributes:
        message: The type of the event.
        time: When it was recorded, as it stands in the ledger.
        is_error: It tells of something that ended badly.
        fields: `run`, `seq`, those of `FIELDS` that there are, `trace_id` and `span_id`.
    """

    message: str
    time: str
    is_error: bool
    fields: Mapping[str, str | int]
    place: Place


class RunLog:
    """Fold the events of one run, and make a record of each."""

    def __init__(self) -> None:
        self._run_id = ""
        self._part = -1
        self._parent: TraceParent | None = None

    def apply(self, event: RecordedEvent) -> Record:
        """Return the record of *event*, which follows those before it in the stream of the run."""
        data = event.data
        if event.type == "run.started":
            self._parent = parse_traceparent(_text(data.get("traceparent")), _text(data.get("tracestate")))
        if event.type in ("run.started", "run.resumed"):
            self._part += 1
        self._run_id = event.stream.removeprefix("run/")
        step, attempt = data.get("step"), data.get("attempt")
        is_of_attempt = event.type.startswith("attempt.")
        place = self.place(_text(step), attempt if is_of_attempt and isinstance(attempt, int) else None)
        told = {name: value for name in FIELDS if isinstance(value := data.get(name), str | int)}
        fields = {"run": self._run_id, "seq": event.seq, **told, "trace_id": place.trace_id, "span_id": place.span_id}
        return Record(event.type, event.recorded_at, data.get("status") in _WORSE, fields, place)

    def place(self, step: str | None = None, attempt: int | None = None) -> Place:
        """Return the place of the span of the run as it goes on now, of a step of it, or of an attempt."""
        parent = self._parent
        return Place(
            trace_id_of(self._run_id, parent),
            span_id_of(self._run_id, part=max(0, self._part), step=step, attempt=attempt),
            parent is None or parent.sampled,
        )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
