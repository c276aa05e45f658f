"""Tests of what a run decides with."""

from __future__ import annotations

import attrs
import pytest

from orchestrator.core.decide import Upstream
from orchestrator.core.events import AttemptFinished, AttemptStarted, Event, StepFinished
from orchestrator.core.state import fold, initial_state
from tests.pipelines import chain, data_pipeline
from tests.simulation import run_started, simulated_plan

SUCCEEDED = {
    "key": "sha256:k",
    "components": None,
    "outputs": {"a": "sha256:o"},
    "run_id": "run-0",
    "attempt": 1,
    "last_status": "succeeded",
    "last_run_id": "run-0",
    "last_attempt": 1,
}


class TestSuccessOf:
    """The last success of a step, in this run or before it."""

    @pytest.mark.parametrize(
        ("attempt", "step", "expected"),
        [
            ("succeeded", "succeeded", "run-1/1"),
            ("no_new_data", "skipped", "run-1/1"),
            ("failed", "failed", "run-0/1"),
            (None, "skipped", "run-0/1"),
        ],
    )
    def test_success(self, attempt: str | None, step: str, expected: str) -> None:
        """Given how a step ended in this run, then this run's attempt or that of an earlier one."""
        plan = simulated_plan(chain("a", "b"), rows={("a", ""): SUCCEEDED})
        events: list[Event] = [run_started(plan)]
        if attempt is not None:
            events += [AttemptStarted("a", 1, "forced", {}, "k", {}), AttemptFinished("a", 1, attempt)]

        state = fold([*events, StepFinished("a", step)])

        assert expected == plan.success_of("a", state)
        assert plan.success_of("b", state) is None


class TestFacts:
    """What a decision may look at."""

    def test_a_writer_outside_of_the_run_is_trusted_for_what_it_left(self) -> None:
        """Given a selection, then what unselected writers last left is in the facts; sources and selected writers are not."""
        pipeline = data_pipeline({"a": ["raw"], "b": ["a"], "c": ["b", "raw"]})
        plan = simulated_plan(pipeline, rows={("a", ""): SUCCEEDED}, selected=["b", "c"])

        facts = {name: plan.facts(name, initial_state(), upstream=Upstream(), ending=None) for name in "abc"}

        assert [{}, {"a": "sha256:o"}, {}] == [facts[name].trusted for name in "abc"]
        assert [False, True, True] == [facts[name].selected for name in "abc"]
        assert [{"raw"}, set(), {"raw"}] == [facts[name].sources for name in "abc"]

    @pytest.mark.parametrize(
        ("rerun", "run", "night", "expected"),
        [
            ("never", "run-1", "2025-12-31", True),
            ("never", "run-0", "2026-01-01", True),
            ("never", "run-0", "2025-12-31", False),
            ("never", None, None, False),
            ("safe", "run-1", "2026-01-01", False),
        ],
    )
    def test_vouched(self, rerun: str, run: str | None, night: str | None, *, expected: bool) -> None:
        """Given a lost attempt that was accepted, then it counts in that run and for its night, where the step must not run twice."""
        row = {**SUCCEEDED, "last_status": "accepted", "vouched_run": run, "vouched_night": night}
        plan = simulated_plan(data_pipeline({"a": ["raw"]}, a={"rerun": rerun}), rows={("a", ""): row})

        assert plan.facts("a", initial_state(), upstream=Upstream(), ending=None).vouched is expected

    def test_fail_fast_is_the_pipelines(self) -> None:
        """Given a pipeline that says so, then the first failure ends the run."""
        assert not simulated_plan(chain("a")).fail_fast
        assert simulated_plan(attrs.evolve(chain("a"), fail_fast=True)).fail_fast
