"""Spans, as the SDK and OTLP have them. What the variables limit is cut off here, and the SDK counts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans as encode_json
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as encode_protobuf
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from orchestrator.cli.telemetry.resources import SCOPE, resource_of
from orchestrator.cli.telemetry.settings import Limits, Settings
from orchestrator.projections.span_words import Value
from orchestrator.projections.spans import Span

_KINDS = {"server": SpanKind.SERVER, "internal": SpanKind.INTERNAL}


class TraceEncoder:
    """Encode spans; see `encoding.Encoder`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def encode(self, items: Sequence[object]) -> bytes:
        """Return `ExportTraceServiceRequest`, serialised."""
        return bytes(encode_protobuf(self._readable(items)).SerializeToString())

    def document(self, items: Sequence[object]) -> Mapping[str, Any]:
        """Return the document with `resourceSpans`."""
        return encode_json(self._readable(items)).to_dict()

    def _readable(self, items: Sequence[object]) -> list[ReadableSpan]:
        spans, limits = cast("Sequence[Span]", items), self._settings.limits
        # The spans of a run share one mapping, and get one resource.
        made = {id(span.resource): resource_of(self._settings, span.resource) for span in spans}
        return [readable_span(span, made[id(span.resource)], limits) for span in spans]


def readable_span(span: Span, resource: Resource, limits: Limits) -> ReadableSpan:
    """Return *span* as the SDK has one that has ended."""
    state = TraceState.from_header([span.tracestate]) if span.tracestate else TraceState()

    def context(trace_id: str, span_id: str, *, remote: bool) -> SpanContext:
        return SpanContext(int(trace_id, 16), int(span_id, 16), remote, TraceFlags(TraceFlags.SAMPLED), state)

    events = [
        Event(name, _bounded(attributes, limits.attributes_of_event, limits), at_ns)
        for name, at_ns, attributes in span.events
    ]
    links = [
        Link(context(trace_id, span_id, remote=False), _bounded({}, limits.attributes_of_link, limits))
        for trace_id, span_id in span.links
    ]
    return ReadableSpan(
        name=span.name,
        context=context(span.trace_id, span.span_id, remote=False),
        # The only span above that of a run is the caller's.
        parent=None if span.parent_id is None else context(span.trace_id, span.parent_id, remote=span.kind == "server"),
        resource=resource,
        attributes=_bounded(span.attributes, limits.attributes, limits),
        events=BoundedList.from_seq(limits.events, events),
        links=BoundedList.from_seq(limits.links, links),
        kind=_KINDS[span.kind],
        status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=SCOPE,
    )


def _bounded(attributes: Mapping[str, Value], most: int | None, limits: Limits) -> BoundedAttributes:
    return BoundedAttributes(most, attributes, immutable=True, max_value_len=limits.value_length)
