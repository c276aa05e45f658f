"""
A collector on the loopback that reads OTLP over HTTP with `opentelemetry-proto` alone, or does what collectors do when they do not.

It knows nothing of the encoders of the SDK nor of ours.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.loopback import serving

REQUESTS: dict[str, Any] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}


class Collector:
    """
    Answer on `url`, and keep what came.

    Attributes:
        answer: The status of each answer; or `hang` to never answer, `drop` to hang up, `drip` to answer a byte at a time, `drip_body` to do so with what follows the headers, `garbage` to answer with
            what is no HTTP, `reject` to take all but one; or the body and the type of
            an answer with the status 200.
        requests: Path, headers and the parsed request of each that was taken, in order.
        bodies: As they came over the wire, unpacked.
        asked: How many requests came, taken or not.
    """

    def __init__(self) -> None:
        self.answer: int | str | tuple[bytes, str | None] = 200
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.bodies: list[bytes] = []
        self.asked = 0
        self.over = threading.Event()
        self.url = ""

    def spans(self) -> list[tuple[dict[str, Any], Any]]:
        """Return each span that was taken with the attributes of its resource."""
        return [
            (attributes(resource.resource.attributes), span)
            for path, _, request in self.requests
            if path == "/v1/traces"
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def attributes(pairs: Any) -> dict[str, Any]:  # noqa: ANN401 - made by protobuf
    """Return attributes as plain values."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:  # noqa: ANN401
    kind = value.WhichOneof("value")
    return [_value(item) for item in value.array_value.values] if kind == "array_value" else getattr(value, kind)


class Handler(BaseHTTPRequestHandler):
    """Serve one request as `state` says."""

    state: Collector

    def do_POST(self) -> None:
        """Take the request, or do not."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        self.state.asked += 1
        if self.state.answer == "reject":
            told = ExportTracePartialSuccess(rejected_spans=1, error_message="one of them is too old")
            self._take(content, 200, ExportTraceServiceResponse(partial_success=told).SerializeToString())
        elif isinstance(self.state.answer, tuple):
            self._take(content, 200, *self.state.answer)
        elif isinstance(self.state.answer, int):
            self._take(content, self.state.answer, b"")
        else:
            self._misbehave(self.state.answer)

    def _take(self, content: bytes, status: int, answer: bytes, content_type: str | None = None) -> None:
        if status == 200:
            request = REQUESTS[self.path]()
            request.ParseFromString(content)
            headers = {name.lower(): text for name, text in self.headers.items()}
            self.state.bodies.append(content)
            self.state.requests.append((self.path, headers, request))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        if content_type is not None:
            self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _misbehave(self, how: str) -> None:
        if how == "hang":
            self.state.over.wait(60)
        elif how == "drip_body":
            self.send_response(200)
            self.send_header("Content-Length", "60000")
            self.end_headers()
            self._misbehave("drip")
        elif how == "drip":
            with contextlib.suppress(OSError):
                while not self.state.over.wait(0.05):
                    self.wfile.write(b"H")
        elif how == "garbage":
            self.wfile.write(b"what?\n\n")
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def collector() -> Iterator[Collector]:
    """Serve until the end of the block."""
    state = Collector()
    with serving(type("Handler", (Handler,), {"state": state}), state.over) as state.url:
        yield state
