"""
Whole nights from one seed: a random pipeline on a real ledger, with the real engine, in a world that goes wrong.

The seed decides everything: the definition, what each attempt does, and at which of the engine's dealings with the outside world the orchestrator is killed,
an append fails, a source changes, the wall clock jumps, or a signal comes; then the run is cleared up, resumed or followed by another. Nothing else
decides anything, so that a seed tells the same story each time: `python -m tests.faults.simulated_nights 17` prints it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from ledger.audit.verdict import Options
from ledger.audit.verify import verify
from ledger.canonical import blob_digest, canonical_bytes, canonical_text
from ledger.errors import StorageError
from ledger.events import RecordedEvent
from orchestrator.core.events import event_from_data
from orchestrator.core.state import RESUMABLE, RunState, fold
from orchestrator.projections.baseline_rows import baselines_for
from orchestrator.projections.blob_names import blob_names
from orchestrator.projections.queries import load_json
from orchestrator.projections.read_models import ReadModels
from orchestrator.runtime.assembly import graph_document
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.ports import Ports
from orchestrator.runtime.recovery import reconcile
from tests.faults.referee import Circumstances, Referee, lost_steps
from tests.faults.simulated_world import (
    JUMPS,
    Digester,
    Executor,
    Fate,
    Interrupts,
    Journal,
    Killed,
    Outside,
    Story,
    Workbench,
)
from tests.simulation import SimulatedPools, World, run_resumed, run_started, simulated_plan

_MEMORY = Path("/dev/shm")


class Simulation(Outside):
    """Nights of one pipeline on one ledger in *folder*."""

    def __init__(self, seed: int, folder: Path) -> None:
        super().__init__(seed, folder)
        self.runs: list[Run] = []

    def play(self) -> None:
        """Play a few nights, each until it is left, and then two without a fault."""
        for name in self.pipeline.sources():
            self.world.contents[name] = self.fresh()
        for number in range(self.chance.randint(1, 3)):
            self._between()
            self._night(f"2026-01-{number + 1 if self.chance.random() < 0.8 else 1:02d}")
        self._clean_nights()
        self._end()

    def _between(self) -> None:
        for change in (self.deliver, self.meddle, self.edit):
            if self.chance.random() < 0.4 and (change != self.deliver or self.pipeline.sources()):
                change()

    def _night(self, night: str) -> None:
        selected = [name for name in self.graph.order if self.chance.random() < 0.7]
        everything = self.chance.random() < 0.8
        forced = self.chance.random() < 0.15
        self._start(Run(self, night, frozenset(self.graph.order if everything else selected), forced=forced))
        for _ in range(self.chance.choice((0, 1, 2, 2, 3))):
            if self.chance.random() < 0.3:
                self._between()
            run = self.runs[-1]
            self._clear_up()
            if run.recorded and run.state().status in RESUMABLE and self.chance.random() < 0.7:
                self._start(run)
            elif self.chance.random() < 0.5:
                self._start(Run(self, night, frozenset(self.graph.order)))

    def _start(self, run: Run) -> None:
        """Start *run*, or go on with it, under a fate."""
        chance = self.chance
        self._clear_up()
        self.troubled = chance.random() < 0.6
        self.fate = Fate()
        if chance.random() < 0.4:
            self.fate.dies_at = int(chance.paretovariate(0.7)) if chance.random() < 0.3 else chance.randint(1, 60)
        elif chance.random() < 0.3:
            self.fate.fails = (chance.randint(1, 12), chance.choice(("refused", "full", "unsure")))
        self.fate.jumps = {
            chance.randint(1, 60): chance.choice(list(JUMPS)) for _ in range(chance.choice((0, 0, 1, 2)))
        }
        self.fate.delivers_at = chance.randint(1, 40) if chance.random() < 0.15 else None
        signals = sorted(
            (self.clock.us + int(chance.expovariate(1 / 2_000_000)), chance.choice((2, 15, 1)))
            for _ in range(chance.choice((0, 0, 0, 0, 1, 2)))
        )
        run.open(signals)

    def _clear_up(self) -> None:
        """Do what each start does first; it may be killed as well, and is then done again by the next one."""
        running = [run.run_id for run in self.runs[-1:] if run.recorded and run.state().status == "running"]
        for name, launch in sorted(self.survivors.items()):
            self.leave(name, launch)
        self.survivors = {}
        self.fate = Fate(dies_at=self.chance.choice((None, None, 1, 2)) if running else None)
        with contextlib.suppress(Killed):
            reconcile(Journal(self), running, grace_seconds=0)
        self.fate = Fate()
        ended = reconcile(self.store, running, grace_seconds=0)
        for run in self.runs:
            if run.run_id in running:
                self.tell(f"{run.run_id} is cleared up" if ended else f"{run.run_id} was cleared up")
                run.look()

    def _clean_nights(self) -> None:
        """Without a fault a forced run does everything, and the one after it what has no inputs."""
        self._clear_up()
        self.troubled = False
        if not self.liars and not self.lost("2026-01-01"):
            self._check_clean(Run(self, "2026-01-01", frozenset(self.graph.order)))
        forced = Run(self, "2026-01-01", frozenset(self.graph.order), forced=True)
        self._check_clean(forced)
        again = Run(self, "2026-01-01", frozenset(self.graph.order))
        self._check_clean(again)
        expected = self._idle(forced.state())
        if sorted(again.begun) != sorted(expected):
            self.story.wrong.append(f"with nothing new, {sorted(again.begun)} were started, not {sorted(expected)}")

    def _check_clean(self, run: Run) -> None:
        state = run.open([])
        if state is None or state.status not in ("succeeded", "nothing_to_do"):
            self.story.wrong.append(f"{run.run_id}: without a fault it is {state and state.status}")
            return
        for name, step in state.steps.items():
            current = step.status == "succeeded" or step.reason in ("no_new_data", "up_to_date")
            for dataset in self.pipeline.steps[name].writes if current and name not in self.liars else ():
                if self.world.contents.get(dataset) != self.world.written(name, dataset):
                    self.story.wrong.append(f"{run.run_id}: {dataset} is not what {name} makes of its inputs")

    def _idle(self, before: RunState) -> set[str]:
        """Return what runs although nothing is new: what has no inputs, what needs that, and what clears up after it."""
        runs: set[str] = set()
        for name in self.graph.order:
            step = self.pipeline.steps[name]
            if step.when == "always":
                wanted = bool((self.graph.above([name]) - {name}) & runs)
            elif step.when == "on_failure" or before.step(name).status != "succeeded":
                wanted = False
            else:
                wanted = not (step.reads or step.needs) or bool(runs & set(step.needs))
            runs |= {name} if wanted else set()
        return runs

    def lost(self, night: str) -> frozenset[str]:
        """Return the steps that must not run twice and whose last attempt was lost."""
        return lost_steps(self.pipeline, [(run.night, run.events()) for run in self.runs], night)

    def _end(self) -> None:
        """The whole ledger verifies, what is derived from it is what it says, and times go back only where that is said."""
        last = ""
        for event in self.store.read_all():
            if event.recorded_at < last and event.type != "ledger.clock_set_back":
                self.story.wrong.append(f"seq {event.seq}: {event.recorded_at} after {last}")
            last = event.recorded_at
        self.store.close()
        later = Options([ReadModels()], blobs_of=blob_names, now=lambda: "9000-01-01T00:00:00.000000Z")
        verdict = verify(self.folder / "ledger.db", later)
        self.story.wrong += [f"verify: {problem.kind}: {problem.detail}" for problem in verdict.problems]
        self.story.counts["nights"] += len(self.runs)
        self.story.counts["events"] += verdict.events


class Run:
    """One run of *simulation*: opened once or more often, looked at by the referee after each time."""

    def __init__(self, simulation: Simulation, night: str, selected: frozenset[str], *, forced: bool = False) -> None:
        self.simulation = simulation
        self.night = night
        self.selected = selected
        self.forced = forced
        self.run_id = f"simulated-{simulation.story.seed}-{len(simulation.runs) + 1}"
        self.referee = Referee(simulation.pipeline, simulation.graph)
        self.around = Circumstances(selected, forced=forced)
        self.begun: list[str] = []
        self.not_before_us: dict[str, int] = {}
        self.ends_us: int | None = None
        self._events: list[RecordedEvent] = []
        self._seen = self._told = 0

    @property
    def recorded(self) -> bool:
        """Whether its start was."""
        return self.simulation.store.stream_version(f"run/{self.run_id}") >= 0

    def events(self) -> list[RecordedEvent]:
        """Return its events."""
        self._events += self.simulation.store.read_stream(f"run/{self.run_id}", len(self._events))
        return self._events

    def state(self) -> RunState:
        """Return what its events come to."""
        return fold(event_from_data(item.type, item.type_version, item.data) for item in self.events())

    def open(self, signals: Sequence[tuple[int, int]]) -> RunState | None:
        """Start it, or go on with it, with *signals* at their times; return its state at the end, or None where its orchestrator died."""
        simulation = self.simulation
        before = self.state() if self.recorded else None
        self.around = Circumstances(self.selected, self.forced, simulation.lost(self.night))
        self.begun, self.not_before_us = [], {}
        deadline_us = simulation.pipeline.deadline_us
        self.ends_us = None if deadline_us is None else simulation.clock.us + deadline_us
        intact = {} if before is None else _intact(simulation.world, before)
        if self not in simulation.runs:
            simulation.runs.append(self)
        executor = Executor(simulation, self)
        ended: RunState | None = None
        try:
            ended = self._engine(before, executor, signals).run()
        except Killed:
            simulation.survivors = {name: process.launch for name, process in executor.running.items()}
        except StorageError as error:
            # The program ends what runs and says so.
            simulation.count("failed appends", f"storage: {error.__class__.__name__}")
            for name, process in sorted(executor.running.items()):
                simulation.leave(name, process.launch)
        simulation.fate = Fate()
        simulation.store.connection.execute("PRAGMA max_page_count = 1073741823").fetchone()
        self.look()
        self._check(ended, intact)
        return ended

    def _engine(self, before: RunState | None, executor: Executor, signals: Sequence[tuple[int, int]]) -> Engine:
        simulation = self.simulation
        connection = simulation.store.connection
        plan = simulated_plan(
            simulation.pipeline,
            rows=baselines_for(connection, simulation.pipeline.name, night=self.night),
            run_id=self.run_id,
            night=self.night,
            selected=sorted(self.selected),
            forced=self.forced,
            max_parallel=simulation.pipeline.max_parallel or 1,
            load=lambda value: load_json(connection, value),
        )
        graph = canonical_bytes(graph_document(simulation.pipeline, plan.graph))
        digest = blob_digest(graph)
        interrupts = Interrupts(simulation, self, list(signals))
        executor.signals = interrupts.at
        ports = Ports(
            journal=Journal(simulation, self),
            clock=simulation.clock,
            executor=executor,
            digester=Digester(simulation),
            workbench=Workbench(simulation, plan),
            pools=SimulatedPools(simulation.pipeline.pools),
            interrupts=interrupts,
        )
        opening = run_started(plan, digest) if before is None else run_resumed(plan, before.status, digest)
        opening = attrs.evolve(opening, definition=simulation.pipeline.digest)
        blobs = {digest: graph, simulation.pipeline.digest: canonical_bytes(simulation.pipeline.document)}
        what = "starts" if before is None else "goes on"
        simulation.count(
            "starts" if before is None else "resumes", f"{self.run_id} {what}, night {self.night}, forced {self.forced}"
        )
        return Engine(plan, ports, started=opening, state=before, blobs=blobs)

    def end_from(self, seq: int, signal: int | None = None) -> None:
        """Take note that the run is ending, from *seq* on, for its *signal* or a failure; the first cause counts."""
        if self.around.ending_seq is None:
            self.around.ending_seq, self.around.signal = seq, signal

    def tell(self, events: Sequence[RecordedEvent]) -> None:
        """Put those of *events* into the trace that are not there."""
        for event in events:
            if event.version == self._told:
                if event.type == "retry.scheduled":
                    self.not_before_us[str(event.data["step"])] = self.simulation.clock.us + int(
                        str(event.data["delay_us"])
                    )
                self.simulation.tell(f"{event.seq} {event.type} {canonical_text(_told(event))}")
                self._told += 1

    def look(self) -> None:
        """Let the referee look at what was recorded since, and hold the read models to what it has seen."""
        events = self.events()
        new, self._seen = events[self._seen :], len(events)
        self.tell(new)
        for kind, what in (("attempt.started", "attempts"), ("retry.scheduled", "retries")):
            self.simulation.story.counts[what] += sum(event.type == kind for event in new)
        wrong = self.referee.follow(new, self.around)
        if events:
            wrong += self._read_models()
        self.simulation.story.wrong += [f"{self.run_id}: {what}" for what in wrong]

    def _read_models(self) -> Iterator[str]:
        connection = self.simulation.store.connection
        (status,) = connection.execute("SELECT status FROM runs WHERE run_id = ?", (self.run_id,)).fetchone()
        if status != self.referee.status:
            yield f"the read models have {status}, the events {self.referee.status}"
        rows = connection.execute("SELECT step, status, reason, attempts FROM steps WHERE run_id = ?", (self.run_id,))
        shown = {name: (state, reason, attempts) for name, state, reason, attempts in rows}
        seen = {name: (step.status, step.reason, step.attempts) for name, step in self.referee.steps.items()}
        if shown != seen:
            yield f"the read models have {shown}, the events {seen}"

    def _check(self, ended: RunState | None, intact: Mapping[str, str | None]) -> None:
        wrong = self.simulation.story.wrong
        if ended is not None and ended != self.state():
            wrong.append(f"{self.run_id}: the engine had {ended}, the events come to {self.state()}")
        if ended is not None and self.around.ending_seq is None and ended.status != "timed_out":
            wrong += [f"{self.run_id}: {what}" for what in self._stale(ended)]
        starts: dict[str, list[RecordedEvent]] = {}
        for event in self.events():
            if event.type == "attempt.started":
                starts.setdefault(str(event.data["step"]), []).append(event)
        for name in set(self.begun) & intact.keys():
            before, again = starts[name][-2:]
            above = [starts[other][-1].seq for other in self.simulation.graph.above([name]) - {name} if other in starts]
            if max(above, default=-1) < before.seq or again.data["key"] == intact[name]:
                wrong.append(f"{self.run_id}: {name} had succeeded and was as it had left it, and was attempted again")

    def _stale(self, state: RunState) -> Iterator[str]:
        """Yield what a success of a run that came to its end has left, or was made of, and is not there."""
        world, writers = self.simulation.world, self.simulation.pipeline.writers()
        for name, step in state.steps.items():
            if step.status == "succeeded":
                inputs = step.components.get("inputs", {})
                assert isinstance(inputs, Mapping)
                told = {item: digest for item, digest in inputs.items() if writers.get(item) in self.selected}
                for dataset, digest in {**told, **step.outputs}.items():
                    if digest != world.digest(dataset):
                        yield f"{name} has succeeded with {dataset} {digest}, which is {world.digest(dataset)}"


def _told(event: RecordedEvent) -> dict[str, object]:
    """Return what the trace says of *event*: all but what is the same each time."""
    left_out = (
        "components",
        "graph",
        "definition",
        "variables",
        "selection",
        "actor",
        "program",
        "host",
        "boot_id",
        "pid",
        "process_start",
    )
    return {name: value for name, value in event.data.items() if name not in left_out}


def _intact(world: World, state: RunState) -> dict[str, str | None]:
    """Return the steps that have succeeded and whose outputs are as they left them, each with its key."""
    return {
        name: step.key
        for name, step in state.steps.items()
        if step.status == "succeeded"
        and world.pipeline.steps[name].when == "upstream_ok"
        and all(world.digest(dataset) == digest for dataset, digest in step.outputs.items())
    }


def simulate(seed: int) -> Story:
    """Return what *seed* comes to; an error of the program is one of the things that are wrong."""
    folder = Path(tempfile.mkdtemp(dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        simulation = Simulation(seed, folder)
        try:
            simulation.play()
        except Exception as error:  # noqa: BLE001 - whatever it is, the seed has to be told
            simulation.story.wrong.append(f"{type(error).__name__}: {error}")
        finally:
            simulation.store.close()
        return simulation.story
    finally:
        shutil.rmtree(folder)


def main(first: str, end: str | None = None, step: str = "1") -> None:
    """Tell the story of one seed, or a line of each from *first* up to *end*."""
    if end is None:
        print(simulate(int(first)).text())  # noqa: T201
        return
    for seed in range(int(first), int(end), int(step)):
        story = simulate(seed)
        line = {"seed": seed, "digest": story.digest, "counts": story.counts, "wrong": story.wrong}
        print(json.dumps(line))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
