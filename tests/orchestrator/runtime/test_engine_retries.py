"""Tests of what the engine does over time: other attempts, deadlines, and shares of pools."""

from __future__ import annotations

import signal

import attrs
import pytest

from ledger.events import NewEvent
from orchestrator.core.definition import Pipeline, RetryPolicy, Step, When
from orchestrator.core.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    RetryScheduled,
    StepFinished,
    event_data,
    event_type,
)
from orchestrator.core.retry import delay_us
from orchestrator.core.state import fold
from orchestrator.runtime.recovery import closing_events
from tests.pipelines import chain, data_pipeline, pipeline_of
from tests.simulated_nights import Killer, Night, Ticker, night

SECOND = 1_000_000
THRICE = RetryPolicy(attempts=3, delay_us=10 * SECOND)


def retrying(pipeline: Pipeline, name: str = "a", policy: RetryPolicy = THRICE, when: When = "upstream_ok") -> Pipeline:
    """Return *pipeline* with a step that is tried again."""
    step = attrs.evolve(pipeline.steps[name], retry=policy, when=when)
    return attrs.evolve(pipeline, steps={**pipeline.steps, name: step})


def told(history: list[Event], step: str = "a") -> list[object]:
    """Return what was recorded of *step*, in a few words each."""
    words: list[object] = []
    for event in history:
        match event:
            case AttemptStarted(step=name, attempt=attempt, reason=reason) if name == step:
                words.append(("started", attempt, reason))
            case AttemptFinished(step=name, status=status, reason=reason) if name == step:
                words.append((status, reason))
            case RetryScheduled(step=name, attempt=attempt, delay_us=delay) if name == step:
                words.append(("again", attempt, delay))
            case StepFinished(step=name, status=status, reason=reason, attempts=attempts) if name == step:
                words.append(("step", status, reason, attempts))
    return words


class TestRetries:
    """A failed attempt is tried again as the step's `retry` says."""

    def test_until_it_succeeds(self) -> None:
        """Given two transient failures, then two waits, doubled, and what lies below runs after the third attempt."""
        tonight = night(retrying(chain("a", "b")))
        tonight.world.first["a"] = ["exit:75", "signal:9"]

        state = tonight.run()

        assert told(tonight.history()) == [
            ("started", 1, "never_succeeded"),
            ("failed", "exit"),
            ("again", 2, 10 * SECOND),
            ("started", 2, "retry"),
            ("failed", "signal"),
            ("again", 3, 20 * SECOND),
            ("started", 3, "retry"),
            ("succeeded", None),
            ("step", "succeeded", None, 3),
        ]
        assert ("succeeded", ["a", "a", "a", "b"]) == (state.status, tonight.world.starts)
        assert tonight.clock.us >= 30 * SECOND

    def test_until_no_attempt_is_left(self) -> None:
        """Given failures only, then the step fails as its last attempt did, after as many as are allowed."""
        tonight = night(retrying(chain("a", "b")), a="exit:75")

        state = tonight.run()

        assert told(tonight.history())[-2:] == [("failed", "exit"), ("step", "failed", "exit", 3)]
        assert ("failed", "skipped", ["a", "a", "a"]) == (state.status, state.step("b").status, tonight.world.starts)

    @pytest.mark.parametrize("behaviour", ["exit:1", "not_started", "missing"])
    def test_only_classes_that_are_named(self, behaviour: str) -> None:
        """Given a failure of another class, then there is one attempt."""
        tonight = night(retrying(data_pipeline({"a": ["raw"]})), a=behaviour)

        tonight.run()

        assert ["a"] == tonight.world.starts

    def test_others_go_on_meanwhile(self) -> None:
        """Given one place only, then a step that waits leaves it to others."""
        tonight = night(retrying(pipeline_of({"a": [], "b": [], "c": []})))
        tonight.world.first["a"] = ["exit:75"]

        tonight.run(max_parallel=1)

        assert ["a", "b", "c", "a"] == tonight.world.starts

    def test_inputs_are_those_of_the_attempt(self) -> None:
        """Given an input that changes during the wait, then the next attempt is recorded with what it finds."""
        tonight = night(retrying(data_pipeline({"a": ["raw"]})), a="exit:75")
        tonight.run()
        keys = [event.key for event in tonight.history() if isinstance(event, AttemptStarted)]
        assert 1 == len(set(keys))

        class Changing(type(tonight.world.contents)):  # type: ignore[misc]
            """Contents in which the source is another one at each look."""

            def get(self, name: str, default: str | None = None) -> str | None:
                """Return what is in *name* now."""
                return f"{len(tonight.world.starts)}" if name == "raw" else super().get(name, default)

        tonight.world.contents = Changing(tonight.world.contents)
        tonight.run(run_id="run-2")

        keys = [event.key for event in tonight.history("run-2") if isinstance(event, AttemptStarted)]
        assert 3 == len(set(keys))

    def test_same_times_when_it_is_played_again(self) -> None:
        """Given jitter, then the delays are those that run, step and attempt give, and not those of another run."""
        policy = attrs.evolve(THRICE, jitter=1.0)
        one, other = night(retrying(chain("a"), policy=policy), a="exit:75"), night(retrying(chain("a")), a="exit:75")
        one.run()
        other.run(run_id="run-2")

        delays = [event.delay_us for event in one.history() if isinstance(event, RetryScheduled)]
        expected = [delay_us(policy, run_id="run-1", step="a", attempt=n, tried=n) for n in (1, 2)]
        assert expected == delays
        assert 10 * SECOND not in delays


