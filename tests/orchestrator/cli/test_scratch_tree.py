"""Tests of where things lie in a scratch folder, of what cannot lie there, and of the programs that are found."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import pytest

from ledger.canonical import blob_digest, canonical_bytes
from orchestrator.cli import scratch_tree
from orchestrator.cli.errors import RefusedError
from orchestrator.cli.recorded_run import RecordedRun
from orchestrator.cli.scratch_tree import Tree, lay_out, make_tree, outside_problems, with_programs
from orchestrator.core.definition import Dataset, Pipeline, Step
from orchestrator.core.graph import build_graph
from orchestrator.core.reproduction import Again
from orchestrator.runtime.assembly import run_plan
from orchestrator.runtime.environment import Environment, Resolved

NOT_KEPT = "is not kept in the ledger"
MANIFEST = canonical_bytes({"files": [["1.csv", 2, "sha256:0"]], "recipe": 1, "strength": "content"})
AGAIN = Again(("load",), {}, {"raw": blob_digest(MANIFEST), "gone": None})


def recorded(folder: Path, **changes: object) -> RecordedRun:
    """Return a run of one step that reads outside of its folder, below a place that a variable names."""
    step = Step("load", command=("python", "x.py"), reads=("raw", "gone"), writes=("out",))
    pipeline = Pipeline(
        "p",
        {"load": attrs.evolve(step, **changes)},  # type: ignore[arg-type]
        {"raw": Dataset("raw", "${TOP}/raw"), "gone": Dataset("gone", "gone"), "out": Dataset("out", "out/x.csv")},
    )
    return RecordedRun(
        run_id="r",
        name="p",
        night="2026-01-31",
        definition=folder / "etl" / "pipeline.toml",
        start={},
        environment=None,
        text=b"[pipeline]\n",
        pipeline=pipeline,
        graph=build_graph(pipeline),
        steps={},
    )


def tree_of(run: RecordedRun, root: Path, top: str = "..") -> Tree:
    """Return where things lie below *root*."""
    return make_tree(run, AGAIN, Environment({"TOP": Resolved(top, "default")}, {}), root)


def test_what_leads_out_of_the_folder(tmp_path: Path) -> None:
    """Given a source beside the pipeline's folder, then it lies beside what stands for that folder; an absolute one stays where it is."""
    run, root = recorded(tmp_path), tmp_path / "scratch"
    tree = tree_of(run, root)
    assert tree.folder == root / "etl"
    assert (tree.places["raw"].path, tree.originals["raw"].path) == (str(root / "raw"), str(tmp_path / "raw"))
    assert tree.places["out"].path == str(root / "etl" / "out" / "x.csv")
    fixed = tree_of(run, root, str(tmp_path / "far"))
    assert (fixed.folder, fixed.places["raw"].path) == (root, str(tmp_path / "far" / "raw"))
    assert list(outside_problems(run, AGAIN, fixed)) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"command": ("python", "--out={}/x")}, "its word 1"),
        ({"command": ("python", "--out={}")}, "its word 1"),
        ({"command": ("python", "--out={}-other/x")}, None),
        ({"command": (), "shell": "cd {} && ls"}, None),
        ({"command": (), "shell": "ls {}/raw"}, "its shell line"),
        ({"env": ("TOP",)}, "the variable TOP"),
    ],
)
def test_the_folder_by_its_name(tmp_path: Path, change: dict[str, object], named: str | None) -> None:
    """Given the pipeline's folder anywhere in what a step is given, then that is told with its place; another folder that begins alike is none."""
    folder = str(tmp_path / "etl")
    filled = {
        key: value.format(folder) if isinstance(value, str) else tuple(word.format(folder) for word in value)  # type: ignore[attr-defined]
        for key, value in change.items()
    }
    run = recorded(tmp_path, **filled)
    top = folder if "env" in change else ".."
    messages = [problem.message for problem in outside_problems(run, AGAIN, tree_of(run, tmp_path / "scratch", top))]
    assert [message.removeprefix("step load: ").partition(" names ")[0] for message in messages] == (
        [] if named is None else [named]
    )


def test_what_has_no_value(tmp_path: Path) -> None:
    """Given a command that refers to what is not recorded, then that is told."""
    run = recorded(tmp_path, command=("python", "${SIZE}"))
    (problem,) = outside_problems(run, AGAIN, tree_of(run, tmp_path / "scratch"))
    assert problem.message == "step load: no value of SIZE is recorded"


def test_laid_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a manifest that is not kept, then that is told; given too little room, then nothing is copied."""
    run, root = recorded(tmp_path), tmp_path / "scratch"
    tree = tree_of(run, root)
    (problem,) = lay_out(run, AGAIN, tree, blob=lambda _: None, not_kept=lambda _: NOT_KEPT, shown=str)
    assert (problem.kind, problem.message) == ("input_not_kept", f"input raw: its manifest {NOT_KEPT}")
    assert (root / "etl" / "pipeline.toml").read_bytes() == run.text
    monkeypatch.setattr(scratch_tree, "free_bytes", lambda _: 1)
    with pytest.raises(RefusedError, match="too little room for the inputs: they take 2 B, 1 B are free"):
        lay_out(run, AGAIN, tree, blob=lambda _: MANIFEST, not_kept=lambda _: NOT_KEPT, shown=str)


def test_programs(tmp_path: Path) -> None:
    """Given programs by name and by path, then they are looked for as a step would; one that was linked to is started where it lies in truth."""
    (tmp_path / "venv").mkdir()
    program = tmp_path / "venv" / "python"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    root = tmp_path / "scratch"
    (root / "etl").mkdir(parents=True)
    (root / "etl" / "python").symlink_to(program)
    found = {}
    for word in ("./python", "sh", "./missing", str(program), "/", "nowhere"):
        run = recorded(tmp_path, command=(word,))
        tree = tree_of(run, root)
        plan = run_plan(
            run.pipeline, run.graph, tree.around, run_id="r", night=run.night, selected=frozenset({"load"}),
            forced=True, max_parallel=1, baselines={},
        )  # fmt: skip
        plan, problems = with_programs(plan, AGAIN, {"load": os.defpath})
        found[word] = [problem.kind for problem in problems] or plan.steps["load"].argv[0]
    missing = ["program_missing"]
    assert found == {
        "./python": str(program),
        "sh": "sh",
        "./missing": missing,
        str(program): str(program),
        "/": missing,
        "nowhere": missing,
    }
