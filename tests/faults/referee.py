"""
What a recorded history owes, told from the events alone: an account of its own, which shares no code with the state, the decisions or the read models.

It follows the events of one run in order and says what none of them may do: start what is running, what waits for something, what lies below a failure,
what was lost and must not run twice; end a step twice or without a reason; end the run before its steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from ledger.events import RecordedEvent
from orchestrator.core.definition import Pipeline, Step
from orchestrator.core.graph import Graph

FINAL = {"succeeded", "failed", "skipped", "cancelled"}
Data = Mapping[str, Any]


@attrs.define
class StepRecord:
    """
    Hold what the events so far say of a step: `status` as the read models name it, `tries` since the run was last opened.

    Attributes:
        carried: It waits for an attempt that was decided before the run was resumed; by then it may have to be left out.
    """

    status: str = "pending"
    reason: str | None = None
    attempts: int = 0
    tries: int = 0
    last: Data = attrs.field(factory=dict)
    carried: bool = False

    @property
    def is_running(self) -> bool:
        """Whether an attempt of it has begun and not ended."""
        return self.status == "running" and not self.last


@attrs.define
class Circumstances:
    """
    Hold what the events of an opening do not say.

    Attributes:
        selected: The steps that the run is about.
        forced: `--force` was given.
        lost: Steps that must not run twice and whose last attempt was lost before.
        ending_seq: Nothing that waits for success may be started from there on; None where nothing has ended the run early.
        signal: The one that has, or None.
    """

    selected: frozenset[str]
    forced: bool = False
    lost: frozenset[str] = frozenset()
    ending_seq: int | None = None
    signal: int | None = None


class Referee:
    """Follow one run of *pipeline*, opening by opening."""

    def __init__(self, pipeline: Pipeline, graph: Graph) -> None:
        self._pipeline = pipeline
        self._graph = graph
        self._above = {name: graph.above([name]) - {name} for name in graph.order}
        self.steps = {name: StepRecord() for name in graph.order}
        self.status = "pending"
        self._settled: set[str] = set()
        self._failed = False

    def follow(self, events: Sequence[RecordedEvent], around: Circumstances) -> list[str]:
        """Take the *events* since the run was last looked at, and return what none of them may have done."""
        wrong = []
        for event in events:
            found = [f"run is {self.status}"] if event.type != "run.resumed" and self._is_over(event) else []
            found += self._take(event, around)
            wrong += [f"{event.type} {event.data.get('step', '')} (seq {event.seq}): {what}" for what in found]
        return wrong

    def _is_over(self, event: RecordedEvent) -> bool:
        return (self.status == "pending") != (event.type == "run.started") or self.status not in ("pending", "running")

    def _take(self, event: RecordedEvent, around: Circumstances) -> Iterator[str]:
        match event.type:
            case "run.started":
                self.status = "running"
            case "run.resumed":
                yield from self._resumed(event.data)
            case "run.finished":
                yield from self._run_finished(event.data, around)
            case "attempt.started":
                yield from self._attempt_started(event, around)
            case "attempt.finished":
                yield from self._attempt_finished(event.data)
            case "retry.scheduled":
                yield from self._retry_scheduled(event.data)
            case "step.finished":
                yield from self._step_finished(event.data, around)

    def _resumed(self, data: Data) -> Iterator[str]:
        if data["before"] != self.status or self.status in ("running", "succeeded", "nothing_to_do"):
            yield f"resumed after {data['before']}, it was {self.status}"
        self.status, self._failed = "running", False
        self._settled = {name for name, step in self.steps.items() if step.status == "succeeded"}
        for name, step in self.steps.items():
            step.carried = step.status == "retrying"
            if not step.carried:
                step.tries, step.last = 0, {}
                if name not in self._settled:
                    step.status, step.reason = "pending", None

    def _attempt_started(self, event: RecordedEvent, around: Circumstances) -> Iterator[str]:
        name, data = str(event.data["step"]), event.data
        step, defined = self.steps[name], self._pipeline.steps[name]
        if step.is_running or data["attempt"] != step.attempts + 1:
            yield f"attempt {data['attempt']} after {step}"
        if name not in around.selected:
            yield "not selected"
        if waiting := set(self._graph.upstream[name]) - self._settled:
            yield f"{sorted(waiting)} are not done"
        yield from self._may_run(defined, event.seq, around)
        if step.tries and step.status != "retrying":
            yield f"tried again without a reason: {step}"
        if name in self._settled and step.status != "succeeded":
            yield f"it had ended: {step.status}"
        first = not around.forced or step.attempts  # Who forces it decides that once; what ended since then is known.
        if name in around.lost and (step.last.get("reason") == "lost" if step.tries else first):
            yield "it was lost and must not run twice"
        self._settled.discard(name)
        self.steps[name] = StepRecord("running", None, step.attempts + 1, step.tries + 1)

    def _may_run(self, step: Step, seq: int, around: Circumstances) -> Iterator[str]:
        failed = self._failed_above(step.name)
        if step.when == "upstream_ok":
            if failed:
                yield f"{failed} above it failed"
            if around.ending_seq is not None and seq >= around.ending_seq:
                yield f"the run was ending from {around.ending_seq} on"
        elif step.when == "on_failure" and not failed:
            yield "nothing above it failed"
        elif step.when == "always" and not any(self.steps[other].attempts for other in self._above[step.name]):
            yield "nothing above it was attempted"

    def _attempt_finished(self, data: Data) -> Iterator[str]:
        step = self.steps[data["step"]]
        if not step.is_running or data["attempt"] != step.attempts:
            yield f"it was no attempt of {step}"
        step.last = data

    def _retry_scheduled(self, data: Data) -> Iterator[str]:
        step, policy = self.steps[data["step"]], self._pipeline.steps[data["step"]].retry
        if step.last.get("status") != "failed" or step.last.get("error_class") not in policy.on:
            yield f"{policy}, and its attempt was {step.last}"
        if step.tries >= policy.attempts or data["attempt"] != step.attempts + 1:
            yield f"attempt {data['attempt']} after {step.tries} of {policy.attempts}"
        step.status = "retrying"

    def _step_finished(self, data: Data, around: Circumstances) -> Iterator[str]:
        name = str(data["step"])
        step, status, reason = self.steps[name], data["status"], data.get("reason")
        if step.is_running or data["attempts"] != step.attempts or status not in FINAL:
            yield f"{status} after {step}"
        if name in self._settled and step.status != "succeeded":
            yield f"it had ended: {step.status}"
        waiting = set(self._graph.upstream[name]) - self._settled
        if waiting and reason != "lost":  # Whoever clears up ends what ran, wherever that stands.
            yield f"{sorted(waiting)} are not done"
        yield from self._fits(name, status, reason, data)
        waits = self._pipeline.steps[name].when == "upstream_ok" and name in around.selected
        if waits and self._failed_above(name) and reason != "upstream_failed":
            yield f"{status} ({reason}), though {self._failed_above(name)} above it failed"
        self._failed |= status == "failed" or reason == "input_untrusted"
        self._settled.add(name)
        step.status, step.reason, step.last = status, reason, step.last or data

    def _fits(self, name: str, status: str, reason: str | None, data: Data) -> Iterator[str]:
        """A step ends as its last attempt has, or for a reason that needs none."""
        step = self.steps[name]
        ended = step.last.get("status") if step.tries else None
        if status == "succeeded" and ended != "succeeded":
            yield f"succeeded, its attempt {ended}"
        if status in ("failed", "cancelled") and reason != "lost" and ended != status:
            yield f"{status}, its attempt {ended}"
        if status == "skipped" and ended not in (None, "no_new_data") and not step.carried:
            yield f"skipped, its attempt {ended}"
        if reason == "upstream_failed" and data["evidence"]["root"] not in self._failed_above(name):
            yield f"{data['evidence']} is no failure above it"

    def _failed_above(self, name: str) -> list[str]:
        return sorted(other for other in self._above[name] & self._settled if self.steps[other].status == "failed")

    def _run_finished(self, data: Data, around: Circumstances) -> Iterator[str]:
        status = data["status"]
        if open_ := [name for name, step in self.steps.items() if step.is_running]:
            yield f"{open_} are running"
        if status != "interrupted":
            if left := set(self.steps) - self._settled:
                yield f"{sorted(left)} have no end"
            if status != (expected := self._expected(around)) and not self._may_be_late(status, around):
                yield f"it is {status}, not {expected}"
            if around.signal is not None and data.get("exit_code") != 128 + around.signal:
                yield f"exit code {data.get('exit_code')} after signal {around.signal}"
            counts: dict[str, int] = {}
            for step in self.steps.values():
                counts[step.status] = counts.get(step.status, 0) + 1
            if data["counts"] != counts:
                yield f"it counts {data['counts']}, there are {counts}"
        self.status = status

    def _may_be_late(self, status: str, around: Circumstances) -> bool:
        return status == "timed_out" and self._pipeline.deadline_us is not None and around.signal is None

    def _expected(self, around: Circumstances) -> str:
        if around.signal is not None:
            return "cancelled"
        if self._failed:
            return "failed"
        return "succeeded" if any(step.status == "succeeded" for step in self.steps.values()) else "nothing_to_do"


def lost_steps(pipeline: Pipeline, runs: Sequence[tuple[str, Sequence[RecordedEvent]]], night: str) -> frozenset[str]:
    """
    Return the steps that must not run twice and whose last attempt, in the *runs* with their nights, nobody saw to its end, for *night*.

    An attempt that ended well is seen to its end when what it left has been measured, which the end of its step says.
    """
    open_: set[tuple[str, str]] = set()
    for of_night, events in runs:
        for event in events:
            name = str(event.data.get("step"))
            if name not in pipeline.steps:
                continue
            place = (name, of_night if pipeline.steps[name].per_night else "")
            status, reason = event.data.get("status"), event.data.get("reason")
            if event.type == "attempt.started":
                open_.add(place)
            elif (event.type == "attempt.finished" and status in ("failed", "cancelled") and reason != "lost") or (
                event.type == "step.finished" and (status == "succeeded" or reason == "no_new_data")
            ):
                open_.discard(place)
    return frozenset(
        name
        for name, step in pipeline.steps.items()
        if step.rerun == "never" and (name, night if step.per_night else "") in open_
    )
