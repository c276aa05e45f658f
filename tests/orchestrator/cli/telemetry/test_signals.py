"""Metrics, records and the lines of steps, from a real run to a collector that reads them with `opentelemetry-proto`."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from ledger.events import RecordedEvent, event_of_body
from orchestrator.projections.log_records import RunLog
from orchestrator.projections.metrics import BOUNDS, Metric, metrics_of
from orchestrator.projections.spans import nanoseconds
from tests.collector import Collector, attributes, collector
from tests.programs import data_of, ledger_of, program, value_of

SECRET = "very-secret-4711"

PIPELINE = """\
[pipeline]
name = "signals"
[telemetry]
wait = "30s"
step_output = true
[env.vars]
API_KEY = { required = true, secret = true }
[datasets.people]
path = "people"
classification = "personal"
[steps.talk]
shell = "echo key $API_KEY; printf 'one\\r\\ntwo\\n\\nno end'"
env = ["API_KEY"]
[steps.flaky]
shell = "echo attempt $ORCHESTRATE_ATTEMPT; test $ORCHESTRATE_ATTEMPT = 2 || exit 75"
retry = { attempts = 2 }
[steps.census]
shell = "echo Ada Lovelace, 12 St James Square"
reads = ["people"]
[steps.broken]
shell = "echo no good >&2; exit 3"
[steps.after]
command = ["true"]
needs = ["broken"]
"""


class Night(NamedTuple):
    """A run, its events, and the collector that it was sent to."""

    folder: Path
    run_id: str
    events: list[RecordedEvent]
    collector: Collector

    @property
    def log(self) -> list[tuple[dict[str, Any], Any]]:
        """Each record that came, with the attributes of its resource."""
        return logs(self.collector)

    @property
    def lines(self) -> dict[str, list[Any]]:
        """The records of lines, by step and attempt, in the order in which they came."""
        found: dict[str, list[Any]] = {}
        for _, record in self.log:
            told = attributes(record.attributes)
            if not record.event_name:
                found.setdefault(f"{told['cicd.pipeline.task.name']}.{told['orchestrate.attempt']}", []).append(record)
        return found


def logs(state: Collector) -> list[tuple[dict[str, Any], Any]]:
    """Return each record that *state* took, with the attributes of its resource."""
    return [
        (attributes(resource.resource.attributes), record)
        for path, _, request in state.requests
        if path == "/v1/logs"
        for resource in request.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


def metrics(state: Collector) -> list[tuple[dict[str, Any], Any]]:
    """Return each metric that *state* took, with the attributes of its resource."""
    return [
        (attributes(resource.resource.attributes), metric)
        for path, _, request in state.requests
        if path == "/v1/metrics"
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]


def events_of_run(folder: Path, run_id: str) -> list[RecordedEvent]:
    """Return the events of a run."""
    with contextlib.closing(sqlite3.connect(f"file:{ledger_of(folder)}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT body FROM events WHERE stream = ? ORDER BY version", (f"run/{run_id}",))
        return [event_of_body(body) for (body,) in rows]


def write(folder: Path, definition: str) -> Path:
    """Write a pipeline with its secret and its people into *folder*."""
    (folder / "people").mkdir(parents=True)
    (folder / "people" / "all.csv").write_text("Ada\n", encoding="utf-8")
    (folder / ".env").write_text(f"API_KEY={SECRET}\n", encoding="utf-8")
    (folder / ".env").chmod(0o600)
    (folder / "pipeline.toml").write_text(definition, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """Give one night that was sent while it was on."""
    folder = write(tmp_path_factory.mktemp("signals") / "it", PIPELINE)
    with collector() as state:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": state.url}
        run_id = value_of(program("run", "--json", cwd=folder, env=env), "run", code=1)["run_id"]
        yield Night(folder, run_id, events_of_run(folder, run_id), state)


class TestMetrics:
    """What a collector gets is what the ledger says."""

    def test_points(self, night: Night) -> None:
        """Given a run, then each metric came once, with the times, values and attributes that its events make, as cumulative as the specification says."""
        told = {metric.instrument.name: metric for metric in metrics_of(night.events)}
        came = {metric.name: metric for _, metric in metrics(night.collector)}

        assert sorted(told) == sorted(metric.name for _, metric in metrics(night.collector))
        for name, metric in came.items():
            expected = told[name]
            assert (metric.unit, metric.description) == (expected.instrument.unit, expected.instrument.description)
            assert points_of(metric) == expected_points(expected)

    def test_words(self, night: Night) -> None:
        """Given a failed step, a retry and a run, then they are counted by pipeline, step and kind, and no series is of one run."""
        found = {
            (metric.name, *sorted(attributes(point.attributes).items())): point
            for _, metric in metrics(night.collector)
            for point in (metric.sum.data_points or metric.histogram.data_points)
        }
        name = ("cicd.pipeline.name", "signals")
        assert found["cicd.pipeline.run.errors", name, ("error.type", "exit_3")].as_int == 1
        assert found["cicd.pipeline.run.errors", name, ("error.type", "exit_75")].as_int == 1
        flaky = ("cicd.pipeline.task.name", "flaky")
        assert found["orchestrate.step.retries", name, flaky, ("orchestrate.error_class", "transient")].as_int == 1
        assert found["orchestrate.step.queue.duration", name, flaky].count == 2
        for resource, metric in metrics(night.collector):
            assert resource["service.name"] == "orchestrate"
            assert "cicd.pipeline.run.id" not in resource
            assert night.run_id not in str(metric)

    def test_delivery_is_recorded(self, night: Night) -> None:
        """Given all that was sent, then the ledger has what arrived, of each signal."""
        delivered = {item["signal"]: item["items"] for item in data_of(ledger_of(night.folder), "telemetry.delivered")}
        assert delivered == {
            "traces": len(night.collector.spans()),
            "metrics": len(metrics(night.collector)),
            "logs": len(night.events),
            "step_output": sum(map(len, night.lines.values())),
        }


class TestRecords:
    """The program's own log, by OTLP."""

    def test_one_for_each_event(self, night: Night) -> None:
        """Given a run, then there is a record for each event, with its time, its words and the ids of its span, and the resource of the traces."""
        log = RunLog()
        expected = [log.apply(event) for event in night.events]
        came = [(resource, record) for resource, record in night.log if record.event_name]
        resources = [resource for resource, _ in night.collector.spans()]

        assert [(f"orchestrate.{item.message}", item.message, item.time_ns, str(item.level)) for item in expected] == [
            (record.event_name, record.body.string_value, record.time_unix_nano, record.severity_text)
            for _, record in came
        ]
        for record, (resource, found) in zip(expected, came, strict=True):
            assert (record.place.trace_id, record.place.span_id) == (found.trace_id.hex(), found.span_id.hex())
            told = attributes(found.attributes)
            assert told["orchestrate.seq"] == record.fields["seq"]
            assert told.get("cicd.pipeline.task.name") == record.fields.get("step")
            assert told.get("orchestrate.reason") == record.fields.get("reason")
            assert resource in resources
            assert found.flags == 1

    def test_ends_lie_in_spans_that_came(self, night: Night) -> None:
        """Given spans and records, then each record of an end names a span that came."""
        spans = {span.span_id for _, span in night.collector.spans()}
        ends = [record for _, record in night.log if record.event_name.endswith(".finished")]
        assert ends
        assert {record.span_id for record in ends} <= spans


