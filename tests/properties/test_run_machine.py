"""
Whole runs under a simulated clock and simulated processes, in any order of changes, failures, kills and repairs.

The machine changes sources, code and outputs, lets steps fail, kills the orchestrator between any two transactions, and runs again.
Whatever happened before: a run in which nothing fails leaves every dataset as a recomputation from the sources would, the run after it
has nothing to do, and the recorded events fold to the state that the engine had.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ledger import open_ledger
from ledger.canonical import blob_digest, canonical_bytes
from ledger.events import NewEvent, RecordedEvent
from orchestrator.core.definition import Pipeline
from orchestrator.core.events import event_from_data
from orchestrator.core.graph import build_graph
from orchestrator.core.state import RunState, fold
from orchestrator.projections.queries import baselines_for, load_json
from orchestrator.projections.read_models import ReadModels
from orchestrator.runtime.assembly import graph_document
from orchestrator.runtime.engine import Engine, Ports
from orchestrator.runtime.recovery import reconcile
from tests.pipelines import data_pipeline, graphs
from tests.simulation import (
    Signals,
    SimulatedClock,
    SimulatedDigester,
    SimulatedExecutor,
    SimulatedWorkbench,
    World,
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

    @initialize(edges=graphs(max_steps=6))
    def define(self, edges: dict[str, list[str]]) -> None:
        """Start with a pipeline of any shape whose sources exist; the first steps read one source each."""
        reads = {name: others or [f"raw_{name}"] for name, others in edges.items()}
        self.pipeline = data_pipeline(reads)
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

    @rule(dies_at=st.integers(1, 12), after=st.booleans(), data=st.data())
    def run_and_die(self, dies_at: int, data: st.DataObject, *, after: bool) -> None:
        """The orchestrator is killed between two transactions; what ran then may or may not have written."""
        self.world.behaviour = {}
        executor = SimulatedExecutor(self.world, self.clock)
        try:
            self._run(journal=Mortal(self.store, dies_at, after=after), executor=executor)
        except Killed:
            for name in sorted(executor.running):
                if data.draw(st.booleans(), label=f"{name} wrote before it was killed"):
                    self.world.contents[name] = data.draw(st.sampled_from([self.world.written(name, name), "torn"]))
            reconcile(self.store, [f"run-{self.runs}"], grace_seconds=0)

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
        state = self._run(forced=forced)
        assert state.status in ("succeeded", "nothing_to_do")
        assert self.world.contents == self.world.recomputed()
        self.world.starts.clear()
        again = self._run()
        assert again.status == "nothing_to_do"
        assert self.world.starts == []

    def teardown(self) -> None:
        """Close and remove the ledger."""
        self.store.close()
        shutil.rmtree(self.folder)

    def _fresh(self) -> str:
        self.versions += 1
        return f"version {self.versions}"

    def _run(
        self,
        *,
        journal: object | None = None,
        executor: SimulatedExecutor | None = None,
        selected: Sequence[str] | None = None,
        forced: bool = False,
    ) -> RunState:
        self.runs += 1
        connection = self.store.connection
        plan = simulated_plan(
            self.pipeline,
            rows=baselines_for(connection, self.pipeline.name),
            run_id=f"run-{self.runs}",
            selected=selected,
            forced=forced,
            max_parallel=MOST_AT_ONCE,
            load=lambda value: load_json(connection, value),
        )
        graph = canonical_bytes(graph_document(self.pipeline, plan.graph))
        executor = executor or SimulatedExecutor(self.world, self.clock)
        ports = Ports(
            journal=journal or self.store,  # type: ignore[arg-type]
            clock=self.clock,
            executor=executor,
            digester=SimulatedDigester(self.world),
            workbench=SimulatedWorkbench(self.world, plan),
            interrupts=Signals(self.clock),
        )
        started = run_started(plan, blob_digest(graph))
        state = Engine(plan, ports, started=started, blobs={blob_digest(graph): graph}).run()
        self._check(plan.run_id, state)
        assert executor.most_at_once <= MOST_AT_ONCE
        return state

    def _check(self, run_id: str, state: RunState) -> None:
        """The record folds to the state, and no step started before its upstreams had ended."""
        events = [
            event_from_data(item.type, item.type_version, item.data) for item in self.store.read_stream(f"run/{run_id}")
        ]
        assert fold(events) == state
        upstream = build_graph(self.pipeline).upstream
        ended: set[str] = set()
        for item in self.store.read_stream(f"run/{run_id}"):
            if item.type == "attempt.started":
                assert set(upstream[str(item.data["step"])]) <= ended
            elif item.type == "step.finished":
                ended.add(str(item.data["step"]))


TestNights = Nights.TestCase
TestNights.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)
