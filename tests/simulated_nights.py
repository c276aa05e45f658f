"""One simulated run of the engine, and everything that can be looked at afterwards."""

from __future__ import annotations

import attrs

from orchestrator.core.definition import Pipeline
from orchestrator.core.events import Event, event_from_data
from orchestrator.core.state import RunState, fold
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.ports import Observer, Ports
from tests.fakes import MemoryEventStore
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


class Ticker:
    """An observer that wants to be called every half second and forgets everything."""

    def recorded(self, event: object) -> None:
        """Forget *event*."""

    def tick(self) -> int | None:
        """Ask to be called again."""
        return 500_000


@attrs.define
class Killer(Ticker):
    """An observer that kills the orchestrator at a moment."""

    clock: SimulatedClock
    at_us: int

    class DeathError(Exception):
        """The orchestrator is killed."""

    def tick(self) -> int | None:
        """Kill when the moment has come."""
        if self.clock.us >= self.at_us:
            raise self.DeathError
        return super().tick()


@attrs.define
class Night:
    """One simulated run and everything that can be looked at afterwards."""

    world: World
    clock: SimulatedClock = attrs.field(factory=SimulatedClock)
    store: MemoryEventStore = attrs.field(
        default=attrs.Factory(lambda self: MemoryEventStore(now=self.clock.now), takes_self=True)
    )
    workbench: type[SimulatedWorkbench] = SimulatedWorkbench
    digester: type[SimulatedDigester] = SimulatedDigester
    observer: Observer = attrs.field(factory=Ticker)
    most_at_once: int = 0

    def run(self, *, at: tuple[tuple[int, int], ...] = (), **options: object) -> RunState:
        """Run the pipeline; *at* are moments and signals."""
        plan = simulated_plan(self.world.pipeline, **options)  # type: ignore[arg-type]
        executor = SimulatedExecutor(self.world, self.clock)
        ports = Ports(
            journal=self.store,
            clock=self.clock,
            executor=executor,
            digester=self.digester(self.world),
            workbench=self.workbench(self.world, plan),
            pools=SimulatedPools(plan.pipeline.pools),
            interrupts=Signals(self.clock, [(self.clock.us + after, number) for after, number in at]),
            observers=(self.observer,),
        )
        before = fold(self.history(plan.run_id))
        opening = run_started(plan) if before.status == "pending" else run_resumed(plan, before.status)
        state = Engine(plan, ports, started=opening, state=before).run()
        self.most_at_once = executor.most_at_once
        assert fold(self.history(plan.run_id)) == state
        return state

    def history(self, run_id: str = "run-1") -> list[Event]:
        """Return the events of a run."""
        return [
            event_from_data(item.type, item.type_version, item.data) for item in self.store.read_stream(f"run/{run_id}")
        ]


def night(pipeline: Pipeline, **behaviour: str) -> Night:
    """Return a night in which steps behave as told and every source exists."""
    world = World(pipeline, behaviour=behaviour)
    world.contents.update({name: f"first {name}" for name in pipeline.sources()})
    return Night(world)