class TestLines:
    """What steps print, by OTLP."""

    def test_lines_are_those_of_the_logs(self, night: Night) -> None:
        """Given steps that print, then the lines that came are those of their logs, in order, numbered, in the span of the attempt."""
        logs = night.folder / ".orchestrate" / "logs" / night.run_id
        for name in ("talk.1", "flaky.1", "flaky.2", "broken.1"):
            text = (logs / f"{name}.log").read_text(encoding="utf-8").replace("\r", "")
            came = night.lines[name]
            assert [record.body.string_value for record in came] == text.removesuffix("\n").split("\n")
            numbers = [attributes(record.attributes)["orchestrate.line"] for record in came]
            assert numbers == list(range(1, len(came) + 1))
            started = next(
                record
                for _, record in night.log
                if record.event_name == "orchestrate.attempt.started"
                and f"{attributes(record.attributes)['cicd.pipeline.task.name']}.{attributes(record.attributes)['orchestrate.attempt']}"
                == name
            )
            assert {(record.trace_id, record.span_id) for record in came} == {(started.trace_id, started.span_id)}
            assert {record.severity_number for record in came} == {0}
        assert [record.body.string_value for record in night.lines["talk.1"]] == ["key ***", "one", "two", "", "no end"]

    def test_no_secret_leaves(self, night: Night) -> None:
        """Given a step that prints its key, then nothing that left holds it, in whatever signal."""
        assert (night.folder / ".orchestrate" / "logs" / night.run_id / "talk.1.log").is_file()
        assert all(SECRET.encode() not in body for body in night.collector.bodies)

    def test_what_touches_people_is_withheld(self, night: Night) -> None:
        """Given a step that touches personal data, then its log is there, and none of its lines has left."""
        log = night.folder / ".orchestrate" / "logs" / night.run_id / "census.1.log"
        assert "Lovelace" in log.read_text(encoding="utf-8")
        assert "census.1" not in night.lines
        assert all(b"Lovelace" not in body for body in night.collector.bodies)

    def test_a_resume_that_says_less(self, tmp_path: Path) -> None:
        """Given a run that goes on under a definition without the class, then what was withheld of it stays so, and metrics and records of both parts are sent."""
        folder = write(tmp_path, PIPELINE.replace("12 St James Square", "12 St James Square; exit 3"))
        run_id = value_of(program("run", "--json", cwd=folder), "run", code=1)["run_id"]
        text = (folder / "pipeline.toml").read_text(encoding="utf-8")
        (folder / "pipeline.toml").write_text(text.replace('classification = "personal"', ""), encoding="utf-8")
        with collector() as state:
            env = {"OTEL_EXPORTER_OTLP_ENDPOINT": state.url}
            resume = ("resume", run_id, "--accept-definition", "--json")
            value_of(program(*resume, cwd=folder, env=env), "resume", code=1)
        events = events_of_run(folder, run_id)
        whole = Night(folder, run_id, events, state)
        assert (folder / ".orchestrate" / "logs" / run_id / "census.2.log").is_file()
        assert set(whole.lines) == {"broken.2"}
        assert all(b"Lovelace" not in body for body in state.bodies)
        # What the first part had to say has not been sent before.
        assert [record.body.string_value for _, record in whole.log if record.event_name] == [e.type for e in events]
        came = [(metric.name, point) for _, metric in metrics(state) for point in points_of(metric)]
        told = [(metric.instrument.name, point) for metric in metrics_of(events) for point in expected_points(metric)]
        assert sorted(came, key=str) == sorted(told, key=str)


