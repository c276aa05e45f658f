"""Tests of what decisions compare with: rows of the ledger, across renamed steps and datasets."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.baselines import Row, step_baselines
from orchestrator.core.decide import NEVER_RUN, Baseline
from orchestrator.core.definition import Dataset, Pipeline, Step
from orchestrator.core.fingerprint import Material, key_components, key_digest

MATERIAL = key_components(Material({"argv": ["x"]}, inputs={"old_data": "sha256:d"}, needs={"old_step": "run-0/1"}))
ROW: Row = {
    "key": key_digest(MATERIAL),
    "components": MATERIAL,
    "outputs": {"old_out": "sha256:o", "gone": None},
    "run_id": "run-0",
    "attempt": 2,
    "last_status": "failed",
    "last_run_id": "run-1",
    "last_attempt": 1,
}


def load(value: object) -> Mapping[str, object]:
    """Return a column as it is."""
    assert isinstance(value, Mapping)
    return value


def baseline(step: Step, rows: dict[tuple[str, str], Row], *, datasets: tuple[Dataset, ...] = ()) -> Baseline:
    """Return the baseline of *step* for the night of 2026-01-01."""
    others = Step("step", ("x",), formerly=("old_step",))
    pipeline = Pipeline("p", {step.name: step, "step": others}, {item.name: item for item in datasets})
    return step_baselines(pipeline, rows, night="2026-01-01", load=load)[step.name]


class TestStepBaselines:
    """Given rows, then what a step compares itself with."""

    def test_never_run(self) -> None:
        """Given no row, then there is nothing to compare with."""
        assert NEVER_RUN == baseline(Step("a", ("x",)), {})

    def test_last_success_and_last_attempt(self) -> None:
        """Given a success and a later failure, then both are there."""
        material = key_components(Material({"argv": ["x"]}))
        row = {**ROW, "components": material, "key": key_digest(material)}

        assert Baseline(
            key=key_digest(material),
            components=material,
            outputs={"old_out": "sha256:o", "gone": None},
            success="run-0/2",
            last_status="failed",
            last_attempt="run-1/1",
        ) == baseline(Step("a", ("x",)), {("a", ""): row})

    def test_an_attempt_without_a_success(self) -> None:
        """Given only a failed attempt, then it alone is known."""
        row = dict.fromkeys(ROW) | {"last_status": "failed", "last_run_id": "run-1", "last_attempt": 1}

        assert Baseline(last_status="failed", last_attempt="run-1/1") == baseline(Step("a", ("x",)), {("a", ""): row})

    def test_an_attempt_whose_outputs_nobody_measured_is_lost(self) -> None:
        """Given an attempt that ended well in a run that died before its step had its end, then it counts as lost, whatever succeeded before."""
        for status, expected in (("succeeded", "lost"), ("no_new_data", "lost"), ("accepted", "accepted")):
            found = baseline(Step("a", ("x",)), {("a", ""): {**ROW, "last_status": status}})

            assert (found.last_status, found.success) == (expected, "run-0/2")

    def test_a_lost_attempt_that_was_accepted(self) -> None:
        """Given one, then the run that it was accepted in and the night that it was for are known."""
        row = {**ROW, "last_status": "accepted", "vouched_run": "run-2", "vouched_night": "2026-01-01"}

        found = baseline(Step("a", ("x",)), {("a", ""): row})

        assert (found.vouched_run, found.vouched_night) == ("run-2", "2026-01-01")

    def test_a_renaming_changes_no_key(self) -> None:
        """Given renamed datasets, steps and the step itself, then its history counts, under the present names."""
        datasets = (Dataset("data", formerly=("old_data",)), Dataset("out", formerly=("old_out",)))
        material = key_components(Material({"argv": ["x"]}, inputs={"data": "sha256:d"}, needs={"step": "run-0/1"}))

        found = baseline(Step("a", ("x",), formerly=("b", "c")), {("c", ""): ROW}, datasets=datasets)

        assert (key_digest(material), material) == (found.key, found.components)
        assert {"out": "sha256:o", "gone": None} == found.outputs

    def test_the_present_name_comes_first(self) -> None:
        """Given rows under the present and a former name, then the present one counts."""
        other = dict.fromkeys(ROW) | {"last_status": "lost"}

        found = baseline(Step("a", ("x",), formerly=("b",)), {("b", ""): ROW, ("a", ""): other})

        assert "lost" == found.last_status

    def test_night_by_night(self) -> None:
        """Given a step that is counted night by night, then only the row of the run's night counts."""
        step = Step("a", ("x",), per_night=True)

        assert NEVER_RUN == baseline(step, {("a", ""): ROW, ("a", "2026-01-02"): ROW})
        assert "failed" == baseline(step, {("a", "2026-01-01"): ROW}).last_status
