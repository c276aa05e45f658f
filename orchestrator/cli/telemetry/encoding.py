"""From the items of a signal to what goes out, by the encoders of OpenTelemetry, which are an extra and are loaded here alone."""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ledger.errors import MissingExtraError
from orchestrator.cli.telemetry.settings import Settings, Signal

_PACKAGES = ("opentelemetry.exporter.otlp.proto.common", "opentelemetry.exporter.otlp.json.common")
_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_REJECTED = ("rejectedSpans", "rejectedDataPoints", "rejectedLogRecords")


class Encoder(Protocol):
    """Encode items of one signal."""

    def encode(self, items: Sequence[object]) -> bytes:
        """Return the request of OTLP as protobuf."""
        ...

    def document(self, items: Sequence[object]) -> Mapping[str, Any]:
        """Return the same as a document of OTLP JSON, with `resourceSpans`, `resourceMetrics` or `resourceLogs`."""
        ...


def encoder_of(signal: Signal, settings: Settings) -> Encoder:
    """
    Return what encodes the items of *signal*; loads the SDK.

    Raises:
        MissingExtraError: The extra is not installed.
    """
    require_extra()
    # What the SDK logs, a line for each text that it cuts off, would go to standard error raw, and be mailed by cron; that something was cut stands in the item.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
    if signal == "traces":
        from orchestrator.cli.telemetry.trace_encoding import TraceEncoder

        return TraceEncoder(settings)
    if signal == "metrics":
        from orchestrator.cli.telemetry.metric_encoding import MetricEncoder

        return MetricEncoder(settings)
    from orchestrator.cli.telemetry.log_encoding import LogEncoder

    return LogEncoder(settings)


def require_extra() -> None:
    """
    Make sure that what encodes is installed, without loading it.

    Raises:
        MissingExtraError: It is not.
    """
    try:
        missing = any(importlib.util.find_spec(package) is None for package in _PACKAGES)
    except ModuleNotFoundError:
        missing = True
    if missing:
        raise MissingExtraError("otlp", "telemetry by OTLP")


def rejected_count(answer: bytes, content_type: str | None) -> int:
    """
    Return how many items a collector says in its *answer* that it has rejected; an empty one says none.

    Args:
        content_type: What it says that the answer is, if anything.

    Raises:
        ValueError: It is no answer of OTLP: whoever gave it, such as a page to log in at, has taken nothing.
    """
    if not answer:
        return 0
    kind = (content_type or _PROTOBUF).partition(";")[0].strip().lower()
    if kind == _JSON:
        return _rejected_in_json(answer)
    if kind != _PROTOBUF:
        raise ValueError(f"an answer of the type {kind!r}")
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        # The answers of the three signals have one form.
        return max(int(ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans), 0)
    except DecodeError:
        raise ValueError("an answer that cannot be decoded") from None


def _rejected_in_json(answer: bytes) -> int:
    try:
        partial = json.loads(answer).get("partialSuccess") or {}
        # A whole number of 64 bits stands as a text in JSON.
        return max([0, *(int(partial.get(name) or 0) for name in _REJECTED)])
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise ValueError("an answer that has another form") from None
