"""
The trace of a run as a function of its events: the same spans live, after the fact, and again after a collector was away.

Names and values follow the semantic conventions of OpenTelemetry 1.44 for CI/CD pipelines and processes. What they have no name for stands below
`orchestrate.`. Nothing here knows the SDK: what sends spans makes its own of these.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

import attrs

from ledger.events import RecordedEvent
from orchestrator.core.tracing import TraceParent, parse_traceparent, span_id_of, trace_id_of

Value: TypeAlias = str | int | bool | float | tuple[str, ...]
Kind = Literal["server", "internal"]

RESULTS: Mapping[str, str] = {
    "succeeded": "success",
    "nothing_to_do": "skip",
    "no_new_data": "skip",
    "skipped": "skip",
    "failed": "failure",
    "timed_out": "timeout",
    "interrupted": "error",
    "cancelled": "cancellation",
}
"""How a run, a step or an attempt ended to the values of `cicd.pipeline.result`."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RESULT_OF_REASON = {"timeout": "timeout", "deadline": "timeout", "lost": "error", "not_started": "error"}
_GOOD = ("success", "skip")


@attrs.frozen
class Span:
    """
    Hold a span that has ended.

    Attributes:
        parent_id: None for the root of a trace.
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
    """Fold the events of one run, and hand out each span when it has ended."""

    def __init__(self) -> None:
        self.resource: dict[str, Value] = {}
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
                return [self._run_span(data, at)]
        return []

    def _begin(self, data: Mapping[str, object], at: int) -> None:
        self._part += 1
        self._run_id = str(data["run_id"])
        if self._part == 0:
            self._parent = parse_traceparent(_text(data.get("traceparent")), _text(data.get("tracestate")))
            self._trace_id = trace_id_of(self._run_id, self._parent)
        self._steps, self._attempts = {}, {}
        git = data.get("git")
        self.resource = {
            "cicd.pipeline.name": str(data["pipeline"]),
            "cicd.pipeline.run.id": self._run_id,
            "cicd.worker.id": str(data["host"]),
            "cicd.worker.name": str(data["host"]),
        }
        if isinstance(git, Mapping) and git.get("commit"):
            self.resource["vcs.ref.head.revision"] = str(git["commit"])
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
        attributes = begun.attributes | ending(data)
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
        return Span(
            name=step,
            kind="internal",
            trace_id=self._trace_id,
            span_id=span_id_of(self._run_id, step=step, attempt=attempt),
            parent_id=span_id_of(self._run_id, part=self._part, step=step),
            start_ns=begun.start_ns,
            end_ns=at,
            attributes=attributes,
            error=_error(data),
            tracestate=self._state,
        )

    def _step_span(self, data: Mapping[str, object], at: int) -> Span:
        step = str(data["step"])
        begun = self._steps.pop(step, _Open(at))
        return Span(
            name=step,
            kind="internal",
            trace_id=self._trace_id,
            span_id=span_id_of(self._run_id, part=self._part, step=step),
            parent_id=span_id_of(self._run_id, part=self._part),
            start_ns=begun.start_ns,
            end_ns=at,
            attributes=self._of_step(step) | ending(data) | {"orchestrate.attempts": _int(data.get("attempts") or 0)},
            error=_error(data),
            events=tuple(begun.events),
            tracestate=self._state,
        )

    def _run_span(self, data: Mapping[str, object], at: int) -> Span:
        status = str(data["status"])
        result = RESULTS.get(status, status)
        attributes = self._run.attributes | {"cicd.pipeline.result": result, "orchestrate.status": status}
        cause = data.get("root_cause")
        counts = data.get("counts")
        for name, count in counts.items() if isinstance(counts, Mapping) else ():
            attributes[f"orchestrate.steps.{name}"] = _int(count)
        error = None
        if result not in _GOOD:
            attributes["error.type"] = status
            error = (
                status
                if not isinstance(cause, Mapping)
                else f"{status}: step {cause.get('step')}: {cause.get('reason')}"
            )
        former = ((self._trace_id, span_id_of(self._run_id, part=self._part - 1)),) if self._part else ()
        return Span(
            name=f"RUN {attributes['cicd.pipeline.name']}",
            kind="server",
            trace_id=self._trace_id,
            span_id=span_id_of(self._run_id, part=self._part),
            parent_id=None if self._parent is None else self._parent.span_id,
            start_ns=self._run.start_ns,
            end_ns=at,
            attributes=attributes,
            error=error,
            links=former,
            tracestate=self._state,
        )

    @property
    def _state(self) -> str | None:
        return None if self._parent is None else self._parent.state

    def _of_step(self, step: str) -> dict[str, Value]:
        """Return what every span of *step* carries from its beginning on."""
        return {
            "cicd.pipeline.task.name": step,
            "cicd.pipeline.task.run.id": f"{self._run_id}/{step}",
            "orchestrate.night": self._run.attributes["orchestrate.night"],
        }


def spans_of(events: Iterable[RecordedEvent]) -> list[Span]:
    """Return the spans of a run, each after all that lie below it; those of what has not ended are not among them."""
    fold = RunSpans()
    return [span for event in events for span in fold.apply(event)]


def nanoseconds(time: str) -> int:
    """
    Return a time of the ledger in nanoseconds since the epoch.

    >>> nanoseconds("1970-01-01T00:00:01.000001Z")
    1000001000
    """
    return (datetime.fromisoformat(time) - _EPOCH) // timedelta(microseconds=1) * 1000


def ending(data: Mapping[str, object]) -> dict[str, Value]:
    """Return how a step or an attempt ended, in the words of the conventions and in ours."""
    status, reason = str(data["status"]), data.get("reason")
    result = RESULTS.get(status, status)
    if result == "failure":
        result = _RESULT_OF_REASON.get(str(reason), result)
        if data.get("error_class") == "infrastructure":
            result = "error"
    elif reason == "deadline":
        result = "timeout"
    attributes: dict[str, Value] = {"cicd.pipeline.task.run.result": result, "orchestrate.status": status}
    if reason is not None:
        attributes["orchestrate.reason"] = str(reason)
    if result not in _GOOD:
        attributes["error.type"] = _error_type(data)
    if data.get("error_class") is not None:
        attributes["orchestrate.error_class"] = str(data["error_class"])
    return attributes


def _error_type(data: Mapping[str, object]) -> str:
    """Return what went wrong as one of few words: the exit code, the signal, else the reason."""
    evidence = data.get("evidence")
    facts = {**data, **evidence} if isinstance(evidence, Mapping) else data
    if facts.get("exit_code"):
        return f"exit_{facts['exit_code']}"
    if facts.get("signal"):
        return signal.Signals(_int(facts["signal"])).name if facts["signal"] in set(signal.Signals) else "signal"
    return str(data.get("reason") or data["status"])


def _error(data: Mapping[str, object]) -> str | None:
    if RESULTS.get(str(data["status"])) in _GOOD:
        return None
    return str(data.get("message") or data.get("reason") or data["status"])


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
