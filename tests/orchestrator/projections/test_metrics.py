"""The metrics of a run say what its events say, for runs of any shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import attrs
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.semconv._incubating.metrics import cicd_metrics

from ledger.events import RecordedEvent
from orchestrator.core.definition import RetryPolicy
from orchestrator.projections.metrics import (
    BOUNDS,
    INSTRUMENTS,
    RUN_DURATION,
    RUN_ERRORS,
    RUNS,
    STEP_DURATION,
    STEP_QUEUE,
    STEP_RETRIES,
    Instrument,
    Metric,
    Point,
    RunMetrics,
    metrics_of,
)
from orchestrator.projections.spans import nanoseconds, spans_of
from tests.pipelines import pipeline_of
from tests.random_runs import nights, recorded
from tests.simulated_nights import Night, night

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "metrics-and-logs.md"
PARTS = ("run.started", "run.resumed")


def parts(events: list[RecordedEvent]) -> Iterator[list[RecordedEvent]]:
    """Yield the events of each start or resume that has ended."""
    part: list[RecordedEvent] = []
    for event in events:
        part = [event] if event.type in PARTS else [*part, event]
        if event.type == "run.finished":
            yield part


def points(metrics: list[Metric], instrument: Instrument) -> list[Point]:
    """Return the points of *instrument*."""
    return [point for metric in metrics if metric.instrument == instrument for point in metric.points]


def values(events: list[RecordedEvent], kind: str, name: str) -> list[int]:
    """Return what the events of *kind* say by *name*."""
    return sorted(int(str(event.data[name])) for event in events if event.type == kind and name in event.data)


class TestAgreement:
    """What is counted and measured is what the ledger says."""

    @given(nights())
    def test_counts_and_sums(self, tonight: Night) -> None:
        """For any run: each part has the durations, retries and ends that its events have, begins and ends with it, and counts what went wrong."""
        events = recorded(tonight)
        for part in parts(events):
            fold = RunMetrics()
            for event in part:
                fold.apply(event)
            found = fold.metrics()

            assert {(nanoseconds(part[0].recorded_at), nanoseconds(part[-1].recorded_at))} == {
                (point.start_ns, point.end_ns) for metric in found for point in metric.points
            }
            for instrument, kind, name in (
                (RUN_DURATION, "run.finished", "duration_us"),
                (STEP_DURATION, "step.finished", "duration_us"),
            ):
                expected = values(part, kind, name)
                told = points(found, instrument)
                assert (len(expected), sum(expected)) == (
                    sum(point.count for point in told),
                    sum(point.sum_us for point in told),
                )
                if expected:
                    assert (expected[0], expected[-1]) == (
                        min(point.min_us for point in told),
                        max(point.max_us for point in told),
                    )
            kinds = Counter(event.type for event in part)
            assert kinds["attempt.started"] == sum(point.count for point in points(found, STEP_QUEUE))
            assert sum(values(part, "attempt.started", "waited_us")) == sum(
                point.sum_us for point in points(found, STEP_QUEUE)
            )
            assert kinds["retry.scheduled"] == sum(point.count for point in points(found, STEP_RETRIES))
            assert [1] == [point.count for point in points(found, RUNS)]

    @given(nights())
    def test_errors_are_those_of_the_spans(self, tonight: Night) -> None:
        """For any run: each failed attempt counts once, by its kind, as its span says; a run that ended badly counts something, a good one may."""
        for part in parts(recorded(tonight)):
            found = Counter(
                {str(dict(point.attributes)["error.type"]): point.count for point in points(of(part), RUN_ERRORS)}
            )
            attempts = [span for span in spans_of(part) if "orchestrate.attempt" in span.attributes]
            wrong = Counter(
                str(span.attributes["error.type"])
                for span in attempts
                if span.attributes["cicd.pipeline.task.run.result"] not in ("success", "skip", "cancellation")
            )
            assert wrong <= found
            if part[-1].data["status"] in ("failed", "timed_out", "interrupted"):
                assert found.total() > 0

    @given(nights())
    def test_steps_by_result(self, tonight: Night) -> None:
        """For any run: the durations of steps carry step, result and kind of error as the steps' spans do."""
        for part in parts(recorded(tonight)):
            with_duration = {
                str(event.data["step"])
                for event in part
                if event.type == "step.finished" and "duration_us" in event.data
            }
            names = ("cicd.pipeline.task.name", "cicd.pipeline.task.run.result", "error.type")
            expected = Counter(
                tuple(str(span.attributes.get(name)) for name in names)
                for span in spans_of(part)
                if "orchestrate.attempts" in span.attributes and span.name in with_duration
            )
            found: Counter[tuple[str, ...]] = Counter()
            for point in points(of(part), STEP_DURATION):
                told = dict(point.attributes)
                found[tuple(str(told.get(name)) for name in names)] += point.count
            assert expected == found

    @given(nights(), st.integers(0, 100))
    def test_live_and_after_the_fact(self, tonight: Night, cut: int) -> None:
        """For any run: what is folded event by event and asked for on the way is what comes out of the ledger in the end."""
        events = recorded(tonight)
        live, told = RunMetrics(), list[Metric]()
        for number, event in enumerate(events):
            live.apply(event)
            if number == cut:
                live.metrics()
            if event.type == "run.finished":
                told += live.metrics()
        assert metrics_of(events) == told

    @given(nights())
    def test_buckets(self, tonight: Night) -> None:
        """For any run: the buckets of a histogram hold as many values as it has, each between its bounds; no point has an attribute that tells runs apart."""
        for metric in metrics_of(recorded(tonight)):
            for point in metric.points:
                assert metric.instrument.kind == "histogram" or point.buckets == ()
                if point.buckets:
                    assert sum(point.buckets) == point.count
                    lowest = next(place for place, count in enumerate(point.buckets) if count)
                    assert lowest == 0 or BOUNDS[lowest - 1] < point.min_us / 1e6
                    highest = max(place for place, count in enumerate(point.buckets) if count)
                    assert highest == len(BOUNDS) or point.max_us / 1e6 <= BOUNDS[highest]
                assert "run-1" not in str((point.attributes, metric.resource))


