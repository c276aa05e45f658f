"""The trace of a run says what its events say, for runs of any shape."""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.semconv._incubating.attributes import cicd_attributes, process_attributes, vcs_attributes
from opentelemetry.semconv.attributes import error_attributes

from ledger.events import RecordedEvent
from ledger.verifier import Checkpoint
from orchestrator.core.definition import RetryPolicy
from orchestrator.core.tracing import span_id_of, trace_id_of
from orchestrator.projections.span_names import (
    ATTEMPT_ATTRIBUTES,
    RESOURCE_ATTRIBUTES,
    RETRY_ATTRIBUTES,
    RUN_ATTRIBUTES,
    STEP_ATTRIBUTES,
)
from orchestrator.projections.span_words import RESULTS
from orchestrator.projections.spans import RunSpans, Span, nanoseconds, spans_of
from tests.pipelines import pipeline_of
from tests.random_runs import killed, nights, recorded
from tests.simulated_nights import Night, night


def told(span: Span) -> tuple[object, ...]:
    """Return what a span says of how something ended, and when."""
    return (span.end_ns, span.attributes["orchestrate.status"], span.attributes.get("orchestrate.reason"))


def ends(events: Sequence[RecordedEvent]) -> list[tuple[object, ...]]:
    """Return when and how each attempt, step and part of the run ended; a step that waited for its next attempt ends with its run."""
    found: list[tuple[object, ...]] = []
    begun: list[object] = []
    for item in events:
        at, data = nanoseconds(item.recorded_at), item.data
        if item.type == "attempt.started" and data["step"] not in begun:
            begun.append(data["step"])
        if item.type == "run.finished":
            found += [(at, "retrying", data["status"]) for _ in begun]
            begun = []
        if item.type in ("attempt.finished", "step.finished", "run.finished"):
            found.append((at, data["status"], data.get("reason")))
        if item.type == "step.finished" and data["step"] in begun:
            begun.remove(data["step"])
    return found


class TestAgreement:
    """Every transition has its span, with the times and results of the ledger."""

    @given(nights())
    def test_each_end_has_one_span(self, tonight: Night) -> None:
        """For any run: the spans are the ends of its attempts, its steps and its parts, one each, with their times and results."""
        events = recorded(tonight)
        spans = spans_of(events)

        assert ends(events) == [told(span) for span in spans]
        for span in spans:
            known = {"cicd.pipeline.result", "cicd.pipeline.task.run.result"} & span.attributes.keys()
            (result,) = (span.attributes[name] for name in known)
            assert result in {*RESULTS.values(), "error"}
            good = result in ("success", "skip")
            assert good == (span.error is None) == ("error.type" not in span.attributes)

    @given(nights())
    def test_starts_are_those_of_the_events(self, tonight: Night) -> None:
        """For any run: an attempt's span begins when its start was recorded, and each span ends after it began."""
        events = recorded(tonight)
        begun = {
            span_id_of("run-1", step=str(item.data["step"]), attempt=int(str(item.data["attempt"]))): nanoseconds(
                item.recorded_at
            )
            for item in events
            if item.type == "attempt.started"
        }
        spans = spans_of(events)

        assert begun == {span.span_id: span.start_ns for span in spans if "orchestrate.attempt" in span.attributes}
        assert all(span.start_ns <= span.end_ns for span in spans)

    @given(nights())
    def test_it_is_one_tree(self, tonight: Night) -> None:
        """For any run: ids are unique, one trace, and each span lies below one that is there, within its time; only the run's have none above."""
        spans = spans_of(recorded(tonight))
        by_id = {span.span_id: span for span in spans}

        assert len(spans) == len(by_id)
        assert 1 == len({span.trace_id for span in spans})
        for span in spans:
            if span.kind == "server":
                assert span.parent_id is None
                continue
            above = by_id[str(span.parent_id)]
            assert above.start_ns <= span.start_ns
            assert span.end_ns <= above.end_ns

    @given(nights(), st.integers(0, 100))
    def test_live_and_after_the_fact(self, tonight: Night, cut: int) -> None:
        """For any run: what is sent event by event, from any place on, is what is sent in the end."""
        events = recorded(tonight)
        live = RunSpans()
        first = [span for event in events[:cut] for span in live.apply(event)]
        rest = [span for event in events[cut:] for span in live.apply(event)]

        assert spans_of(events) == first + rest