class TestChoices:
    """What the variables and the definition say."""

    def test_some_signals(self, tmp_path: Path) -> None:
        """Given exporters of `none`, another temporality and no `step_output`, then what is asked for goes out, and how."""
        folder = write(tmp_path, PIPELINE.replace("step_output = true", "step_output = false"))
        with collector() as state:
            env = {
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{state.url}/v1/metrics",
                "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{state.url}/v1/logs",
                "OTEL_TRACES_EXPORTER": "none",
                "OTEL_TRACES_SAMPLER": "always_off",
                "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
            }
            value_of(program("run", "--json", cwd=folder, env=env), "run", code=1)
        assert {path for path, _, _ in state.requests} == {"/v1/metrics", "/v1/logs"}
        temporalities = {
            getattr(metric, metric.WhichOneof("data")).aggregation_temporality for _, metric in metrics(state)
        }
        assert temporalities == {1}
        assert all(record.event_name for _, record in logs(state))
        assert {record.flags for _, record in logs(state)} == {0}

    def test_a_file(self, tmp_path: Path) -> None:
        """Given a file and no collector, then metrics, records and lines stand in it as OTLP JSON."""
        folder = write(tmp_path, PIPELINE.replace("[telemetry]", '[telemetry]\nfile = "otel.jsonl"'))
        value_of(program("run", "--json", cwd=folder), "run", code=1)
        found: Counter[str] = Counter()
        bodies = []
        for line in (folder / "otel.jsonl").read_text(encoding="utf-8").splitlines():
            document = json.loads(line)
            found.update(document.keys())
            for resource in document.get("resourceLogs", ()):
                bodies += [
                    record["body"]["stringValue"] for scope in resource["scopeLogs"] for record in scope["logRecords"]
                ]
        assert set(found) == {"resourceSpans", "resourceMetrics", "resourceLogs"}
        assert {"key ***", "no good", "run.started"} <= set(bodies)
        assert not any("Lovelace" in body for body in bodies)


