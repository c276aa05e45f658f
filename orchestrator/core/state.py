"""
The state of one run: a fold over its events, and nothing else.

`RunState` has a life, so it changes in place; a run of 20,000 steps would otherwise copy itself 60,000 times. Its steps and
attempts are values. An event that the state does not allow is a bug of whoever recorded it, and raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from orchestrator.core.ended import WELL
from orchestrator.core.errors import InternalError
from orchestrator.core.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    RetryScheduled,
    RunFinished,
    RunResumed,
    RunStarted,
    StepFinished,
)

FINAL: frozenset[str] = frozenset({"succeeded", "failed", "skipped", "cancelled"})
RUN_FINAL: frozenset[str] = frozenset({"succeeded", "nothing_to_do", "failed", "timed_out", "cancelled", "interrupted"})
RESUMABLE: frozenset[str] = RUN_FINAL - {*WELL}
"""How a run ends that can go on."""


@attrs.frozen
class StepState:
    """
    Hold what is known of one step in one run.

    Attributes:
        status: pending (nothing decided), running, retrying (between two attempts) or one of `FINAL`.
        attempt: Number of the newest attempt, 0 before the first.
        attempt_status: How that attempt ended, or None while it runs.
        attempt_reason: Why it did not end well, or None.
        attempt_evidence: Its exit code or signal, where that was not 0.
        tried: How many attempts there were since the step was decided; those from before a resume count while it is retrying.
        not_before: The wall time at which it is tried again, while it is retrying.
        delay_us: What lies between that and the end of the last attempt.
        begun: Place of its start in the stream of the run, which tells what came after what; -1 before the first.
    """

    status: str = "pending"
    reason: str | None = None
    error_class: str | None = None
    attempt: int = 0
    attempt_status: str | None = None
    attempt_reason: str | None = None
    attempt_evidence: Mapping[str, object] = attrs.field(factory=dict)
    tried: int = 0
    not_before: str | None = None
    delay_us: int = 0
    begun: int = -1
    key: str | None = None
    components: Mapping[str, object] = attrs.field(factory=dict, repr=False)
    outputs: Mapping[str, str | None] = attrs.field(factory=dict)
    message: str | None = None


PENDING = StepState()


@attrs.define
class RunState:
    """
    Hold what is known of one run.

    Attributes:
        status: `pending` before its first event, then running, then one of `RUN_FINAL`.
        steps: Only those that something has happened to; all others are `PENDING`.
        failures: Steps that failed since the start or the last resume, first one first.
        traceparent: The trace context in which it was started, or None.
        tracestate: What belongs to that.
        kept: Steps that had succeeded when the run was resumed and that nothing has happened to since: they may stay, or be attempted again.
    """

    run_id: str = ""
    pipeline: str = ""
    night: str = ""
    status: str = "pending"
    version: int = -1
    steps: dict[str, StepState] = attrs.field(factory=dict)
    failures: list[str] = attrs.field(factory=list)
    kept: set[str] = attrs.field(factory=set)
    traceparent: str | None = None
    tracestate: str | None = None

    def step(self, name: str) -> StepState:
        """Return the state of the step *name*."""
        return self.steps.get(name, PENDING)

    def evolve(self, event: Event) -> None:
        """
        Take *event* into account.

        Raises:
            InternalError: The event cannot follow what has been recorded, or belongs to another kind of stream.
        """
        match event:
            case AttemptStarted():
                self._attempt_started(event)
            case AttemptFinished():
                self._attempt_finished(event)
            case StepFinished():
                self._step_finished(event)
            case RetryScheduled():
                self._retry_scheduled(event)
            case RunStarted():
                self._expect(event, holds=self.status == "pending")
                self.run_id, self.pipeline, self.night = event.run_id, event.pipeline, event.night
                self.traceparent, self.tracestate = event.traceparent, event.tracestate
                self.status = "running"
            case RunResumed():
                self._expect(event, holds=self.status in RESUMABLE and event.before == self.status)
                self._resumed()
            case RunFinished():
                self._expect(event, holds=self.status == "running" and event.status in RUN_FINAL)
                self.status = event.status
            case _:
                raise InternalError(f"event {type(event).__name__} in the stream of a run")
        self.version += 1

    def counts(self, steps: Iterable[str]) -> dict[str, int]:
        """Count *steps* by status."""
        counts: dict[str, int] = {}
        for name in steps:
            status = self.step(name).status
            counts[status] = counts.get(status, 0) + 1
        return counts

    def _resumed(self) -> None:
        """Take back how steps had ended, but for their successes; the numbers of attempts go on, and what waited to be tried again waits."""
        self.status = "running"
        self.failures = []
        self.kept = {name for name, step in self.steps.items() if step.status == "succeeded"}
        for name, step in self.steps.items():
            if name not in self.kept and step.status != "retrying":
                self.steps[name] = StepState(attempt=step.attempt, begun=step.begun)

    def _attempt_started(self, event: AttemptStarted) -> None:
        step = self.step(event.step)
        may_start = step.status in ("pending", "retrying") or event.step in self.kept
        follows = may_start and event.attempt == step.attempt + 1
        self._expect(event, holds=self.status == "running" and follows)
        tried = 1 if event.step in self.kept else step.tried + 1
        self.kept.discard(event.step)
        self.steps[event.step] = StepState(
            status="running",
            attempt=event.attempt,
            tried=tried,
            begun=self.version + 1,
            key=event.key,
            components=event.components,
        )

    def _attempt_finished(self, event: AttemptFinished) -> None:
        step = self.step(event.step)
        runs = step.status == "running" and step.attempt == event.attempt and step.attempt_status is None
        self._expect(event, holds=runs)
        seen = (("exit_code", event.exit_code), ("signal", event.signal))
        evidence = {name: value for name, value in seen if value}
        self.steps[event.step] = attrs.evolve(
            step,
            attempt_status="lost" if event.reason == "lost" else event.status,
            attempt_reason=event.reason,
            attempt_evidence=evidence,
            error_class=event.error_class,
            message=event.message,
        )

    def _retry_scheduled(self, event: RetryScheduled) -> None:
        step = self.step(event.step)
        failed = step.status == "running" and step.attempt_status == "failed" and event.attempt == step.attempt + 1
        self._expect(event, holds=self.status == "running" and failed)
        self.steps[event.step] = attrs.evolve(
            step, status="retrying", not_before=event.not_before, delay_us=event.delay_us
        )

    def _step_finished(self, event: StepFinished) -> None:
        step = self.step(event.step)
        ended = step.status == "pending" or step.attempt_status is not None
        may_end = (step.status not in FINAL and ended) or event.step in self.kept
        self._expect(event, holds=self.status == "running" and may_end and event.status in FINAL)
        self.kept.discard(event.step)
        outputs = event.outputs or {}
        self.steps[event.step] = attrs.evolve(
            step,
            status=event.status,
            reason=event.reason,
            error_class=event.error_class,
            outputs={name: value if isinstance(value, str) else None for name, value in outputs.items()},
        )
        if event.status == "failed" or (event.status == "skipped" and event.reason == "input_untrusted"):
            self.failures.append(event.step)

    def _expect(self, event: Event, *, holds: bool) -> None:
        if not holds:
            raise InternalError(f"{event!r} cannot follow in run {self.run_id or '(not started)'}: it is {self.status}")


def initial_state() -> RunState:
    """Return the state of a run before its first event."""
    return RunState()


def fold(events: Iterable[Event], state: RunState | None = None) -> RunState:
    """Take *events* into *state*, by default a new one; folding on what was folded before comes to the same."""
    state = initial_state() if state is None else state
    for event in events:
        state.evolve(event)
    return state


def verdict(state: RunState, ending: str | None, steps: Iterable[str]) -> str:
    """
    Return the final status of a run in which each of *steps* is final.

    Args:
        ending: Why it was ended early, or None: `cancelled` and `deadline` give their own status, `fail_fast` does not.
        steps: Of its definition; what one that was removed since had done is no part of the end.
    """
    if ending == "cancelled":
        return "cancelled"
    if ending == "deadline":
        return "timed_out"
    if state.failures:
        return "failed"
    if any(state.step(name).status == "succeeded" for name in steps):
        return "succeeded"
    return "nothing_to_do"
