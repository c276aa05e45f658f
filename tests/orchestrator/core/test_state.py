"""Tests of the fold from events to the state of a run."""

from __future__ import annotations

import pytest

from orchestrator.core.errors import InternalError, UnknownEventError
from orchestrator.core.events import (
    EVENT_TYPES,
    AttemptFinished,
    AttemptStarted,
    Event,
    PipelineMoved,
    RetryScheduled,
    RunFinished,
    StepFinished,
    event_data,
    event_from_data,
    event_type,
)
from orchestrator.core.state import PENDING, RESUMABLE, RUN_FINAL, fold, initial_state, verdict
from tests.pipelines import chain
from tests.simulation import run_resumed, run_started, simulated_plan

STARTED = run_started(simulated_plan(chain("a", "b")))
ATTEMPT = AttemptStarted("a", 1, "never_succeeded", {}, "sha256:k", {"recipe": 1})
ENDED = AttemptFinished("a", 1, "succeeded", exit_code=0)
DONE = StepFinished("a", "succeeded", attempts=1, key="sha256:k", outputs={"d": "sha256:o"})
RESUMED = run_resumed(simulated_plan(chain("a", "b")), "failed")
FAILED = StepFinished("a", "failed", "exit", error_class="permanent")

RESUMED_AFTER_FAILURE: list[Event] = [RunFinished("failed", 1, 0, {}), RESUMED]


class TestFold:
    """Given events, then a state."""

    def test_before_its_first_event_a_run_is_pending(self) -> None:
        """A new state knows nothing, and every step is pending."""
        state = initial_state()

        assert ("pending", PENDING, -1) == (state.status, state.step("a"), state.version)

    def test_a_step_that_succeeded_has_its_key_and_outputs(self) -> None:
        """Given a whole attempt, then the step is final, with what a later run compares with."""
        step = fold([STARTED, ATTEMPT, ENDED, DONE]).step("a")

        assert ("succeeded", 1, "sha256:k", {"d": "sha256:o"}) == (step.status, step.attempt, step.key, step.outputs)

    def test_a_lost_attempt_is_told_from_a_failed_one(self) -> None:
        """Given an attempt that nobody saw end, then its status says so."""
        lost = AttemptFinished("a", 1, "failed", "lost", error_class="infrastructure")

        assert fold([STARTED, ATTEMPT, lost]).step("a").attempt_status == "lost"

    def test_folding_in_two_parts_is_folding_at_once(self) -> None:
        """The state after a prefix, folded on, is the state after everything."""
        events: list[Event] = [STARTED, ATTEMPT, ENDED, DONE]

        for cut in range(len(events) + 1):
            assert fold(events) == fold(events[cut:], fold(events[:cut]))

    def test_first_failure_comes_first(self) -> None:
        """Failures are kept in the order in which they were recorded."""
        untrusted = StepFinished("b", "skipped", "input_untrusted")

        assert ["a", "b"] == fold([STARTED, FAILED, untrusted]).failures

    @pytest.mark.parametrize(
        "events",
        [
            [ATTEMPT],
            [STARTED, STARTED],
            [STARTED, ENDED],
            [STARTED, ATTEMPT, ATTEMPT],
            [STARTED, ATTEMPT, DONE],
            [STARTED, DONE, DONE],
            [STARTED, AttemptStarted("a", 2, "forced", {}, "k", {})],
            [STARTED, RetryScheduled("a", 2, "transient", 0, "")],
            [STARTED, ATTEMPT, RetryScheduled("a", 2, "transient", 0, "")],
            [STARTED, ATTEMPT, AttemptFinished("a", 1, "failed"), RetryScheduled("a", 3, "transient", 0, "")],
            [STARTED, ATTEMPT, AttemptFinished("a", 1, "succeeded"), RetryScheduled("a", 2, "transient", 0, "")],
            [STARTED, StepFinished("a", "pending")],
            [STARTED, RunFinished("running", 0, 0, {})],
            [STARTED, RunFinished("succeeded", 0, 0, {}), DONE],
            [PipelineMoved("p", "a", "b", {})],
            [STARTED, RESUMED],
            [STARTED, RunFinished("succeeded", 0, 0, {}), RESUMED],
            [STARTED, RunFinished("cancelled", 1, 0, {}), RESUMED],
            [STARTED, ATTEMPT, ENDED, DONE, *RESUMED_AFTER_FAILURE, ATTEMPT],
            [STARTED, FAILED, *RESUMED_AFTER_FAILURE, RESUMED],
        ],
    )
    def test_an_event_that_cannot_follow_is_a_bug(self, events: list[Event]) -> None:
        """Given a history that no engine writes, then the fold refuses it."""
        with pytest.raises(InternalError, match="this is a bug"):
            fold(events)

    def test_counts_name_every_step(self) -> None:
        """Counting looks at the steps that it is asked about, also those that nothing happened to."""
        assert {"failed": 1, "pending": 1} == fold([STARTED, FAILED]).counts(["a", "b"])


