"""Tests of the verdict as it is recorded: bounded, however much differs."""

from __future__ import annotations

from pathlib import Path

from orchestrator.cli.recorded_run import RecordedRun
from orchestrator.cli.verdicts import reproduced_event
from orchestrator.core.definition import Pipeline, Step
from orchestrator.core.graph import build_graph
from orchestrator.core.problems import Problem
from orchestrator.core.reproduction import Again, DatasetVerdict, FileVerdict, StepVerdict

PIPELINE = Pipeline("p", {"a": Step("a", command=("true",))})
RUN = RecordedRun(
    run_id="r",
    name="p",
    night="2026-01-31",
    definition=Path("/p/pipeline.toml"),
    start={},
    environment=None,
    text=b"",
    pipeline=PIPELINE,
    graph=build_graph(PIPELINE),
    steps={},
)


def test_many_files() -> None:
    """Given more files than are listed, then those that differ come first, the others are counted, and so many columns are named."""
    like = [FileVerdict(f"{number}", "equivalent") for number in range(30)]
    columns = [
        FileVerdict(f"d{number}", "different", {"columns": [f"c{number}{part}" for part in range(40)]})
        for number in range(2)
    ]
    step = StepVerdict("a", "different", (DatasetVerdict("d", "different", "x", "y", (*like, *columns)),))
    event = reproduced_event(RUN, Again(("a",), {}), "r2", steps=[step], problems=[], trusted=(), reason=None)
    (recorded,) = event.steps
    datasets = recorded["datasets"]
    assert isinstance(datasets, list)
    dataset = datasets[0]
    assert [file["path"] for file in dataset["files"][:3]] == ["d0", "d1", "0"]
    assert (len(dataset["files"]), dataset["more_files"]) == (20, 12)
    assert event.first is not None
    named = event.first["columns"]
    assert isinstance(named, list)
    assert (event.first["step"], event.first["dataset"], len(named)) == ("a", "d", 50)


def test_many_causes() -> None:
    """Given more causes than are listed, then the others are counted."""
    problems = [Problem("code_not_kept", str(number)) for number in range(60)]
    event = reproduced_event(RUN, Again((), {"a": "no"}), None, steps=[], problems=problems, trusted=(), reason=None)
    assert (event.verdict, len(event.causes), event.causes[-1]["message"]) == (
        "not_reproducible",
        51,
        "and 10 more causes",
    )
    assert event.first is None
