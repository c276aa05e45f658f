"""`orchestrate export --format openlineage` over true runs: failures, retries, a resume, skips, a renamed step, personal data; as lines, and sent."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.loopback import loopback, refusing_url
from tests.openlineage import broken_rules, facets_of, problems_of
from tests.programs import data_of, ledger_of, program, refused, value_of

pytestmark = pytest.mark.system

Event = Mapping[str, Any]

DEFINITION = """\
[pipeline]
name = "shop"
[datasets.raw]
path = "raw"
layer = "raw"
[datasets.bronze]
path = "bronze"
layer = "bronze"
owner = "data-platform"
classification = "internal"
[datasets.people]
path = "people"
classification = "personal"
[datasets.gold]
path = "gold"
[steps.ingest]
shell = '''mkdir -p bronze people; cp raw/* bronze/; echo x > people/1.csv
echo '{"metrics": {"share": 0.5, "ok": true, "note": "text"}, "outputs": {"bronze": {"rows": 2}}}' > $ORCHESTRATE_RESULT'''
reads = ["raw"]
writes = ["bronze"]
[steps.flaky]
shell = "test -e tried || { touch tried; exit 75; }"
reads = ["bronze"]
retry = { attempts = 2 }
[steps.totals]
shell = "test ! -e broken; mkdir -p gold; cat bronze/* > gold/all.csv"
reads = ["bronze"]
writes = ["gold"]
[steps.join]
shell = '''mkdir -p people; echo y > people/1.csv; test ! -e broken || {
  echo '{"status": "failed", "message": "Anna Smith has no flight", "metrics": {"rows": 1}}' > $ORCHESTRATE_RESULT; }'''
