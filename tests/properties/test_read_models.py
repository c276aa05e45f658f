"""The read models are a function of the history: the same rows however they came to be."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import Ledger, open_ledger
from ledger.canonical import blob_digest, canonical_bytes
from ledger.events import NewEvent
from orchestrator.core.events import (
    AttemptFinished,
    AttemptStarted,
    DefinitionChanged,
    Event,
    OutputAccepted,
    PipelineMoved,
    RunFinished,
    RunRefused,
    RunStarted,
    StepFinished,
    event_data,
    event_type,
)
from orchestrator.core.state import FINAL, RUN_FINAL, RunState
from orchestrator.projections.read_models import ReadModels
from tests.contracts.event_store import JSON
from tests.properties.test_run_machine import Nights

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=2)
NUMBERS = st.integers(0, 2**53 - 1)
DIGESTS = st.sampled_from(["sha256:a", "sha256:b", "sha256:c"])
OUTPUTS = st.dictionaries(st.sampled_from(["raw", "clean"]), st.none() | DIGESTS)
PIPELINES = st.sampled_from(["flights", "weather"])
RUN_NIGHTS = st.sampled_from(["2026-01-01", "2026-01-02"])
STEPS = ("load", "clean", "report")
ACTORS = st.fixed_dictionaries({"user": TEXT})


class NextReadModels(ReadModels):
    """The same tables under the next version, so that a ledger makes them anew."""

    version = ReadModels.version + 1


@attrs.frozen
class Append:
    """One transaction: events of one stream and their blobs; with *reopen*, by a program that was just started."""

    stream: str
    events: tuple[Event, ...]
    blobs: Mapping[str, bytes]
    reopen: bool


def run_starts(number: int) -> st.SearchStrategy[tuple[RunStarted, bytes]]:
    """Draw how a run starts, and the blob of its graph."""
    steps = st.lists(st.sampled_from(STEPS), min_size=1, unique=True)
    graphs = st.tuples(steps, st.frozensets(st.sampled_from(STEPS))).map(
        lambda drawn: canonical_bytes(
            {"steps": [{"step": name, **({"per_night": True} if name in drawn[1] else {})} for name in drawn[0]]}
        )
    )

    def started(graph: bytes) -> st.SearchStrategy[tuple[RunStarted, bytes]]:
        event = st.builds(
            RunStarted,
            run_id=st.just(f"r{number}"),
            pipeline=PIPELINES,
            night=RUN_NIGHTS,
            definition=DIGESTS,
            definition_path=TEXT,
            graph=st.just(blob_digest(graph)),
            selection=OBJECTS,
            variables=OBJECTS,
            trigger=st.sampled_from(["manual", "schedule"]),
            actor=ACTORS,
            git=st.none() | OBJECTS,
            host=TEXT,
            boot_id=TEXT,
            pid=NUMBERS,
            process_start=TEXT,
            max_parallel=NUMBERS,
            program=TEXT,
            reason=st.none() | TEXT,
        )
        return st.tuples(event, st.just(graph))

    return graphs.flatmap(started)


RUN_ENDS = st.builds(
    RunFinished,
    status=st.sampled_from(sorted(RUN_FINAL)),
    exit_code=st.none() | st.integers(0, 255),
    duration_us=st.none() | NUMBERS,
    counts=st.dictionaries(st.sampled_from(sorted(FINAL)), NUMBERS),
    root_cause=st.none() | OBJECTS,
)


def step_events(name: str, state: RunState) -> st.SearchStrategy[Event]:
    """Draw what can happen next to a step that has not ended."""
    step = state.step(name)
    if step.status == "running" and step.attempt_status is None:
        return st.builds(
            AttemptFinished,
            step=st.just(name),
            attempt=st.just(step.attempt),
            status=st.sampled_from(["succeeded", "failed", "cancelled", "no_new_data"]),
            reason=st.none() | st.sampled_from(["exit", "lost"]),
            error_class=st.none() | TEXT,
            exit_code=st.none() | st.integers(0, 255),
            signal=st.none() | st.integers(1, 64),
            duration_us=st.none() | NUMBERS,
            message=st.none() | TEXT,
            log=st.none()
            | st.fixed_dictionaries({"path": TEXT, "bytes": NUMBERS, "lines": NUMBERS, "sha256": DIGESTS}),
            metrics=st.none() | OBJECTS,
            reported=st.none() | OBJECTS,
            masked=st.none() | st.dictionaries(TEXT, NUMBERS, max_size=2),
            killed=st.just(()) | st.just(("SIGTERM", "SIGKILL")),
        )
    finished = st.builds(
        StepFinished,
        step=st.just(name),
        status=st.sampled_from(sorted(FINAL)),
        reason=st.none() | TEXT,
        evidence=OBJECTS,
        error_class=st.none() | TEXT,
        attempts=st.just(step.attempt),
        key=st.none() | DIGESTS,
        outputs=st.none() | OUTPUTS,
        duration_us=st.none() | NUMBERS,
    )
    if step.status == "running":
        return finished
    started = st.builds(
        AttemptStarted,
        step=st.just(name),
        attempt=st.just(step.attempt + 1),
        reason=st.sampled_from(["never_succeeded", "changed", "forced"]),
        evidence=OBJECTS,
        key=DIGESTS,
        components=OBJECTS,
    )
    return started | finished


@st.composite
def pipeline_events(draw: st.DrawFn, runs: int) -> tuple[str, Event]:
    """Draw something that happens to a pipeline outside of any run, with its stream."""
    pipeline = draw(PIPELINES)
    changes = st.lists(OBJECTS, max_size=2).map(tuple)
    event = draw(
        st.builds(
            RunRefused,
            pipeline=st.just(pipeline),
            night=st.none() | RUN_NIGHTS,
            exit_code=st.integers(0, 255),
            problems=changes,
            definition_path=TEXT,
            actor=ACTORS,
            holder=st.none() | OBJECTS,
        )
        | st.builds(
            DefinitionChanged,
            pipeline=st.just(pipeline),
            before=st.none() | DIGESTS,
            after=DIGESTS,
            changes=changes,
            definition_path=TEXT,
            git=st.none() | OBJECTS,
            actor=ACTORS,
        )
        | st.builds(PipelineMoved, pipeline=st.just(pipeline), before=TEXT, after=TEXT, actor=ACTORS)
        | st.builds(
            OutputAccepted,
            pipeline=st.just(pipeline),
            run_id=st.integers(0, runs).map(lambda number: f"r{number}"),
            step=st.sampled_from(STEPS),
            night=RUN_NIGHTS | st.just(""),
            outputs=OUTPUTS,
            before=OUTPUTS,
            key=st.none() | DIGESTS,
            actor=ACTORS,
            reason=TEXT,
        )
    )
    return f"pipeline/{pipeline}", event


@st.composite
def histories(draw: st.DrawFn) -> list[Append]:
    """Draw transactions in which runs start, go on side by side and end, or not; every event can follow those before it."""
    appends: list[Append] = []
    active: dict[str, RunState] = {}
    runs = 0
    for _ in range(draw(st.integers(1, 25))):
        what = draw(st.sampled_from(["run", "step", "step", "step", "step", "end", "pipeline"]))
        blobs: dict[str, bytes] = {}
        taken: list[Event] = []
        if what == "run" or (what != "pipeline" and not active):
            started, graph = draw(run_starts(runs))
            stream, runs = f"run/r{runs}", runs + 1
            active[stream] = RunState()
            taken, blobs = [started], {started.graph: graph}
        elif what == "pipeline":
            stream, other = draw(pipeline_events(runs))
            taken = [other]
        else:
            stream = draw(st.sampled_from(sorted(active)))
            taken = draw(_events_of_run(active[stream])) if what == "step" else [draw(RUN_ENDS)]
        if stream in active:
            for event in taken if what != "step" else ():
                active[stream].evolve(event)
            if active[stream].status in RUN_FINAL:
                del active[stream]
        if taken:
            appends.append(Append(stream, tuple(taken), blobs, draw(st.booleans())))
    return appends


@st.composite
def _events_of_run(draw: st.DrawFn, state: RunState) -> list[Event]:
    """Draw up to three events of the steps of a run, in one transaction, and take them into *state*."""
    taken: list[Event] = []
    for _ in range(draw(st.integers(1, 3))):
        left = [name for name in STEPS if state.step(name).status not in FINAL]
        if left:
            event = draw(step_events(draw(st.sampled_from(left)), state))
            state.evolve(event)
            taken.append(event)
    return taken


def record(path: Path, history: Sequence[Append]) -> list[str]:
    """Append *history* to a new ledger; return the rows that the appends left."""
    ledger = open_ledger(path, projections=[ReadModels()])
    try:
        for item in history:
            if item.reopen:
                ledger.close()
                ledger = open_ledger(path, projections=[ReadModels()])
            new = [NewEvent(*event_type(event), event_data(event)) for event in item.events]
            ledger.append(item.stream, new, expected_version=None, blobs=item.blobs)
        return rows(ledger)
    finally:
        ledger.close()


def rows(ledger: Ledger) -> list[str]:
    """Return every row of every table of the read models; as text, so that 1 and 1.0 differ."""
    found = []
    for table in ReadModels.tables:
        names = [name for _, name, *_ in ledger.connection.execute(f"PRAGMA table_info({table})")]
        order = ", ".join(names)
        found += [f"{table}{row!r}" for row in ledger.connection.execute(f"SELECT * FROM {table} ORDER BY {order}")]  # noqa: S608
    return found


REBUILD = """
import sys
from ledger import open_ledger
from tests.properties.test_read_models import NextReadModels, rows
with open_ledger(sys.argv[1], projections=[NextReadModels()]) as ledger:
    sys.stdout.reconfigure(encoding="utf-8")
    print(repr(rows(ledger)))
