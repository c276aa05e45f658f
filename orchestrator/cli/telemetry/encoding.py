"""From the items of a signal to what goes out, by the encoders of OpenTelemetry, which are an extra and are loaded here alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ledger.errors import MissingExtraError
from orchestrator.cli.telemetry.settings import Settings, Signal

_PACKAGES = ("opentelemetry.exporter.otlp.proto.common", "opentelemetry.exporter.otlp.json.common")


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


def rejected_count(answer: bytes) -> int:
    """Return how many items a collector says in its *answer* that it has rejected; what cannot be read says none."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        # The answers of the three signals have one form.
        return max(int(ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans), 0)
    except DecodeError:
        return 0
