"""
The trace of a run as a function of its events: the same spans live, after the fact, and again after a collector was away.

Names and values follow the semantic conventions of OpenTelemetry 1.44 for CI/CD pipelines and processes. What they have no name for stands below
`orchestrate.`. Nothing here knows the SDK: what sends spans makes its own of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Literal

import attrs

from ledger.events import RecordedEvent
from ledger.verifier import Checkpoint
from orchestrator.core.tracing import TraceParent, parse_traceparent, span_id_of, trace_id_of
from orchestrator.projections.span_words import GOOD, RESULTS, Value, ending_words, error_text, run_resource

Kind = Literal["server", "internal"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen
class Span:
    """
    Hold a span that has ended.

    Attributes:
        parent_id: None for the root of a trace.
        resource: What the run and its host are; shared by the spans of one part of a run.
        start_ns: Nanoseconds since the epoch: when the event was recorded that begins it.
        error: What went wrong, for people, or None; the span's status is an error then.
        events: Name, time in nanoseconds and attributes of what happened meanwhile.
        links: Trace and span ids of what it goes on from.
    """

    name: str
    kind: Kind
    trace_id: str
    span_id: str
    parent_id: str | None
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value]
    resource: Mapping[str, Value]
    error: str | None = None
    events: tuple[tuple[str, int, Mapping[str, Value]], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    tracestate: str | None = None


@attrs.define
class _Open:
    """What has begun and not ended."""

    start_ns: int
    attributes: dict[str, Value] = attrs.field(factory=dict)
    events: list[tuple[str, int, Mapping[str, Value]]] = attrs.field(factory=list)


class RunSpans:
    """
    Fold the events of one run, and hand out each span when it has ended.

    Args:
        traces: Trace id of each former run that this one may name and that was started in a caller's trace.
    """

    def __init__(self, traces: Mapping[str, str] = MappingProxyType({})) -> None:
        self._traces = traces
        self._links: tuple[tuple[str, str], ...] = ()
        self._resource: Mapping[str, Value] = {}
        self._run_id = ""
        self._trace_id = ""
        self._part = -1
        self._parent: TraceParent | None = None
        self._run = _Open(0)
        self._steps: dict[str, _Open] = {}
        self._attempts: dict[str, _Open] = {}

    def apply(self, event: RecordedEvent) -> list[Span]:
        """
        Take *event*, which follows those before it in the stream of the run, into account; return the spans that it ends.

        What it does not know changes nothing: a trace is not the record.
        """
        data, at = event.data, nanoseconds(event.recorded_at)
        match event.type:
            case "run.started" | "run.resumed":
                self._begin(data, at)
            case "attempt.started":
                self._attempt_started(data, at)
            case "attempt.finished":
                return [self._attempt_span(data, at)]
            case "retry.scheduled":
                told = {"orchestrate.attempt": _int(data["attempt"]), "orchestrate.delay_us": _int(data["delay_us"])}
                self._steps[str(data["step"])].events.append(("retry.scheduled", at, told))
            case "step.finished":
                return [self._step_span(data, at)]
            case "run.finished":
                return [*self._left_behind(data, at), self._run_span(data, at)]
        return []

    def _begin(self, data: Mapping[str, object], at: int) -> None:
        self._part += 1
        self._run_id = str(data["run_id"])
        if self._part == 0:
            self._parent = parse_traceparent(_text(data.get("traceparent")), _text(data.get("tracestate")))
            self._trace_id = trace_id_of(self._run_id, self._parent)
        self._links = self._gone_on_from(_text(data.get("reproduces")))
        self._steps, self._attempts = {}, {}
        self._resource = run_resource(data)
        attributes: dict[str, Value] = {
            "cicd.pipeline.name": str(data["pipeline"]),
            "cicd.pipeline.run.id": self._run_id,
            "cicd.pipeline.action.name": "RUN",
            "orchestrate.night": str(data["night"]),
            "orchestrate.definition": str(data["definition"]),
            "orchestrate.trigger": str(data["trigger"]),
            "process.pid": _int(data["pid"]),
        }
        self._run = _Open(at, attributes)

    def _attempt_started(self, data: Mapping[str, object], at: int) -> None:
        step = str(data["step"])
        self._steps.setdefault(step, _Open(at))
        attributes: dict[str, Value] = {
            **self._of_step(step),
            "orchestrate.attempt": _int(data["attempt"]),
            "orchestrate.start_reason": str(data["reason"]),
            "orchestrate.key": str(data["key"]),
        }
        if data.get("waited_us") is not None:
            attributes["orchestrate.waited_us"] = _int(data["waited_us"])
        self._attempts[step] = _Open(at, attributes)

    def _attempt_span(self, data: Mapping[str, object], at: int) -> Span:
        step, attempt = str(data["step"]), _int(data["attempt"])
        begun = self._attempts.pop(step, _Open(at, self._of_step(step)))
        attributes = begun.attributes | ending_words(data)
        for name, key in (
            ("process.pid", "pid"),
            ("process.exit.code", "exit_code"),
            ("orchestrate.duration_us", "duration_us"),
        ):
            if data.get(key) is not None:
                attributes[name] = _int(data[key])
        survivors = data.get("survivors")
        if isinstance(survivors, Sequence) and survivors:
            attributes["orchestrate.survivors"] = len(survivors)
        return self._span(
            name=step,
            kind="internal",
            span_id=span_id_of(self._run_id, step=step, attempt=attempt),
            parent_id=span_id_of(self._run_id, part=self._part, step=step),
            begun=begun,
            end_ns=at,
            attributes=attributes,
            error=error_text(data),
        )

    def _step_span(self, data: Mapping[str, object], at: int) -> Span:
        step = str(data["step"])
        begun = self._steps.pop(step, _Open(at))
        return self._span(
            name=step,
            kind="internal",
            span_id=span_id_of(self._run_id, part=self._part, step=step),
            parent_id=span_id_of(self._run_id, part=self._part),
            begun=begun,
            end_ns=at,
            attributes=self._of_step(step)
            | ending_words(data)
            | {"orchestrate.attempts": _int(data.get("attempts") or 0)},
            error=error_text(data),
        )

    def _left_behind(self, data: Mapping[str, object], at: int) -> list[Span]:
        """Return a span of each step that waited for its next attempt when its run was interrupted, so that its attempts lie below one."""
        status = str(data["status"])
        ending = {
            "cicd.pipeline.task.run.result": "error",
            "orchestrate.status": "retrying",
            "orchestrate.reason": status,
            "error.type": status,
        }
        return [
            self._span(
                name=step,
                kind="internal",
                span_id=span_id_of(self._run_id, part=self._part, step=step),
                parent_id=span_id_of(self._run_id, part=self._part),
                begun=begun,
                end_ns=at,
                attributes=self._of_step(step) | ending,
                error=f"the run was {status} before the next attempt",
            )
            for step, begun in self._steps.items()
        ]

    def _span(  # noqa: PLR0913 - a span has that many sides
        self,
        *,
        name: str,
        kind: Kind,
        span_id: str,
        parent_id: str | None,
        begun: _Open,
        end_ns: int,
        attributes: Mapping[str, Value],
        error: str | None,
        links: tuple[tuple[str, str], ...] = (),
    ) -> Span:
        """Return a span with what all of this part of the run have in common."""
        return Span(
            name=name,
            kind=kind,
            trace_id=self._trace_id,
            span_id=span_id,
            parent_id=parent_id,
            start_ns=begun.start_ns,
            end_ns=end_ns,
            attributes=attributes,
            resource=self._resource,
            error=error,
            events=tuple(begun.events),
            links=links,
            tracestate=None if self._parent is None else self._parent.state,
        )

    def _gone_on_from(self, reproduced: str | None) -> tuple[tuple[str, str], ...]:
        """Return what this part of the run goes on from: the part before it, or the run that it reproduces."""
        if self._part:
            return ((self._trace_id, span_id_of(self._run_id, part=self._part - 1)),)
        if reproduced is None:
            return ()
        return ((self._traces.get(reproduced) or trace_id_of(reproduced, None), span_id_of(reproduced)),)

    def _run_span(self, data: Mapping[str, object], at: int) -> Span:
        status = str(data["status"])
        result = RESULTS.get(status, status)
        attributes = self._run.attributes | {"cicd.pipeline.result": result, "orchestrate.status": status}
        cause = data.get("root_cause")
        counts = data.get("counts")
        for name, count in counts.items() if isinstance(counts, Mapping) else ():
            attributes[f"orchestrate.steps.{name}"] = _int(count)
        error = None
        if result not in GOOD:
            attributes["error.type"] = status
            error = (
                status
                if not isinstance(cause, Mapping)
                else f"{status}: step {cause.get('step')}: {cause.get('reason')}"
            )
        return self._span(
            name=f"RUN {attributes['cicd.pipeline.name']}",
            kind="server",
            span_id=span_id_of(self._run_id, part=self._part),
            parent_id=None if self._parent is None else self._parent.span_id,
            begun=self._run,
            end_ns=at,
            attributes=attributes,
            error=error,
            links=self._links,
        )

    @property
    def trace_id(self) -> str:
        """Of the trace that the run belongs to."""
        return self._trace_id

    @property
    def caller_samples(self) -> bool | None:
        """Whether the caller records the trace; None where the run has no caller that has one."""
        return None if self._parent is None else self._parent.sampled

    def _of_step(self, step: str) -> dict[str, Value]:
        """Return what every span of *step* carries from its beginning on."""
        return {
            "cicd.pipeline.task.name": step,
            "cicd.pipeline.task.run.id": f"{self._run_id}/{step}",
            "orchestrate.night": self._run.attributes["orchestrate.night"],
        }


def spans_of(
    events: Iterable[RecordedEvent],
    *,
    checkpoints: Mapping[int, Checkpoint] = MappingProxyType({}),
    traces: Mapping[str, str] = MappingProxyType({}),
) -> list[Span]:
    """
    Return every span of the run that *events* are the stream of, in the order in which they ended.

    Args:
        checkpoints: Of the ledger, by size: the span of a run carries the one that was made right after its last event.
        traces: As of `RunSpans`.
    """
    fold = RunSpans(traces)
    return [sealed(span, checkpoints.get(event.seq + 1)) for event in events for span in fold.apply(event)]


def sealed(span: Span, checkpoint: Checkpoint | None) -> Span:
    """Return *span* with the *checkpoint* that seals the run, where it is the span of one; so whoever keeps traces is a witness of the ledger."""
    if checkpoint is None or span.kind != "server":
        return span
    told: dict[str, Value] = {
        "orchestrate.checkpoint.origin": checkpoint.origin,
        "orchestrate.checkpoint.size": checkpoint.size,
        "orchestrate.checkpoint.root": checkpoint.root.hex(),
    }
    return attrs.evolve(span, attributes={**span.attributes, **told})


def nanoseconds(time: str) -> int:
    """
    Return a time of the ledger in nanoseconds since the epoch.

    >>> nanoseconds("1970-01-01T00:00:01.000001Z")
    1000001000
    """
    return (datetime.fromisoformat(time) - _EPOCH) // timedelta(microseconds=1) * 1000


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