def of(part: list[RecordedEvent]) -> list[Metric]:
    """Return the metrics of a part."""
    return metrics_of(part)


class TestWords:
    """Names, units, attributes."""

    def test_names_are_those_of_the_conventions(self) -> None:
        """The two that the conventions have are theirs; all others are ours, and no two are the same."""
        assert RUN_DURATION.name == cicd_metrics.CICD_PIPELINE_RUN_DURATION
        assert RUN_ERRORS.name == cicd_metrics.CICD_PIPELINE_RUN_ERRORS
        names = [instrument.name for instrument in INSTRUMENTS]
        assert len(set(names)) == len(names)
        assert all(name.startswith(("cicd.", "orchestrate.")) for name in names)

    def test_the_page_has_them(self) -> None:
        """The page names each of them with its kind and unit, and the bounds."""
        text = PAGE.read_text(encoding="utf-8")
        for item in INSTRUMENTS:
            assert f"| `{item.name}` | {item.kind}, `{item.unit}` |" in text
        assert ", ".join(f"{bound:g}" for bound in BOUNDS) + "." in text

    def test_a_retried_step(self) -> None:
        """Given a step that failed, waited and succeeded, then its error is counted, its retry is, and its duration is that of the success."""
        pipeline = pipeline_of({"a": []})
        step = attrs.evolve(pipeline.steps["a"], retry=RetryPolicy(2, 7))
        tonight = night(attrs.evolve(pipeline, steps={"a": step}))
        tonight.world.first["a"] = ["exit:75"]
        tonight.run()
        found = metrics_of(recorded(tonight))
        a = (("cicd.pipeline.name", "test"), ("cicd.pipeline.task.name", "a"))

        assert [(a, "success")] == [
            (point.attributes[:2], dict(point.attributes)["cicd.pipeline.task.run.result"])
            for point in points(found, STEP_DURATION)
        ]
        assert [(*a, ("orchestrate.error_class", "transient"))] == [
            point.attributes for point in points(found, STEP_RETRIES)
        ]
        assert [((("cicd.pipeline.name", "test"), ("error.type", "exit_75")), 1)] == [
            (point.attributes, point.count) for point in points(found, RUN_ERRORS)
        ]
        assert [(a, 2)] == [(point.attributes, point.count) for point in points(found, STEP_QUEUE)]

    def test_a_failed_run(self) -> None:
        """Given a run that failed, then its duration says so, in the words of the conventions."""
        tonight = night(pipeline_of({"a": [], "b": ["a"]}), a="exit:3")
        tonight.run()
        found = metrics_of(recorded(tonight))

        (point,) = points(found, RUN_DURATION)
        assert {
            "cicd.pipeline.name": "test",
            "cicd.pipeline.result": "failure",
            "cicd.pipeline.run.state": "executing",
            "error.type": "failed",
        } == dict(point.attributes)
        (runs,) = points(found, RUNS)
        assert "failed" == dict(runs.attributes)["orchestrate.status"]

    def test_a_step_that_failed_without_an_attempt(self) -> None:
        """Given a step that could not be decided, then it is an error all the same, and once."""
        tonight = night(pipeline_of({"a": []}), a="ok")
        tonight.run()
        events = recorded(tonight)
        step = next(event for event in events if event.type == "step.finished")
        failed = {"step": "a", "status": "failed", "reason": "input_untrusted", "error_class": "permanent"}
        told = [
            events[0],
            attrs.evolve(step, data=failed),
            attrs.evolve(events[-1], data={**events[-1].data, "status": "failed"}),
        ]

        assert [("input_untrusted", 1)] == [
            (dict(point.attributes)["error.type"], point.count) for point in points(metrics_of(told), RUN_ERRORS)
        ]

    def test_a_run_that_ended_with_nothing_at_work(self) -> None:
        """Given a run whose orchestrator died between two steps, then it counts as an error and as a run; how long it took is not known."""
        tonight = night(pipeline_of({"a": []}))
        tonight.run()
        events = recorded(tonight)
        lost = {"status": "interrupted", "counts": {}}
        told = metrics_of([events[0], attrs.evolve(events[-1], data=lost)])

        assert ["interrupted"] == [dict(point.attributes)["error.type"] for point in points(told, RUN_ERRORS)]
        assert ["error"] == [dict(point.attributes)["cicd.pipeline.result"] for point in points(told, RUNS)]
        assert [] == points(told, RUN_DURATION)

    def test_a_reproduction_is_not_measured(self) -> None:
        """Given what runs a run again, then it counts as no run of its pipeline."""
        tonight = night(pipeline_of({"a": []}), a="ok")
        tonight.run()
        begin, *rest = recorded(tonight)

        assert metrics_of([begin, *rest]) != []
        assert metrics_of([attrs.evolve(begin, data={**begin.data, "reproduces": "run-0"}), *rest]) == []
