"""Tests of the ids of traces and spans, and of the context that a run is started in."""

from __future__ import annotations

import doctest

import pytest

from orchestrator.core import tracing
from orchestrator.core.tracing import (
    TraceParent,
    chosen_propagators,
    parse_traceparent,
    span_id_of,
    trace_id_of,
    traceparent_of,
)

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class TestPropagators:
    """`OTEL_PROPAGATORS`."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (None, {"tracecontext", "baggage"}),
            (" ", {"tracecontext", "baggage"}),
            ("TraceContext", {"tracecontext"}),
            ("tracecontext,baggage,b3", {"tracecontext", "baggage"}),
            ("b3", set()),
            ("none", set()),
            ("tracecontext,none", set()),
        ],
    )
    def test_chosen(self, text: str | None, expected: set[str]) -> None:
        """Given words, then those that are known count, both where there is none, and none with `none`."""
        assert chosen_propagators(text) == expected


class TestParse:
    """What W3C Trace Context, level 1, allows."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (f"00-{TRACE}-{PARENT}-01", TraceParent(TRACE, PARENT)),
            (f" 00-{TRACE}-{PARENT}-00 ", TraceParent(TRACE, PARENT, sampled=False)),
            (f"00-{TRACE}-{PARENT}-ff", TraceParent(TRACE, PARENT)),
            (f"cc-{TRACE}-{PARENT}-01", TraceParent(TRACE, PARENT)),
            (f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like", TraceParent(TRACE, PARENT)),
            (f"00-{TRACE}-{PARENT}-01-more", None),
            (f"ff-{TRACE}-{PARENT}-01", None),
            (f"00-{TRACE.upper()}-{PARENT}-01", None),
            (f"00-{'0' * 32}-{PARENT}-01", None),
            (f"00-{TRACE}-{'0' * 16}-01", None),
            (f"00-{TRACE[1:]}-{PARENT}-01", None),
            ("", None),
            (None, None),
        ],
    )
    def test_case(self, text: str | None, expected: TraceParent | None) -> None:
        """Given one text, then the context that it says, or none."""
        assert expected == parse_traceparent(text)

    @pytest.mark.parametrize(
        ("state", "kept"),
        [
            ("a=1,b=2", "a=1,b=2"),
            ("", None),
            ("a=\n", None),
            ("a=é", None),
            ("a" * 512, "a" * 512),
            ("a" * 513, None),
            (None, None),
        ],
    )
    def test_state(self, state: str | None, kept: str | None) -> None:
        """Given a state that could not be handed on, then it is left out."""
        found = parse_traceparent(f"00-{TRACE}-{PARENT}-01", state)

        assert found is not None
        assert kept == found.state


class TestIds:
    """Ids are functions."""

    def test_each_is_another(self) -> None:
        """Runs, parts, steps and attempts have ids of their own, however their names join."""
        ids = [
            span_id_of("r"),
            span_id_of("r", part=1),
            span_id_of("r2"),
            span_id_of("r", step="a"),
            span_id_of("r", step="a", part=1),
            span_id_of("r", step="b"),
            span_id_of("r", step="a", attempt=1),
            span_id_of("r", step="a", attempt=11),
            span_id_of("r", step="a1", attempt=1),
        ]
        assert len(ids) == len(set(ids))
        assert {16} == {len(item) for item in ids}

    def test_an_attempt_keeps_its_id(self) -> None:
        """An attempt is one of its run, whichever part it is looked at from."""
        assert span_id_of("r", step="a", attempt=1) == span_id_of("r", part=3, step="a", attempt=1)

    def test_the_trace_is_the_callers(self) -> None:
        """Given a caller, then its trace; else one of the run's own."""
        own = trace_id_of("r", None)
        assert TRACE == trace_id_of("r", TraceParent(TRACE, PARENT))
        assert (32, False) == (len(own), own == trace_id_of("s", None))

    def test_round_trip(self) -> None:
        """What is handed on can be read."""
        for sampled in (True, False):
            assert TraceParent(TRACE, PARENT, sampled) == parse_traceparent(
                traceparent_of(TRACE, PARENT, sampled=sampled)
            )

    def test_examples(self) -> None:
        """The examples in the module hold."""
        assert 0 == doctest.testmod(tracing).failed
