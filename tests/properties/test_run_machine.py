"""
Whole runs under a simulated clock and simulated processes, in any order of changes, failures, kills and repairs.

The machine changes sources, code and outputs, lets steps fail, kills the orchestrator between any two transactions, runs again, and resumes what did not
end well. Whatever happened before: a run in which nothing fails leaves every dataset as a recomputation from the sources would, the run after it
has nothing to do, and the recorded events fold to the state that the engine had. What succeeded in a run and is as it was left is not run again when that
is resumed, attempts are numbered without a gap, and a step with `rerun = "never"` is not attempted after one of them was lost.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ledger import open_ledger
from ledger.canonical import blob_digest, canonical_bytes
from ledger.events import NewEvent, RecordedEvent
from orchestrator.core.definition import Pipeline
from orchestrator.core.events import AttemptStarted, Event, RunResumed, StepFinished, event_from_data
from orchestrator.core.graph import build_graph
from orchestrator.core.state import FINAL, RESUMABLE, RunState, fold
from orchestrator.projections.baseline_rows import baselines_for
from orchestrator.projections.queries import load_json
from orchestrator.projections.read_models import ReadModels
from orchestrator.projections.skip_audit import TYPES, SkipAudit
from orchestrator.runtime.assembly import graph_document
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.ports import Measured, Ports
from orchestrator.runtime.recovery import reconcile
from tests.pipelines import data_pipeline, graphs
from tests.simulation import (
    Signals,
    SimulatedClock,
    SimulatedDigester,
    SimulatedExecutor,
    SimulatedPools,
    SimulatedWorkbench,
    World,
    run_resumed,
    run_started,
    simulated_plan,
)

MOST_AT_ONCE = 3


class Killed(Exception):
    """The orchestrator died here."""


class Mortal:
    """A journal whose owner dies before the append number *dies_at*, or after it where *after* is set."""

    def __init__(self, store: object, dies_at: int, *, after: bool) -> None:
        self._store = store
        self._left = dies_at
        self._after = after

    def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected_version: int | None,
        blobs: Mapping[str, bytes] | None = None,
    ) -> list[RecordedEvent]:
        """Append, or die."""
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Killed
        recorded: list[RecordedEvent] = self._store.append(  # type: ignore[attr-defined]
            stream, events, expected_version=expected_version, blobs=blobs or {}
        )
        if self._left == 0:
            raise Killed
        return recorded


class LateDigester(SimulatedDigester):
    """A digester that gives way before each answer, so that the orchestrator may die between an attempt's end and its step's."""

    late = False

    def advance(self) -> list[Measured]:
        """Return nothing at first, then all that was asked for."""
        self.late = not self.late
        return [] if self.late else super().advance()


class Nights(RuleBasedStateMachine):
    """Nights of one pipeline on one ledger."""

    pipeline: Pipeline

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = SimulatedClock()
        self.store = open_ledger(self.folder / "ledger.db", projections=[ReadModels()], now=self.clock.now)
        self.runs = 0
        self.versions = 0
        self.options: dict[str, Any] = {}

    @initialize(edges=graphs(max_steps=6), data=st.data())
    def define(self, edges: dict[str, list[str]], data: st.DataObject) -> None:
        """Start with a pipeline of any shape whose sources exist; the first steps read one source each, and some must not run twice."""
        reads = {name: others or [f"raw_{name}"] for name, others in edges.items()}
        never = data.draw(st.sets(st.sampled_from(sorted(edges)), max_size=2), label="never run twice")
        self.pipeline = data_pipeline(reads, **{name: {"rerun": "never"} for name in never})
        self.world = World(self.pipeline)
        self.world.contents.update(dict.fromkeys(self.pipeline.sources(), "first"))

    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """Change the content of a source."""
        name = data.draw(st.sampled_from(self.pipeline.sources()), label="source")
        self.world.contents[name] = self._fresh()

    @rule(data=st.data(), gone=st.booleans())
    def meddle(self, data: st.DataObject, *, gone: bool) -> None:
        """Change or remove an output by hand."""
        name = data.draw(st.sampled_from(sorted(self.pipeline.steps)), label="dataset")
        if gone:
            self.world.contents.pop(name, None)
        else:
            self.world.contents[name] = self._fresh()

    @rule(data=st.data())
    def edit(self, data: st.DataObject) -> None:
        """Change the code of a step."""
        self.versions += 1
        self.world.code[data.draw(st.sampled_from(sorted(self.pipeline.steps)), label="step")] = self.versions

    @rule(data=st.data(), behaviour=st.sampled_from(["exit:1", "signal:9", "missing", "not_started"]))
    def run_with_a_failure(self, data: st.DataObject, behaviour: str) -> None:
        """A step fails tonight: nothing below it runs, and the run says so where the step ran at all."""
        name = data.draw(st.sampled_from(sorted(self.pipeline.steps)), label="failing")
        self.world.behaviour = {name: behaviour}
        state = self._run()
        if state.step(name).status == "failed":
            assert state.status == "failed"
            below = build_graph(self.pipeline).below([name]) - {name}
            assert {state.step(other).status for other in below} <= {"skipped"}

    @rule(dies_at=st.integers(1, 20), after=st.booleans(), forced=st.booleans(), data=st.data())
    def run_and_die(self, dies_at: int, data: st.DataObject, *, after: bool, forced: bool) -> None:
        """The orchestrator is killed between two transactions; what ran then may or may not have written."""
        self.world.behaviour = {}
        self._die(dies_at, data, after=after, forced=forced)

    @rule(dies_at=st.integers(1, 16), after=st.booleans(), data=st.data())
    def resume_and_die(self, dies_at: int, data: st.DataObject, *, after: bool) -> None:
        """The newest run goes on where it can, and its orchestrator is killed again."""
        self.world.behaviour = {}
        if self._state().status in RESUMABLE:
            self._die(dies_at, data, after=after, resume=True)

    @rule()
    def resume(self) -> None:
        """The newest run goes on where it can, and nothing fails: it ends well, unless a step was lost that must not run twice."""
        self.world.behaviour = {}
        if self._state().status in RESUMABLE:
            state = self._run(resume=True)
            assert {state.step(name).status for name in self.pipeline.steps} <= FINAL
            stuck = self._lost() or any(step.reason == "input_untrusted" for step in state.steps.values())
            assert stuck or state.status in ("succeeded", "nothing_to_do")
            self._check_consistency(state)

    @rule(data=st.data())
    def run_some(self, data: st.DataObject) -> None:
        """Run a selection; nothing outside of it is started."""
        selected = data.draw(st.lists(st.sampled_from(sorted(self.pipeline.steps)), unique=True), label="selected")
        self.world.behaviour = {}
        self.world.starts.clear()
        self._run(selected=selected)
        assert set(self.world.starts) <= set(selected)

    @rule(forced=st.booleans())
    def run_clean(self, *, forced: bool) -> None:
        """Nothing fails: everything is as a recomputation gives it, and a second run has nothing to do."""
        self.world.behaviour = {}
        state = self._run(forced=forced or bool(self._lost()))
        assert state.status in ("succeeded", "nothing_to_do")
        assert self.world.contents == self.world.recomputed()
        self.world.starts.clear()
        again = self._run()
        assert again.status == "nothing_to_do"
        assert self.world.starts == []

    def teardown(self) -> None:
        """Every skip is shown to have been right by what the history held before it; close and remove the ledger."""
        audit = SkipAudit(self.store.blob)
        assert [what for event in self.store.read_all() if event.type in TYPES for what in audit.take(event)] == []
        self.store.close()
        shutil.rmtree(self.folder)

    def _fresh(self) -> str:
        self.versions += 1
        return f"version {self.versions}"

    def _die(self, dies_at: int, data: st.DataObject, *, after: bool, **options: Any) -> None:  # noqa: ANN401 - of `_run`
        executor = SimulatedExecutor(self.world, self.clock)
        try:
            self._run(journal=Mortal(self.store, dies_at, after=after), executor=executor, **options)
        except Killed:
            for name in sorted(executor.running):
                if data.draw(st.booleans(), label=f"{name} wrote before it was killed"):
                    self.world.contents[name] = data.draw(st.sampled_from([self.world.written(name, name), "torn"]))
            reconcile(self.store, [f"run-{self.runs}"], grace_seconds=0)

    def _run(
        self,
        *,
        journal: object | None = None,
        executor: SimulatedExecutor | None = None,
        selected: Sequence[str] | None = None,
        forced: bool = False,
        resume: bool = False,
    ) -> RunState:
        if not resume:
            self.runs += 1
            self.options = {"selected": selected, "forced": forced}
        connection = self.store.connection
        plan = simulated_plan(
            self.pipeline,
            rows=baselines_for(connection, self.pipeline.name),
            run_id=f"run-{self.runs}",
            max_parallel=MOST_AT_ONCE,
            load=lambda value: load_json(connection, value),
            **self.options,
        )
        graph = canonical_bytes(graph_document(self.pipeline, plan.graph))
        digest = blob_digest(graph)
        executor = executor or SimulatedExecutor(self.world, self.clock)
        ports = Ports(
            journal=journal or self.store,  # type: ignore[arg-type]
            clock=self.clock,
            executor=executor,
            digester=LateDigester(self.world),
            workbench=SimulatedWorkbench(self.world, plan),
            pools=SimulatedPools(plan.pipeline.pools),
            interrupts=Signals(self.clock),
        )
        before, lost, intact = self._state(), self._lost(), self._intact() if resume else {}
        opening = run_resumed(plan, before.status, digest) if resume else run_started(plan, digest)
        self.world.starts.clear()
        try:
            state = Engine(plan, ports, started=opening, state=before if resume else None, blobs={digest: graph}).run()
        finally:
            self._check_starts(lost, intact, resume=resume)
        self._check(plan.run_id, state)
        assert executor.most_at_once <= MOST_AT_ONCE
        return state

    def _state(self) -> RunState:
        """Return the state of the newest run, as recorded."""
        return fold(self._events(f"run-{self.runs}"))

    def _events(self, run_id: str) -> list[Event]:
        return [
            event_from_data(item.type, item.type_version, item.data) for item in self.store.read_stream(f"run/{run_id}")
        ]

    def _lost(self) -> set[str]:
        """Return the steps that must not run twice and whose last attempt was lost: nobody saw its end, or what it had left."""
        open_: set[str] = set()
        for number in range(1, self.runs + 1):
            for event in self._events(f"run-{number}"):
                if isinstance(event, AttemptStarted):
                    open_.add(event.step)
                elif isinstance(event, StepFinished) and event.attempts and event.reason != "lost":
                    open_.discard(event.step)
        return {name for name in open_ if self.pipeline.steps[name].rerun == "never"}

    def _intact(self) -> dict[str, str | None]:
        """Return the steps that have succeeded in the newest run and whose output is as they left it, each with its key."""
        return {
            name: step.key
            for name, step in self._state().steps.items()
            if step.status == "succeeded" and step.outputs == {name: self.world.digest(name)}
        }

    def _check_starts(self, lost: set[str], intact: Mapping[str, str | None], *, resume: bool) -> None:
        """What was lost is attempted again only with --force in a new run; what was intact only where what lies above it gave it another key."""
        started = {event.step: event for event in self._events(f"run-{self.runs}") if isinstance(event, AttemptStarted)}
        again = set(self.world.starts)
        if resume or not self.options["forced"]:
            assert again & lost == set()
        graph = build_graph(self.pipeline)
        for name in again & intact.keys():
            assert graph.above([name]) - {name} & again
            assert started[name].key != intact[name]

    def _check_consistency(self, state: RunState) -> None:
        """What succeeded in the run is as it was left, and was made of what is there now."""
        for name, step in state.steps.items():
            if step.status == "succeeded":
                assert step.outputs == {name: self.world.digest(name)}
                inputs = step.components["inputs"]
                assert isinstance(inputs, Mapping)
                written = inputs.keys() & self.pipeline.steps.keys()
                assert {other: inputs[other] for other in written} == {
                    other: self.world.digest(other) for other in written
                }

    def _check(self, run_id: str, state: RunState) -> None:
        """The record folds to the state, and no step started before its upstreams had ended."""
        assert fold(self._events(run_id)) == state
        upstream = build_graph(self.pipeline).upstream
        ended: dict[str, str] = {}
        attempts: dict[str, int] = {}
        for event in self._events(run_id):
            if isinstance(event, RunResumed):
                ended = {name: status for name, status in ended.items() if status == "succeeded"}
            elif isinstance(event, AttemptStarted):
                assert set(upstream[event.step]) <= ended.keys()
                assert event.attempt == attempts.get(event.step, 0) + 1
                attempts[event.step] = event.attempt
            elif isinstance(event, StepFinished):
                assert event.attempts == attempts.get(event.step, 0)
                ended[event.step] = event.status
        assert ended == {name: state.step(name).status for name in self.pipeline.steps}


TestNights = Nights.TestCase
TestNights.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)


@settings(max_examples=150)
@given(edges=graphs(max_steps=5), data=st.data())
def test_a_run_is_resumed_until_it_ends_well(edges: dict[str, list[str]], data: st.DataObject) -> None:
    """Given any graph and a run that dies or fails anywhere, and so does its resuming, with changes by hand between, then the laws hold, and it ends."""
    nights = Nights()
    try:
        nights.define(edges, data)
        steps = sorted(nights.pipeline.steps)
        if data.draw(st.booleans(), label="an earlier night"):
            nights.run_clean(forced=False)
        for number in range(data.draw(st.integers(1, 3), label="rounds")):
            resume = number > 0 and nights._state().status in RESUMABLE
            failing = data.draw(st.none() | st.sampled_from(steps), label="failing")
            nights.world.behaviour = {} if failing is None else {failing: "exit:1"}
            options: dict[str, Any] = (
                {"resume": True} if resume else {"forced": data.draw(st.booleans(), label="forced")}
            )
            nights._die(data.draw(st.integers(1, 12), label="dies at"), data, after=data.draw(st.booleans()), **options)
            for change in data.draw(
                st.lists(st.sampled_from(["meddle", "deliver", "edit"]), max_size=2), label="changes"
            ):
                if change == "meddle":
                    nights.meddle(data, gone=data.draw(st.booleans()))
                else:
                    getattr(nights, change)(data)
        nights.resume()
        nights.run_clean(forced=False)
    finally:
        nights.teardown()