reads = ["bronze"]
writes = ["people"]
[steps.mail]
command = ["true"]
reads = ["gold"]
"""


class Shop(NamedTuple):
    """Where the runs are, and what they are, in order."""

    folder: Path
    runs: list[str]
    events: list[Event]

    def of(self, number: int) -> list[Event]:
        """Return what is exported of one run."""
        done = program("export", self.runs[number], "--format", "openlineage", cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(name="shop", scope="module")
def _shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("lineage")
    (folder / "raw").mkdir()
    (folder / "raw" / "1.csv").write_text("a\n1\n", encoding="utf-8")
    (folder / "broken").touch()
    (folder / "pipeline.toml").write_text(DEFINITION, encoding="utf-8")
    first = value_of(program("run", "--json", "--for", "2026-01-01", cwd=folder), "run", code=1)
    (folder / "broken").unlink()
    value_of(program("resume", "latest", "--json", cwd=folder), "resume")
    second = value_of(program("run", "--json", "--for", "2026-01-02", cwd=folder), "run")
    renamed = DEFINITION.replace("[steps.totals]", '[steps.sums]\nformerly = ["totals"]')
    (folder / "pipeline.toml").write_text(renamed, encoding="utf-8")
    third = value_of(program("run", "--json", "--for", "2026-01-03", "--force", "--only", "sums", cwd=folder), "run")
    done = program("export", "--format", "openlineage", "--since", "2026-01-01", cwd=folder)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return Shop(folder, [first["run_id"], second["run_id"], third["run_id"]], events)


def facet(event: Event, name: str) -> Any:  # noqa: ANN401 - of any shape
    """Return the run facet *name*."""
    return event["run"]["facets"][name]


def ends(events: list[Event], job: str) -> list[Event]:
    """Return how the runs of *job* ended, in order."""
    return [event for event in events if event["job"]["name"] == job and event["eventType"] != "START"]


class TestEvents:
    """What is exported."""

    def test_valid(self, shop: Shop) -> None:
        """Given all of it, then every event and facet follows the official schemas, and every start has one end."""
        assert [problem for event in shop.events for problem in problems_of(event)] == []
        assert broken_rules(shop.events) == []
        used = {name for event in shop.events for name, _ in facets_of(event)}
        assert used >= {"dataQualityMetrics", "errorMessage", "inputStatistics", "jobType", "nominalTime", "orchestrate_run",
                        "orchestrate_step", "outputStatistics", "ownership", "parent", "processing_engine", "tags", "version"}  # fmt: skip

    def test_range_is_the_runs(self, shop: Shop) -> None:
        """Given a range, then it is its runs in order; with --until fewer; and the same each time."""
        assert [event for number in range(3) for event in shop.of(number)] == shop.events
        value = value_of(
            program("export", "--format", "openlineage", "--since", "2026-01-02", "--until", "2026-01-02", "--json", cwd=shop.folder),
            "export",
        )  # fmt: skip
        assert (value["documents"], value["runs"], value["run_id"], value["sent"]) == (shop.of(1), 1, None, None)

    def test_range_without_a_run(self, shop: Shop) -> None:
        """Given a range in which no run lies, then nothing is printed, and that is said."""
        done = program("export", "--format", "openlineage", "--since", "2030-01-01", cwd=shop.folder)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "no run of a night from 2030-01-01 on\n")

    def test_failure(self, shop: Shop) -> None:
        """Given a night that fails, then step and run fail with the message, what was not attempted is named, and the night is the nominal time."""
        first = shop.of(0)
        (failed, _) = ends(first, "shop.totals")
        assert (failed["eventType"], facet(failed, "errorMessage")["message"]) == ("FAIL", "exit code 1")
        assert facet(failed, "nominalTime")["nominalStartTime"] == "2026-01-01T00:00:00Z"
        assert "version" not in failed["outputs"][0]["facets"]
        run, _ = ends(first, "shop")
        assert run["eventType"] == "FAIL"
        assert facet(run, "errorMessage")["message"].split(":")[0] in ("totals", "join")
        assert facet(run, "orchestrate_run")["skipped"] == [{"step": "mail", "reason": "upstream_failed"}]

    def test_retry_and_numbers(self, shop: Shop) -> None:
        """Given a step that is tried again, then it is one run with two attempts; numbers that a step reported are there, and its rows."""
        (flaky,) = ends(shop.of(0), "shop.flaky")
        assert [attempt["status"] for attempt in facet(flaky, "orchestrate_step")["attempts"]] == [
            "failed",
            "succeeded",
        ]
        (ingest,) = ends(shop.of(0), "shop.ingest")
        assert facet(ingest, "orchestrate_step")["metrics"] == {"share": 0.5, "ok": True}
        (bronze,) = ingest["outputs"]
        assert {name: bronze["outputFacets"]["outputStatistics"][name] for name in ("rowCount", "size", "fileCount")} == {
            "rowCount": 2, "size": 4, "fileCount": 1}  # fmt: skip
        assert bronze["facets"]["dataQualityMetrics"]["rowCount"] == 2
        assert bronze["facets"]["ownership"]["owners"] == [{"name": "data-platform", "type": "OWNER"}]
        assert {tag["key"]: tag["value"] for tag in bronze["facets"]["tags"]["tags"]} == {
            "layer": "bronze",
            "classification": "internal",
        }
        recorded = next(row for row in data_of(ledger_of(shop.folder), "step.finished") if row["step"] == "ingest")
        assert bronze["facets"]["version"]["datasetVersion"] == recorded["outputs"]["bronze"]

    def test_resume(self, shop: Shop) -> None:
        """Given a run that goes on, then that is another run of the same job, which does what was left."""
        first, second = ends(shop.of(0), "shop")
        assert first["run"]["runId"] != second["run"]["runId"]
        assert (second["eventType"], facet(second, "orchestrate_run")["resumed"]) == ("COMPLETE", True)
        again = [event for event in shop.of(0) if facet_parent(event) == second["run"]["runId"]]
        assert {event["job"]["name"] for event in again} == {"shop.totals", "shop.join", "shop.mail"}

    def test_skips(self, shop: Shop) -> None:
        """Given a night without anything to do, then no step has run, and each stands with its reason."""
        start, end = shop.of(1)
        assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
        told = {entry["step"]: entry["reason"] for entry in facet(end, "orchestrate_run")["skipped"]}
        assert told == {
            "ingest": "no_new_data",
            "flaky": "up_to_date",
            "totals": "up_to_date",
            "join": "up_to_date",
            "mail": "up_to_date",
        }

    def test_renamed(self, shop: Shop) -> None:
        """Given a step with a new name, then it is the job of that name."""
        assert [event["eventType"] for event in ends(shop.of(2), "shop.sums")] == ["COMPLETE"]

    def test_personal_data(self, shop: Shop) -> None:
        """Given a step that touches personal data, then neither its message nor its numbers are there."""
        failed = ends(shop.of(0), "shop.join")[0]
        assert (failed["eventType"], "metrics" in facet(failed, "orchestrate_step")) == ("FAIL", False)
        assert (
            facet(failed, "errorMessage")["message"]
            == "it reported a failure (the rest is withheld, as it touches personal data)"
        )
        assert "Anna" not in json.dumps(shop.events)

    def test_namespace_and_file(self, shop: Shop, tmp_path: Path) -> None:
        """Given OPENLINEAGE_NAMESPACE and --output, then jobs and datasets are in that one, and the lines in the file."""
        file = tmp_path / "lineage.jsonl"
        arguments = ("export", "latest", "--format", "openlineage", "--output", str(file), "--json")
        value = value_of(program(*arguments, cwd=shop.folder, env={"OPENLINEAGE_NAMESPACE": "prod"}), "export")
        events = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        assert (value["lines"], value["documents"]) == (len(events), None)
        parts = [
            part for event in events for part in (event["job"], *event.get("inputs", ()), *event.get("outputs", ()))
        ]
        assert {part["namespace"] for part in parts} == {"prod"}


def facet_parent(event: Event) -> str | None:
    """Return the run above the run of *event*."""
    parent = event["run"]["facets"].get("parent")
    return None if parent is None else str(parent["run"]["runId"])


SEND = ("export", "--format", "openlineage", "--since", "2026-01-01", "--send", "--json")


class TestSend:
    """What reaches a catalogue, and what keeps it from that."""

    def test_taken(self, shop: Shop) -> None:
        """Given a server that takes everything, then it has all events in order, with the key that the variables name."""
        with loopback() as server:
            environment = {"OPENLINEAGE_URL": server.url, "OPENLINEAGE_API_KEY": "k-4711"}
            value = value_of(program(*SEND, cwd=shop.folder, env=environment), "export")
        assert (value["sent"], value["documents"]) == ({"delivered": len(shop.events), "error": None}, None)
        assert server.bodies == shop.events
        assert {request["headers"]["Authorization"] for request in server.requests} == {"Bearer k-4711"}

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (403, "HTTP 403"),
            ("redirect", "HTTP 302"),
            ("redirect with the body", "HTTP 307"),
            ("drop", "no connection"),
            ("hang", "it was not done after 3 s"),
            ("drip", "it was not done after 3 s"),
        ],
    )
    def test_not_taken(self, shop: Shop, answer: int | str, error: str) -> None:
        """Given a server that refuses, hangs up, is silent, drips or sends elsewhere, then it ends in time with exit code 1, and says why."""
        with loopback() as server:
            server.answer = answer
            limit = ("--timeout", "3s" if answer in ("hang", "drip") else "50s")
            done = program(*SEND, *limit, cwd=shop.folder, env={"OPENLINEAGE_URL": server.url})
        value = value_of(done, "export", code=1)
        assert value["sent"] == {"delivered": 0, "error": error}
        assert "/elsewhere" not in server.paths

    def test_silent(self, shop: Shop) -> None:
        """Given a server that takes what is sent and never answers, then that is said as soon as openlineage-python gives up."""
        own = {"OPENLINEAGE__TRANSPORT__TYPE": "http", "OPENLINEAGE__TRANSPORT__TIMEOUT": "0.2",
               "OPENLINEAGE__TRANSPORT__RETRY": '{"total": 1, "read": 1}'}  # fmt: skip
        with loopback() as server:
            server.answer = "hang"
            done = program(*SEND, cwd=shop.folder, env={**own, "OPENLINEAGE__TRANSPORT__URL": server.url})
        assert value_of(done, "export", code=1)["sent"] == {"delivered": 0, "error": "no answer in time"}

    def test_nobody_there(self, shop: Shop) -> None:
        """Given an address where nobody listens, with a password in it, then that is said, without the address."""
        url = refusing_url().replace("//", "//user:pass-4711@")
        done = program(*SEND[:-1], cwd=shop.folder, env={"OPENLINEAGE_URL": url})
        assert (done.returncode, done.stderr) == (1, "error: not everything was taken: no connection\n")
        assert done.stdout == f"sent: 0 of {len(shop.events)} events of 3 runs\n"

    @pytest.mark.parametrize(
        ("environment", "said"),
        [
            ({}, "nothing says where"),
            ({"OPENLINEAGE_DISABLED": "true"}, "switched off"),
            ({"OPENLINEAGE_URL": "nowhere"}, "variables cannot"),
            ({"OPENLINEAGE_URL": "ftp://127.0.0.1:1"}, "variables cannot"),
            (
                {"OPENLINEAGE__TRANSPORT__TYPE": "async_http", "OPENLINEAGE__TRANSPORT__URL": "http://127.0.0.1:1"},
                "async_http does not say",
            ),
        ],
    )
    def test_no_place(self, shop: Shop, environment: dict[str, str], said: str) -> None:
        """Given variables that name no place, or none that is one, then nothing is sent, and that is said."""
        (problem,) = refused(program(*SEND, cwd=shop.folder, env=environment))
        assert problem["kind"] == "no_endpoint"
        assert said in problem["message"]

    def test_without_the_extra(self, shop: Shop) -> None:
        """Given a machine without the package, then sending is refused with the line that installs it, and writing works."""
        script = "import sys; sys.modules['openlineage'] = None; from orchestrator.cli.app import main; main()"
        for arguments, code in ((SEND, 2), (SEND[:-2], 0)):
            done = subprocess.run(
                [sys.executable, "-c", script, *arguments], cwd=shop.folder, capture_output=True, text=True, timeout=60, check=False
            )  # fmt: skip
            assert done.returncode == code, done.stderr
            assert code == 0 or "orchestrate[openlineage]" in done.stdout

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("latest", "--since", "2026-01-01"),
            ("--until", "2026-01-01"),
            ("--since", "soon"),
            ("--since", "2026-01-01", "--until", "x"),
            ("--since", "2026-01-02", "--until", "2026-01-01"),
            *(("latest", "--timeout", timeout) for timeout in ("nan", "30", "0s", "2d")),
        ],
    )
    def test_refused(self, shop: Shop, arguments: tuple[str, ...]) -> None:
        """Given neither a run nor a range, or both, what is no date or no duration, or a range that ends before it begins, then it is refused."""
        assert refused(program("export", *arguments, "--format", "openlineage", "--json", cwd=shop.folder))
        assert refused(program("export", "latest", "--format", "otlp", "--send", "--json", cwd=shop.folder))
