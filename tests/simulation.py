"""
A simulated world for the engine: a clock that jumps, processes that are entries in a table, datasets that are texts.

Every step is a function of what it reads: the text that it writes into a dataset is a digest of its name, its code and its
inputs. After a clean run the world must therefore hold what a recomputation from the sources gives; that is the oracle of the
tests over whole runs.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import attrs

from ledger.canonical import blob_digest, canonical_bytes
from ledger.times import format_utc
from orchestrator.core.baselines import Rows, step_baselines
from orchestrator.core.decide import Measurement
from orchestrator.core.definition import Pipeline
from orchestrator.core.events import RunResumed, RunStarted
from orchestrator.core.graph import build_graph
from orchestrator.core.output_contract import Extent
from orchestrator.core.report import StepReport
from orchestrator.core.run_plan import RunPlan
from orchestrator.runtime.assembly import Surroundings, run_plan
from orchestrator.runtime.ports import Exited, Launch, Measured, MeasureRequest

FOLDER = Path("/simulated")


_NEW_YEAR_US = 1_767_225_600_000_000
"""The beginning of 2026."""


class SimulatedClock:
    """
    A clock that moves when it is told to.

    Attributes:
        us: Of the monotonic clock.
        ahead_us: How far the wall clock has been set forward, or back, since the beginning.
    """

    def __init__(self) -> None:
        self.us = 1_000_000
        self.ahead_us = 0

    def now(self) -> str:
        """Return the simulated wall time."""
        return format_utc(_NEW_YEAR_US + self.us + self.ahead_us)

    def monotonic_us(self) -> int:
        """Return the simulated time."""
        return self.us


@attrs.define
class World:
    """
    Everything outside of the orchestrator.

    Attributes:
        contents: Text of each dataset that exists.
        code: Version of each step's code.
        behaviour: How the next attempts of a step end: `ok`, `exit:3`, `signal:9`, `no_new_data`, `missing`, `not_started`, `hang`.
        first: How the very next ones end, before `behaviour` holds.
        present: How the attempt that was started last ends.
        stubborn: Steps whose processes do not obey TERM.
    """

    pipeline: Pipeline
    contents: dict[str, str] = attrs.field(factory=dict)
    code: dict[str, int] = attrs.field(factory=dict)
    behaviour: dict[str, str] = attrs.field(factory=dict)
    first: dict[str, list[str]] = attrs.field(factory=dict)
    present: dict[str, str] = attrs.field(factory=dict)
    duration_us: dict[str, int] = attrs.field(factory=dict)
    starts: list[str] = attrs.field(factory=list)
    stubborn: set[str] = attrs.field(factory=set)

    def written(self, step: str, dataset: str) -> str:
        """Return what *step* writes into *dataset* now."""
        reads = [f"{name}={self.contents.get(name)}" for name in self.pipeline.steps[step].reads]
        text = "|".join([step, dataset, str(self.code.get(step, 0)), *reads])
        return sha256(text.encode()).hexdigest()

    def manifest(self, dataset: str) -> bytes | None:
        """Return the manifest of *dataset*, or None where it does not exist."""
        text = self.contents.get(dataset)
        if text is None:
            return None
        return canonical_bytes({"files": [["", len(text), f"sha256:{sha256(text.encode()).hexdigest()}"]]})

    def digest(self, dataset: str) -> str | None:
        """Return the digest of *dataset*, or None where it does not exist."""
        manifest = self.manifest(dataset)
        return None if manifest is None else blob_digest(manifest)

    def recomputed(self) -> dict[str, str]:
        """Return what every dataset must hold, computed from the sources alone."""
        clean = World(self.pipeline, code=self.code)
        clean.contents = {name: text for name, text in self.contents.items() if name in self.pipeline.sources()}
        for step in build_graph(self.pipeline).order:
            for dataset in self.pipeline.steps[step].writes:
                clean.contents[dataset] = clean.written(step, dataset)
        return clean.contents


@attrs.define
class SimulatedProcess:
    """Hold what runs: since when, until when by itself, and since when it has been told to end."""

    launch: Launch
    started_us: int
    due_us: int
    is_stubborn: bool = False
    told_us: int | None = None

    @property
    def is_overdue(self) -> bool:
        """Whether its timeout ends it, if nobody else does before."""
        return self.launch.timeout_us is not None and self.started_us + self.launch.timeout_us < self.due_us

    @property
    def ends_us(self) -> int:
        """When it ends."""
        ends = [self.due_us]
        patience = self.launch.grace_us if self.is_stubborn else 0
        if self.is_overdue and self.launch.timeout_us is not None:
            ends.append(self.started_us + self.launch.timeout_us + patience)
        if self.told_us is not None:
            ends.append(self.told_us + patience)
        return min(ends)


class SimulatedExecutor:
    """Processes that end when the clock reaches them."""

    def __init__(self, world: World, clock: SimulatedClock) -> None:
        self._world = world
        self._clock = clock
        self.running: dict[str, SimulatedProcess] = {}
        self._ended: list[Exited] = []
        self.most_at_once = 0

    def start(self, launch: Launch) -> None:
        """Start an attempt in the table."""
        first = self._world.first.get(launch.step)
        behaviour = first.pop(0) if first else self._world.behaviour.get(launch.step, "ok")
        self._world.present[launch.step] = behaviour
        self._world.starts.append(launch.step)
        if behaviour == "not_started":
            self._ended.append(Exited(launch.step, launch.attempt, not_started="could not start: simulated"))
            return
        now = self._clock.us
        duration = 10**12 if behaviour == "hang" else self._world.duration_us.get(launch.step, 1000)
        self.running[launch.step] = SimulatedProcess(
            launch, now, now + duration, is_stubborn=launch.step in self._world.stubborn
        )
        self.most_at_once = max(self.most_at_once, len(self.running))

    def poll(self, timeout_us: int | None) -> list[Exited]:
        """Let time pass until the next process ends, or *timeout_us*."""
        if self._ended:
            ended, self._ended = self._ended, []
            return ended
        due = min((process.ends_us for process in self.running.values()), default=None)
        if due is None or (timeout_us is not None and due > self._clock.us + timeout_us):
            assert timeout_us is not None, "the engine would wait for ever"
            self._clock.us += timeout_us
            return []
        self._clock.us = max(self._clock.us, due)
        return [self._end(name) for name in sorted(self.running) if self.running[name].ends_us <= self._clock.us]

    def stop(self, step: str, *, force: bool = False) -> None:
        """End the process of *step*, by TERM or KILL: at once, or after its grace where it is stubborn."""
        process = self.running.get(step)
        if process is None:
            return
        if process.is_stubborn and not force:
            process.told_us = self._clock.us if process.told_us is None else process.told_us
            return
        number = signal.SIGKILL if force else signal.SIGTERM
        self._ended.append(self._stopped(step, number))

    def last_line(self, step: str) -> str | None:
        """Nothing is printed here."""
        return None

    def _stopped(self, name: str, number: int) -> Exited:
        process = self.running.pop(name)
        duration = self._clock.us - process.started_us
        return Exited(name, process.launch.attempt, signal=number, stopped=True, duration_us=duration)

    def _end(self, name: str) -> Exited:
        process = self.running[name]
        if process.told_us is not None and process.ends_us < process.due_us:
            return self._stopped(name, signal.SIGKILL)
        del self.running[name]
        attempt, duration = process.launch.attempt, self._clock.us - process.started_us
        if process.is_overdue:
            last, killed = (9, ("SIGTERM", "SIGKILL")) if process.is_stubborn else (15, ("SIGTERM",))
            return Exited(name, attempt, signal=last, timed_out=True, killed=killed, duration_us=duration)
        kind, _, number = self._world.present[name].partition(":")
        if kind == "signal":
            return Exited(name, attempt, signal=int(number), duration_us=duration)
        if kind == "exit":
            return Exited(name, attempt, exit_code=int(number), duration_us=duration)
        if kind == "ok":
            written = {item: self._world.written(name, item) for item in self._world.pipeline.steps[name].writes}
            self._world.contents.update(written)
        elif kind == "missing":
            for dataset in self._world.pipeline.steps[name].writes:
                self._world.contents.pop(dataset, None)
        return Exited(name, attempt, exit_code=0, duration_us=duration)


class SimulatedDigester:
    """Digests of the world's texts, at once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._asked: list[MeasureRequest] = []

    def submit(self, request: MeasureRequest) -> None:
        """Keep *request* for the next `advance`."""
        self._asked.append(request)

    def drop(self, step: str) -> None:
        """Forget what was asked of *step*."""
        self._asked = [request for request in self._asked if request.step != step]

    @property
    def busy(self) -> bool:
        """Whether something was asked for."""
        return bool(self._asked)

    def advance(self) -> list[Measured]:
        """Return all that was asked for."""
        asked, self._asked = self._asked, []
        return [self.measure(request) for request in asked]

    def measure(self, request: MeasureRequest) -> Measured:
        """Return what *request* asks for."""
        code = {f"{request.step}.py": str(self._world.code.get(request.step, 0))}
        names = (*request.inputs, *request.outputs)
        manifests = [manifest for name in names if (manifest := self._world.manifest(name)) is not None]
        return Measured(
            request.step,
            {name: self._world.digest(name) for name in request.inputs},
            {name: self._world.digest(name) for name in request.outputs},
            code if request.code else {},
            manifests={blob_digest(manifest): manifest for manifest in manifests},
            extents={name: Extent(1, len(self._world.contents.get(name, ""))) for name in names},
        )


