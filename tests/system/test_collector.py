"""
The Collector of `make collector`, run by `otel-collector.yaml`, beside real nights: what it keeps is what the ledger says, span by span.

`make test-collector` builds it and runs this. One story is told once, and looked at after each of its parts: the Collector is killed at once
after the first night, and in the middle of the second; it misses the fourth, which fails; that one is replayed, and resumed, in vain.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from orchestrator.projections.spans import nanoseconds
from orchestrator.projections.traces import run_trace
from tests.counting import count
from tests.examples.flights import PATH, STEPS, Pipeline
from tests.programs import data_of, ended, ledger_of, program, started, value_of, wait_until
from tests.real_collector import PROGRAM, Json, RealCollector, expected, two_collectors

pytestmark = [pytest.mark.collector, pytest.mark.system, pytest.mark.timeout(500)]

FIRST, SECOND, THIRD, FOURTH = (date(2013, 2, day) for day in range(1, 5))
OWN = {"judge flights", "judge weather"}
"""The spans that the step `quality` sends by itself."""

PATIENT = """
[telemetry]
wait = "30s"
"""
"""So that what is sent at the end of a run arrives on a busy machine too."""

SECRET = "hunter22" * 3
LEAKY = f"""
[pipeline]
name = "leaky"
[env]
pass = ["PATH", "HOME", "OTEL_EXPORTER_OTLP_ENDPOINT"]
[steps.leak]
command = ["python", "leak.py"]
[steps.flaky]
shell = "test -e tried || {{ touch tried; exit 75; }}"
retry = {{ attempts = 2, delay = "10ms" }}
{PATIENT}"""
LEAK = f"""
import contextlib, os
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
tracer = provider.get_tracer("leak")
above = TraceContextTextMapPropagator().extract({{"traceparent": os.environ["TRACEPARENT"]}})
with tracer.start_as_current_span("GET https://etl:{SECRET}@archive/flights", above) as span:
    span.set_attribute("http.request.header.authorization", "Bearer {SECRET}")
    span.set_attribute("answers", ["fine", "Bearer {SECRET}"])
    span.set_attribute("plain", "as it is")
    span.set_attribute("rows", 842)
    with contextlib.suppress(RuntimeError), tracer.start_as_current_span("log in"):
        raise RuntimeError("refused: password={SECRET}")
"""


class Seen(NamedTuple):
    """What a Collector had kept at one time, and what the ledger said then, by the id of the span."""

    kept: list[Json]
    ledger: dict[str, Json]
    resources: dict[str, Json]

    @property
    def ours(self) -> list[Json]:
        """What the orchestrator has sent."""
        return [span for span in self.kept if span["scope"] == "orchestrate"]

    @property
    def others(self) -> list[Json]:
        """What steps have sent."""
        return [span for span in self.kept if span["scope"] != "orchestrate"]

    def runs(self) -> list[str]:
        """Return the trace of each run, in order."""
        return [span["trace_id"] for span in self.ledger.values() if span["kind"] == 2]


class Story(NamedTuple):
    """What was seen after each part."""

    folder: Path
    first: Seen
    third: Seen
    outlook: dict[str, str]
    missed: Seen
    replayed: Seen
    resumed: Seen
    backend: Seen
    near: RealCollector


@pytest.fixture(scope="module")
def collectors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RealCollector, RealCollector]]:
    """Give a Collector that is up, and its back end, which is another one."""
    if PROGRAM is None and os.environ.get("ORCHESTRATE_TEST_REQUIRE") == "all":
        pytest.fail("the Collector is required but ORCHESTRATE_COLLECTOR does not name it: run `make test-collector`")
    if PROGRAM is None:
        pytest.skip("`make test-collector` builds the Collector and runs this")
    with two_collectors(tmp_path_factory.mktemp("collectors")) as both:
        yield both


@pytest.fixture(scope="module")
def story(collectors: tuple[RealCollector, RealCollector], tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Tell the story of four nights."""
    near, backend = collectors
    folder = tmp_path_factory.mktemp("flights")
    pipeline = Pipeline(folder)
    with (folder / "pipeline.toml").open("a", encoding="utf-8") as definition:
        definition.write(PATIENT)

    pipeline.deliver(FIRST)
    pipeline.run(FIRST, env=near.environment)
    near.end(signal.SIGKILL)
    first = look(folder, near)

    near.start()
    pipeline.deliver(SECOND)
    with started("run", "--json", "--for", str(SECOND), cwd=folder, env={**PATH, **near.environment}) as process:
        wait_until(lambda: attempts_of(folder, "quality") == 2, "no quality in the second night", seconds=120)
        near.end(signal.SIGKILL)
        wait_until(lambda: attempts_of(folder, "silver") == 2, "no silver in the second night", seconds=120)
        near.start()
        value_of(ended(process, timeout=120), "run")
    pipeline.deliver(THIRD)
    pipeline.run(THIRD, env=near.environment)
    third = look(folder, near)
    planned = value_of(program("plan", "--json", cwd=folder, env=PATH), "plan")
    outlook = {step["step"]: step["outlook"] for step in planned["steps"]}

    near.end(signal.SIGKILL)
    pipeline.deliver(FOURTH, broken=True)
    pipeline.run(FOURTH, code=1, env=near.environment)
    near.start()
    missed = look(folder, near)
    replayed = program("telemetry", "replay", "--since", yesterday(), cwd=folder, env=near.environment, timeout=120)
    assert replayed.returncode == 0, replayed
    after_replay = look(folder, near)

    resumed = program("resume", "latest", "--json", cwd=folder, env={**PATH, **near.environment}, timeout=180)
    value_of(resumed, "run", code=1)
    after_resume = look(folder, near)
    wait_until(lambda: ours_passed_on(near, backend), "the back end lacks spans", seconds=120)
    return Story(folder, first, third, outlook, missed, after_replay, after_resume, look(folder, backend), near)


