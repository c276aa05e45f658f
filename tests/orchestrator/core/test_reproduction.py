"""Tests of what of a run is run again, and of what the result is called."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.decide import Baseline
from orchestrator.core.definition import Dataset, Pipeline
from orchestrator.core.reproduction import (
    VERDICTS,
    Ending,
    RecordedStep,
    StepVerdict,
    first_different,
    other_outcome,
    steps_again,
    worst,
)
from tests.pipelines import data_pipeline

PIPELINE = data_pipeline({"bronze": ["raw"], "silver": ["bronze", "rates"], "gold": ["silver"]})
RUN = "20260131T020000Z-000000000/1"


def recorded(step: str, *, inputs: dict[str, str] | None = None, **changes: object) -> RecordedStep:
    """Return what is recorded of a step that succeeded."""
    read = {name: f"sha256:{name}" for name in PIPELINE.steps[step].reads} if inputs is None else inputs
    found = RecordedStep(
        status="succeeded",
        attempt_status="succeeded",
        components={"inputs": read, "code": {"lib.py": "sha256:lib"}},
        outputs={step: f"sha256:{step}"},
    )
    return attrs.evolve(found, **changes)  # type: ignore[arg-type]


SKIPPED = RecordedStep("skipped", "up_to_date")


def with_step(**changes: object) -> Pipeline:
    """Return the pipeline with another `bronze`."""
    return attrs.evolve(PIPELINE, steps={**PIPELINE.steps, "bronze": attrs.evolve(PIPELINE.steps["bronze"], **changes)})  # type: ignore[arg-type]


class TestStepsAgain:
    """What ran is run again, with what it had."""

    def test_all_of_it(self) -> None:
        """Given a run in which everything ran, then only what nobody writes is an input."""
        again = steps_again(PIPELINE, {name: recorded(name) for name in PIPELINE.steps})
        assert again.steps == ("bronze", "silver", "gold")
        assert again.inputs == {"raw": "sha256:raw", "rates": "sha256:rates"}
        assert again.code == {"lib.py": "sha256:lib"}
        steps = {name: recorded(name) for name in PIPELINE.steps}
        assert (again.problems, again.left_out, again.baselines(PIPELINE, steps)) == ((), {}, {})

    def test_what_was_skipped_is_an_input(self) -> None:
        """Given steps that were skipped, then what they had left stands, and decisions hold it to that."""
        steps = {"bronze": SKIPPED, "silver": recorded("silver"), "gold": SKIPPED}
        again = steps_again(PIPELINE, steps)
        assert (again.steps, again.inputs) == (("silver",), {"bronze": "sha256:bronze", "rates": "sha256:rates"})
        assert again.baselines(PIPELINE, steps) == {"bronze": Baseline(outputs={"bronze": "sha256:bronze"})}

    def test_needs_are_met(self) -> None:
        """Given a step that needs one which is not run again, then the success that it had counts."""
        pipeline = with_step(needs=("gold",))
        steps = {"bronze": recorded("bronze", components={"needs": {"gold": RUN}}), "gold": SKIPPED}
        again = steps_again(pipeline, steps)
        assert again.baselines(pipeline, steps) == {"gold": Baseline(success=RUN)}

    def test_a_step_that_is_new_to_the_record(self) -> None:
        """Given a step that the record lacks, then it is not run."""
        assert steps_again(PIPELINE, {"gold": recorded("gold")}).steps == ("gold",)

    @pytest.mark.parametrize(
        ("step", "record", "said"),
        [
            ({"writes": ()}, {}, "writes no dataset"),
            ({"when": "always"}, {}, 'when = "always"'),
            (
                {},
                {"attempt_status": "lost", "status": "failed", "reason": "lost"},
                "did not come to its own end then (lost)",
            ),
            ({}, {"attempt_status": "cancelled", "status": "cancelled"}, "(cancelled)"),
            ({}, {"attempt_status": "failed", "status": "failed", "reason": "deadline"}, "(deadline)"),
        ],
    )
    def test_left_out(self, step: dict[str, object], record: dict[str, object], said: str) -> None:
        """Given a step of which there is nothing to compare, then it is left out, and it is said why."""
        left = attrs.evolve(recorded("bronze"), **record)  # type: ignore[arg-type]
        again = steps_again(with_step(**step), {"bronze": left, "gold": recorded("gold")})
        assert again.steps == ("gold",)
        assert said in again.left_out["bronze"]

    @pytest.mark.parametrize(
        ("pipeline", "kind"),
        [
            (with_step(rerun="never"), "rerun_never"),
            (
                attrs.evolve(PIPELINE, datasets={**PIPELINE.datasets, "raw": Dataset("raw", probe=("true",))}),
                "probe_dataset",
            ),
            (
                attrs.evolve(
                    PIPELINE, datasets={**PIPELINE.datasets, "raw": Dataset("raw", path="raw", probe=("true",))}
                ),
                "probe_dataset",
            ),
        ],
    )
    def test_what_cannot_be(self, pipeline: Pipeline, kind: str) -> None:
        """Given a step that may not run twice or a dataset that is no file, then that is a problem."""
        assert [problem.kind for problem in steps_again(pipeline, {"bronze": recorded("bronze")}).problems] == [kind]

    def test_nothing_ran(self) -> None:
        """Given a run in which nothing ran, then there is nothing to compare."""
        (problem,) = steps_again(PIPELINE, dict.fromkeys(PIPELINE.steps, SKIPPED)).problems
        assert problem.kind == "nothing_ran"

    def test_what_changed_while_it_was_on(self) -> None:
        """Given steps that read, or ran, different contents of one thing, then it cannot be laid out once, and is named."""
        pipeline = data_pipeline({"a": ["raw"], "b": ["raw"]})
        parts = [{"inputs": {"raw": f"sha256:{name}"}, "code": {"lib.py": f"sha256:{name}"}} for name in "ab"]
        steps = {
            name: RecordedStep("succeeded", attempt_status="succeeded", components=part)
            for name, part in zip("ab", parts, strict=True)
        }
        problems = steps_again(pipeline, steps).problems
        assert [(problem.kind, problem.message.split()[0]) for problem in problems] == [
            ("input_changed", "raw"),
            ("code_changed", "lib.py"),
        ]


class TestOutcome:
    """How a step ended then and now."""

    def test_done_is_done(self) -> None:
        """Given a step that had no new data to write and writes it now, then that is the same end."""
        then = RecordedStep("skipped", "no_new_data", attempt_status="no_new_data")
        assert other_outcome(then, Ending("succeeded")) is None
        assert other_outcome(recorded("gold"), Ending("skipped", "no_new_data")) is None

    @pytest.mark.parametrize(
        ("reason", "exit_code", "signal"),
        [
            ("exit", 3, None),
            ("missing_output", 0, None),
            ("reported", 0, None),
            ("bad_result", 0, None),
            ("signal", None, 11),
            ("timeout", None, 15),
            ("not_started", None, None),
        ],
    )
    def test_the_same_failure(self, reason: str, exit_code: int | None, signal: int | None) -> None:
        """Given a failure, then it is the same where reason, exit code and signal are; that a code is 0 is as good as none."""
        then = RecordedStep("failed", reason, exit_code, attempt_status="failed", signal=signal)
        assert other_outcome(then, Ending("failed", reason, exit_code or None, signal)) is None
        assert other_outcome(then, Ending("failed", "other", exit_code, signal)) is not None

    def test_another_failure(self) -> None:
        """Given another exit code, or none, then both ends are told."""
        then = RecordedStep("failed", "exit", 3, attempt_status="failed")
        assert other_outcome(then, Ending("failed", "exit", 4)) == {
            "expected": "failed (exit, exit code 3)",
            "actual": "failed (exit, exit code 4)",
        }
        assert other_outcome(then, Ending("succeeded")) == {
            "expected": "failed (exit, exit code 3)",
            "actual": "succeeded",
        }
        found = other_outcome(recorded("gold"), Ending("skipped", "upstream_failed"))
        assert found == {"expected": "succeeded", "actual": "skipped (upstream_failed)"}

    def test_another_signal(self) -> None:
        """Given another signal that came by itself, then that is another end; with which one a timeout was carried out is none."""
        then = RecordedStep("failed", "signal", attempt_status="failed", signal=11)
        assert other_outcome(then, Ending("failed", "signal", signal=6)) == {
            "expected": "failed (signal 11)",
            "actual": "failed (signal 6)",
        }
        then = RecordedStep("failed", "timeout", attempt_status="failed", signal=15)
        assert other_outcome(then, Ending("failed", "timeout", signal=9)) is None


class TestWorst:
    """What is made of parts."""

    @given(st.lists(st.sampled_from(VERDICTS), min_size=1))
    def test_law(self, verdicts: list[str]) -> None:
        """Given parts, then the whole is one of them, and none is worse; the order makes no difference."""
        found = worst(verdicts)
        assert found in verdicts
        assert all(VERDICTS.index(verdict) <= VERDICTS.index(found) for verdict in verdicts)
        assert worst(reversed(verdicts)) == found

    def test_nothing(self) -> None:
        """Given nothing that differs, then it is identical."""
        assert worst(()) == "identical"
        assert first_different([StepVerdict("a", "equivalent")]) is None
        assert first_different([StepVerdict("a", "equivalent"), StepVerdict("b", "different")]) == StepVerdict(
            "b", "different"
        )


def test_components_that_are_none() -> None:
    """Given a key without code, then there is none."""
    assert RecordedStep("succeeded").part("code") == {}
