"""Real runs and real collectors: what arrives is what the ledger says, and whatever a collector does, the run is what it is."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ledger.checkpoints import origin_of
from orchestrator.projections.spans import Span
from orchestrator.projections.traces import run_trace
from tests.collector import Collector, attributes, collector
from tests.loopback import refusing_url
from tests.programs import PROGRAM, kill, pid_in

PIPELINE = """
[pipeline]
name = "nightly"
[telemetry]
wait = "30s"
[steps.good]
command = ["true"]
[steps.again]
shell = "test -e marker || {{ touch marker; exit 75; }}"
retry = {{ attempts = 2, delay = "1ms" }}
[steps.bad]
command = [{bad}]
needs = ["good"]
[steps.below]
command = ["true"]
needs = ["bad"]
"""
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def orchestrate(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the program in *folder*, with *variables* besides."""
    return subprocess.run(
        [PROGRAM, *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def write(folder: Path, bad: str = '"false"', wait: str = "30s") -> None:
    """Write a pipeline whose step `bad` is the command *bad*."""
    folder.mkdir(exist_ok=True)
    (folder / "pipeline.toml").write_text(PIPELINE.format(bad=bad).replace("30s", wait), encoding="utf-8")


def ask(folder: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Return what the ledger in *folder* answers."""
    with closing(sqlite3.connect(folder / ".orchestrate" / "ledger.db")) as connection:
        return connection.execute(sql, values).fetchall()


def told(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return what is recorded of traces, type and data."""
    rows = ask(folder, "SELECT type, data FROM events WHERE type LIKE 'telemetry.%' ORDER BY seq")
    return [(kind, data) for kind, text in rows if (data := json.loads(text))["signal"] == "traces"]


def run_ids(folder: Path) -> list[str]:
    """Return the runs, oldest first."""
    return [run_id for (run_id,) in ask(folder, "SELECT run_id FROM runs ORDER BY first_seq")]


def recorded(folder: Path, run_id: str) -> Sequence[Span]:
    """Return the spans of the run as the ledger has them."""
    with closing(sqlite3.connect(folder / ".orchestrate" / "ledger.db")) as connection:
        return run_trace(connection, run_id).spans


def as_received(span: Any) -> dict[str, Any]:  # noqa: ANN401 - made by protobuf
    """Return a span that has arrived in the words of ours."""
    return {
        "name": span.name,
        "kind": {1: "internal", 2: "server"}[span.kind],
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_span_id.hex() or None,
        "start_ns": span.start_time_unix_nano,
        "end_ns": span.end_time_unix_nano,
        "attributes": attributes(span.attributes),
        "error": span.status.message if span.status.code == 2 else None,
        "events": [(event.name, event.time_unix_nano, attributes(event.attributes)) for event in span.events],
        "links": [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        "tracestate": span.trace_state or None,
    }


def as_recorded(span: Span) -> dict[str, Any]:
    """Return a span of the ledger in the same words."""
    names = ("name", "kind", "trace_id", "span_id", "parent_id", "start_ns", "end_ns", "error", "tracestate")
    own = {name: getattr(span, name) for name in names}
    events = [(name, at, dict(facts)) for name, at, facts in span.events]
    return {**own, "attributes": dict(span.attributes), "events": events, "links": list(span.links)}


def by_id(spans: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return *spans* by their ids."""
    return {span["span_id"]: span for span in spans}


@pytest.fixture
def server() -> Iterator[Collector]:
    """Give a collector that takes everything, until somebody says otherwise."""
    with collector() as found:
        yield found


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Collector]]:
    """Give a folder in which a pipeline ran, in a caller's trace, and was resumed, and the collector that it was all sent to."""
    folder = tmp_path_factory.mktemp("watched")
    write(folder)
    with collector() as server:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": server.url, "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
        environ |= {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=s3cret-key", "OTEL_RESOURCE_ATTRIBUTES": "team=data"}
        done = orchestrate(folder, "run", "--json", TRACEPARENT=PARENT, TRACESTATE="v=1", **environ)
        assert (1, "") == (done.returncode, done.stderr)
        done = orchestrate(folder, "resume", "latest", "--json", **environ)
        assert (1, False) == (done.returncode, "warning" in done.stderr)
        yield folder, server


class TestArrived:
    """What a collector gets."""

    def test_spans_are_those_of_the_ledger(self, watched: tuple[Path, Collector]) -> None:
        """Given a run with a retry, a failure, a skip and a second part, then each of its spans has arrived once, as the ledger has it."""
        folder, server = watched
        (run_id,) = run_ids(folder)
        received = [as_received(span) for _, span in server.spans()]

        expected = [as_recorded(span) for span in recorded(folder, run_id)]
        assert len(expected) == len(received) == len(by_id(received))
        assert by_id(expected) == by_id(received)

    def test_the_trace_is_the_callers(self, watched: tuple[Path, Collector]) -> None:
        """Given a caller's context, then the run lies below its span, in its trace, and hands its state on."""
        spans = [as_received(span) for _, span in watched[1].spans()]
        runs = [span for span in spans if span["kind"] == "server"]
        assert {("0af7651916cd43dd8448eb211c80319c", "v=1")} == {
            (span["trace_id"], span["tracestate"]) for span in spans
        }
        assert ["b7ad6b7169203331"] * 2 == [span["parent_id"] for span in runs]

    def test_the_run_carries_its_checkpoint(self, watched: tuple[Path, Collector]) -> None:
        """Given a part of a run, then its span names the checkpoint that seals it: the root over the events up to its end."""
        folder, server = watched
        ((ledger_id,),) = ask(folder, "SELECT json_extract(body, '$.ledger') FROM events WHERE seq = 0")
        ends = [seq + 1 for (seq,) in ask(folder, "SELECT seq FROM events WHERE type = 'run.finished' ORDER BY seq")]
        roots = [ask(folder, "SELECT lower(hex(root)) FROM checkpoints WHERE size = ?", size)[0][0] for size in ends]
        found = [
            tuple(facts.get(f"orchestrate.checkpoint.{name}") for name in ("origin", "size", "root"))
            for facts in (attributes(span.attributes) for _, span in server.spans() if span.kind == 2)
        ]
        assert [(origin_of(ledger_id), size, root) for size, root in zip(ends, roots, strict=True)] == sorted(found)

    def test_the_resource(self, watched: tuple[Path, Collector]) -> None:
        """Given attributes of the environment, then the resource has them, and those of the run, the SDK and the program."""
        folder, server = watched
        for resource, _ in server.spans():
            assert ("data", "orchestrate", "python") == (
                resource["team"], resource["service.name"], resource["telemetry.sdk.language"],
            )  # fmt: skip
            assert [resource["cicd.pipeline.run.id"]] == run_ids(folder)

    def test_headers_go_to_the_collector_alone(self, watched: tuple[Path, Collector]) -> None:
        """Given a credential, then it arrives with each request and stands in no file of the ledger's folder."""
        folder, server = watched
        assert {"s3cret-key"} == {headers["api-key"] for _, headers, _ in server.requests}
        files = [path for path in (folder / ".orchestrate").rglob("*") if path.is_file()]
        assert not [path for path in files if b"s3cret-key" in path.read_bytes()]

    def test_it_is_recorded(self, watched: tuple[Path, Collector]) -> None:
        """Given that all arrived, then so much is recorded once for each end of the run, and sealed."""
        folder, server = watched
        delivered = [data for kind, data in told(folder) if kind == "telemetry.delivered"]
        assert len(told(folder)) == len(delivered) == 2
        assert len(server.spans()) == sum(data["items"] for data in delivered)
        ((events, sealed),) = ask(folder, "SELECT (SELECT count(*) FROM events), (SELECT max(size) FROM checkpoints)")
        assert events == sealed

    def test_replay(self, watched: tuple[Path, Collector]) -> None:
        """Given a replay, then the same arrives again, byte for byte in what identifies it, and nothing is recorded, since nothing was missing."""
        folder, server = watched
        before, known = by_id([as_received(span) for _, span in server.spans()]), told(folder)
        server.requests.clear()
        done = orchestrate(
            folder, "telemetry", "replay", "--since", "2020-01-01", "--json", OTEL_EXPORTER_OTLP_ENDPOINT=server.url
        )
        assert 0 == done.returncode, done.stderr
        signals = {sent["signal"]: sent for sent in json.loads(done.stdout)["signals"]}
        assert {"signal": "traces", "runs": 1, "items": len(before), "rejected": 0, "error": None} == signals["traces"]
        assert before == by_id([as_received(span) for _, span in server.spans()])
        assert known == told(folder)

    def test_export(self, watched: tuple[Path, Collector]) -> None:
        """Given an export, then the spans are the same, as OTLP JSON; into a file, the same lines."""
        folder, server = watched
        shown = orchestrate(folder, "export", "latest", "--format", "otlp")
        spans = [
            span
            for line in shown.stdout.splitlines()
            for resource in json.loads(line).get("resourceSpans", ())
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]
        assert {span.span_id.hex() for _, span in server.spans()} == {span["spanId"] for span in spans}
        as_json = orchestrate(folder, "export", "latest", "--format", "otlp", "--json")
        assert shown.stdout.splitlines() == [
            json.dumps(document, separators=(",", ":"), ensure_ascii=False)
            for document in json.loads(as_json.stdout)["documents"]
        ]
        written = orchestrate(folder, "export", "latest", "--format", "otlp", "--output", "run.jsonl", "--json")
        assert json.loads(written.stdout)["documents"] is None
        assert shown.stdout == (folder / "run.jsonl").read_text(encoding="utf-8")


BAD: dict[str, tuple[int | str, str]] = {
    "refuses": ("refuse", "connection_refused"),
    "hangs": ("hang", "timeout"),
    "drips": ("drip", "timeout"),
    "drops": ("drop", "connection_dropped"),
    "answers 503": (503, "http_503"),
    "answers 400": (400, "http_400"),
    "rejects one": ("reject", "rejected"),
}


class TestBadCollectors:
    """Whatever a collector does, the run is what it is."""

    @pytest.mark.parametrize("kind", BAD)
    def test_the_result_is_the_same(self, kind: str, tmp_path: Path, server: Collector) -> None:
        """Given a collector that is bad in this way, then the run succeeds all the same, and one event says what did not arrive and why."""
        server.answer, word = BAD[kind]
        write(tmp_path, '"true"', "1s" if word == "timeout" else "30s")
        url = f"{refusing_url() if server.answer == 'refuse' else server.url}/v1/traces"
        done = orchestrate(tmp_path, "run", "--json", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=url)

        assert (0, "succeeded") == (done.returncode, json.loads(done.stdout)["status"])
        (run_id,) = run_ids(tmp_path)
        ((name, data),) = told(tmp_path)
        missing = 1 if word == "rejected" else len(recorded(tmp_path, run_id))
        known = {"pipeline": "nightly", "run_id": run_id, "signal": "traces", "place": "otlp"}
        assert ("telemetry.failed", {**known, "items": missing, "error": word}) == (name, data)
        assert f"{missing} of {len(recorded(tmp_path, run_id))} spans were not delivered (otlp: {word})" in done.stderr
        assert "127.0.0.1" not in done.stderr


class TestMissed:
    """What a collector has missed comes later."""

    def test_the_next_run_brings_it(self, tmp_path: Path, server: Collector) -> None:
        """
        Given a run whose collector was away, and one that ran without, when it is back, then the next run brings all, and so much is recorded.

        What ran before anything was configured is history, and stays for `replay`.
        """
        write(tmp_path)
        url = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{server.url}/v1/traces"}
        orchestrate(tmp_path, "run")
        server.answer = 503
        orchestrate(tmp_path, "run", **url)
        orchestrate(tmp_path, "run")
        server.answer = 200
        orchestrate(tmp_path, "run", **url)

        history, *others = run_ids(tmp_path)
        expected = {span.span_id for run_id in others for span in recorded(tmp_path, run_id)}
        assert expected == {span.span_id.hex() for _, span in server.spans()}
        assert [("telemetry.failed", others[0]), *(("telemetry.delivered", run_id) for run_id in (others[2], *others[:2]))] == [
            (name, data["run_id"]) for name, data in told(tmp_path)
        ]  # fmt: skip

        known, taken = len(told(tmp_path)), len(server.spans())
        orchestrate(tmp_path, "run", **url)
        assert (known + 1, taken + len(recorded(tmp_path, run_ids(tmp_path)[-1]))) == (
            len(told(tmp_path)),
            len(server.spans()),
        )
        assert history not in {data["run_id"] for _, data in told(tmp_path)}

    def test_a_replay_brings_it(self, tmp_path: Path, server: Collector) -> None:
        """Given a run whose collector was away, when it is replayed, then all arrives, it is recorded, and the next run does not bring it again."""
        write(tmp_path)
        refused = orchestrate(tmp_path, "run", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{refusing_url()}/v1/traces")
        assert "connection_refused" in refused.stderr
        url = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{server.url}/v1/traces"}
        server.answer = 400
        failed = orchestrate(tmp_path, "telemetry", "replay", "--since", "2020-01-01", **url)
        assert (1, "traces: the collector took no more: http_400") == (
            failed.returncode,
            failed.stdout.splitlines()[-1].partition(";")[0],
        )
        server.answer = 200
        done = orchestrate(
            tmp_path, "telemetry", "replay", "--since", "2020-01-01", "--pipeline-name", "nightly", **url
        )

        (run_id,) = run_ids(tmp_path)
        count = len(recorded(tmp_path, run_id))
        assert (0, f"traces: {count} spans of 1 of 1 runs sent\n") == (done.returncode, done.stdout), done.stderr
        assert [("telemetry.failed", count), ("telemetry.delivered", count)] == [
            (name, data["items"]) for name, data in told(tmp_path)
        ]
        assert count == len(server.spans())

    def test_a_killed_run(self, tmp_path: Path, server: Collector) -> None:
        """Given a run that was killed, then the next one closes it and sends its spans, also that of a part that went on after it was resumed."""
        url = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{server.url}/v1/traces"}
        write(tmp_path)
        orchestrate(tmp_path, "run", **url)
        write(tmp_path, '"sh", "-c", "test -e gone || { echo $$ > pid.new; mv pid.new pid; exec sleep 600; }"')
        process = subprocess.Popen(
            [PROGRAM, "run", "--quiet"], cwd=tmp_path, env={**os.environ, **url}, stdin=subprocess.DEVNULL
        )
        step = pid_in(tmp_path / "pid")
        process.kill()
        process.wait()
        kill(step)
        (tmp_path / "gone").touch()
        done = orchestrate(tmp_path, "resume", "latest", **url)
        assert 0 == done.returncode, done.stderr

        _, killed = run_ids(tmp_path)
        expected = by_id([as_recorded(span) for span in recorded(tmp_path, killed)])
        received = by_id([as_received(span) for _, span in server.spans()])
        assert expected == {span_id: received[span_id] for span_id in expected}
        assert ["error", "success"] == [
            span["attributes"]["cicd.pipeline.result"] for span in expected.values() if span["kind"] == "server"
        ]


class TestSampling:
    """What is not sampled is not sent, and its processes are told."""

    @pytest.mark.parametrize(
        ("variables", "flags", "spans"),
        [
            ({"OTEL_TRACES_SAMPLER": "always_off"}, "00", 0),
            ({"TRACEPARENT": f"{PARENT[:-2]}00"}, "00", 0),
            ({"TRACEPARENT": f"{PARENT[:-2]}00", "OTEL_TRACES_SAMPLER": "always_on"}, "01", 10),
            ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, "00", 0),
        ],
    )
    def test_a_run(self, variables: dict[str, str], flags: str, spans: int, tmp_path: Path, server: Collector) -> None:
        """Given a sampler or a caller that says no, then no span is sent, a step that traces is told so, and nothing counts as missed."""
        write(tmp_path, '"sh", "-c", "test $${TRACEPARENT##*-} = ' + flags + '"')
        done = orchestrate(tmp_path, "run", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{server.url}/v1/traces", **variables)
        assert (0, spans) == (done.returncode, len(server.spans())), done.stderr
        assert not [data for kind, data in told(tmp_path) if kind == "telemetry.failed"]


class TestSecrets:
    """What the environment says of the resource goes out as well."""

    def test_resource(self, tmp_path: Path, server: Collector) -> None:
        """Given a secret in OTEL_RESOURCE_ATTRIBUTES, then neither the file, nor a collector, now or later, nor the export gets it."""
        secret = "very-secret-4711"
        definition = f"{PIPELINE.format(bad=chr(34) + 'true' + chr(34))}[env.vars.API_KEY]\nsecret = true\n"
        with_file = definition.replace("[telemetry]\n", '[telemetry]\nfile = "otel.jsonl"\n')
        (tmp_path / "pipeline.toml").write_text(with_file, encoding="utf-8")
        (tmp_path / ".env").write_text(f"API_KEY={secret}\n", encoding="utf-8")
        (tmp_path / ".env").chmod(0o600)
        environ = {
            "OTEL_RESOURCE_ATTRIBUTES": f"team={secret},site=a",
            "OTEL_EXPORTER_OTLP_ENDPOINT": server.url,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        }
        assert orchestrate(tmp_path, "run", "-q", **environ).returncode == 0
        assert orchestrate(tmp_path, "telemetry", "replay", "--since", "2020-01-01", **environ).returncode == 0
        exported = orchestrate(tmp_path, "export", "--format", "otlp", "latest", **environ)
        assert exported.returncode == 0, exported.stderr
        sent = [resource for resource, _ in server.spans()]
        assert {(str(found["team"]), str(found["site"])) for found in sent} == {("***", "a")}
        assert secret not in (tmp_path / "otel.jsonl").read_text(encoding="utf-8")
        assert '"***"' in exported.stdout
        assert secret not in exported.stdout


class TestFile:
    """A file of OTLP JSON lines."""

    def test_lines(self, tmp_path: Path) -> None:
        """Given a file in the definition, then each run appends documents to it, private, with the spans of the ledger; also where steps have other folders."""
        write(tmp_path)
        definition = (tmp_path / "pipeline.toml").read_text(encoding="utf-8")
        (tmp_path / "other").mkdir()
        definition = definition.replace('wait = "30s"', 'wait = "30s"\nfile = "otlp.jsonl"')
        (tmp_path / "pipeline.toml").write_text(
            definition.replace("[steps.bad]", '[steps.bad]\ncwd = "other"'), encoding="utf-8"
        )
        for _ in range(2):
            done = orchestrate(tmp_path, "run")
            assert "telemetry" not in done.stderr
        target = tmp_path / "otlp.jsonl"
        documents = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
        found = {
            span["spanId"]
            for document in documents
            for resource in document.get("resourceSpans", ())
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        }
        assert {span.span_id for run_id in run_ids(tmp_path) for span in recorded(tmp_path, run_id)} == found
        assert 0o600 == target.stat().st_mode & 0o777
        assert {("telemetry.delivered", "file")} == {(name, data["place"]) for name, data in told(tmp_path)}

    def test_one_that_cannot_be_written(self, tmp_path: Path) -> None:
        """Given a file in no folder, then the run is what it is, and what happened is recorded."""
        write(tmp_path, '"true"')
        definition = (tmp_path / "pipeline.toml").read_text(encoding="utf-8")
        definition = definition.replace('wait = "30s"', 'wait = "30s"\nfile = "no/such/otlp.jsonl"')
        (tmp_path / "pipeline.toml").write_text(definition, encoding="utf-8")
        done = orchestrate(tmp_path, "run")
        assert 0 == done.returncode
        assert {"file_ENOENT"} == {data["error"] for _, data in told(tmp_path)}


BROKEN = """
import sys
from orchestrator.cli.app import run_command
from orchestrator.projections.spans import RunSpans

def apply(self, event):
    raise ZeroDivisionError

RunSpans.apply = apply
sys.exit(run_command(["run"]))
"""

WITHOUT_THE_EXTRA = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name.startswith("opentelemetry.exporter") else find(name, *more)
from orchestrator.cli.app import run_command
sys.exit(run_command(sys.argv[1:]))
"""

LOADED = """
import json, sys
from orchestrator.cli.app import run_command
code = run_command(["run", "--quiet"])
json.dump(sorted(sys.modules), open("modules.json", "w"))
sys.exit(code)
"""


class TestWithout:
    """Where nothing asks for it, or what it needs is missing."""

    def test_nothing_is_loaded(self, tmp_path: Path) -> None:
        """Given no variable and no table, when a pipeline runs, then nothing of the SDK was loaded, and nothing of ours but what looks for them."""
        write(tmp_path, '"true"')
        subprocess.run([sys.executable, "-c", LOADED], cwd=tmp_path, check=True, timeout=110)
        loaded = json.loads((tmp_path / "modules.json").read_text(encoding="utf-8"))
        assert [] == [name for name in loaded if name.split(".")[0] in ("opentelemetry", "google", "requests")]
        ours = [name.rpartition(".")[2] for name in loaded if name.startswith("orchestrator.cli.telemetry.")]
        assert ["entry", "sampling", "settings", "variables"] == ours
        assert [] == told(tmp_path)

    def test_the_extra_is_missing(self, tmp_path: Path) -> None:
        """Given no extra, then a run goes on with one warning, and what cannot do without is refused with the line that installs it."""
        write(tmp_path, '"true"')
        environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
        replay = ("telemetry", "replay", "--since", "2020-01-01")
        for arguments, code in ((("run",), 0), (("export", "latest", "--format", "otlp"), 2), (replay, 2)):
            done = subprocess.run(
                [sys.executable, "-c", WITHOUT_THE_EXTRA, *arguments],
                cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=110, check=False,
            )  # fmt: skip
            assert code == done.returncode, done.stderr
            assert 1 == done.stderr.count('needs the extra otlp: pip install "orchestrate[otlp]"')
        assert [] == told(tmp_path)

    def test_a_bug(self, tmp_path: Path) -> None:
        """Given a bug in what makes spans of events, then the run is what it is, and what is missing is recorded, to be sent when it is mended."""
        write(tmp_path, '"true"')
        environ = {**os.environ, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": refusing_url()}
        done = subprocess.run(
            [sys.executable, "-c", BROKEN], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=110, check=False
        )  # fmt: skip
        assert (0, 1) == (done.returncode, done.stderr.count("telemetry: ZeroDivisionError"))
        assert [("telemetry.failed", "bug_ZeroDivisionError")] == [
            (kind, data["error"]) for kind, data in told(tmp_path)
        ]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--since", "yesterday"), "--since takes a date such as 2026-01-31"),
            (("--since", "2026-01-02", "--until", "2026-01-01"), "is later than --until"),
            (("--since", "2026-01-01", "--pipeline-name", "nowhere"), "the ledger knows no pipeline 'nowhere'"),
        ],
    )
    def test_a_replay_of_nothing(
        self, watched: tuple[Path, Collector], arguments: tuple[str, ...], message: str
    ) -> None:
        """Given days or a name that mean nothing, then the replay is refused."""
        done = orchestrate(
            watched[0], "telemetry", "replay", *arguments, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1"
        )
        assert 2 == done.returncode
        assert message in done.stderr

    def test_a_replay_to_nowhere(self, watched: tuple[Path, Collector]) -> None:
        """Given no endpoint, then the replay is refused; given days on which nothing ended, then nothing is sent."""
        refused = orchestrate(watched[0], "telemetry", "replay", "--since", "2020-01-01")
        assert (2, True) == (refused.returncode, "set OTEL_EXPORTER_OTLP_ENDPOINT" in refused.stderr)
        days = ("--since", "2020-01-01", "--until", "2020-01-02")
        done = orchestrate(
            watched[0], "telemetry", "replay", *days, "--json", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1"
        )
        assert (0, 0) == (done.returncode, json.loads(done.stdout)["runs"])
