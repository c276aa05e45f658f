"""
The Collector that `make collector` builds, as a process of its own that runs `otel-collector.yaml`, and what it has kept.

Its copy on disk is read as the JSON that it is: no encoder or decoder of ours, of the SDK or of protobuf has a part in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.projections.spans import Span
from tests.programs import wait_until

CONFIG = Path(__file__).resolve().parent.parent / "otel-collector.yaml"
PROGRAM = os.environ.get("ORCHESTRATE_COLLECTOR")
"""Where the Collector is; read before the tests' environment is cleaned."""

KINDS = {"internal": 1, "server": 2}
"""As OTLP numbers them."""

Json = dict[str, Any]


class RealCollector:
    """
    Start, end and read a Collector in a folder of its own.

    Args:
        backend: Host and port of what it passes traces on to.
    """

    def __init__(self, folder: Path, backend: str | None = None) -> None:
        folder.mkdir()
        self.http, self.grpc, self._health, metrics, nobody = (f"127.0.0.1:{port}" for port in _free_ports(5))
        self.copy = folder / "telemetry.jsonl"
        self.log = folder / "said.txt"
        self._folder = folder
        self._settings = {
            "COLLECTOR_HTTP_ENDPOINT": self.http,
            "COLLECTOR_GRPC_ENDPOINT": self.grpc,
            "COLLECTOR_HEALTH_ENDPOINT": self._health,
            "COLLECTOR_METRICS_PORT": metrics.rpartition(":")[2],
            "COLLECTOR_BACKEND_ENDPOINT": backend or nobody,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What sends to it."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{self.http}"}

    def start(self) -> None:
        """Start it where it is not up, and return when it says that it is well."""
        assert PROGRAM is not None
        if self.is_up:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "--config", CONFIG],
                cwd=self._folder,
                env={**os.environ, **self._settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self.is_well, f"the Collector does not get well: {self.log}", seconds=90)

    @property
    def is_up(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def is_well(self) -> bool:
        """Ask its health check; fail where it has ended by itself."""
        assert self.is_up, self.log.read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(f"http://{self._health}/", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def send(self, signal: str, document: Json) -> None:
        """Send *document*, which is OTLP JSON already, and return when it is acknowledged."""
        body, headers = json.dumps(document).encode(), {"Content-Type": "application/json"}
        with urllib.request.urlopen(
            urllib.request.Request(f"http://{self.http}/v1/{signal}", body, headers), timeout=60
        ) as answer:
            assert answer.status == 200

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal, and return how it ended."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(60)

    def close(self) -> None:
        """Kill what still lives of it."""
        if self.is_up:
            self.end(signal.SIGKILL)

    def spans(self) -> list[Json]:
        """Return every span in its copy, in order, each with its `resource` and `scope`; duplicates too."""
        if not self.copy.exists():
            return []
        documents = [json.loads(line) for line in self.copy.read_text(encoding="utf-8").splitlines()]
        return [
            _plain(span) | {"resource": _attributes(resource.get("resource", {})), "scope": scope["scope"]["name"]}
            for document in documents
            for resource in document.get("resourceSpans", ())
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]


@contextlib.contextmanager
def two_collectors(folder: Path) -> Iterator[tuple[RealCollector, RealCollector]]:
    """Give a Collector, and another one that is its back end; both are up, and gone at the end of the block."""
    backend = RealCollector(folder / "backend")
    near = RealCollector(folder / "near", backend.grpc)
    try:
        backend.start()
        near.start()
        yield near, backend
    finally:
        near.close()
        backend.close()


def expected(span: Span) -> Json:
    """Return *span* of the ledger in the form of `RealCollector.spans`, without resource and scope."""
    return {
        "name": span.name,
        "kind": KINDS[span.kind],
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id or "",
        "tracestate": span.tracestate or "",
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "attributes": {name: list(value) if isinstance(value, tuple) else value for name, value in span.attributes.items()},
        "status": {} if span.error is None else {"code": 2, "message": span.error},
        "events": [(name, at_ns, dict(attributes)) for name, at_ns, attributes in span.events],
        "links": list(span.links),
        "dropped": 0,
    }  # fmt: skip


def _plain(span: Json) -> Json:
    return {
        "name": span["name"],
        "kind": span["kind"],
        "trace_id": span["traceId"],
        "span_id": span["spanId"],
        "parent_id": span.get("parentSpanId", ""),
        "tracestate": span.get("traceState", ""),
        "start_ns": int(span["startTimeUnixNano"]),
        "end_ns": int(span["endTimeUnixNano"]),
        "attributes": _attributes(span),
        "status": span["status"],
        "events": [(event["name"], int(event["timeUnixNano"]), _attributes(event)) for event in span.get("events", ())],
        "links": [(link["traceId"], link["spanId"]) for link in span.get("links", ())],
        "dropped": sum(number for name, number in span.items() if name.startswith("dropped")),
    }


def _attributes(holder: Json) -> Json:
    return {pair["key"]: _value(pair["value"]) for pair in holder.get("attributes", ())}


def _value(value: Json) -> object:
    [(kind, content)] = value.items()
    if kind == "arrayValue":
        return [_value(item) for item in content["values"]]
    return int(content) if kind == "intValue" else content


def _free_ports(number: int) -> list[int]:
    """Return ports on which nobody listens."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
