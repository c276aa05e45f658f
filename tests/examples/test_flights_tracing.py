"""Tests of the spans that the flights example sends by itself; `tests/system/test_collector.py` has them beside those of the ledger."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.collector import collector
from tests.examples.flights import EXAMPLE, PATH
from tests.loopback import refusing_url

TRACE, ATTEMPT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{ATTEMPT}-01"
STEP = """
import sys
from lib.tracing import span
with span("judge flights") as judging:
    judging.set_attribute("flights.rows", 842)
print("done", "opentelemetry" in sys.modules)
"""


def step(*options: str, **environment: str) -> str:
    """Run a step that traces; return what it printed, but for what it says of a collector that is away."""
    command = [sys.executable, *options, "-c", STEP]
    done = subprocess.run(command, cwd=EXAMPLE / "steps", env={**PATH, **environment}, capture_output=True, text=True, check=True)  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("given", [{}, {"TRACEPARENT": PARENT}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}])
def test_nothing_is_loaded_where_nobody_asks(given: dict[str, str]) -> None:
    """A step alone, under the orchestrator without a collector, and with a collector but by hand."""
    assert step(**given) == "done False\n"


def test_it_runs_where_the_packages_are_not_installed() -> None:
    """Both variables are there, and Python without what is installed beside it."""
    assert step("-S", TRACEPARENT=PARENT, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1") == "done False\n"


def test_a_collector_that_is_away_fails_no_step() -> None:
    """What cannot be sent is lost, and that is all."""
    assert step(TRACEPARENT=PARENT, OTEL_EXPORTER_OTLP_ENDPOINT=refusing_url()) == "done True\n"


@pytest.mark.parametrize(("flags", "spans"), [("01", 1), ("00", 0)])
def test_its_spans_lie_below_the_attempt(flags: str, spans: int) -> None:
    """In the trace that the orchestrator has begun, and only where that one is kept."""
    with collector() as receiver:
        step(TRACEPARENT=f"00-{TRACE}-{ATTEMPT}-{flags}", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
    kept = receiver.spans()
    assert len(kept) == spans
    for resource, span in kept:
        assert resource["service.name"] == "flights"
        assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("judge flights", TRACE, ATTEMPT)
        assert [(pair.key, pair.value.int_value) for pair in span.attributes] == [("flights.rows", 842)]