class TestEndOfTheRun:
    """Nothing is tried again in a run that ends."""

    def test_cancelled_while_it_waits(self) -> None:
        """Given TERM during the wait, then the step fails as its attempt did, and says that it was not tried again."""
        tonight = night(retrying(chain("a")), a="exit:75")

        state = tonight.run(at=((5 * SECOND, signal.SIGTERM),))

        end = tonight.history()[-2]
        assert isinstance(end, StepFinished)
        assert ("failed", "exit", "transient", {"exit_code": 75, "not_retried": "cancelled"}) == (
            end.status,
            end.reason,
            end.error_class,
            end.evidence,
        )
        assert ("cancelled", ["a"]) == (state.status, tonight.world.starts)
        assert tonight.clock.us < 10 * SECOND

    def test_cleanup_is_tried_again(self) -> None:
        """Given a clean-up that fails while the run is ending, then it is tried again, until somebody forces the end."""
        pipeline = retrying(pipeline_of({"a": [], "z": ["a"]}), "z", when="always")
        once, twice = night(pipeline, a="hang"), night(pipeline, a="hang", z="exit:75")
        once.world.first["z"] = ["exit:75"]

        once.run(at=((5 * SECOND, signal.SIGTERM),))
        twice.run(at=((5 * SECOND, signal.SIGTERM), (8 * SECOND, signal.SIGTERM)))

        assert (["a", "z", "z"], ["a", "z"]) == (once.world.starts, twice.world.starts)
        assert told(twice.history(), "z")[-1] == ("step", "failed", "exit", 1)

    def test_deadline(self) -> None:
        """Given a run whose time is up, then what runs is ended for that reason, what waits is left, and the run is timed out."""
        pipeline = attrs.evolve(
            retrying(pipeline_of({"a": [], "b": [], "c": ["b"], "z": ["b"]}), "z", when="always"),
            deadline_us=60 * SECOND,
        )
        tonight = night(retrying(pipeline, "a", RetryPolicy(2, 90 * SECOND)), a="exit:75", b="hang")

        state = tonight.run()

        assert {name: (step.status, step.reason) for name, step in state.steps.items()} == {
            "a": ("failed", "exit"),
            "b": ("cancelled", "deadline"),
            "c": ("skipped", "run_ended"),
            "z": ("succeeded", None),
        }
        assert ("timed_out", 60) == (state.status, tonight.clock.us // SECOND - 1)

    def test_deadline_that_is_never_reached(self) -> None:
        """Given a run that is done before, then its deadline changes nothing."""
        assert "succeeded" == night(attrs.evolve(chain("a", "b"), deadline_us=SECOND)).run().status

    def test_deadline_while_it_is_measured(self) -> None:
        """Given a deadline that comes before anything ran, then what is decided later is skipped."""
        tonight = night(attrs.evolve(chain("a", "b"), deadline_us=1), a="hang")

        assert ("timed_out", ["a"]) == (tonight.run().status, tonight.world.starts)


class TestResume:
    """What waited when the orchestrator died waits on when the run is resumed."""

    @staticmethod
    def killed(at_us: int) -> Night:
        """Return a run that was killed at *at_us* after its start, during the wait for the second attempt, and then closed."""
        tonight = night(retrying(chain("a", "b")))
        tonight.world.first["a"] = ["exit:75"]
        tonight.observer = Killer(tonight.clock, tonight.clock.us + at_us)
        with pytest.raises(Killer.DeathError):
            tonight.run()
        state = fold(tonight.history())
        closing = [NewEvent(*event_type(event), event_data(event)) for event in closing_events(state, [])]
        tonight.store.append("run/run-1", closing, expected_version=len(tonight.history()) - 1)
        tonight.observer = Ticker()
        return tonight

    def test_it_waits_for_the_rest(self) -> None:
        """Given a resume before the time has come, then the second attempt starts at that time and not before."""
        tonight = self.killed(4 * SECOND)
        began_us = tonight.clock.us

        state = tonight.run()

        assert told(tonight.history())[2:6] == [
            ("again", 2, 10 * SECOND),
            ("started", 2, "retry"),
            ("succeeded", None),
            ("step", "succeeded", None, 2),
        ]
        assert ("succeeded", ["a", "a", "b"]) == (state.status, tonight.world.starts)
        assert 5 * SECOND < tonight.clock.us - began_us < 7 * SECOND

    def test_time_that_is_over(self) -> None:
        """Given a resume an hour later, then nobody waits."""
        tonight = self.killed(4 * SECOND)
        tonight.clock.us += 3600 * SECOND
        began_us = tonight.clock.us

        tonight.run()

        assert tonight.clock.us - began_us < SECOND

    def test_attempts_go_on_being_counted(self) -> None:
        """Given failures only, then there are as many attempts as without the kill."""
        tonight = self.killed(4 * SECOND)
        tonight.world.behaviour["a"] = "exit:75"

        tonight.run()

        assert told(tonight.history())[-1] == ("step", "failed", "exit", 3)

    def test_cancelled_before_the_time_has_come(self) -> None:
        """Given a resumed run that is cancelled while it waits, then the step fails as its attempt before the resume did."""
        tonight = self.killed(4 * SECOND)

        state = tonight.run(at=((SECOND, signal.SIGTERM),))

        assert ("cancelled", ("failed", "exit")) == (state.status, (state.step("a").status, state.step("a").reason))

    def test_a_failed_step_has_all_its_attempts_again(self) -> None:
        """Given a step whose attempts were used up, then a resumed run tries it as often as a new one."""
        tonight = night(retrying(chain("a")), a="exit:75")
        tonight.run()

        tonight.run()

        assert told(tonight.history())[-1] == ("step", "failed", "exit", 6)


class TestPools:
    """Shares of pools are never exceeded, and whoever waits for them is not overtaken."""

    @staticmethod
    def pooled(sizes: dict[str, int], uses: dict[str, dict[str, int]]) -> Pipeline:
        """Return independent steps with shares of pools."""
        steps = {name: Step(name, ("true",), uses=shares) for name, shares in uses.items()}
        return Pipeline("test", steps, pools=sizes)

    def test_one_after_the_other(self) -> None:
        """Given a pool of one, then its users run one at a time, and others beside them."""
        pipeline = self.pooled({"db": 1}, {"a": {"db": 1}, "b": {"db": 1}, "c": {"db": 1}, "d": {}, "e": {}})
        tonight = night(pipeline)

        state = tonight.run(max_parallel=5)

        assert ("succeeded", 3) == (state.status, tonight.most_at_once)
        assert ["a", "b", "c"] == [name for name in tonight.world.starts if name in "abc"]

    def test_who_waits_longest_is_next(self) -> None:
        """Given a step that wants the whole pool, then one that wants a part does not go before it for ever."""
        pipeline = self.pooled({"db": 2}, {"a": {"db": 1}, "b": {"db": 2}, "c": {"db": 1}, "d": {"db": 1}})
        tonight = night(pipeline)

        tonight.run(max_parallel=4)

        assert ["a", "b", "c", "d"] == tonight.world.starts
        assert 2 == tonight.most_at_once

    def test_waiting_is_recorded(self) -> None:
        """Given a step that waited for its share, then its start says how long."""
        tonight = night(self.pooled({"db": 1}, {"a": {"db": 1}, "b": {"db": 1}}))
        tonight.world.duration_us["a"] = 7 * SECOND

        tonight.run()

        waited = {item.step: item.waited_us for item in tonight.history() if isinstance(item, AttemptStarted)}
        assert {"a": None, "b": 7 * SECOND} == waited

    def test_shares_come_back_while_it_waits_for_another_attempt(self) -> None:
        """Given a step that is to be tried again, then another one has its share meanwhile."""
        pipeline = retrying(self.pooled({"db": 1}, {"a": {"db": 1}, "b": {"db": 1}}))
        tonight = night(pipeline)
        tonight.world.first["a"] = ["exit:75"]

        tonight.run()

        assert ["a", "b", "a"] == tonight.world.starts

    def test_nobody_waits_in_a_run_that_ends(self) -> None:
        """Given TERM, then what waits for shares is skipped."""
        tonight = night(self.pooled({"db": 1}, {"a": {"db": 1}, "b": {"db": 1}}), a="hang")

        state = tonight.run(at=((SECOND, signal.SIGTERM),))

        assert ("cancelled", ("skipped", "run_ended")) == (
            state.status,
            (state.step("b").status, state.step("b").reason),
        )


def test_two_wait_and_the_first_failure_ends_the_run() -> None:
    """Given fail_fast and two steps that wait to be tried again, when a signal comes, then both end as their last attempt did, each once."""
    pipeline = retrying(retrying(pipeline_of({"a": [], "b": []})), "b")
    told = night(attrs.evolve(pipeline, fail_fast=True), a="exit:75", b="exit:75")
    state = told.run(at=((SECOND, signal.SIGTERM),))
    assert state.status == "cancelled"
    assert {name: (step.status, step.attempt) for name, step in state.steps.items()} == {
        "a": ("failed", 1),
        "b": ("failed", 1),
    }
