"""
What is around the engine in a simulated night, and goes wrong as a seed has it: the ledger, processes, datasets, clock and signals.

Each dealing of the engine with any of them has a number; a fate says at which of them the orchestrator is killed, the clock jumps, an append fails.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import attrs

from ledger import Ledger, open_ledger
from ledger.errors import StorageError
from ledger.events import NewEvent, RecordedEvent
from orchestrator.core.decide import Measurement
from orchestrator.core.graph import build_graph
from orchestrator.core.report import StepReport
from orchestrator.core.run_plan import RunPlan
from orchestrator.projections.read_models import ReadModels
from orchestrator.runtime.ports import Exited, Launch, Measured, MeasureRequest
from orchestrator.runtime.result import BadResultError
from tests.faults.random_pipelines import random_definition, read_definition
from tests.simulation import Signals, SimulatedClock, SimulatedDigester, SimulatedExecutor, SimulatedWorkbench, World

_TROUBLES = (
    "exit:1", "exit:3", "exit:4", "exit:75", "exit:78", "signal:9", "signal:11", "no_new_data", "missing", "not_started", "bad_result", "reported",
    "unprepared", "torn", "hang",
)  # fmt: skip
JUMPS = {
    "back two hours": -7200,
    "back ten seconds": -10,
    "forward a day": 86400,
    "to 1969": -1_800_000_000,
    "beyond 2038": 2**30,
}
_DAY_US = 86_400_000_000


class Killed(Exception):
    """The orchestrator died here."""


@attrs.define
class Story:
    """What a seed comes to: its trace, what was counted, and what was wrong."""

    seed: int
    definition: str = ""
    trace: list[str] = attrs.field(factory=list)
    counts: Counter[str] = attrs.field(factory=Counter)
    wrong: list[str] = attrs.field(factory=list)

    @property
    def digest(self) -> str:
        """The trace in one word."""
        return sha256("\n".join([self.definition, *self.trace, *self.wrong]).encode()).hexdigest()

    def text(self) -> str:
        """Return all of it for people, and how to have it again."""
        again = f"FAULTS_SEED={self.seed} python -m pytest -s tests/faults/test_simulation.py -k one_seed"
        wrong = [f"WRONG: {what}" for what in self.wrong]
        return "\n".join([f"seed {self.seed}", self.definition, *self.trace, *wrong, f"again: {again}"])


@attrs.define
class Fate:
    """
    What is going to happen, by the number of the engine's dealings with the outside world.

    Attributes:
        dies_at: The orchestrator is killed there.
        fails: Number of the append that fails, and how: `refused`, `full` or `unsure`.
        jumps: What the wall clock does.
        delivers_at: A source changes.
    """

    dies_at: int | None = None
    fails: tuple[int, str] | None = None
    jumps: Mapping[int, str] = attrs.field(factory=dict)
    delivers_at: int | None = None
    calls: int = 0


class Outside:
    """Everything around the engine, in *folder*, and what happens to it."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.story = Story(seed)
        self.chance = random.Random(seed)  # noqa: S311 - a seed, no secret
        self.story.definition = random_definition(self.chance)
        self.pipeline = read_definition(self.story.definition)
        self.graph = build_graph(self.pipeline)
        self.world = World(self.pipeline)
        self.clock = SimulatedClock()
        self.fate = Fate()
        self.folder = folder
        self.store: Ledger = open_ledger(folder / "ledger.db", projections=[ReadModels()], now=self.clock.now)
        self.troubled = False
        self.survivors: dict[str, Launch] = {}
        self.liars: set[str] = set()
        self._versions = 0

    def tell(self, what: str) -> None:
        """Put *what* into the trace."""
        self.story.trace.append(f"{self.clock.us / 1e6:.6f} {what}")

    def dealing(self, what: str) -> None:
        """Let happen what the fate has for this dealing with the outside world."""
        fate = self.fate
        fate.calls += 1
        if fate.calls in fate.jumps:
            jump = fate.jumps[fate.calls]
            self.clock.ahead_us += JUMPS[jump] * 1_000_000
            self.count("clock jumps", f"the wall clock jumps {jump}")
        if fate.calls == fate.delivers_at and self.pipeline.sources():
            self.deliver()
        if fate.calls == fate.dies_at:
            self.count("kills", f"killed at {what}")
            raise Killed

    def count(self, kind: str, what: str) -> None:
        """Count one of a *kind*, and put *what* it is into the trace."""
        self.story.counts[kind] += 1
        self.tell(what)

    def deliver(self) -> None:
        """Change a source."""
        name = self.chance.choice(self.pipeline.sources())
        self.world.contents[name] = self.fresh()
        self.tell(f"source {name} is new")

    def meddle(self) -> None:
        """Change or remove what a step has written."""
        written = sorted(self.pipeline.writers())
        if written:
            name = self.chance.choice(written)
            if self.chance.random() < 0.3:
                self.world.contents.pop(name, None)
            else:
                self.world.contents[name] = self.fresh()
            self.tell(f"dataset {name} is changed by hand")

    def edit(self) -> None:
        """Change the code of a step."""
        name = self.chance.choice(list(self.pipeline.steps))
        self._versions += 1
        self.world.code[name] = self._versions
        self.tell(f"the code of {name} is changed")

    def fresh(self) -> str:
        """Return a text that was not there before."""
        self._versions += 1
        return f"version {self._versions}"

    def leave(self, name: str, launch: Launch) -> None:
        """What ran on when the orchestrator was killed has written by now, or in part, or not."""
        for dataset in self.pipeline.steps[name].writes:
            left = self.chance.choice(("nothing", "all", "torn"))
            if left != "nothing":
                self.world.contents[dataset] = self.world.written(name, dataset) if left == "all" else self.fresh()
            self.tell(f"{name}.{launch.attempt} had written {left}")


