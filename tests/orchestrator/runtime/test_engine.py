"""Tests of the engine in a simulated world: order, parallelism, outcomes, endings."""

from __future__ import annotations

import signal

import attrs
import pytest

from orchestrator.core.decide import Measurement
from orchestrator.core.definition import Dataset, Pipeline, Step
from orchestrator.core.events import AttemptStarted
from orchestrator.core.report import StepReport
from orchestrator.core.state import RunState, fold
from orchestrator.runtime.ports import Launch, Measured, MeasureRequest
from orchestrator.runtime.result import BadResultError
from tests.pipelines import chain, data_pipeline, pipeline_of
from tests.simulated_nights import Night, night
from tests.simulation import (
    SimulatedDigester,
    SimulatedWorkbench,
    World,
)


class EndlessDigester(SimulatedDigester):
    """A digester that never gets to the end of what a decision about `a` asks for."""

    def advance(self) -> list[Measured]:
        """Return everything else."""
        endless = [request for request in self._asked if request.step == "a"]
        self._asked = [request for request in self._asked if request.step != "a"]
        found = super().advance()
        self._asked = endless
        return found


class BlindDigester(SimulatedDigester):
    """A digester that waits for ever for what it was asked of `a` after its end, and of `clean` before its start, as for a probe that does not answer."""

    @staticmethod
    def _never(request: MeasureRequest) -> bool:
        return request.step == ("clean" if request.code else "a")

    @property
    def busy(self) -> bool:
        """Whether something can be done."""
        return any(not self._never(request) for request in self._asked)

    def advance(self) -> list[Measured]:
        """Return everything else."""
        blind = [request for request in self._asked if self._never(request)]
        self._asked = [request for request in self._asked if not self._never(request)]
        found = super().advance()
        self._asked += blind
        return found


