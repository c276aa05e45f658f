"""Records of logs, as the SDK and OTLP have them. Attributes that the variables limit are cut off here, and the SDK counts them; a message is never cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.json.common._log_encoder import encode_logs as encode_json
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs as encode_protobuf
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from orchestrator.cli.telemetry.resources import SCOPE, resource_of
from orchestrator.cli.telemetry.sampling import is_sampled
from orchestrator.cli.telemetry.settings import Settings
from orchestrator.projections.log_records import Place, Record

_NAMES = {"run": "cicd.pipeline.run.id", "step": "cicd.pipeline.task.name"}
"""How the conventions call fields of a record; all others stand below `orchestrate.`."""

_SEVERITIES = {"INFO": SeverityNumber.INFO, "ERROR": SeverityNumber.ERROR}


class LogEncoder:
    """Encode records; see `encoding.Encoder`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._last: tuple[Place, Context] | None = None

    def encode(self, items: Sequence[object]) -> bytes:
        """Return `ExportLogsServiceRequest`, serialised."""
        encoded: bytes = encode_protobuf(self._readable(items)).SerializeToString()
        return encoded

    def document(self, items: Sequence[object]) -> Mapping[str, Any]:
        """Return the document with `resourceLogs`."""
        return encode_json(self._readable(items)).to_dict()

    def _readable(self, items: Sequence[object]) -> list[ReadableLogRecord]:
        records = cast("Sequence[Record]", items)
        # The records of a run share one mapping, and get one resource.
        resources = {id(item.resource): item.resource for item in records}
        made = {key: resource_of(self._settings, run) for key, run in resources.items()}
        return [ReadableLogRecord(self._record(item), made[id(item.resource)], SCOPE) for item in records]

    def _record(self, item: Record) -> LogRecord:
        limits = self._settings.limits
        fields = {_NAMES.get(name, f"orchestrate.{name}"): value for name, value in item.fields.items()}
        return LogRecord(
            timestamp=item.time_ns,
            observed_timestamp=item.time_ns,
            context=self._context(item.place),
            severity_text=item.level,
            severity_number=None if item.level is None else _SEVERITIES[item.level],
            body=item.message,
            attributes=BoundedAttributes(
                limits.attributes_of_record, fields, immutable=True, max_value_len=limits.value_length_of_record
            ),
            event_name=f"orchestrate.{item.message}" if item.is_event else None,
        )

    def _context(self, place: Place) -> Context:
        """Return the context of the span at *place*; the records of one come one after the other."""
        if self._last is None or self._last[0] != place:
            sampled = is_sampled(self._settings, place.trace_id, place.caller_samples)
            flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
            span = SpanContext(int(place.trace_id, 16), int(place.span_id, 16), is_remote=False, trace_flags=flags)
            self._last = place, set_span_in_context(NonRecordingSpan(span), Context())
        return self._last[1]