class Watched(Protocol):
    """The run that the engine works on, as those around it know it."""

    begun: list[str]
    not_before_us: dict[str, int]
    ends_us: int | None

    def events(self) -> list[RecordedEvent]:
        """Return its events."""
        ...

    def tell(self, events: Sequence[RecordedEvent]) -> None:
        """Put *events* into the trace."""
        ...

    def end_from(self, seq: int, signal: int | None = None) -> None:
        """Take note that it is ending, from *seq* on."""
        ...


class Journal:
    """The ledger, as long as it can be written, and the orchestrator lives."""

    def __init__(self, outside: Outside, run: Watched | None = None) -> None:
        self._outside = outside
        self._run = run
        self._appends = 0

    def read_stream(self, stream: str) -> Sequence[RecordedEvent]:
        """Return the events of *stream*."""
        return self._outside.store.read_stream(stream)

    def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected_version: int | None,
        blobs: Mapping[str, bytes] | None = None,
    ) -> list[RecordedEvent]:
        """Append, die before or after it, or fail."""
        outside, store = self._outside, self._outside.store
        outside.dealing("append")
        self._appends += 1
        how = outside.fate.fails[1] if outside.fate.fails and outside.fate.fails[0] == self._appends else None
        if how == "refused":
            raise StorageError("ledger.db", "simulated")
        if how == "full":
            (pages,) = store.connection.execute("PRAGMA page_count").fetchone()
            store.connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        recorded = store.append(stream, events, expected_version=expected_version, blobs=blobs or {})
        if how == "unsure":
            raise StorageError("ledger.db", "simulated: it was recorded, and nobody knows")
        if self._run is not None:
            self._run.tell(recorded)
        outside.dealing("end of append")
        failed = any(event.type == "step.finished" and event.data["status"] == "failed" for event in recorded)
        if self._run is not None and outside.pipeline.fail_fast and failed:
            self._run.end_from(recorded[-1].seq + 1)
        return recorded


