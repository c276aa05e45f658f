"""Tests of what `plan` says that a run would do."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import pytest

from orchestrator.core.baselines import Rows
from orchestrator.core.decide import Measurement
from orchestrator.core.definition import Dataset, Pipeline, Step
from orchestrator.core.fingerprint import key_digest
from orchestrator.core.forecast import Forecast, forecast
from orchestrator.core.run_plan import RunPlan
from orchestrator.core.state import initial_state
from orchestrator.runtime.ports import MeasureRequest
from tests.pipelines import data_pipeline
from tests.simulation import SimulatedDigester, World, simulated_plan


def measured(plan: RunPlan, world: World, name: str) -> Measurement:
    """Return the content that the decision about the step *name* rests on."""
    step = plan.steps[name].step
    found = SimulatedDigester(world).measure(MeasureRequest(name, dict.fromkeys(step.reads), step.writes))
    return plan.measurement(
        name, initial_state(), inputs=found.inputs, outputs=found.outputs, code=found.code, files={}
    )


def settled(pipeline: Pipeline, world: World) -> dict[tuple[str, str], Mapping[str, object]]:
    """Write every dataset, and return the rows of a night in which every step succeeded."""
    world.contents = world.recomputed()
    plan = simulated_plan(pipeline)
    rows: dict[tuple[str, str], Mapping[str, object]] = {}
    for name in plan.graph.order:
        needs = dict.fromkeys(pipeline.steps[name].needs, "run-0/1")
        material = dict(measured(plan, world, name).components)
        if needs:
            material["needs"] = needs
        rows[name, ""] = row(
            key=key_digest(material),
            components=material,
            outputs={item: world.digest(item) for item in pipeline.steps[name].writes},
        )
    return rows


def row(**changes: object) -> dict[str, object]:
    """Return the row of a step that succeeded in run-0."""
    return {
        "key": None,
        "components": None,
        "outputs": None,
        "run_id": "run-0",
        "attempt": 1,
        "last_status": "succeeded",
        "last_run_id": "run-0",
        "last_attempt": 1,
        **changes,
    }


LINE = data_pipeline({"a": ["raw"], "b": ["a"], "c": ["b"]})


class Case:
    """A pipeline after a night in which everything succeeded, to be changed and looked at."""

    def __init__(self, pipeline: Pipeline = LINE) -> None:
        self.pipeline = pipeline
        self.world = World(pipeline, contents=dict.fromkeys(pipeline.sources(), "first"))
        self.rows: dict[tuple[str, str], Mapping[str, object]] = settled(pipeline, self.world)

    def entries(self, *, selected: list[str] | None = None, forced: bool = False) -> list[Forecast]:
        """Return the forecast."""
        plan = simulated_plan(self.pipeline, rows=_rows(self.rows), selected=selected, forced=forced)
        return forecast(plan, lambda name: measured(plan, self.world, name))

    def told(self, *, selected: list[str] | None = None, forced: bool = False) -> list[tuple[str, str, str]]:
        """Return step, outlook and reason of each entry."""
        return [(item.step, item.outlook, item.reason) for item in self.entries(selected=selected, forced=forced)]


def _rows(rows: Mapping[tuple[str, str], Mapping[str, object]]) -> Rows:
    return dict(rows)


class TestForecast:
    """Given what the last night left, then what a run would do now."""

    def test_nothing_new(self) -> None:
        """Given nothing new, then every step is skipped: the first for its source, the others as up to date."""
        assert [
            ("a", "skip", "no_new_data"),
            ("b", "skip", "up_to_date"),
            ("c", "skip", "up_to_date"),
        ] == Case().told()

    def test_new_data(self) -> None:
        """Given a new source, then its reader runs, and what lies below depends on what that writes."""
        case = Case()
        case.world.contents["raw"] = "second"

        entries = case.entries()

        assert [
            ("a", "run", "input_changed"),
            ("b", "depends", "upstream_runs"),
            ("c", "depends", "upstream_runs"),
        ] == [(item.step, item.outlook, item.reason) for item in entries]
        assert [{"upstream": ["a"]}, {"upstream": ["b"]}] == [dict(item.evidence) for item in entries[1:]]
        assert "input:raw" == entries[0].evidence["component"]

    def test_never_run(self) -> None:
        """Given no history and nothing written, then the first step runs, and the others depend on it."""
        case = Case()
        case.rows = {}
        case.world.contents = {"raw": "first"}

        assert [
            ("a", "run", "never_succeeded"),
            ("b", "depends", "upstream_runs"),
            ("c", "depends", "upstream_runs"),
        ] == case.told()

    def test_forced(self) -> None:
        """Given `--force`, then everything runs."""
        assert {("run", "forced")} == {told[1:] for told in Case().told(forced=True)}

    def test_new_code_below_runs_whatever_comes(self) -> None:
        """Given new data and new code further down, then the step with new code runs in any case."""
        case = Case()
        case.world.contents["raw"] = "second"
        case.world.code["c"] = 1

        assert [("b", "depends", "upstream_runs"), ("c", "run", "code_changed")] == case.told()[1:]

    def test_an_output_changed_by_hand_is_written_again(self) -> None:
        """Given a touched dataset, then its writer runs; its reader depends, since the writer may leave what was there before."""
        case = Case()
        case.world.contents["a"] = "touched"

        assert [
            ("a", "run", "output_changed"),
            ("b", "depends", "upstream_runs"),
            ("c", "depends", "upstream_runs"),
        ] == case.told()

    def test_an_input_changed_below_a_run_with_another_reason(self) -> None:
        """Given a step that reads a touched dataset and a new source, then it runs for the source."""
        case = Case(data_pipeline({"a": ["raw"], "b": ["a", "other"]}))
        case.world.contents.update({"a": "touched", "other": "second"})

        entries = case.entries()

        assert [("a", "run", "output_changed"), ("b", "run", "input_changed")] == [
            (item.step, item.outlook, item.reason) for item in entries
        ]
        assert "input:other" == entries[1].evidence["component"]

    def test_a_dataset_that_it_did_not_read_before(self) -> None:
        """Given a step whose last success read nothing, then its new input is a difference whatever the writer leaves."""
        case = Case()
        material = {"recipe": 1, "command": {"argv": ["true"]}, "code": {"b.py": "0"}}
        case.rows["b", ""] = row(key=key_digest(material), components=material)
        case.world.contents["raw"] = "second"

        assert ("b", "run", "input_changed") == case.told()[1]

    def test_selection(self) -> None:
        """Given a selection, then what is left out is not selected, and an input that its writer did not leave is not trusted."""
        case = Case()
        case.world.contents["a"] = "touched"

        assert [
            ("a", "skip", "not_selected"),
            ("b", "skip", "input_untrusted"),
            ("c", "skip", "up_to_date"),
        ] == case.told(selected=["b", "c"])

    def test_a_step_that_is_needed_runs(self) -> None:
        """Given an edge without data, then a new success above it is a new reason below; one that depends is none yet."""
        steps = {
            "a": Step("a", ("a",), reads=("raw",), writes=("x",)),
            "b": Step("b", ("b",), needs=("a",)),
            "c": Step("c", ("c",), reads=("x",), writes=("y",)),
            "d": Step("d", ("d",), needs=("c",)),
        }
        datasets = {name: Dataset(name, path=name) for name in ("raw", "x", "y")}
        case = Case(Pipeline("test", steps, datasets))
        case.world.contents["raw"] = "second"

        entries = {item.step: item for item in case.entries()}

        assert ("run", "needs_changed", {"component": "needs:a"}) == (
            entries["b"].outlook,
            entries["b"].reason,
            entries["b"].evidence,
        )
        assert ("depends", "upstream_runs") == (entries["d"].outlook, entries["d"].reason)

    @pytest.mark.parametrize(
        ("new", "expected"),
        [
            (False, [("a", "skip", "no_new_data"), ("b", "skip", "upstream_skipped"), ("c", "skip", "no_failure")]),
            (True, [("a", "run", "input_changed"), ("b", "run", "cleanup"), ("c", "skip", "no_failure")]),
        ],
    )
    def test_clean_up_follows_what_is_attempted(self, expected: list[tuple[str, str, str]], *, new: bool) -> None:
        """Given steps for clean-up and for failures, then the first runs where something above does, the other one not."""
        pipeline = data_pipeline({"a": ["raw"], "b": ["a"], "c": ["a"]}, b={"when": "always"}, c={"when": "on_failure"})
        case = Case(pipeline)
        if new:
            case.world.contents["raw"] = "second"

        assert expected == case.told()

    def test_a_lost_attempt_fails_again(self) -> None:
        """Given a lost attempt that must not be repeated, then it fails, what lies below is skipped, and the repair runs."""
        pipeline = data_pipeline(
            {"a": ["raw"], "b": ["a"], "c": ["b"], "d": ["c"]}, a={"rerun": "never"}, d={"when": "on_failure"}
        )
        case = Case(pipeline)
        case.rows["a", ""] = {**case.rows["a", ""], "last_status": "lost"}

        entries = case.entries()

        assert [
            ("a", "fail", "lost"),
            ("b", "skip", "upstream_failed"),
            ("c", "skip", "upstream_failed"),
            ("d", "run", "upstream_failed"),
        ] == [(item.step, item.outlook, item.reason) for item in entries]
        assert [{"root": "a"}, {"root": "a"}, {"step": "a"}] == [dict(item.evidence) for item in entries[1:]]

    def test_accepted_in_place_of_a_lost_attempt(self) -> None:
        """Given that somebody vouched for a lost attempt of the night, then nothing that runs above it makes the step run."""
        case = Case(data_pipeline({"a": ["raw"], "b": ["a"]}, b={"rerun": "never"}))
        case.rows["b", ""] = {**case.rows["b", ""], "last_status": "accepted", "vouched_night": "2026-01-01"}
        case.world.contents["raw"] = "second"

        assert [("a", "run", "input_changed"), ("b", "skip", "up_to_date")] == case.told()

    def test_renamed_step_keeps_its_history(self) -> None:
        """Given a step and a dataset that were called otherwise, then their history counts and nothing runs."""
        case = Case()
        steps = {**LINE.steps, "b": Step("b", ("true",), reads=("new",), writes=("b",))}
        steps["a"] = attrs.evolve(LINE.steps["a"], writes=("new",), formerly=("a_old",))
        datasets = {**LINE.datasets, "new": Dataset("new", path="a", formerly=("a",))}
        del datasets["a"]
        case.rows["a_old", ""] = case.rows.pop(("a", ""))
        case.pipeline = Pipeline("test", steps, datasets)
        case.world.pipeline = case.pipeline
        case.world.contents["new"] = case.world.contents.pop("a")

        assert {"skip"} == {outlook for _, outlook, _ in case.told()}