LOADED = """
import json, sys
from orchestrator.cli.app import run_command
code = run_command(["run", "--quiet", "--log-file", "own.jsonl"])
json.dump(sorted(sys.modules), open("modules.json", "w"))
sys.exit(code)
"""


class TestWithoutConfiguration:
    """No variable, no file."""

    def test_the_log_needs_nothing(self, tmp_path: Path) -> None:
        """Given `step_output` and a log file and nowhere to send, then nothing of the SDK is loaded, nothing is recorded of it, and no line of a step is in the log file."""
        folder = write(tmp_path, PIPELINE)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        subprocess.run(
            [sys.executable, "-c", LOADED], cwd=folder, env=clean, capture_output=True, timeout=60, check=False
        )
        loaded = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        log = (folder / "own.jsonl").read_text(encoding="utf-8")

        assert [name for name in loaded if name.split(".")[0] in ("opentelemetry", "google")] == []
        assert "orchestrator.cli.telemetry.step_output" not in loaded
        assert "attempt.started" in log
        assert "no good" not in log
        assert data_of(ledger_of(folder), "telemetry.delivered") == []


class TestAgain:
    """The same from the ledger."""

    def test_export(self, night: Night) -> None:
        """Given a run, then its export has the metrics and records that were sent, to the byte, and no line of a step."""
        done = program("export", night.run_id, "--format", "otlp", "--json", cwd=night.folder)
        documents = value_of(done, "export")["documents"]
        exported = Collector()
        for document in documents:
            if "resourceMetrics" in document:
                request = json_format.ParseDict(document, ExportMetricsServiceRequest())
                exported.requests.append(("/v1/metrics", {}, request))
        bodies = [
            record["body"]["stringValue"]
            for document in documents
            for resource in document.get("resourceLogs", ())
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]
        assert metrics(exported) == metrics(night.collector)
        assert bodies == [event.type for event in night.events]

    def test_replay(self, night: Night) -> None:
        """Given a collector that is new, then it gets spans and records as they were, and metrics where they are asked for."""
        with collector() as state:
            env = {"OTEL_EXPORTER_OTLP_ENDPOINT": state.url}
            replay = ("telemetry", "replay", "--since", "2026-01-01", "--json")
            told = value_of(program(*replay, cwd=night.folder, env=env), "telemetry-replay")
            assert [(sent["signal"], sent["items"]) for sent in told["signals"]] == [
                ("traces", len(night.collector.spans())),
                ("logs", len(night.events)),
            ]
            assert logs(state) == [(resource, record) for resource, record in night.log if record.event_name]
            assert metrics(state) == []
            told = value_of(program(*replay, "--signal", "metrics", cwd=night.folder, env=env), "telemetry-replay")
            assert [sent["signal"] for sent in told["signals"]] == ["metrics"]
            assert metrics(state) == metrics(night.collector)

    def test_the_next_run_delivers_what_was_missed(self, tmp_path: Path) -> None:
        """Given a collector that was away for a run, then the next one sends its metrics and records too, and never its lines."""
        folder = write(tmp_path, PIPELINE)
        with collector() as state:
            env = {"OTEL_EXPORTER_OTLP_ENDPOINT": state.url}
            state.answer = 503
            missed = program("run", "--json", cwd=folder, env=env)
            run_id = value_of(missed, "run", code=1)["run_id"]
            state.answer = 200
            value_of(program("run", "--json", cwd=folder, env=env), "run", code=1)
        events = events_of_run(folder, run_id)
        failed = {item["signal"]: item["items"] for item in data_of(ledger_of(folder), "telemetry.failed")}
        of_it = [record for resource, record in logs(state) if resource["cicd.pipeline.run.id"] == run_id]
        ends = {
            point.time_unix_nano
            for _, metric in metrics(state)
            if metric.name == "orchestrate.runs"
            for point in metric.sum.data_points
        }

        assert (failed["logs"], failed["step_output"]) == (len(events), 8)
        assert "8 of 8 lines of steps were not delivered (otlp: http_503); nobody sends them again" in missed.stderr
        assert [record.event_name for record in of_it] == [f"orchestrate.{event.type}" for event in events]
        assert nanoseconds(events[-1].recorded_at) in ends
        delivered = [
            (item["signal"], item["run_id"] == run_id) for item in data_of(ledger_of(folder), "telemetry.delivered")
        ]
        assert {("traces", True), ("metrics", True), ("logs", True)} <= set(delivered)
        assert ("step_output", True) not in delivered


