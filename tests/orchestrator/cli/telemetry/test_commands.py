"""`telemetry replay` and `export`, within this process: what is hard to come by outside."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from orchestrator.cli.app import run_command
from orchestrator.schemas import load_schema
from tests.collector import Collector, collector
from tests.programs import data_of, ledger_of, program, value_of

PIPELINE = """
[pipeline]
name = "nightly"
[steps.one]
command = ["true"]
"""
SPANS = 3
REPLAY = ["telemetry", "replay", "--since", "2020-01-01", "--json"]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Collector]:
    """Give a collector, in a folder with a pipeline that has run without it."""
    (tmp_path / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert 0 == run_command(["run", "--quiet"])
    with collector() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{found.url}/v1/traces")
        capfd.readouterr()
        yield found


def test_a_collector_that_is_busy(
    server: Collector, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Given a collector that answers 503, then it is asked again after a pause, and a longer one; what has the form that is published is printed."""
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        server.answer = 503 if len(pauses) == 1 else 200

    monkeypatch.setattr(time, "sleep", sleep)
    server.answer = 503
    assert 0 == run_command(REPLAY)
    assert ([1.0, 2.0], 3, SPANS) == (pauses, server.asked, len(server.spans()))
    done = json.loads(capfd.readouterr().out)
    Draft202012Validator(load_schema("cli/telemetry-replay")).validate(done)
    assert {
        "runs": 1,
        "signals": [{"signal": "traces", "runs": 1, "items": SPANS, "rejected": 0, "error": None}],
        "recorded": 0,
    } == done


