"""
Thousands of simulated nights, each decided by a seed: no promise is broken, and the same seed tells the same story.

`FAULTS=full` (as `make faults` sets it) plays 10,000 seeds, otherwise 2,000. `FAULTS_SEED=17` plays that one, and prints what happens.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest

from orchestrator.core import decide, state
from orchestrator.core.events import AttemptFinished, Event
from orchestrator.core.run_plan import RunPlan
from orchestrator.projections.read_models import ReadModels
from orchestrator.runtime import engine
from orchestrator.runtime.waiting import Waiting
from tests.conftest import ROOT
from tests.counting import count
from tests.faults.simulated_nights import simulate
from tests.simulation import SimulatedPools

FULL = os.environ.get("FAULTS") == "full"
SEED = int(os.environ.get("FAULTS_SEED", "1"))
SEEDS = 10_000 if FULL else 2_000
PROCESSES = 2
SHOWN = 3


@contextlib.contextmanager
def playing(*words: str, hash_seed: int) -> Iterator[subprocess.Popen[str]]:
    """Play seeds in a process of its own, in which sets and texts have another order."""
    command = [sys.executable, "-m", "tests.faults.simulated_nights", *words]
    env = os.environ | {"PYTHONHASHSEED": str(hash_seed)}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def told_by(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Return what *process* says of each of its seeds."""
    assert process.stdout is not None
    told = [json.loads(line) for line in process.stdout]
    assert process.wait() == 0
    return told


def test_one_seed() -> None:
    """Given one seed, then nothing is wrong; its story is printed for whoever asks with `-s`."""
    story = simulate(SEED)
    if "FAULTS_SEED" in os.environ:
        print(story.text())  # noqa: T201 - what was asked for
    assert not story.wrong, story.text()


def test_same_seed_same_story() -> None:
    """Given the same seeds twice in one process, and in two others with other orders of sets, then each has the same trace."""
    told = [[simulate(seed) for seed in range(12)] for _ in range(2)]
    assert [story.wrong for story in told[0] if story.wrong] == []
    here = [[story.digest for story in stories] for stories in told]
    with playing("0", "12", hash_seed=1) as one, playing("0", "12", hash_seed=2) as other:
        there = [[story["digest"] for story in told_by(process)] for process in (one, other)]
    assert here[0] == here[1] == there[0] == there[1]
    assert len(set(here[0])) == 12


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_seeds() -> None:
    """Given thousands of seeds, then none breaks a promise: what the referee says, and nights without a fault after it, which mend everything."""
    total: Counter[str] = Counter()
    wrong: list[int] = []
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(PROCESSES) as pool:
        started = [
            stack.enter_context(playing(str(first), str(SEEDS), str(PROCESSES), hash_seed=first))
            for first in range(PROCESSES)
        ]
        for story in itertools.chain.from_iterable(pool.map(told_by, started)):
            total.update(story["counts"])
            wrong += [story["seed"]] if story["wrong"] else []
    count("seeds", SEEDS)
    for what, number in total.items():
        count(f"{what} in seeds", number)
    assert not wrong, f"{len(wrong)} seeds: {wrong[:50]}\n" + "\n\n".join(
        simulate(seed).text() for seed in wrong[:SHOWN]
    )
    # A simulation in which nothing goes wrong would find nothing.
    assert (
        min(total[kind] for kind in ("kills", "resumes", "retries", "signals", "clock jumps", "failed appends"))
        > SEEDS / 20
    )


# What a simulation that could not fail would not see

Plant = Callable[[pytest.MonkeyPatch], None]


def no_look_above(patch: pytest.MonkeyPatch) -> None:
    """A failure above a step does not matter."""
    patch.setattr(
        engine,
        "decide",
        lambda facts: decide.decide(attrs.evolve(facts, upstream=attrs.evolve(facts.upstream, failed=None))),
    )


def run_what_was_lost(patch: pytest.MonkeyPatch) -> None:
    """What must not run twice does."""
    patch.setattr(decide, "LOST", ())


