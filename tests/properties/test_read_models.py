"""The read models are a function of the history: the same rows however they came to be."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    HostChanged,
    NoteAdded,
    OutputAccepted,
    PipelineMoved,
    RetryScheduled,
    RunAcknowledged,
    RunCancelRequested,
    RunFinished,
    RunRefused,
    RunReproduced,
    RunResumed,
    RunStarted,
    StepFinished,
    event_data,
    event_type,
)
from orchestrator.core.reproduction import VERDICTS
from orchestrator.core.state import FINAL, RESUMABLE, RUN_FINAL, RunState
from orchestrator.projections.read_models import ReadModels
from tests.properties.test_run_machine import Nights

TEXT = st.sampled_from(["", "text", "1", "é\n", "\U0001f602"])
OBJECTS = st.sampled_from(
    [{}, {"a": 1}, {"share": 1.0, "rows": [1e16, -0.0, 0.5, None, True]}, {"\U0001f602": {"\ufb33": "b"}}]
)
SEVERAL = st.sampled_from([(), ({"path": "a"},), ({}, {"b": [1]})])
COUNTS = st.sampled_from([{}, {"succeeded": 2, "failed": 1}])
NUMBERS = st.sampled_from([0, 1, 75, 2**53 - 1])
SOME_NUMBER = st.none() | NUMBERS
SOME_TEXT = st.none() | TEXT
SOME_OBJECT = st.none() | OBJECTS
DIGESTS = st.sampled_from(["sha256:a", "sha256:b"])
OUTPUTS = st.sampled_from([{}, {"raw": "sha256:a"}, {"raw": None, "clean": "sha256:b"}])
PIPELINES = st.sampled_from(["flights", "weather"])
RUN_NIGHTS = st.sampled_from(["2026-01-01", "2026-01-02"])
STEPS = ("load", "clean", "report")
ACTORS = st.sampled_from([{"user": "a"}, {"user": "b", "host": "h"}])
GRAPHS = [
    canonical_bytes({"steps": [{"step": name, **({"per_night": True} if name in nightly else {})} for name in names]})
    for names in (STEPS, STEPS[:1], STEPS[::-1])
    for nightly in ((), ("clean", "load"))
]


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


CIRCUMSTANCES: Mapping[str, st.SearchStrategy[Any]] = {
    "run_id": st.just(""),
    "pipeline": PIPELINES,
    "night": RUN_NIGHTS,
    "definition": DIGESTS,
    "definition_path": TEXT,
    "graph": st.just(""),
    "variables": OBJECTS,
    "trigger": TEXT,
    "actor": ACTORS,
    "git": SOME_OBJECT,
    "host": TEXT,
    "boot_id": TEXT,
    "pid": NUMBERS,
    "process_start": TEXT,
    "max_parallel": NUMBERS,
    "program": TEXT,
    "reason": SOME_TEXT,
}
RUN_STARTS = st.builds(RunStarted, selection=OBJECTS, reproduces=st.sampled_from([None, None, "r0"]), **CIRCUMSTANCES)
RUN_RESUMES = st.builds(RunResumed, before=st.just(""), **CIRCUMSTANCES)
RUN_ENDS = st.builds(
    RunFinished,
    status=st.sampled_from(sorted(RUN_FINAL)),
    exit_code=SOME_NUMBER,
    duration_us=SOME_NUMBER,
    counts=COUNTS,
    root_cause=SOME_OBJECT,
)
ATTEMPT_STARTS = st.builds(
    AttemptStarted,
    st.just(""),
    st.just(0),
    reason=TEXT,
    evidence=OBJECTS,
    key=DIGESTS,
    components=OBJECTS,
    waited_us=SOME_NUMBER,
)
ATTEMPT_ENDS = st.builds(
    AttemptFinished,
    st.just(""),
    st.just(0),
    status=st.sampled_from(["succeeded", "failed", "cancelled", "no_new_data"]),
    reason=st.sampled_from([None, "exit", "lost"]),
    error_class=SOME_TEXT,
    exit_code=SOME_NUMBER,
    signal=SOME_NUMBER,
    duration_us=SOME_NUMBER,
    message=SOME_TEXT,
    log=st.none() | st.fixed_dictionaries({"path": TEXT, "bytes": NUMBERS, "lines": NUMBERS, "sha256": DIGESTS}),
    metrics=SOME_OBJECT,
    reported=SOME_OBJECT,
    masked=SOME_OBJECT,
    killed=st.sampled_from([(), ("SIGTERM", "SIGKILL")]),
)
RETRIES = st.builds(
    RetryScheduled,
    st.just(""),
    st.just(0),
    error_class=TEXT,
    delay_us=NUMBERS,
    not_before=st.just("2026-01-01T00:00:00.000000Z"),
)
STEP_ENDS = st.builds(
    StepFinished,
    st.just(""),
    status=st.sampled_from(sorted(FINAL)),
    reason=SOME_TEXT,
    evidence=OBJECTS,
    error_class=SOME_TEXT,
    key=st.none() | DIGESTS,
    outputs=st.none() | OUTPUTS,
    duration_us=SOME_NUMBER,
)
OF_A_PIPELINE = (
    st.builds(
        RunRefused,
        pipeline=PIPELINES,
        night=st.none() | RUN_NIGHTS,
        exit_code=NUMBERS,
        problems=SEVERAL,
        definition_path=TEXT,
        actor=ACTORS,
        holder=SOME_OBJECT,
    )
    | st.builds(
        DefinitionChanged,
        pipeline=PIPELINES,
        before=st.none() | DIGESTS,
        after=DIGESTS,
        changes=SEVERAL,
        definition_path=TEXT,
        git=SOME_OBJECT,
        actor=ACTORS,
    )
    | st.builds(PipelineMoved, pipeline=PIPELINES, before=TEXT, after=TEXT, actor=ACTORS, reason=SOME_TEXT)
    | st.builds(HostChanged, pipeline=PIPELINES, before=TEXT, after=TEXT, actor=ACTORS)
    | st.builds(
        NoteAdded,
        pipeline=PIPELINES,
        run_id=st.sampled_from(["r0", "r1"]),
        step=st.none() | st.sampled_from(STEPS),
        text=TEXT,
        actor=ACTORS,
        reason=SOME_TEXT,
    )
    | st.builds(
        RunAcknowledged,
        pipeline=PIPELINES,
        run_id=st.sampled_from(["r0", "r1"]),
        status=st.sampled_from(sorted(RUN_FINAL)),
        actor=ACTORS,
        reason=SOME_TEXT,
    )
    | st.builds(
        RunReproduced,
        pipeline=PIPELINES,
        run_id=st.sampled_from(["r0", "r1"]),
        reproduction=st.none() | st.sampled_from(["r1", "r2"]),
        verdict=st.sampled_from(VERDICTS),
        steps=SEVERAL,
        causes=SEVERAL,
        left_out=OBJECTS,
        actor=ACTORS,
        first=SOME_OBJECT,
        trusted=st.sampled_from([(), ("KEY",)]),
        reason=SOME_TEXT,
    )
    | st.builds(
        RunCancelRequested,
        pipeline=PIPELINES,
        run_id=st.sampled_from(["r0", "r1"]),
        force=st.booleans(),
        actor=ACTORS,
        reason=SOME_TEXT,
    )
    | st.builds(
        OutputAccepted,
        pipeline=PIPELINES,
        run_id=st.sampled_from(["r0", "r1"]),
        step=st.sampled_from(STEPS),
        night=RUN_NIGHTS | st.just(""),
        outputs=OUTPUTS,
        before=OUTPUTS,
        key=st.none() | DIGESTS,
        actor=ACTORS,
        reason=TEXT,
    )
)


@st.composite
def histories(draw: st.DrawFn) -> list[Append]:
    """Draw transactions in which runs start, go on side by side and end, or not; every event can follow those before it."""
    appends: list[Append] = []
    active: dict[str, RunState] = {}
    over: dict[str, RunState] = {}
    again: set[str] = set()  # Runs that reproduce others, which are never resumed.
    runs = 0
    for _ in range(draw(st.integers(1, 20))):
        what = draw(st.sampled_from(["run", "steps", "steps", "steps", "end", "resume", "pipeline"]))
        blobs: dict[str, bytes] = {}
        taken: list[Event]
        if what == "pipeline":
            other = draw(OF_A_PIPELINE)
            stream, taken = f"pipeline/{other.pipeline}", [other]
        elif what == "resume" and over:
            stream = draw(st.sampled_from(sorted(over)))
            state = active[stream] = over.pop(stream)
            graph = draw(st.sampled_from(GRAPHS))
            blobs = {blob_digest(graph): graph}
            own: dict[str, Any] = {
                "run_id": state.run_id,
                "pipeline": state.pipeline,
                "night": state.night,
                "before": state.status,
            }
            taken = [attrs.evolve(draw(RUN_RESUMES), graph=blob_digest(graph), **own)]
            state.evolve(taken[0])
        elif what in ("run", "resume") or not active:
            graph = draw(st.sampled_from(GRAPHS))
            blobs = {blob_digest(graph): graph}
            stream, run_id, runs = f"run/r{runs}", f"r{runs}", runs + 1
            active[stream] = RunState()
            start = attrs.evolve(draw(RUN_STARTS), run_id=run_id, graph=blob_digest(graph))
            taken = [start]
            active[stream].evolve(start)
            if start.reproduces is not None:
                again.add(stream)
        elif what == "steps":
            stream = draw(st.sampled_from(sorted(active)))
            taken = draw(events_of_steps(active[stream]))
        else:
            stream = draw(st.sampled_from(sorted(active)))
            taken = [draw(RUN_ENDS)]
            ended = active.pop(stream)
            ended.evolve(taken[0])
            if ended.status in RESUMABLE and stream not in again:
                over[stream] = ended
        appends.append(Append(stream, tuple(taken), blobs, draw(st.booleans())))
    return appends


@st.composite
def events_of_steps(draw: st.DrawFn, state: RunState) -> list[Event]:
    """Draw up to three events of the steps of a run, and take them into its *state*."""
    taken: list[Event] = []
    for _ in range(draw(st.integers(1, 3))):
        left = [name for name in STEPS if state.step(name).status not in FINAL]
        if left:
            event = draw(event_of_step(draw(st.sampled_from(left)), state))
            state.evolve(event)
            taken.append(event)
    return taken


@st.composite
def event_of_step(draw: st.DrawFn, name: str, state: RunState) -> Event:
    """Draw what can happen next to a step that has not ended."""
    step = state.step(name)
    if step.status == "running" and step.attempt_status is None:
        return attrs.evolve(draw(ATTEMPT_ENDS), step=name, attempt=step.attempt)
    if step.status == "running" and step.attempt_status == "failed" and draw(st.booleans()):
        return attrs.evolve(draw(RETRIES), step=name, attempt=step.attempt + 1)
    if step.status == "running" or draw(st.booleans()):
        return attrs.evolve(draw(STEP_ENDS), step=name, attempts=step.attempt)
    return attrs.evolve(draw(ATTEMPT_STARTS), step=name, attempt=step.attempt + 1)


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
