"""
Spans of a step's own, with plain OpenTelemetry: they appear in the trace of the run, below the attempt that made them.

The orchestrator hands each attempt its place in the trace as `TRACEPARENT`; `OTEL_EXPORTER_OTLP_ENDPOINT` says where spans go, and
`[env] pass` in pipeline.toml lets it through. Without either, nothing is loaded and nothing is sent; the same where the packages
are not installed (`pip install "orchestrate[otlp]"`). What goes wrong with spans is no reason for a step to fail.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

# So long the end of a step may wait for a Collector that does not answer.
TIMEOUT_SECONDS = 1


class Span(Protocol):
    """What a step may tell about a part of its work."""

    def set_attribute(self, key: str, value: str | float) -> object:
        """Keep a fact with the span. The orchestrator does not see it: no secrets."""


class _NoSpan:
    def set_attribute(self, key: str, value: str | float) -> None:
        """Do nothing."""


@contextlib.contextmanager
def span(name: str) -> Iterator[Span]:
    """Trace the block as a span *name*, which says what is done and not to what."""
    tracer = _tracer()
    if tracer is None:
        yield _NoSpan()
        return
    with tracer.start_as_current_span(name) as current:
        yield current


@functools.cache
def _tracer() -> Tracer | None:
    """Return what makes spans below this attempt, sent before the process ends; None where nobody asks for them."""
    if not os.environ.get("TRACEPARENT") or not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return None
    try:
        from opentelemetry import context
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ImportError:
        return None
    carrier = {name: os.environ[name.upper()] for name in ("traceparent", "tracestate") if name.upper() in os.environ}
    context.attach(TraceContextTextMapPropagator().extract(carrier))
    provider = TracerProvider(resource=Resource.create({"service.name": "flights"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=TIMEOUT_SECONDS)))
    return provider.get_tracer("flights")