@pytest.fixture(scope="module")
def leaked(collectors: tuple[RealCollector, RealCollector], tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run a step that sends its secret in every part of a span."""
    near, backend = collectors
    folder = tmp_path_factory.mktemp("leaky")
    (folder / "pipeline.toml").write_text(LEAKY, encoding="utf-8")
    (folder / "leak.py").write_text(LEAK, encoding="utf-8")
    near.start()
    before = ids_of(near.spans())
    done = program("run", "--json", cwd=folder, env={**PATH, **near.environment})
    value_of(done, "run")
    wait_until(
        lambda: ids_of(near.spans()) - before <= ids_of(backend.spans()), "the back end lacks spans", seconds=120
    )
    assert SECRET not in near.copy.read_text(encoding="utf-8")
    assert SECRET not in backend.copy.read_text(encoding="utf-8")
    seen = look(folder, near)
    return seen._replace(kept=[span for span in seen.kept if span["trace_id"] in seen.runs()])


def look(folder: Path, collector: RealCollector) -> Seen:
    """See what *collector* has kept, and what the ledger in *folder* says."""
    with contextlib.closing(sqlite3.connect(f"file:{ledger_of(folder)}?mode=ro", uri=True)) as connection:
        run_ids = [run_id for (run_id,) in connection.execute("SELECT run_id FROM runs ORDER BY first_seq")]
        spans = [span for run_id in run_ids for span in run_trace(connection, run_id).spans]
    by_id = {span.span_id: expected(span) for span in spans}
    assert len(by_id) == len(spans)
    return Seen(collector.spans(), by_id, {span.span_id: dict(span.resource) for span in spans})


def attempts_of(folder: Path, step: str) -> int:
    """Return how many attempts of *step* have begun."""
    return sum(data["step"] == step for data in data_of(ledger_of(folder), "attempt.started"))


def ids_of(spans: Iterable[Json]) -> set[str]:
    """Return the ids of *spans*."""
    return {span["span_id"] for span in spans}


def ours_passed_on(near: RealCollector, backend: RealCollector) -> bool:
    """Whether the back end has every span of the orchestrator that *near* has; those of steps that waited in its memory when it was killed nobody sends again."""
    return ids_of(span for span in near.spans() if span["scope"] == "orchestrate") <= ids_of(backend.spans())


def yesterday() -> str:
    """Return the day before today, in UTC."""
    return str(datetime.now(UTC).date() - timedelta(days=1))


def agree(seen: Seen) -> None:
    """Assert that what was kept of the orchestrator's spans is what the ledger says: every one, and each copy of it alike."""
    for span in seen.ours:
        assert {**span, "resource": None, "scope": None} == {
            **seen.ledger[span["span_id"]],
            "resource": None,
            "scope": None,
        }
        assert seen.resources[span["span_id"]].items() <= span["resource"].items()
        assert span["resource"]["service.name"] == "orchestrate"
    times = Counter(span["span_id"] for span in seen.ours)
    assert times.keys() == seen.ledger.keys()
    count("spans that a Collector kept, compared with the ledger", len(times))
    count("copies of them that came again", times.total() - len(times))


def lies_below_its_attempt(seen: Seen) -> None:
    """Assert that what steps have sent are the spans of `quality`, below the span of an attempt of it."""
    for span in seen.others:
        attempt = seen.ledger[span["parent_id"]]
        assert span["name"] in OWN
        assert attempt["name"] == "quality"
        assert "orchestrate.attempt" in attempt["attributes"]
        assert span["trace_id"] == attempt["trace_id"]
        assert attempt["start_ns"] <= span["start_ns"] <= span["end_ns"] <= attempt["end_ns"]


class TestNights:
    """The flights pipeline, and a Collector that comes and goes."""

    def test_a_night_is_kept_once_and_outlives_the_kill(self, story: Story) -> None:
        """The Collector was killed as soon as the run had ended: what it had acknowledged is on disk."""
        agree(story.first)
        lies_below_its_attempt(story.first)
        assert len(story.first.ours) == len(story.first.ledger) == 1 + 2 * len(STEPS)
        assert sorted(span["name"] for span in story.first.others) == sorted(OWN)
        assert len(story.first.kept) == len(story.first.ledger) + len(OWN)

    def test_what_the_kill_in_the_middle_lost_comes_with_the_next_run(self, story: Story) -> None:
        """Nobody had to ask for it, and what had arrived already is the same."""
        agree(story.third)
        lies_below_its_attempt(story.third)
        assert len(story.third.runs()) == 3
        for trace in (story.third.runs()[0], story.third.runs()[2]):
            assert sorted(span["name"] for span in story.third.others if span["trace_id"] == trace) == sorted(OWN)

    def test_nothing_runs_again_because_the_collector_has_gone(self, story: Story) -> None:
        """Where spans go is in no step's key: planned without a word of the Collector that was there in all nights before."""
        assert set(story.outlook.values()) == {"skip"}
        assert story.outlook.keys() == set(STEPS)

    def test_a_night_that_failed_without_a_collector_is_replayed(self, story: Story) -> None:
        """Nothing of it had come; then all of it is there, errors and skips too, and the steps' own spans alone are lost."""
        [trace] = set(story.missed.runs()) - set(story.third.runs())
        assert [span for span in story.missed.kept if span["trace_id"] == trace] == []
        agree(story.replayed)
        mine = [span for span in story.replayed.ours if span["trace_id"] == trace]
        assert {span["attributes"].get("cicd.pipeline.task.run.result") for span in mine} == {
            "success",
            "failure",
            "skip",
            None,
        }
        assert [span["status"]["code"] for span in mine if span["name"] == "quality"] == [2, 2]
        failed, delivered = (
            [(data["run_id"], data["signal"]) for data in data_of(ledger_of(story.folder), kind)]
            for kind in ("telemetry.failed", "telemetry.delivered")
        )
        assert len(failed) == len(set(failed))
        assert set(failed) <= set(delivered)

    def test_a_resumed_run_is_linked_to_what_it_goes_on_from(self, story: Story) -> None:
        """Both parts are in one trace, and the later one names the earlier."""
        agree(story.resumed)
        lies_below_its_attempt(story.resumed)
        former, later = (
            span for span in story.resumed.ledger.values() if span["kind"] == 2 and FOURTH.isoformat() in str(span)
        )
        [kept] = [span for span in story.resumed.ours if span["span_id"] == later["span_id"]]
        assert kept["links"] == [(former["trace_id"], former["span_id"])]
        assert kept["trace_id"] == former["trace_id"]

    def test_the_run_span_is_a_witness_of_the_ledger(self, story: Story) -> None:
        """Whoever keeps traces holds origin, size and root of what was sealed."""
        ends = [span for span in story.resumed.ours if span["kind"] == 2]
        names = {f"orchestrate.checkpoint.{name}" for name in ("origin", "size", "root")}
        assert [span["name"] for span in ends if not names <= span["attributes"].keys()] == []

    def test_each_row_of_the_tables_has_its_span(self, story: Story) -> None:
        """Counted without the projection: attempts as the read models have them, with their times and ends."""
        with contextlib.closing(sqlite3.connect(f"file:{ledger_of(story.folder)}?mode=ro", uri=True)) as connection:
            rows = connection.execute(
                "SELECT run_id || '/' || step, attempt, started_at, finished_at, status FROM attempts"
            )
            attempts = {
                (run, attempt, nanoseconds(begun), nanoseconds(over), status)
                for run, attempt, begun, over, status in rows
            }
        task, attempt, status = "cicd.pipeline.task.run.id", "orchestrate.attempt", "orchestrate.status"
        kept = {
            (told[task], told[attempt], span["start_ns"], span["end_ns"], told[status])
            for span in story.resumed.ours
            if attempt in (told := span["attributes"])
        }
        assert kept == attempts

    def test_the_back_end_got_the_same(self, story: Story) -> None:
        """It is another Collector, which took them over gRPC; what the kills had cost it came with the replay."""
        agree(story.backend)
        lies_below_its_attempt(story.backend)

    def test_the_collector_finds_nothing_deprecated_in_its_file(self, story: Story) -> None:
        """What will be taken away says so before."""
        said = story.near.log.read_text(encoding="utf-8").lower()
        assert "everything is ready" in said
        assert "deprecated" not in said


class TestMasking:
    """What a step puts into spans of its own never passes the orchestrator."""

    def test_a_secret_in_a_span_of_a_step_is_masked_wherever_it_stands(self, leaked: Seen) -> None:
        """Name, attributes, lists, messages of exceptions; and what is none stays, with its type."""
        [request] = [span for span in leaked.others if span["name"].startswith("GET")]
        [login] = [span for span in leaked.others if span["name"] == "log in"]
        assert request["name"] == "GET https****archive/flights"
        assert request["attributes"]["http.request.header.authorization"] == "****"
        assert request["attributes"]["answers"] == '["fine","****"]'
        assert request["attributes"]["plain"] == "as it is"
        assert request["attributes"]["rows"] == 842
        assert request["attributes"]["redaction.masked.count"] == 3
        assert login["status"]["message"] == "RuntimeError: refused: ****"
        assert login["events"][0][2]["exception.message"] == "refused: ****"
        assert not [name for span in leaked.kept for name in span["attributes"] if name.startswith("looked_at")]

    def test_nothing_of_ours_is_taken_for_a_secret(self, leaked: Seen) -> None:
        """The ledger's spans are untouched, the event of a retry too."""
        agree(leaked)
        assert [event[0] for span in leaked.ours for event in span["events"]] == ["retry.scheduled"]


SPANS = {
    "resourceSpans": [
        {
            "resource": {},
            "scopeSpans": [
                {
                    "scope": {"name": "acknowledged"},
                    "spans": [
                        {
                            "traceId": "0af7651916cd43dd8448eb211c80319c",
                            "spanId": "b7ad6b7169203331",
                            "name": "acknowledged",
                            "kind": 1,
                            "startTimeUnixNano": "1",
                            "endTimeUnixNano": "2",
                        }
                    ],
                }
            ],
        }
    ]
}
TOLD = [{"key": "tried", "value": {"stringValue": f"with password={SECRET}, in vain"}}]
LOGS = {
    "resourceLogs": [
        {"scopeLogs": [{"logRecords": [{"body": {"stringValue": f"Bearer {SECRET} is refused"}, "attributes": TOLD}]}]}
    ]
}
METRICS = {
    "resourceMetrics": [
        {
            "scopeMetrics": [
                {"metrics": [{"name": "tries", "gauge": {"dataPoints": [{"asInt": "3", "attributes": TOLD}]}}]}
            ]
        }
    ]
}


class TestSending:
    """What is sent by hand, as OTLP's JSON has it."""

    def test_metrics_and_logs_are_masked_and_kept_too(self, collectors: tuple[RealCollector, RealCollector]) -> None:
        """The bodies of logs as well as attributes."""
        near, _ = collectors
        near.start()
        near.send("logs", LOGS)
        near.send("metrics", METRICS)
        text = near.copy.read_text(encoding="utf-8")
        assert SECRET not in text
        assert '"**** is refused"' in text
        assert text.count('"with ****, in vain"') == 2

    def test_what_was_acknowledged_is_on_disk(self, collectors: tuple[RealCollector, RealCollector]) -> None:
        """Between the answer and the kill there is no time in which anything could be written."""
        near, _ = collectors
        near.start()
        near.send("traces", SPANS)
        near.end(signal.SIGKILL)
        assert [span["name"] for span in near.spans() if span["scope"] == "acknowledged"] == ["acknowledged"]