class Executor(SimulatedExecutor):
    """Processes that end as the chance has it."""

    def __init__(self, outside: Outside, run: Watched) -> None:
        super().__init__(outside.world, outside.clock)
        self._run = run
        self._outside = outside
        self.signals: list[tuple[int, int]] = []

    def start(self, launch: Launch) -> None:
        """Start it, if it was recorded, nothing of that step runs and nothing of another orchestrator lives."""
        outside, world, chance = self._outside, self._world, self._outside.chance
        outside.dealing("start")
        newest = [event for event in self._run.events() if event.data.get("step") == launch.step][-1]
        if (newest.type, newest.data.get("attempt")) != ("attempt.started", launch.attempt):
            outside.story.wrong.append(f"{launch.step}.{launch.attempt} is started and not recorded: {newest}")
        if launch.step in self.running or outside.survivors:
            outside.story.wrong.append(f"{launch.step} is started while {self.running} and {outside.survivors} run")
        if self._clock.us < self._run.not_before_us.get(launch.step, 0):
            outside.story.wrong.append(f"{launch.step}.{launch.attempt} is started before its delay is over")
        waits = outside.pipeline.steps[launch.step].when == "upstream_ok"
        if waits and self._run.ends_us is not None and self._clock.us >= self._run.ends_us:
            outside.story.wrong.append(f"{launch.step}.{launch.attempt} is started after the deadline")
        behaviour = chance.choice(_TROUBLES) if outside.troubled and chance.random() < 0.4 else "ok"
        # Without trouble nothing lasts as long as a timeout or a deadline may be short.
        world.duration_us[launch.step] = int(
            chance.expovariate(1 / 1_000_000) if outside.troubled else 300_000 * chance.random()
        )
        if behaviour == "hang":
            behaviour, world.duration_us[launch.step] = "exit:1", _DAY_US
        world.behaviour[launch.step] = behaviour
        (world.stubborn.add if chance.random() < 0.2 else world.stubborn.discard)(launch.step)
        self._run.begun.append(launch.step)
        outside.tell(f"{launch.step}.{launch.attempt} is started and is going to be {behaviour}")
        super().start(launch)
        self._hold_limits()
        outside.dealing("end of start")

    def _hold_limits(self) -> None:
        """Not more run at once than may: who starts them knows, while the record has an end only when its outputs have been looked at."""
        pipeline, wrong = self._outside.pipeline, self._outside.story.wrong
        if len(self.running) > (pipeline.max_parallel or 0):
            wrong.append(f"{sorted(self.running)} run at once")
        for pool, size in pipeline.pools.items():
            if sum(pipeline.steps[name].uses.get(pool, 0) for name in self.running) > size:
                wrong.append(f"{sorted(self.running)} use more than {size} of {pool}")

    def poll(self, timeout_us: int | None) -> list[Exited]:
        """Wait as the clock has it, but for a signal."""
        self._outside.dealing("poll")
        if self.signals and (self.running or timeout_us is not None):
            until = max(0, self.signals[0][0] - self._clock.us)
            timeout_us = until if timeout_us is None else min(timeout_us, until)
        ended = super().poll(timeout_us)
        for exited in ended:
            self._ended_as(exited)
        self._outside.dealing("end of poll")
        return ended

    def stop(self, step: str, *, force: bool = False) -> None:
        """Tell it to end."""
        self._outside.tell(f"{step} is {'killed' if force else 'told to end'}")
        super().stop(step, force=force)
        self._outside.dealing("stop")

    def _ended_as(self, exited: Exited) -> None:
        outside, name = self._outside, exited.step
        outside.tell(f"{name}.{exited.attempt} has ended: exit code {exited.exit_code}, signal {exited.signal}")
        if outside.world.present[name] == "torn" and exited.exit_code is not None:
            for dataset in outside.pipeline.steps[name].writes:
                outside.world.contents[dataset] = outside.fresh()
        if exited.exit_code == 0 and outside.world.present[name] == "ok":
            outside.liars.discard(name)
        elif exited.exit_code is not None:
            outside.liars.add(name)


class Digester(SimulatedDigester):
    """A digester that sometimes needs a turn more, and before whose answers the orchestrator may die."""

    def __init__(self, outside: Outside) -> None:
        super().__init__(outside.world)
        self._outside = outside

    def submit(self, request: MeasureRequest) -> None:
        """Keep *request*."""
        self._outside.dealing("submit")
        super().submit(request)

    def advance(self) -> list[Measured]:
        """Return nothing, or all that was asked for."""
        if not self.busy or self._outside.chance.random() < 0.4:
            return []
        self._outside.dealing("measure")
        return super().advance()


class Workbench(SimulatedWorkbench):
    """A workbench that may fail to prepare, and reads what steps report."""

    def __init__(self, outside: Outside, plan: RunPlan) -> None:
        super().__init__(outside.world, plan)
        self._outside = outside

    def prepare(self, step: str, attempt: int, measurement: Measurement) -> Launch:
        """Return the launch, or fail as a full disk does."""
        self._outside.dealing("prepare")
        if self._outside.troubled and self._outside.chance.random() < 0.02:
            raise OSError(28, "simulated")
        return super().prepare(step, attempt, measurement)

    def collect(self, step: str, attempt: int) -> StepReport | None:
        """Return what the step reports."""
        self._outside.dealing("collect")
        behaviour = self._world.present.get(step)
        if behaviour == "bad_result":
            raise BadResultError("simulated")
        if behaviour == "reported":
            return StepReport(status="failed", error_class=self._outside.chance.choice(("transient", "permanent")))
        return super().collect(step, attempt)


class Interrupts(Signals):
    """Signals, of which the referee is told."""

    def __init__(self, outside: Outside, run: Watched, at: list[tuple[int, int]]) -> None:
        super().__init__(outside.clock, at)
        self._outside = outside
        self._run = run

    def take(self) -> int | None:
        """Return a signal whose moment has come."""
        number = super().take()
        if number is not None:
            self._outside.count("signals", f"signal {number}")
            self._run.end_from(self._run.events()[-1].seq + 1, number)
        return number