class TestNames:
    """The names of what spans carry."""

    @given(nights())
    def test_they_are_described(self, tonight: Night) -> None:
        """For any run: no span, event or resource has an attribute that the reference does not describe."""
        for span in spans_of(recorded(tonight)):
            attempt = "orchestrate.attempt" in span.attributes
            known = RUN_ATTRIBUTES if span.kind == "server" else ATTEMPT_ATTRIBUTES if attempt else STEP_ATTRIBUTES
            names = {re.sub(r"^orchestrate\.steps\..*", "orchestrate.steps.STATUS", name) for name in span.attributes}
            assert names <= known.keys()
            assert span.resource.keys() <= RESOURCE_ATTRIBUTES.keys()
            for _, _, attributes in span.events:
                assert attributes.keys() == RETRY_ATTRIBUTES.keys()

    def test_they_are_those_of_the_conventions(self) -> None:
        """Given the conventions as the SDK's package has them, then each name that is not ours, and each result, is one of theirs."""
        pages = (cicd_attributes, error_attributes, process_attributes, vcs_attributes)
        known = {value for page in pages for value in vars(page).values() if isinstance(value, str)}
        described = (RESOURCE_ATTRIBUTES, RUN_ATTRIBUTES, STEP_ATTRIBUTES, ATTEMPT_ATTRIBUTES)
        assert [
            name for names in described for name in names if not name.startswith("orchestrate.") and name not in known
        ] == []
        for values in (cicd_attributes.CicdPipelineResultValues, cicd_attributes.CicdPipelineTaskRunResultValues):
            assert {*RESULTS.values()} == {value.value for value in values}


