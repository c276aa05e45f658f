"""Three pipelines on one ledger at once: one history, a lock, baselines and an owner for each."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from ledger import open_ledger
from orchestrator.projections.read_models import ReadModels
from tests.programs import data_of, ended, events_of, pid_in, program, refused, started, value_of

pytestmark = pytest.mark.system

NAMES = ("alpha", "beta", "gamma")
DEFINITION = """\
[pipeline]
name = "NAME"
[datasets.raw]
path = "raw"
[datasets.out]
path = "out"
[steps.meet]
shell = "echo $$ > p; mv p pid; while ! test -e go; do sleep 0.01; done; mkdir -p out; cp raw/* out/"
reads = ["raw"]
writes = ["out"]
[steps.busy1]
command = ["true"]
needs = ["meet"]
[steps.busy2]
command = ["true"]
needs = ["meet"]
[steps.busy3]
command = ["echo", "NAME"]
needs = ["meet"]
"""


def write(folder: Path, name: str, *, open_gate: bool = False) -> Path:
    """Write the pipeline *name* into its own folder and return it; its first step waits for a file `go`."""
    place = folder / name
    (place / "raw").mkdir(parents=True)
    (place / "raw" / "x").write_text(name)
    (place / "pipeline.toml").write_text(DEFINITION.replace("NAME", name), encoding="utf-8")
    if open_gate:
        (place / "go").touch()
    return place


class TestThreePipelines:
    """Concurrent processes, one file."""

    def test_they_run_at_once_and_share_a_dense_history(self, tmp_path: Path) -> None:
        """Given three runs that are on at the same time, then each succeeds, and the sequence has no gap and no mix-up."""
        ledger = tmp_path / "shared" / "ledger.db"
        places = [write(tmp_path, name) for name in NAMES]
        with contextlib.ExitStack() as stack:
            runs = [
                stack.enter_context(started("run", "--json", "--ledger", str(ledger), cwd=place)) for place in places
            ]
            for place in places:
                pid_in(place / "pid")
            statuses = value_of(program("status", "--json", "--ledger", str(ledger), cwd=tmp_path), "status")
            assert [(entry["pipeline"], entry["last_run"]["status"], entry["alive"]) for entry in statuses] == [
                (name, "running", True) for name in NAMES
            ]
            (problem,) = refused(program("run", "--json", "--ledger", str(ledger), cwd=places[1]), 4)
            assert "pipeline beta is active" in problem["message"]
            for place in places:
                (place / "go").touch()
            values = [value_of(ended(run), "run") for run in runs]
        assert [(value["pipeline"], value["status"]) for value in values] == [(name, "succeeded") for name in NAMES]
        events = events_of(ledger)
        assert [event["seq"] for event in events] == list(range(len(events)))
        for value in values:
            own = [event["type"] for event in events if event["stream"] == f"run/{value['run_id']}"]
            assert (own[0], own[-1]) == ("run.started", "run.finished")
            assert own.count("step.finished") == 4
        streams = {event["stream"] for event in events if event["type"] == "run.refused"}
        assert streams == {"pipeline/beta"}
        assert sorted(path.name for path in (tmp_path / "shared" / "locks").glob("*.lock"))[:3] == [
            f"{name}.lock" for name in NAMES
        ]

    def test_each_has_its_own_baselines(self, tmp_path: Path) -> None:
        """Given new data for one of them, then it alone has something to do."""
        ledger = tmp_path / "shared" / "ledger.db"
        places = [write(tmp_path, name, open_gate=True) for name in NAMES]
        options = ("run", "--json", "--ledger", str(ledger))
        for place in places:
            assert value_of(program(*options, cwd=place), "run")["status"] == "succeeded"
        (places[2] / "raw" / "x").write_text("new")
        statuses = [value_of(program(*options, cwd=place), "run")["status"] for place in places]
        assert statuses == ["nothing_to_do", "nothing_to_do", "succeeded"]
        runs = value_of(program("runs", "--json", "--ledger", str(ledger), cwd=tmp_path), "runs")
        assert [run["pipeline"] for run in runs] == [*reversed(NAMES), *reversed(NAMES)]
        with open_ledger(ledger, projections=[ReadModels()]) as store:
            assert store.connection.execute("SELECT count(*) FROM baselines").fetchone() == (12,)

    def test_name_belongs_to_one_definition_until_it_is_moved(self, tmp_path: Path) -> None:
        """Given the name of another definition, then it is refused until --moved, and history goes on from there."""
        ledger = tmp_path / "shared" / "ledger.db"
        first = write(tmp_path, "alpha", open_gate=True)
        program("run", "--quiet", "--ledger", str(ledger), cwd=first)
        second = tmp_path / "elsewhere"
        first.rename(second)
        options = ("run", "--json", "--ledger", str(ledger))
        (problem,) = refused(program(*options, cwd=second))
        assert problem["kind"] == "other_definition"
        assert "--moved" in problem["suggestion"]
        assert value_of(program(*options, "--moved", cwd=second), "run")["status"] == "nothing_to_do"
        assert value_of(program(*options, cwd=second), "run")["status"] == "nothing_to_do"
        (moved,) = data_of(ledger, "pipeline.moved")
        assert (moved["before"], moved["after"]) == ("../alpha/pipeline.toml", "../elsewhere/pipeline.toml")

    def test_run_of_another_pipeline_is_not_found_in_this_one(self, tmp_path: Path) -> None:
        """Given a run of alpha, then beta's definition does not find it, and latest of each is its own."""
        ledger = tmp_path / "shared" / "ledger.db"
        places = [write(tmp_path, name, open_gate=True) for name in NAMES[:2]]
        ids = [
            value_of(program("run", "--json", "--ledger", str(ledger), cwd=place), "run")["run_id"] for place in places
        ]
        options = ("--json", "--ledger", str(ledger), "--pipeline", "pipeline.toml")
        (problem,) = refused(program("show", ids[0], *options, cwd=places[1]))
        assert problem["message"] == f"run {ids[0]} is of pipeline alpha, not of beta"
        assert value_of(program("show", "latest", *options, cwd=places[0]), "show")["run_id"] == ids[0]