class TestResume:
    """A run that had not ended well goes on."""

    def test_successes_stay_and_all_else_is_open_again(self) -> None:
        """Given a success, a failure and a skip, then only the success is left of them, and attempts are numbered on."""
        lost: list[Event] = [AttemptStarted("b", 1, "x", {}, "k", {}), AttemptFinished("b", 1, "failed", "lost")]
        ends: list[Event] = [StepFinished("b", "failed", "lost"), StepFinished("c", "skipped", "upstream_failed")]
        state = fold([STARTED, ATTEMPT, ENDED, DONE, *lost, *ends, *RESUMED_AFTER_FAILURE])

        assert ("running", [], {"a"}) == (state.status, state.failures, state.kept)
        assert {"a": "succeeded", "b": "pending", "c": "pending"} == {
            name: step.status for name, step in state.steps.items()
        }
        assert (state.step("b").attempt, state.step("b").begun) == (1, 4)
        state.evolve(AttemptStarted("b", 2, "last_attempt_lost", {}, "k", {}))
        assert (state.step("a").begun, state.step("b").attempt, state.step("b").begun) == (1, 2, 10)

    def test_a_success_can_be_attempted_again_or_get_another_end(self) -> None:
        """Given a success from before, then either event may follow once, and it counts as kept no more."""
        before: list[Event] = [STARTED, ATTEMPT, ENDED, DONE, *RESUMED_AFTER_FAILURE]

        again = fold([*before, AttemptStarted("a", 2, "output_changed", {}, "k", {})])
        skipped = fold([*before, StepFinished("a", "skipped", "upstream_failed", attempts=1)])

        assert ("running", set()) == (again.step("a").status, again.kept)
        assert ("skipped", set()) == (skipped.step("a").status, skipped.kept)
        with pytest.raises(InternalError):
            skipped.evolve(DONE)

    def test_a_success_that_is_attempted_again_has_all_its_attempts(self) -> None:
        """Given a success from before the resume, then its next attempt is the first one since it was decided."""
        state = fold([STARTED, ATTEMPT, ENDED, DONE, *RESUMED_AFTER_FAILURE])
        state.evolve(AttemptStarted("a", 2, "output_changed", {}, "k", {}))

        assert 1 == state.step("a").tried

    def test_failures_are_those_since(self) -> None:
        """Given a failure before and none since, then the run has succeeded."""
        ended: list[Event] = [AttemptFinished("b", 1, "succeeded"), StepFinished("b", "succeeded", attempts=1)]
        state = fold([STARTED, FAILED, *RESUMED_AFTER_FAILURE, AttemptStarted("b", 1, "x", {}, "k", {}), *ended])

        assert verdict(state, None, ["a", "b"]) == "succeeded"

    def test_success_of_a_step_that_has_gone_does_not_count(self) -> None:
        """Given a run that went on with a definition without its successes, then its end follows from the steps that are left."""
        state = fold(
            [STARTED, ATTEMPT, ENDED, DONE, *RESUMED_AFTER_FAILURE, StepFinished("b", "skipped", "no_new_data")]
        )

        assert verdict(state, None, ["b"]) == "nothing_to_do"
        assert verdict(state, None, ["a", "b"]) == "succeeded"


class TestVerdict:
    """The final status of a run follows from its steps and from why it ended."""

    @pytest.mark.parametrize(
        ("events", "ending", "expected"),
        [
            ([STARTED, ATTEMPT, ENDED, DONE], None, "succeeded"),
            ([STARTED, StepFinished("a", "skipped", "no_new_data")], None, "nothing_to_do"),
            ([STARTED, FAILED], None, "failed"),
            ([STARTED, FAILED], "fail_fast", "failed"),
            ([STARTED, FAILED], "cancelled", "cancelled"),
            ([STARTED], "deadline", "timed_out"),
            ([STARTED, StepFinished("a", "skipped", "input_untrusted")], None, "failed"),
        ],
    )
    def test_verdict(self, events: list[Event], ending: str | None, expected: str) -> None:
        """Given the steps' ends and why the run ended, then its status."""
        assert expected == verdict(fold(events), ending, ["a"])


class TestStoredForm:
    """Events go to the ledger and come back as they were."""

    @pytest.mark.parametrize("event", [STARTED, ATTEMPT, ENDED, DONE, FAILED])
    def test_round_trip(self, event: Event) -> None:
        """Data of an event gives the same event again."""
        name, version = event_type(event)

        assert event == event_from_data(name, version, event_data(event))

    def test_absent_and_none_are_the_same(self) -> None:
        """A field without a value is not stored."""
        assert "reason" not in event_data(DONE)

    def test_unknown_type_or_version_is_refused(self) -> None:
        """A name or version that the table lacks stops whoever reads it."""
        for name, version in (("run.exploded", 1), ("run.started", 99)):
            with pytest.raises(UnknownEventError, match=name):
                event_from_data(name, version, {})

    def test_every_type_has_a_name_in_the_past_tense(self) -> None:
        """Stored names are `noun.verbed`."""
        assert all(name.partition(".")[2].endswith("ed") for name in EVENT_TYPES)


class TestBetweenAttempts:
    """What is to be tried again waits, also over the death of its orchestrator."""

    FAILED_ONCE = AttemptFinished("a", 1, "failed", "exit", error_class="transient", exit_code=75)
    AGAIN = RetryScheduled("a", 2, "transient", 5_000_000, "2026-01-01T00:00:05.000000Z")

    def test_it_waits(self) -> None:
        """Given a failed attempt and its retry, then the step waits until a time; a run that was lost and goes on finds it waiting."""
        events: list[Event] = [STARTED, ATTEMPT, self.FAILED_ONCE, self.AGAIN]
        over: list[Event] = [
            RunFinished("interrupted", None, None, {}),
            run_resumed(simulated_plan(chain("a")), "interrupted"),
        ]
        for told in (events, events + over):
            step = fold(told).step("a")
            assert (step.status, step.attempt, step.not_before) == ("retrying", 1, self.AGAIN.not_before)

    def test_once(self) -> None:
        """Given a retry that is scheduled already, then a second one is a bug."""
        with pytest.raises(InternalError):
            fold([STARTED, ATTEMPT, self.FAILED_ONCE, self.AGAIN, self.AGAIN])


def test_how_a_run_can_end() -> None:
    """A run that ended well is over, every other one may go on."""
    assert {"failed", "timed_out", "cancelled", "interrupted"} == RESUMABLE
    assert RESUMABLE | {"succeeded", "nothing_to_do"} == RUN_FINAL
