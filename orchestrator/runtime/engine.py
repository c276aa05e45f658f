"""
The engine: one loop that turns what happened into events, events into state, and state into what happens next.

One turn: wait until a process has ended, a measurement is complete, a time has come or a signal; note the outcomes as events; decide about
every step whose upstreams are done; record all events of the turn in one transaction; only then start the attempts that were
decided and tell the observers. Nothing is started, shown or reported that was not recorded first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from ledger.events import NewEvent
from orchestrator.core.certificates import certified
from orchestrator.core.decide import Fail, Measure, Measurement, Run, Skip, decide
from orchestrator.core.events import Event, RunResumed, RunStarted, event_data, event_type
from orchestrator.core.outcome import Outcome
from orchestrator.core.output_contract import rows_to_count
from orchestrator.core.plan import Frontier
from orchestrator.core.report import StepReport
from orchestrator.core.retry import is_retried, wait_us
from orchestrator.core.run_plan import RunPlan
from orchestrator.core.state import RunState, initial_state
from orchestrator.runtime.finishing import Finishing
from orchestrator.runtime.ports import Exited, Measured, MeasureRequest, Ports
from orchestrator.runtime.recording import (
    ENDED_WELL,
    attempt_finished,
    attempt_started,
    ended_evidence,
    held,
    judged,
    measurement_of,
    not_retried,
    retry_scheduled,
    run_finished,
    step_finished,
    wanted,
)
from orchestrator.runtime.waiting import Ready, Waiting

_MEASURING_AHEAD = 4


class Engine:
    """
    Run *plan* to its end.

    Args:
        started: The event that opens the run, or opens it again.
        state: Of the run before *started*, which this engine takes over; None for a new run.
        blobs: What *started* points to by digest.
    """

    def __init__(
        self,
        plan: RunPlan,
        ports: Ports,
        *,
        started: RunStarted | RunResumed,
        state: RunState | None = None,
        blobs: Mapping[str, bytes] | None = None,
    ) -> None:
        self._plan = plan
        self._ports = ports
        self._state = state or initial_state()
        self._frontier = Frontier(plan.graph)
        self._stream = f"run/{plan.run_id}"
        self._started = started
        self._started_us = ports.clock.monotonic_us()
        self._events: list[NewEvent] = []
        self._blobs: dict[str, bytes] = dict(blobs or {})
        self._recorded_version = self._state.version
        self._ready: deque[Ready] = deque()
        self._starts: list[Ready] = []
        self._unstarted: list[Exited] = []
        self._running: set[str] = set()
        self._measuring: set[str] = set()
        self._checking: set[str] = set()
        self._found: list[Measured] = []
        self._finishing = Finishing(ports.digester)
        self._waiting = Waiting(ports.pools, lambda name: plan.steps[name].step.uses)
        self._decided_us: dict[str, int] = {}
        self._ending: str | None = None
        self._forced = False
        self._signal: int | None = None

    def run(self) -> RunState:
        """
        Work until every step has its final status and the run's end is recorded; return the final state.

        Raises:
            StorageError: An event could not be recorded; nothing was started after it, and what runs is still running.
        """
        self._record(self._started)
        self._take_interrupts()
        self._advance()
        self._commit()
        while self._state.status == "running":
            exits, self._unstarted = self._unstarted + self._ports.executor.poll(self._patience_us()), []
            self._take_interrupts()
            for exited in exits:
                self._attempt_ended(exited)
            self._take_times()
            self._advance()
            self._commit()
        return self._state

    def _patience_us(self) -> int | None:
        if self._unstarted or self._ports.digester.busy or self._may_take():
            return 0
        now_us = self._ports.clock.monotonic_us()
        left = [self._waiting.patience_us(now_us), self._finishing.patience_us(now_us)]
        left += [observer.tick() for observer in self._ports.observers]
        if self._plan.deadline_us is not None and self._ending is None:
            left.append(max(0, self._started_us + self._plan.deadline_us - now_us))
        return min((after for after in left if after is not None), default=None)

    # Deciding

    def _advance(self) -> None:
        """Take every step that can be taken, until only time or the outside world can bring more."""
        while True:
            self._found += self._ports.digester.advance()
            while self._found:
                self._measured(self._found.pop(0))
            for name in self._waiting.served():
                self._consider(name, None)  # While it waited, what it reads may have changed.
            while self._ready and len(self._running) < self._plan.max_parallel:
                self._launch(self._ready.popleft())
            if not self._may_take():
                break
            self._take(self._frontier.take())
        if self._frontier.done:
            self._finish_run()

    def _may_take(self) -> bool:
        """Whether to look at the next step now: not further ahead than there will soon be room for."""
        if not self._frontier.has_ready:
            return False
        ahead = len(self._ready) + len(self._measuring)
        return self._ending is not None or ahead < self._plan.max_parallel + _MEASURING_AHEAD

    def _take(self, name: str) -> None:
        """Decide about *name*; a success from before the run was resumed stays where its outputs do, and nothing above it was attempted after it."""
        writes = self._plan.steps[name].step.writes
        if self._must_wait(name):
            return
        if name not in self._state.kept or self._frontier.upstream(name).begun > self._state.step(name).begun:
            self._consider(name, None)
        elif self._ending is not None or not writes:
            self._keep(name)
        else:
            self._checking.add(name)
            self._measuring.add(name)
            self._ports.digester.submit(MeasureRequest(name, outputs=writes))

    def _must_wait(self, name: str) -> bool:
        """Let *name* wait for its next attempt, where that was decided before the run was resumed and its time has not come."""
        known = self._state.step(name)
        if known.not_before is None or self._plan.retried(name, self._state) is None or self._is_over(name):
            return False
        left_us = wait_us(self._ports.clock.now(), known.not_before, known.delay_us)
        if left_us:
            self._waiting.until(name, self._ports.clock.monotonic_us() + left_us)
        return left_us > 0

    def _keep(self, name: str) -> None:
        self._waiting.leave(name)
        self._frontier.finish(name, failed=False, attempted=True, begun=self._state.step(name).begun)

    def _consider(self, name: str, measurement: Measurement | None) -> None:
        if self._state.step(name).status == "retrying" and self._is_over(name):
            self._leave_out(name)
            return
        above = self._frontier.upstream(name)
        facts = self._plan.facts(name, self._state, upstream=above, ending=self._ending, measurement=measurement)
        decision = decide(facts)
        match decision:
            case Measure():
                self._measuring.add(name)
                self._ports.digester.submit(wanted(facts.step, facts.baseline))
            case Run():
                assert measurement is not None
                self._attempt(name, decision, measurement)
            case Skip(reason="no_new_data" | "up_to_date") if name in self._state.kept:
                assert measurement is not None
                needed = self._plan.changed_since(name, measurement.outputs)
                if needed is None:
                    self._keep(name)
                else:
                    self._attempt(name, needed, measurement)
            case Skip(reason="no_new_data" | "up_to_date"):
                assert measurement is not None
                evidence, documents = certified(decision.evidence, facts.baseline, measurement)
                self._blobs.update(documents)
                self._finish_step(name, "skipped", decision.reason, evidence=evidence)
            case Skip():
                self._finish_step(name, "skipped", decision.reason, evidence=decision.evidence)
            case Fail():
                self._finish_step(name, "failed", decision.reason, evidence=decision.evidence)

    def _attempt(self, name: str, decision: Run, measurement: Measurement) -> None:
        """Let *name* be started, once it has its shares of pools and a place among those that run."""
        self._decided_us.setdefault(name, self._ports.clock.monotonic_us())
        if self._waiting.has_shares(name):
            self._ready.append(Ready(name, decision, measurement))

    def _measured(self, measured: Measured) -> None:
        name = measured.step
        self._measuring.discard(name)
        self._blobs.update(measured.manifests)
        if name in self._finishing:
            self._conclude(*self._finishing.take(name), measured)
            return
        if name in self._checking:
            self._checking.discard(name)
            if self._plan.changed_since(name, measured.outputs) is None:
                self._keep(name)
            else:
                self._consider(name, None)
            return
        self._consider(name, measurement_of(self._plan, self._state, measured))

    def _launch(self, ready: Ready) -> None:
        if self._is_over(ready.step):
            self._leave_out(ready.step)
            return
        waited_us = self._ports.clock.monotonic_us() - self._decided_us.pop(ready.step)
        attempt = self._state.step(ready.step).attempt + 1
        started, blobs = attempt_started(ready.step, attempt, ready.decision, ready.measurement, waited_us=waited_us)
        self._blobs.update(blobs)
        self._record(started)
        self._running.add(ready.step)
        self._starts.append(ready)

    # What happened

    def _attempt_ended(self, exited: Exited) -> None:
        name = exited.step
        step = self._plan.steps[name].step
        self._running.discard(name)
        self._waiting.leave(name)
        outcome, report = judged(exited, step, self._ports, cancelled=self._stopped_by)
        if outcome.status in ENDED_WELL and step.writes:
            rows = rows_to_count(step, self._plan.pipeline.datasets, report)
            self._finishing.begin((outcome, exited, report), step.writes, rows)
            self._hurry(name)
        else:
            self._conclude(outcome, exited, report, Measured(name))

    def _is_retried(self, name: str, error_class: str | None) -> bool:
        policy, tried = self._plan.steps[name].step.retry, self._state.step(name).tried
        return not self._is_over(name) and is_retried(policy, error_class=error_class, tried=tried)

    def _schedule_retry(self, name: str) -> None:
        clock, policy = self._ports.clock, self._plan.steps[name].step.retry
        event = retry_scheduled(self._plan.run_id, name, self._state.step(name), policy, now=clock.now())
        self._record(event)
        self._waiting.until(name, clock.monotonic_us() + event.delay_us)

    def _conclude(self, outcome: Outcome, exited: Exited, report: StepReport | None, left: Measured) -> None:
        """Record the end of an attempt, with the outputs that it has *left* held against what it owes."""
        name, plan, redact = exited.step, self._plan, self._ports.workbench.redact
        outcome = held(outcome, report, left, plan, redact)
        self._record(attempt_finished(plan.run_id, exited, outcome, report, redact))
        if outcome.status == "failed" and self._is_retried(name, outcome.error_class):
            self._schedule_retry(name)
            return
        if outcome.status not in ENDED_WELL:
            self._finish_step(name, outcome.status, outcome.reason, outcome=outcome, exited=exited)
            return
        status, reason = ("succeeded", None) if outcome.status == "succeeded" else ("skipped", "no_new_data")
        self._finish_step(name, status, reason, outcome=outcome, exited=exited, outputs=left.outputs)

    def _finish_step(
        self,
        name: str,
        status: str,
        reason: str | None,
        *,
        evidence: Mapping[str, object] | None = None,
        outcome: Outcome | None = None,
        exited: Exited | None = None,
        outputs: Mapping[str, str | None] | None = None,
    ) -> None:
        step = self._state.step(name)
        self._waiting.leave(name)
        self._decided_us.pop(name, None)
        if evidence is None:
            evidence = ended_evidence(exited, outcome, timeout_us=self._plan.steps[name].step.timeout_us)
        self._record(
            step_finished(name, step, status, reason, evidence, outcome=outcome, exited=exited, outputs=outputs)
        )
        self._frontier.finish(name, failed=status == "failed", attempted=step.attempt > 0, begun=step.begun)
        if status == "failed" and self._plan.fail_fast:
            self._end("fail_fast")

    # Ending

    def _is_over(self, name: str) -> bool:
        """Whether *name* is not attempted any more, since the run is ending; clean-up is, but not again where somebody forces the end."""
        again = self._forced and self._state.step(name).status in ("running", "retrying")
        return self._ending is not None and (again or self._plan.steps[name].step.when == "upstream_ok")

    def _leave_out(self, name: str) -> None:
        """End *name*, which is not attempted any more: as skipped, or, where it was to be tried again, as its last attempt has ended."""
        step = self._state.step(name)
        if step.status != "retrying":
            self._finish_step(name, "skipped", "run_ended", evidence={"cause": self._ending})
            return
        outcome = not_retried(step, self._ending)
        self._finish_step(name, "failed", outcome.reason, evidence=outcome.evidence, outcome=outcome)

    def _take_times(self) -> None:
        now_us, deadline_us = self._ports.clock.monotonic_us(), self._plan.deadline_us
        if self._ending is None and deadline_us is not None and now_us >= self._started_us + deadline_us:
            self._end("deadline")
        for name in self._waiting.due(now_us):
            self._consider(name, None)
        for outcome, exited, report in self._finishing.give_up(now_us, self._stopped_by):
            self._conclude(outcome, exited, report, Measured(exited.step))

    def _take_interrupts(self) -> None:
        while (number := self._ports.interrupts.take()) is not None:
            repeated = self._signal is not None
            self._signal = self._signal or number
            self._end("cancelled", force=repeated)

    def _end(self, cause: str, *, force: bool = False) -> None:
        first = self._ending is None
        self._ending = self._ending or cause
        self._forced = self._forced or force
        for name in sorted(self._measuring) if first or force else ():
            # It may take an hour to look at what nobody will run any more.
            self._ports.digester.drop(name)
            self._found = [measured for measured in self._found if measured.step != name]
            self._measuring.discard(name)
            self._checking.discard(name)
            what_then = self._take if first else self._leave_out  # The latter: clean-up, which nobody has started.
            what_then(name)
        for name in [*self._waiting.timed, *self._waiting.parked]:
            if self._is_over(name) and name in self._waiting:  # With fail_fast, one ends the others.
                self._leave_out(name)
        for name in self._finishing.names:
            self._hurry(name)
        for name in sorted(self._running):
            if force or self._plan.steps[name].step.when == "upstream_ok":
                self._ports.executor.stop(name, force=force)

    @property
    def _stopped_by(self) -> str:
        """Why an attempt was stopped, where one was."""
        return "deadline" if self._ending == "deadline" else "cancelled"

    def _hurry(self, name: str) -> None:
        """Give the outputs of *name*, which are being looked at, its grace where the run is ending, and no time where its end is forced."""
        if self._is_over(name):
            grace_us = 0 if self._forced else self._plan.steps[name].step.grace_us
            self._finishing.hurry(name, self._ports.clock.monotonic_us() + grace_us)

    def _finish_run(self) -> None:
        steps, duration_us = self._plan.graph.order, self._ports.clock.monotonic_us() - self._started_us
        self._record(run_finished(self._state, steps, self._ending, signal=self._signal, duration_us=duration_us))

    # Recording

    def _record(self, event: Event) -> None:
        self._state.evolve(event)
        self._events.append(NewEvent(*event_type(event), event_data(event)))

    def _commit(self) -> None:
        """Make the turn's events durable, then do what they say."""
        if not self._events:
            return
        events, self._events = self._events, []
        blobs, self._blobs = self._blobs, {}
        expected = self._recorded_version
        recorded = self._ports.journal.append(self._stream, events, expected_version=expected, blobs=blobs)
        self._recorded_version += len(events)
        starts, self._starts = self._starts, []
        for ready in starts:
            self._start(ready)
        for observer in self._ports.observers:
            for event in recorded:
                observer.recorded(event)

    def _start(self, ready: Ready) -> None:
        attempt = self._state.step(ready.step).attempt
        try:
            launch = self._ports.workbench.prepare(ready.step, attempt, ready.measurement)
        except OSError as error:
            text = f"could not start: its input list could not be written: {error.strerror}"
            self._unstarted.append(Exited(ready.step, attempt, not_started=text))
            return
        self._ports.executor.start(launch)
        if self._ending is not None and self._plan.steps[ready.step].step.when == "upstream_ok":
            self._ports.executor.stop(ready.step)  # The run began to end in the turn in which this start was decided.