"""


class TestRebuilding:
    """Appends one by one, and all events at once, give the same rows."""

    @given(history=histories())
    def test_rebuilt_rows_are_the_kept_ones(self, history: list[Append]) -> None:
        """Given any history, then the rows kept by its appends are those that a rebuild and a new version give."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ledger.db"
            kept = record(path, history)

            with open_ledger(path, projections=[ReadModels()]) as ledger:
                assert kept == rows(ledger)
                ledger.rebuild()
                assert kept == rows(ledger)
            with open_ledger(path, projections=[NextReadModels()]) as ledger:
                assert kept == rows(ledger)

    @settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
    @given(history=histories())
    def test_fresh_process_gives_the_kept_rows(self, history: list[Append]) -> None:
        """Given any history, then a process that was just started, with the next version, makes the same rows."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ledger.db"
            kept = record(path, history)

            out = subprocess.run(
                [sys.executable, "-c", REBUILD, str(path)],
                cwd=Path(__file__).parents[2],
                stdout=subprocess.PIPE,
                check=True,
                timeout=60,
            )

            assert repr(kept) == out.stdout.decode("utf-8").rstrip("\n")


class RebuiltNights(Nights):
    """Whole runs of the engine in the simulated world, kills and repairs included; in the end, the rows are made anew."""

    def teardown(self) -> None:
        """Rebuild and compare before the ledger goes."""
        try:
            kept = rows(self.store)
            self.store.rebuild()
            assert kept == rows(self.store)
        finally:
            super().teardown()


TestRebuiltNights = RebuiltNights.TestCase
TestRebuiltNights.settings = settings(max_examples=20, stateful_step_count=10, deadline=None)