class TestWords:
    """What stands in a span."""

    @pytest.mark.parametrize(
        ("behaviour", "result", "error_type"),
        [
            ("ok", "success", None),
            ("no_new_data", "skip", None),
            ("exit:3", "failure", "exit_3"),
            ("signal:11", "failure", "SIGSEGV"),
            ("signal:9", "error", "SIGKILL"),
            ("signal:60", "failure", "signal"),
            ("not_started", "error", "not_started"),
        ],
    )
    def test_results(self, behaviour: str, result: str, error_type: str | None) -> None:
        """Given how an attempt ended, then the result and the type of the error, for the attempt and for its step."""
        tonight = night(pipeline_of({"a": []}), a=behaviour)
        tonight.run()
        attempt, step, run = spans_of(recorded(tonight))

        for span in (attempt, step):
            assert (result, error_type) == (
                span.attributes["cicd.pipeline.task.run.result"],
                span.attributes.get("error.type"),
            )
        assert ("RUN test", "server") == (run.name, run.kind)

    def test_timeout(self) -> None:
        """Given a step whose time was up, then the result says so."""
        pipeline = pipeline_of({"a": []})
        step = attrs.evolve(pipeline.steps["a"], timeout_us=5)
        tonight = night(attrs.evolve(pipeline, steps={"a": step}), a="hang")
        tonight.run()

        assert ["timeout", "timeout"] == [
            span.attributes["cicd.pipeline.task.run.result"] for span in spans_of(recorded(tonight))[:2]
        ]

    def test_deadline(self) -> None:
        """Given a run whose time was up, then what it ended says so, and so does the run."""
        tonight = night(attrs.evolve(pipeline_of({"a": []}), deadline_us=5), a="hang")
        tonight.run()
        attempt, _, run = spans_of(recorded(tonight))

        assert ("timeout", "timeout") == (
            attempt.attributes["cicd.pipeline.task.run.result"],
            run.attributes["cicd.pipeline.result"],
        )

    def test_an_error_that_was_retried(self) -> None:
        """Given a failure before a success, then the step has no error; that it was tried again is an event of its span."""
        pipeline = pipeline_of({"a": []})
        step = attrs.evolve(pipeline.steps["a"], retry=RetryPolicy(2, 7))
        tonight = night(attrs.evolve(pipeline, steps={"a": step}))
        tonight.world.first["a"] = ["exit:75"]
        tonight.run()
        first, second, whole, _ = spans_of(recorded(tonight))

        assert ("exit code", None, None) == (first.error and "exit code", second.error, whole.error)
        ((name, _, attributes),) = whole.events
        assert ("retry.scheduled", {"orchestrate.attempt": 2, "orchestrate.delay_us": 7}) == (name, attributes)

    def test_a_step_that_waited_when_its_run_was_interrupted(self) -> None:
        """Given an orchestrator that dies between two attempts, then the step has a span all the same, and its attempt lies below one that is there."""
        pipeline = pipeline_of({"a": []})
        step = attrs.evolve(pipeline.steps["a"], retry=RetryPolicy(2, 5_000_000))
        tonight = night(attrs.evolve(pipeline, steps={"a": step}), a="exit:75")
        killed(tonight, 3_000_000)
        attempt, whole, run = spans_of(recorded(tonight))

        assert attempt.parent_id == whole.span_id
        assert (whole.parent_id, whole.end_ns) == (run.span_id, run.end_ns)
        assert ("error", "retrying", "interrupted") == (
            whole.attributes["cicd.pipeline.task.run.result"],
            whole.attributes["orchestrate.status"],
            whole.attributes["error.type"],
        )
        assert ["retry.scheduled"] == [name for name, _, _ in whole.events]

    def test_sealed(self) -> None:
        """Given checkpoints, then the span of a run carries the one that was made right after its last event, and no other span does."""
        tonight = night(pipeline_of({"a": []}))
        tonight.run()
        events = recorded(tonight)
        size = events[-1].seq + 1
        seal = Checkpoint("orchestrate-ledger/1", size, bytes(range(32)))
        other = Checkpoint("orchestrate-ledger/1", size + 1, bytes(32))
        *below, run = spans_of(events, checkpoints={size: seal, size + 1: other})

        assert (seal.origin, size, seal.root.hex()) == tuple(
            run.attributes[f"orchestrate.checkpoint.{name}"] for name in ("origin", "size", "root")
        )
        assert not [span for span in below if "orchestrate.checkpoint.size" in span.attributes]
        assert not [
            name for name in spans_of(events, checkpoints={size + 1: other})[-1].attributes if "checkpoint" in name
        ]

    @pytest.mark.parametrize(
        ("traces", "trace_id"), [({}, trace_id_of("run-0", None)), ({"run-0": "ab" * 16}, "ab" * 16)]
    )
    def test_a_reproduced_run(self, traces: dict[str, str], trace_id: str) -> None:
        """Given a run that says what it reproduces, then it is linked to the first part of that, in the trace in which that was."""
        tonight = night(pipeline_of({"a": []}))
        tonight.run()
        begin, *rest = recorded(tonight)
        reproducing = attrs.evolve(begin, data={**begin.data, "reproduces": "run-0"})

        assert ((trace_id, span_id_of("run-0")),) == spans_of([reproducing, *rest], traces=traces)[-1].links
        assert () == spans_of([begin, *rest])[-1].links

    def test_resumed(self) -> None:
        """Given a resumed run, then its second part is a span of its own that goes on from the first, in the same trace."""
        tonight = night(pipeline_of({"a": [], "b": ["a"]}), b="exit:1")
        tonight.run()
        tonight.world.behaviour.clear()
        tonight.run()
        first, second = (span for span in spans_of(recorded(tonight)) if span.kind == "server")

        assert ((), ((first.trace_id, first.span_id),)) == (first.links, second.links)
        assert ("failure", "success") == (
            first.attributes["cicd.pipeline.result"],
            second.attributes["cicd.pipeline.result"],
        )
        assert "failed: step b: exit" == first.error