MILLION = 1_000_000
MEASURED = """
from pathlib import Path
from orchestrator.cli.app import main
try:
    main()
finally:
    Path("peak").write_text(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""
"""The program, which writes how much memory it had at most, in KiB."""

LOUD = f"""\
[pipeline]
name = "loud"
[telemetry]
wait = "{{}}"
step_output = true
[steps.loud]
shell = "seq {MILLION}"
"""


class TestFlood:
    """A step that prints a million lines."""

    @pytest.mark.parametrize(("answer", "wait"), [("hang", "1s"), (200, "30s")])
    def test_a_million_lines(self, tmp_path: Path, answer: int | str, wait: str) -> None:
        """Given a collector that hangs, or one that takes what it can, then the run succeeds, its memory is bounded, and each line is delivered or counted."""
        (tmp_path / "pipeline.toml").write_text(LOUD.format(wait), encoding="utf-8")
        with collector() as state:
            state.answer = answer
            done = subprocess.run(
                [sys.executable, "-c", MEASURED, "run", "--json"],
                cwd=tmp_path,
                env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": state.url},
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            lines = [record for _, record in logs(state) if not record.event_name]
        assert value_of(done, "run")["status"] == "succeeded"

        (failed,) = [
            item for item in data_of(ledger_of(tmp_path), "telemetry.failed") if item["signal"] == "step_output"
        ]
        assert len(lines) + failed["items"] == MILLION
        assert f"{failed['items']} of {MILLION} lines" in done.stderr
        # Held as records, a million of them take several times of that.
        assert int((tmp_path / "peak").read_text(encoding="utf-8")) < 150 * 1024
        (log,) = (tmp_path / ".orchestrate" / "logs").rglob("loud.1.log")
        with log.open("rb") as file:
            assert sum(1 for _ in file) == MILLION


def points_of(metric: Any) -> list[tuple[object, ...]]:  # noqa: ANN401 - made by protobuf
    """Return the points of a metric that came, in a form that can be compared."""
    if metric.WhichOneof("data") == "sum":
        assert (metric.sum.aggregation_temporality, metric.sum.is_monotonic) == (2, True)
        return [
            (point.start_time_unix_nano, point.time_unix_nano, attributes(point.attributes), point.as_int)
            for point in metric.sum.data_points
        ]
    assert metric.histogram.aggregation_temporality == 2
    return [
        (
            *(point.start_time_unix_nano, point.time_unix_nano, attributes(point.attributes)),
            *(point.count, point.sum, point.min, point.max, tuple(point.bucket_counts), tuple(point.explicit_bounds)),
        )
        for point in metric.histogram.data_points
    ]


def expected_points(metric: Metric) -> list[tuple[object, ...]]:
    """Return the points of a metric of the ledger in the same form."""
    told: list[tuple[object, ...]] = []
    for point in metric.points:
        head = (point.start_ns, point.end_ns, dict(point.attributes), point.count)
        of_histogram = (point.sum_us / 1e6, point.min_us / 1e6, point.max_us / 1e6, point.buckets, BOUNDS)
        told.append(head if metric.instrument.kind == "counter" else (*head, *of_histogram))
    return told
