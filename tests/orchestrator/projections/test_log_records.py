"""A record of the log says what its event says, and where in the trace that was."""

from __future__ import annotations

from pathlib import Path

import attrs
from hypothesis import given

from orchestrator.projections.log_records import FIELDS, Record, RunLog
from orchestrator.projections.spans import nanoseconds, spans_of
from tests.pipelines import pipeline_of
from tests.random_runs import nights, recorded
from tests.simulated_nights import Night, night

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def records(tonight: Night) -> list[Record]:
    """Return the records of the run."""
    log = RunLog()
    return [log.apply(event) for event in recorded(tonight)]


class TestRecords:
    """`RunLog`, event by event."""

    @given(nights())
    def test_each_end_lies_in_its_span(self, tonight: Night) -> None:
        """For any run: the record of an end has the ids of the span that ends with it, and one record is there for each event."""
        events = recorded(tonight)
        found = records(tonight)
        ends = [item for item in found if item.message in ("attempt.finished", "step.finished", "run.finished")]

        assert [event.type for event in events] == [record.message for record in found]
        assert [(span.trace_id, span.span_id) for span in spans_of(events)] == [
            (item.place.trace_id, item.place.span_id) for item in ends
        ]

    @given(nights())
    def test_fields(self, tonight: Night) -> None:
        """For any run: a record has the run, the place in the ledger and those words that its event has, and no other data."""
        for event, record in zip(recorded(tonight), records(tonight), strict=True):
            assert {
                "run": "run-1",
                "seq": event.seq,
                **{name: event.data[name] for name in FIELDS if name in event.data},
                "trace_id": record.place.trace_id,
                "span_id": record.place.span_id,
            } == record.bound
            ended_badly = event.data.get("status") in ("failed", "timed_out", "interrupted")
            assert (record.level, record.is_event) == ("ERROR" if ended_badly else "INFO", True)
            assert record.time_ns == nanoseconds(event.recorded_at)
            assert record.resource["cicd.pipeline.run.id"] == "run-1"

    @given(nights())
    def test_lines_lie_in_the_span_of_their_attempt(self, tonight: Night) -> None:
        """For any run: the record of a line has the ids of the attempt that printed it, its number, and no level."""
        log = RunLog()
        for event in recorded(tonight):
            of_event = log.apply(event)
            if event.type == "attempt.started":
                step, attempt = str(event.data["step"]), int(str(event.data["attempt"]))
                line = log.printed(step, attempt).record("hello", 7, 3, is_cut=True)
                expected = {"run": "run-1", "step": step, "attempt": attempt, "line": 3, "is_cut": True}
                assert (line.message, line.time_ns, line.level, line.is_event) == ("hello", 7, None, False)
                assert (line.fields, line.place) == (expected, of_event.place)
                assert line.resource is of_event.resource

    def test_the_page_has_the_fields(self) -> None:
        """The page names each field of a record and of a line."""
        text = (Path(__file__).parents[3] / "docs" / "reference" / "metrics-and-logs.md").read_text(encoding="utf-8")
        for name in ("run", "seq", *FIELDS):
            assert f"| `{name}` |" in text
        assert all(f"`orchestrate.{name}`" in text for name in ("line", "is_cut"))

    def test_the_trace_of_the_caller(self) -> None:
        """Given a run that was started in a trace that is not recorded, then the records lie in that trace, and say so."""
        tonight = night(pipeline_of({"a": []}))
        tonight.run()
        first, *rest = recorded(tonight)
        log = RunLog()
        told = [log.apply(event) for event in (attrs.evolve(first, data={**first.data, "traceparent": PARENT}), *rest)]

        assert {("0af7651916cd43dd8448eb211c80319c", False)} == {
            (item.place.trace_id, item.place.caller_samples) for item in told
        }