class SimulatedWorkbench:
    """Launches without files, and reports that follow the world's behaviour."""

    def __init__(self, world: World, plan: RunPlan) -> None:
        self._world = world
        self._plan = plan

    def prepare(self, step: str, attempt: int, measurement: Measurement) -> Launch:
        """Return what the process is started with."""
        assert measurement.components
        plan = self._plan.steps[step]
        return Launch(
            step=step,
            attempt=attempt,
            argv=plan.argv,
            env={},
            cwd=plan.cwd,
            log_path=FOLDER / f"{step}.{attempt}.log",
            log_limit_bytes=0,
            timeout_us=plan.step.timeout_us,
            grace_us=plan.step.grace_us,
        )

    def collect(self, step: str, attempt: int) -> StepReport | None:
        """Return `no_new_data` where the world says so."""
        assert attempt > 0
        if self._world.present.get(step) == "no_new_data":
            return StepReport(status="no_new_data")
        return None

    def redact(self, text: str) -> str:
        """Return *text*: there are no secrets here."""
        return text


class SimulatedPools:
    """Shares that are counted, of pools that nobody else uses."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._free = dict(sizes)
        self.held: dict[str, Mapping[str, int]] = {}

    def take(self, step: str, shares: Mapping[str, int]) -> bool:
        """Take all of *shares* for *step*, or none and return False."""
        if any(count > self._free[pool] for pool, count in shares.items()):
            return False
        for pool, count in shares.items():
            self._free[pool] -= count
        self.held[step] = shares
        return True

    def give_back(self, step: str) -> None:
        """Give back what *step* holds."""
        for pool, count in self.held.pop(step, {}).items():
            self._free[pool] += count


@attrs.define
class Signals:
    """Signals that come at chosen moments of the simulated clock."""

    clock: SimulatedClock
    at: list[tuple[int, int]] = attrs.field(factory=list)

    def take(self) -> int | None:
        """Return a signal whose moment has come."""
        if self.at and self.at[0][0] <= self.clock.us:
            return self.at.pop(0)[1]
        return None


def simulated_plan(
    pipeline: Pipeline,
    *,
    rows: Rows | None = None,
    run_id: str = "run-1",
    night: str = "2026-01-01",
    selected: Sequence[str] | None = None,
    forced: bool = False,
    max_parallel: int = 2,
    load: Callable[[object], Mapping[str, object]] | None = None,
) -> RunPlan:
    """Return the plan of a run of *pipeline* in the simulated world."""
    values = {"NIGHT": night}
    around = Surroundings(FOLDER, values, frozenset(), {})
    baselines = step_baselines(pipeline, rows or {}, night=night, load=load or _as_mapping)
    return run_plan(
        pipeline,
        build_graph(pipeline),
        around,
        run_id=run_id,
        night=night,
        selected=frozenset(pipeline.steps if selected is None else selected),
        forced=forced,
        max_parallel=max_parallel,
        baselines=baselines,
    )


def run_started(plan: RunPlan, graph_digest: str = "sha256:graph") -> RunStarted:
    """Return the event that opens the run of *plan*."""
    return RunStarted(
        run_id=plan.run_id,
        pipeline=plan.pipeline.name,
        night=plan.night,
        definition="sha256:definition",
        definition_path="pipeline.toml",
        graph=graph_digest,
        selection={"force": plan.forced},
        variables={},
        trigger="test",
        actor={"user": "tester"},
        git=None,
        host="simulated",
        boot_id="boot",
        pid=1,
        process_start="1",
        max_parallel=plan.max_parallel,
        program="test",
    )


def run_resumed(plan: RunPlan, before: str, graph_digest: str = "sha256:graph") -> RunResumed:
    """Return the event that opens the run of *plan*, which had ended as *before*, again."""
    started = attrs.asdict(run_started(plan, graph_digest), recurse=False)
    for name in ("selection", "traceparent", "tracestate", "reproduces"):
        del started[name]
    return RunResumed(before=before, **started)


def _as_mapping(value: object) -> Mapping[str, object]:
    assert isinstance(value, Mapping)
    return value