class SlowDigester(SimulatedDigester):
    """A digester that gives way once before each answer."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._turn = False

    def advance(self) -> list[Measured]:
        """Return nothing at first, then all that was asked for."""
        self._turn = not self._turn
        return [] if self._turn else super().advance()


class FullDisk(SimulatedWorkbench):
    """A workbench that cannot write the input list of `a`."""

    def prepare(self, step: str, attempt: int, measurement: Measurement) -> Launch:
        """Refuse `a`."""
        if step == "a":
            raise OSError(28, "No space left on device")
        return super().prepare(step, attempt, measurement)


class BadReports(SimulatedWorkbench):
    """A workbench that cannot read the report of `a`."""

    def collect(self, step: str, attempt: int) -> StepReport | None:
        """Refuse `a`."""
        if step == "a":
            raise BadResultError("the report is no JSON")
        return super().collect(step, attempt)


def ends(state: RunState) -> dict[str, tuple[str, str | None]]:
    """Return status and reason of each step."""
    return {name: (step.status, step.reason) for name, step in state.steps.items()}


class TestOrder:
    """Steps run when their upstreams are done, side by side up to the limit."""

    def test_chain_runs_in_order(self) -> None:
        """Given a chain, then its steps start one after the other."""
        tonight = night(chain("a", "b", "c"))

        state = tonight.run()

        assert ("succeeded", ["a", "b", "c"]) == (state.status, tonight.world.starts)

    @pytest.mark.parametrize("limit", [1, 2, 5])
    def test_independent_steps_run_side_by_side_up_to_the_limit(self, limit: int) -> None:
        """Given ten independent steps, then as many run at once as may."""
        tonight = night(pipeline_of({f"s{number}": [] for number in range(10)}))

        tonight.run(max_parallel=limit)

        assert limit == tonight.most_at_once

    def test_nothing_runs_that_is_not_selected(self) -> None:
        """Given a selection, then the other steps are skipped and say so."""
        state = night(pipeline_of({"a": [], "b": []})).run(selected=["b"])

        assert ends(state) == {"a": ("skipped", "not_selected"), "b": ("succeeded", None)}


class TestFailure:
    """A failure ends what lies below it and nothing else."""

    @pytest.mark.parametrize(
        ("behaviour", "reason", "error_class"),
        [
            ("exit:1", "exit", "permanent"),
            ("exit:75", "exit", "transient"),
            ("signal:9", "signal", "infrastructure"),
            ("not_started", "not_started", "misuse"),
            ("missing", "missing_output", "permanent"),
        ],
    )
    def test_reason_and_class(self, behaviour: str, reason: str, error_class: str) -> None:
        """Given how an attempt ended, then its reason and its class."""
        state = night(data_pipeline({"a": ["raw"]}), a=behaviour).run()

        assert ("failed", reason, error_class) == (
            state.step("a").status,
            state.step("a").reason,
            state.step("a").error_class,
        )

    def test_downstream_is_skipped_and_names_the_root(self) -> None:
        """Given a failure, then everything below is skipped, and what stands beside it runs."""
        state = night(pipeline_of({"a": [], "b": ["a"], "c": ["b"], "d": []}), a="exit:1").run()

        assert ends(state) == {
            "a": ("failed", "exit"),
            "d": ("succeeded", None),
            "b": ("skipped", "upstream_failed"),
            "c": ("skipped", "upstream_failed"),
        }
        assert state.status == "failed"

    def test_timeout(self) -> None:
        """Given a step that hangs, then its timeout ends it and its class is transient."""
        pipeline = Pipeline("test", {"a": Step("a", command=("sleep",), timeout_us=5_000_000)})

        state = night(pipeline, a="hang").run()

        assert ("failed", "timeout", "transient") == (
            state.step("a").status,
            state.step("a").reason,
            state.step("a").error_class,
        )

    def test_fail_fast_ends_what_runs(self) -> None:
        """Given `fail_fast`, then the first failure cancels what runs and nothing more starts."""
        pipeline = attrs.evolve(pipeline_of({"a": [], "b": [], "c": ["b"]}), fail_fast=True)

        state = night(pipeline, a="exit:1", b="hang").run()

        assert ends(state) == {
            "a": ("failed", "exit"),
            "b": ("cancelled", "cancelled"),
            "c": ("skipped", "run_ended"),
        }
        assert state.status == "failed"

    def test_signal_after_fail_fast(self) -> None:
        """Given a run that a failure is ending, when a signal comes, then it has failed all the same, with exit code 1."""
        pipeline = attrs.evolve(pipeline_of({"a": [], "b": []}), fail_fast=True)
        tonight = night(pipeline, a="exit:1", b="hang")
        tonight.world.stubborn.add("b")

        assert tonight.run(at=((5_000, signal.SIGTERM),)).status == "failed"

        finished = tonight.store.read_stream("run/run-1")[-1]
        assert (finished.data["exit_code"], ends(fold(tonight.history()))["b"]) == (1, ("cancelled", "cancelled"))

    def test_cleanup_runs_after_a_failure_and_alarm_only_then(self) -> None:
        """Given `always` and `on_failure` steps below a failure, then both run."""
        steps = {
            "work": Step("work", command=("true",)),
            "clean": Step("clean", command=("true",), needs=("work",), when="always"),
            "alarm": Step("alarm", command=("true",), needs=("work",), when="on_failure"),
        }
        failed = night(Pipeline("test", steps), work="exit:1").run()
        fine = night(Pipeline("test", steps)).run()

        assert [failed.step(name).status for name in steps] == ["failed", "succeeded", "succeeded"]
        assert (fine.step("alarm").status, fine.step("alarm").reason) == ("skipped", "no_failure")


class TestNoNewData:
    """Nothing new upstream means nothing to do downstream."""

    def test_reported_no_new_data_is_a_skip_that_counts_as_success(self) -> None:
        """Given a step that reports no new data, then it is skipped and its readers are judged by what is there."""
        tonight = night(data_pipeline({"a": ["raw"], "b": ["a"]}), a="no_new_data")
        tonight.world.contents["a"] = "from before"

        state = tonight.run()

        assert ends(state) == {"a": ("skipped", "no_new_data"), "b": ("succeeded", None)}
        assert state.step("a").key is not None

    def test_reader_of_what_never_was_is_skipped(self) -> None:
        """Given a writer without data and no output from before, then its reader has nothing to read."""
        state = night(data_pipeline({"a": ["raw"], "b": ["a"]}), a="no_new_data").run()

        assert ends(state) == {"a": ("skipped", "no_new_data"), "b": ("skipped", "upstream_skipped")}
        assert state.status == "nothing_to_do"


class TestSignals:
    """A signal to the orchestrator ends the run in order."""

    def test_first_signal_cancels(self) -> None:
        """Given TERM, then what runs is told to end, what waits is skipped, and the exit code is 143."""
        tonight = night(pipeline_of({"a": [], "b": ["a"]}), a="hang")

        state = tonight.run(at=((1_000, signal.SIGTERM),))

        finished = tonight.store.read_stream("run/run-1")[-1]
        assert ends(state) == {"a": ("cancelled", "cancelled"), "b": ("skipped", "run_ended")}
        assert ("cancelled", 143) == (finished.data["status"], finished.data["exit_code"])

    def test_what_is_being_measured_for_a_decision_is_forgotten(self) -> None:
        """Given a huge source that is being looked at, when the run is cancelled, then it ends at once, and clean-up still runs."""
        pipeline = data_pipeline({"a": ["raw"]})
        steps = {**pipeline.steps, "clean": Step("clean", command=("true",), needs=("a",), when="always")}
        steps["work"] = Step("work", command=("true",))
        tonight = night(attrs.evolve(pipeline, steps=steps), work="hang")
        tonight.world.contents["raw"] = "1"
        tonight.digester = EndlessDigester

        state = tonight.run(at=((0, signal.SIGTERM),))

        assert ends(state)["a"] == ("skipped", "run_ended")
        assert state.status == "cancelled"

    def test_clean_up_still_runs_after_the_first_and_is_killed_by_the_second(self) -> None:
        """Given a hanging clean-up, then the second signal ends it by force."""
        steps = {
            "work": Step("work", command=("true",)),
            "clean": Step("clean", command=("true",), needs=("work",), when="always"),
        }
        tonight = night(Pipeline("test", steps), work="hang", clean="hang")

        state = tonight.run(at=((1_000, signal.SIGINT), (9_000_000, signal.SIGINT)))

        assert ends(state) == {"work": ("cancelled", "cancelled"), "clean": ("cancelled", "cancelled")}

    @pytest.mark.parametrize(
        ("at", "over_us"),
        [([1_000_000], 11_000_000), ([1_000_000, 3_000_000], 3_000_000), ([1_000_000] * 2, 1_000_000)],
    )
    def test_outputs_that_are_being_looked_at(self, at: list[int], over_us: int) -> None:
        """Given outputs that nobody gets to the end of, then the first signal leaves them the grace of the step, the second one no time."""
        tonight = night(data_pipeline({"a": ["raw"], "b": ["a"]}))
        tonight.digester, began_us = BlindDigester, tonight.clock.us

        state = tonight.run(at=tuple((moment, signal.SIGTERM) for moment in at))

        assert ends(state) == {"a": ("cancelled", "cancelled"), "b": ("skipped", "run_ended")}
        assert "had been looked at" in str(state.step("a").message)
        assert over_us <= tonight.clock.us - began_us < over_us + 1_000_000
        tonight.digester = SimulatedDigester
        assert tonight.run().status == "succeeded"

    def test_outputs_that_are_being_looked_at_when_the_deadline_passes(self) -> None:
        """Given a deadline, then outputs get the grace of their step after it, and the step is one that it has ended."""
        pipeline = attrs.evolve(data_pipeline({"a": ["raw"]}), deadline_us=60_000_000)
        tonight = night(pipeline)
        tonight.digester, began_us = BlindDigester, tonight.clock.us

        state = tonight.run()

        assert (ends(state), state.status) == ({"a": ("cancelled", "deadline")}, "timed_out")
        assert 70_000_000 <= tonight.clock.us - began_us < 71_000_000

    def test_outputs_of_clean_up_have_their_time_until_somebody_forces_the_end(self) -> None:
        """Given clean-up that writes and ends well, then its outputs are waited for, also after its grace, until a second signal."""
        pipeline = data_pipeline({"a": []})
        clean_up = attrs.evolve(pipeline.steps["a"], needs=("work",), when="always")
        steps = {"work": Step("work", command=("true",)), "a": clean_up}
        tonight = night(attrs.evolve(pipeline, steps=steps), work="hang")
        tonight.digester, began_us = BlindDigester, tonight.clock.us

        state = tonight.run(at=((1_000, signal.SIGINT), (60_000_000, signal.SIGINT)))

        assert ends(state) == {"work": ("cancelled", "cancelled"), "a": ("cancelled", "cancelled")}
        assert 60_000_000 <= tonight.clock.us - began_us < 61_000_000

    def test_clean_up_that_waits_to_be_decided(self) -> None:
        """Given clean-up whose inputs nobody gets to the end of, then it is left out by the second signal."""
        steps = {
            "work": Step("work", command=("true",)),
            "clean": Step("clean", command=("true",), needs=("work",), when="always"),
        }
        tonight = night(Pipeline("test", steps), work="hang")
        tonight.digester = BlindDigester

        state = tonight.run(at=((1_000, signal.SIGINT), (9_000_000, signal.SIGINT)))

        assert ends(state) == {"work": ("cancelled", "cancelled"), "clean": ("skipped", "run_ended")}


class TestResume:
    """A run that goes on: what had succeeded stays, unless something above it is attempted again and changes it."""

    @staticmethod
    def row(tonight: Night, step: str, attempt: int = 1, **changes: object) -> dict[str, object]:
        """Return the baseline that the success of *step* in this run has left."""
        state = fold(tonight.history("run-1")).step(step)
        own: dict[str, object] = {
            "run_id": "run-1",
            "attempt": attempt,
            "last_run_id": "run-1",
            "last_attempt": attempt,
        }
        found = {"key": state.key, "components": state.components, "outputs": state.outputs, "last_status": "succeeded"}
        return own | found | changes

    def test_success_stays_without_an_event(self) -> None:
        """Given a success and a failure, then the resumed run attempts the failure alone."""
        tonight = night(data_pipeline({"a": ["raw"], "b": ["a"]}), b="exit:1")
        tonight.run()
        tonight.world.behaviour = {}

        state = tonight.run(rows={("a", ""): self.row(tonight, "a")})

        assert (tonight.world.starts, state.status) == (["a", "b", "b"], "succeeded")
        assert (state.step("b").attempt, state.kept) == (2, {"a"})

    @pytest.mark.parametrize("there", [False, True], ids=["missing", "never measured"])
    def test_output_that_is_declared_only_now(self, *, there: bool) -> None:
        """Given a definition by which a success writes one more dataset, then it is attempted again, and the evidence names that dataset."""
        tonight = night(data_pipeline({"a": ["raw"], "b": ["a"]}), b="exit:1")
        tonight.run()
        steps = dict(tonight.world.pipeline.steps)
        steps["a"] = attrs.evolve(steps["a"], writes=("a", "more"))
        datasets = {**tonight.world.pipeline.datasets, "more": Dataset("more", path="more")}
        tonight.world.pipeline = attrs.evolve(tonight.world.pipeline, steps=steps, datasets=datasets)
        if there:
            tonight.world.contents["more"] = "by hand"

        state = tonight.run(rows={("a", ""): self.row(tonight, "a")})

        (again,) = [
            event
            for event in tonight.history("run-1")
            if isinstance(event, AttemptStarted) and event.attempt == 2 and event.step == "a"
        ]
        assert (again.reason, again.evidence["dataset"]) == ("output_new", "more")
        assert state.step("a").outputs["more"] == tonight.world.digest("more")

    def test_cancelled_while_outputs_are_measured(self) -> None:
        """Given outputs that take for ever to measure, when the run is cancelled again, then their step stays as it was."""
        tonight = night(data_pipeline({"a": ["raw"], "b": ["a"], "w": ["raw"]}), b="exit:1", w="hang")
        tonight.run(at=((2_000_000, signal.SIGTERM),))
        tonight.world.behaviour = {"w": "hang"}
        tonight.digester = EndlessDigester

        state = tonight.run(at=((0, signal.SIGTERM),), rows={("a", ""): self.row(tonight, "a")})

        assert (state.step("a").status, state.status) == ("succeeded", "cancelled")
        assert ends(state)["b"] == ("skipped", "run_ended")

    def test_what_lies_below_a_step_that_fails_now(self) -> None:
        """Given a lost output whose step fails when it is attempted again, then what had succeeded below it is skipped, as in any run."""
        tonight = night(data_pipeline({"a": ["raw"], "b": ["a"], "c": ["raw"]}), c="exit:1")
        tonight.run()
        tonight.world.contents.pop("a")
        tonight.world.behaviour = {"a": "exit:1"}

        rows = {(name, ""): self.row(tonight, name) for name in "ab"}
        state = tonight.run(rows=rows)

        assert ends(state)["b"] == ("skipped", "upstream_failed")
        assert (state.step("a").attempt, state.step("b").attempt) == (2, 1)

    def test_clean_up_follows_what_is_attempted_again(self) -> None:
        """Given a clean-up that succeeded after a failure, then it runs again where what it cleans up after does, and stays where that stays."""
        steps = {
            "work": Step("work", command=("true",)),
            "clean": Step("clean", command=("true",), needs=("work",), when="always"),
            "other": Step("other", command=("true",)),
        }
        tonight = night(Pipeline("test", steps), work="exit:1", other="exit:1")
        tonight.run()
        assert tonight.run(rows={("clean", ""): self.row(tonight, "clean")}).step("clean").attempt == 2
        tonight.world.behaviour = {"other": "exit:1"}
        tonight.run(rows={("clean", ""): self.row(tonight, "clean", 2)})
        rows = {("work", ""): self.row(tonight, "work", 3), ("clean", ""): self.row(tonight, "clean", 3)}

        state = tonight.run(rows=rows)

        assert (state.step("work").attempt, state.step("clean").attempt, state.step("other").attempt) == (3, 3, 4)


class TestWorkbench:
    """What goes wrong around a process is told like what goes wrong in it."""

    def test_input_list_that_cannot_be_written(self) -> None:
        """Given a full disk, then the attempt has not started, its step failed, and the rest goes on."""
        tonight = night(pipeline_of({"a": [], "b": []}))
        tonight.workbench = FullDisk

        state = tonight.run()

        assert ends(state) == {"a": ("failed", "not_started"), "b": ("succeeded", None)}
        assert state.step("a").message == (
            "could not start: its input list could not be written: No space left on device"
        )
        assert tonight.world.starts == ["b"]

    def test_report_that_cannot_be_read(self) -> None:
        """Given a bad report, then its step failed although it exited well."""
        tonight = night(pipeline_of({"a": [], "b": []}))
        tonight.workbench = BadReports

        assert ends(tonight.run()) == {"a": ("failed", "bad_result"), "b": ("succeeded", None)}

    def test_digests_that_take_their_time(self) -> None:
        """Given measurements of several turns, then the loop comes back to them."""
        tonight = night(data_pipeline({"a": ["raw"], "b": ["a"]}))
        tonight.digester = SlowDigester

        assert tonight.run().status == "succeeded"
        assert tonight.world.contents == tonight.world.recomputed()

    def test_large_key_is_kept_once(self) -> None:
        """Given a step with many inputs, then the event points to the components of its key."""
        tonight = night(data_pipeline({"a": [f"raw{number}" for number in range(100)]}))
        tonight.run()
        started = next(item.data for item in tonight.store.read_stream("run/run-1") if item.type == "attempt.started")
        components = started["components"]

        assert isinstance(components, dict)
        assert components == {"blob": started["key"]}
        assert tonight.store.blob(str(started["key"])) is not None


class TestEndOfARun:
    """Once a run is ending, nothing begins that is not for its end."""

    def test_start_that_was_decided_in_the_turn_of_the_failure_is_ended(self) -> None:
        """Given a step that is to start in the turn in which another fails, then `fail_fast` ends it like what runs."""
        steps = {"a": Step("a", command=("true",)), "c": Step("c", command=("true",), rerun="never")}
        lost: dict[str, object] = dict.fromkeys(("key", "components", "outputs", "run_id", "attempt"))
        lost |= {"last_status": "lost", "last_run_id": "run-0", "last_attempt": 1}

        state = night(Pipeline("test", steps, fail_fast=True), a="hang").run(rows={("c", ""): lost})

        assert ends(state) == {"a": ("cancelled", "cancelled"), "c": ("failed", "lost")}

    def test_step_that_is_looked_at_together_with_the_outputs_of_the_failure(self) -> None:
        """Given what a step has left and what another is to read, known at once, where the first is a failure, then `fail_fast` skips the other, once."""
        a = Step("a", command=("true",), writes=("out",), uses={"one": 1})
        b = Step("b", command=("true",), uses={"one": 1})
        both = Pipeline("test", {"a": a, "b": b}, {"out": Dataset("out", path="out")}, fail_fast=True, pools={"one": 1})
        tonight = night(both, a="missing")
        tonight.digester = SlowDigester

        assert ends(tonight.run()) == {"a": ("failed", "missing_output"), "b": ("skipped", "run_ended")}

    def test_step_that_waits_for_room_does_not_start(self) -> None:
        """Given a step that was found to run and has no room yet, when the run is cancelled, then it is skipped."""
        tonight = night(pipeline_of({"a": [], "b": []}), a="hang")

        state = tonight.run(at=((1_000, signal.SIGTERM),), max_parallel=1)

        assert ends(state) == {"a": ("cancelled", "cancelled"), "b": ("skipped", "run_ended")}

    def test_clean_up_goes_on_after_the_first_signal(self) -> None:
        """Given a running step that is for the end, then the first signal lets it end by itself."""
        tonight = night(pipeline_of({"work": [], "clean": ["work"]}))
        steps = {**tonight.world.pipeline.steps}
        steps["clean"] = attrs.evolve(steps["clean"], when="always")
        tonight.world.pipeline = attrs.evolve(tonight.world.pipeline, steps=steps)
        tonight.world.duration_us["clean"] = 5_000_000

        state = tonight.run(at=((1_000_000, signal.SIGTERM),))

        assert ends(state) == {"work": ("succeeded", None), "clean": ("succeeded", None)}


class TestGroupCommit:
    """Events of one turn are recorded in one transaction, before anything is started."""

    def test_one_append_a_turn(self) -> None:
        """Given a chain, then each step costs one append: its end, and the start of the next."""
        tonight = night(chain(*(f"s{number}" for number in range(50))))

        tonight.run()

        assert tonight.store.appends <= 50 + 3

    def test_a_store_that_fails_starts_nothing_more(self) -> None:
        """Given a store that refuses, then the attempt whose start was to be recorded is not started."""
        tonight = night(chain("a", "b"))
        tonight.store.fail_at = 2

        with pytest.raises(OSError, match="simulated"):
            tonight.run()

        assert tonight.world.starts == ["a"]