def start_before_recording(patch: pytest.MonkeyPatch) -> None:
    """An attempt is started, then recorded."""
    commit = engine.Engine._commit

    def reckless(self: engine.Engine) -> None:
        starts, self._starts = self._starts, []
        for ready in starts:
            self._start(ready)
        commit(self)

    patch.setattr(engine.Engine, "_commit", reckless)


def too_many_at_once(patch: pytest.MonkeyPatch) -> None:
    """One step more than may runs."""
    advance = engine.Engine._advance

    def greedy(self: engine.Engine) -> None:
        self._plan = attrs.evolve(self._plan, max_parallel=(self._plan.pipeline.max_parallel or 0) + 1)
        advance(self)

    patch.setattr(engine.Engine, "_advance", greedy)


def go_on_after_a_signal(patch: pytest.MonkeyPatch) -> None:
    """A signal is taken, and nothing follows."""
    patch.setattr(engine.Engine, "_take_interrupts", lambda self: self._ports.interrupts.take())


def forget_a_row(patch: pytest.MonkeyPatch) -> None:
    """A step's end is missing in the read models."""
    patch.setattr(ReadModels, "_step_finished", lambda *_: None)
    handlers = dict(sys.modules[ReadModels.__module__]._HANDLERS)
    handlers[next(kind for kind in handlers if kind.__name__ == "StepFinished")] = lambda *_: None
    patch.setattr(sys.modules[ReadModels.__module__], "_HANDLERS", handlers)


def keep_whatever_succeeded(patch: pytest.MonkeyPatch) -> None:
    """A success stays when its run is resumed, whatever has become of its outputs."""
    patch.setattr(
        engine.Engine,
        "_take",
        lambda self, name: self._keep(name) if name in self._state.kept else self._consider(name, None),
    )


def repeat_what_succeeded(patch: pytest.MonkeyPatch) -> None:
    """A resumed run does everything again."""
    resumed = state.RunState._resumed

    def forgetful(self: state.RunState) -> None:
        resumed(self)
        self.kept.clear()
        for name, step in self.steps.items():
            self.steps[name] = state.StepState(attempt=step.attempt, begun=step.begun)

    patch.setattr(state.RunState, "_resumed", forgetful)


def miss_an_output(patch: pytest.MonkeyPatch) -> None:
    """Outputs that somebody changed are not looked at."""
    patch.setattr(decide, "changed_output", lambda *_: None)


def forget_who_was_cancelled(patch: pytest.MonkeyPatch) -> None:
    """An attempt that was cancelled is recorded as if it had succeeded."""
    record = engine.Engine._record

    def kind(self: engine.Engine, event: Event) -> None:
        if isinstance(event, AttemptFinished) and event.status == "cancelled":
            event = attrs.evolve(event, status="succeeded")
        record(self, event)

    patch.setattr(engine.Engine, "_record", kind)


def try_again_at_once(patch: pytest.MonkeyPatch) -> None:
    """No delay lies between two attempts."""
    until = Waiting.until
    patch.setattr(Waiting, "until", lambda self, name, due_us: until(self, name, 0))


def try_again_for_ever(patch: pytest.MonkeyPatch) -> None:
    """Each failure is tried once more than it may be."""
    patch.setattr(
        engine,
        "is_retried",
        lambda policy, *, error_class, tried: tried <= policy.attempts and error_class in policy.on,
    )


def miss_the_deadline(patch: pytest.MonkeyPatch) -> None:
    """A run goes on when its time is up."""
    patch.setattr(RunPlan, "deadline_us", None)


def count_no_shares(patch: pytest.MonkeyPatch) -> None:
    """Shares of pools are there for everybody."""
    patch.setattr(SimulatedPools, "take", lambda *_: True)


PLANTED: tuple[Plant, ...] = (
    no_look_above, run_what_was_lost, start_before_recording, too_many_at_once, go_on_after_a_signal, forget_a_row, keep_whatever_succeeded,
    repeat_what_succeeded, miss_an_output, forget_who_was_cancelled, try_again_at_once, try_again_for_ever, miss_the_deadline, count_no_shares,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_planted_bugs_are_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given an engine that has been made wrong, then one of the first seeds finds it."""
    plant(monkeypatch)
    found = next((seed for seed in range(150) if simulate(seed).wrong), None)
    assert found is not None
    count("planted bugs found by the simulation")