def test_a_collector_that_stays_busy(server: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given one that never answers anything else, then that is said in the end."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    server.answer = 503
    assert 1 == run_command(REPLAY[:-1])
    assert ([1.0, 2.0, 4.0], 4) == (pauses, server.asked)


def test_a_collector_that_rejects(server: Collector, capfd: pytest.CaptureFixture[str]) -> None:
    """Given one that rejects a span for good, then that is said, and it is no success."""
    server.answer = "reject"
    assert 1 == run_command(REPLAY[:-1])
    assert f"traces: {SPANS - 1} spans of 1 of 1 runs sent\ntraces: 1 were rejected" in capfd.readouterr().out


@pytest.mark.parametrize("output", ["", "pipeline.toml/x", ".", ".orchestrate/ledger.db"])
def test_an_export_into_nothing(output: str, server: Collector, capfd: pytest.CaptureFixture[str]) -> None:
    """Given an output that is none, then the export is refused, and the ledger is what it was."""
    assert 2 == run_command(["export", "latest", "--format", "otlp", "--output", output])
    assert capfd.readouterr().err
    assert 0 == server.asked
    assert 0 == run_command(["runs"])


@pytest.mark.parametrize(
    ("output", "code", "said"),
    [("/dev/full", 5, "No space left on device"), ("pipe", 2, "nobody reads from it"), ("", 2, "the name is empty")],
)
def test_an_export_that_is_not_taken(
    output: str, code: int, said: str, server: Collector, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Given a disk that is full, then storage has failed; given a pipe that nobody reads, or no name, then it is no place."""
    os.mkfifo(tmp_path / "pipe")
    assert code == run_command(["export", "latest", "--format", "otlp", "--output", output])
    assert said in capfd.readouterr().err
    assert 0 == server.asked


def test_a_pipe_by_its_descriptor(server: Collector, capfd: pytest.CaptureFixture[str]) -> None:
    """Given what a shell makes of `>(…)`, then it is written to."""
    reading, writing = os.pipe()
    assert 0 == run_command(["export", "latest", "--format", "otlp", "--output", f"/dev/fd/{writing}"])
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as file:
        assert file.read().startswith('{"resourceSpans":')
    assert (0, "") == (server.asked, capfd.readouterr().out)


def test_all_days_there_are(
    server: Collector, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Given the first day and the last one, then all runs are sent; how far it has come is counted in runs."""
    monkeypatch.setattr("orchestrator.cli.older.PATIENCE_SECONDS", 0)
    assert 0 == run_command(["telemetry", "replay", "--since", "0001-01-01", "--until", "9999-12-31"])
    told = capfd.readouterr()
    assert (f"traces: {SPANS} spans of 1 of 1 runs sent\n", "sending traces: 1 of 1 runs\n") == (told.out, told.err)
    assert SPANS == len(server.spans())


def test_an_export(server: Collector, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Given a device or a file, then it is written; what is printed has the form that is published."""
    counts = set()
    for output in ("/dev/null", "run.jsonl"):
        assert 0 == run_command(["export", "latest", "--format", "otlp", "--output", output, "--json"])
        done = json.loads(capfd.readouterr().out)
        Draft202012Validator(load_schema("cli/export")).validate(done)
        assert (output, None) == (done["output"], done["documents"])
        counts.add(done["lines"])
    (count,) = counts
    assert count == len((tmp_path / "run.jsonl").read_text(encoding="utf-8").splitlines())
    assert 0 == run_command(["export", "latest", "--format", "otlp", "--json"])
    shown = json.loads(capfd.readouterr().out)
    Draft202012Validator(load_schema("cli/export")).validate(shown)
    assert count == len(shown["documents"])
    assert 0 == server.asked


@pytest.mark.parametrize("options", [["--json"], ["--quiet"]])
def test_nothing_of_the_sdk_is_said(tmp_path: Path, options: list[str]) -> None:
    """Given a limit that cuts every text off, then a run says nothing of that, which cron would mail, and what was cut off is sent."""
    (tmp_path / "pipeline.toml").write_text(f'{PIPELINE}[telemetry]\nfile = "sent.jsonl"\n', encoding="utf-8")
    done = program("run", *options, cwd=tmp_path, env={"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "5"})
    assert (done.returncode, done.stderr) == (0, "")
    assert '"stringValue":"night"' in (tmp_path / "sent.jsonl").read_text(encoding="utf-8")


def test_limits_of_records(tmp_path: Path) -> None:
    """Given limits for records of logs, then texts in their attributes are cut, those that are too many are counted, and spans stay as they are."""
    (tmp_path / "pipeline.toml").write_text(f'{PIPELINE}[telemetry]\nfile = "sent.jsonl"\n', encoding="utf-8")
    env = {"OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": "4", "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "2"}
    assert program("run", "--quiet", cwd=tmp_path, env=env).returncode == 0
    documents = [json.loads(line) for line in (tmp_path / "sent.jsonl").read_text(encoding="utf-8").splitlines()]
    records = [
        record
        for document in documents
        for of_resource in document.get("resourceLogs", ())
        for of_scope in of_resource["scopeLogs"]
        for record in of_scope["logRecords"]
    ]
    texts = [item["value"].get("stringValue", "") for record in records for item in record["attributes"]]
    assert max(len(text) for text in texts) == 4
    assert max(len(record["attributes"]) for record in records) == 2
    assert any(record.get("droppedAttributesCount") for record in records)
    assert '"stringValue":"nightly"' in (tmp_path / "sent.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize(("propagators", "names"), [("none", ""), ("baggage", "BAGGAGE"), ("", "BAGGAGE TRACEPARENT")])
def test_propagators(tmp_path: Path, propagators: str, names: str) -> None:
    """Given propagators, then a step gets the context of those alone, and the caller's trace is taken with its own alone."""
    step = "shell = \"env | cut -d= -f1 | grep -Ex 'BAGGAGE|TRACEPARENT' | sort | xargs > got\""
    (tmp_path / "pipeline.toml").write_text(f'[pipeline]\nname = "p"\n[steps.one]\n{step}\n', encoding="utf-8")
    caller = {"TRACEPARENT": f"00-{'a' * 32}-{'b' * 16}-01", "OTEL_PROPAGATORS": propagators}
    value_of(program("run", "--json", cwd=tmp_path, env=caller))
    assert (tmp_path / "got").read_text(encoding="utf-8").strip() == names
    traces = [data.get("traceparent") for data in data_of(ledger_of(tmp_path), "run.started")]
    assert [trace is not None for trace in traces] == ["TRACEPARENT" in names]
