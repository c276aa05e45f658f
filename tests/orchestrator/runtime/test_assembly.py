"""Tests of what one run works with: places, commands, and which files are code."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from orchestrator.core.decide import Baseline
from orchestrator.core.definition import Dataset, Pipeline, Step
from orchestrator.core.graph import build_graph
from orchestrator.core.interpolation import UnresolvedReferenceError
from orchestrator.core.run_plan import RunPlan
from orchestrator.runtime.assembly import (
    Surroundings,
    code_places,
    dataset_places,
    graph_document,
    run_plan,
)
from orchestrator.runtime.digests import CodePlace, DatasetPlace

FOLDER = Path("/pipelines/flights")
VALUES = {"LIB": "steps/lib", "DATA": "data", "NIGHT": "2026-01-31", "ROOT": "/pipelines/flights", "EMPTY": ""}


def around(**values: str) -> Surroundings:
    """Return surroundings with some values."""
    return Surroundings(FOLDER, {**VALUES, **values}, frozenset({"TOKEN"}), {"REGION": "nyc", "TOKEN": "secret!"})


def code(*command: str, **options: object) -> CodePlace | None:
    """Return where the code of a step with *command* lies; `data/raw` and `data/one.csv` are datasets, and one is no file."""
    step = Step("a", command=command, **options)  # type: ignore[arg-type]
    datasets = {
        "raw": Dataset("raw", path="${DATA}/raw"),
        "one": Dataset("one", path="./data//one.csv"),
        "probe": Dataset("probe", digest="probe"),
    }
    pipeline = Pipeline("test", {"a": step}, datasets)
    return code_places(pipeline, around(), dataset_places(pipeline, around())).get("a")


def planned(pipeline: Pipeline, selected: tuple[str, ...], **baselines: Baseline) -> RunPlan:
    """Return the plan of a run of the *selected* steps of *pipeline*."""
    return run_plan(
        pipeline,
        build_graph(pipeline),
        around(),
        run_id="run-1",
        night="2026-01-31",
        selected=frozenset(selected),
        forced=False,
        max_parallel=2,
        baselines=baselines,
    )


class TestDataBesideCode:
    """A dataset that shares its folder with the code."""

    def test_only_what_matches_the_pattern_is_data(self) -> None:
        """Given a dataset that is the pipeline's own folder with a pattern, then the scripts beside it are code."""
        step = Step("a", command=("python3", "x.py", "raw1.csv", "sub/raw2.csv"))
        pipeline = Pipeline("test", {"a": step}, {"raw": Dataset("raw", path=".", pattern="raw*.csv")})

        place = code_places(pipeline, around(), dataset_places(pipeline, around()))["a"]

        assert ("python3", "x.py", "sub/raw2.csv") == place.words


class TestDatasetPlaces:
    """A dataset lies at an absolute path."""

    @pytest.mark.parametrize(
        ("path", "place"),
        [
            ("data/raw", "/pipelines/flights/data/raw"),
            ("./data//raw/", "/pipelines/flights/data/raw"),
            ("../shared/${NIGHT}", "/pipelines/shared/2026-01-31"),
            ("/mnt/${DATA}", "/mnt/data"),
            ("$${DATA}", "/pipelines/flights/${DATA}"),
            (None, None),
        ],
    )
    def test_path(self, path: str | None, place: str | None) -> None:
        """Relative to the definition, every reference replaced."""
        pipeline = Pipeline("test", {}, {"raw": Dataset("raw", path=path, pattern="*.csv", digest="listing")})

        assert {"raw": DatasetPlace(place, "*.csv", "listing")} == dataset_places(pipeline, around())

    @pytest.mark.parametrize("path", ["data", None])
    def test_pattern_may_refer_too(self, path: str | None) -> None:
        """A pattern of the night takes the files of the night."""
        pipeline = Pipeline("test", {}, {"raw": Dataset("raw", path=path, pattern="${NIGHT}*.csv")})

        assert "2026-01-31*.csv" == dataset_places(pipeline, around())["raw"].pattern


class TestCodePlaces:
    """Code is what a command names inside of the folder, and what its globs match."""

    @pytest.mark.parametrize(
        ("word", "found"),
        [
            ("steps/bronze.py", "steps/bronze.py"),
            ("./steps/../steps/bronze.py", "steps/bronze.py"),
            ("${LIB}/x.py", "steps/lib/x.py"),
            ("${ROOT}/run.sh", "run.sh"),
            ("/pipelines/flights/run.sh", "run.sh"),
            ("word", "word"),
            ("data/raw-notes.txt", "data/raw-notes.txt"),
            ("a b", "a b"),
            ("-v", None),
            ("--config=steps/x.toml", None),
            ("", None),
            ("${EMPTY}", None),
            (".", None),
            ("..", None),
            ("../other/run.py", None),
            ("/pipelines/flights-old/run.py", None),
            ("/usr/bin/python", None),
            ("a\0b", None),
            ("data/raw", None),
            ("data/raw/2026.csv", None),
            ("data/raw/../raw/x", None),
            ("data/one.csv", None),
        ],
    )
    def test_word(self, word: str, found: str | None) -> None:
        """What is an option, lies elsewhere, or is data, is no code; whether the rest exists is seen later."""
        assert code(word) == (None if found is None else CodePlace((found,)))

    @pytest.mark.parametrize("cwd", ["steps", "${LIB}/..", "/pipelines/flights/steps"])
    def test_words_are_relative_to_the_working_folder(self, cwd: str) -> None:
        """As the process sees them, also where the folder refers to a variable."""
        assert CodePlace(("steps/run.py", "x.py")) == code("./run.py", "../x.py", "../../y.py", cwd=cwd)

    def test_each_file_once(self) -> None:
        """In the order of the command."""
        assert CodePlace(("b", "a")) == code("b", "a", "./b")

    def test_globs(self) -> None:
        """Relative to the definition, whatever the working folder; of a shell line there are no words."""
        assert CodePlace((), ("steps/lib/*.py", "x")) == code(shell="python run.py", code=("${LIB}/*.py", "x"), cwd="y")  # noqa: S604 -- a step, not a process

    def test_nothing(self) -> None:
        """A step without code of its own is left out."""
        assert code("-c") is None

    def test_step_that_refers_to_nothing(self) -> None:
        """Given a step outside of the run whose variable has no value, then the others are found all the same."""
        steps = {"a": Step("a", command=("${GONE}",)), "b": Step("b", command=("run.py",))}

        assert {"b": CodePlace(("run.py",))} == code_places(Pipeline("test", steps), around(), {})


class TestRunPlan:
    """Every step that is part of the run is resolved."""

    STEP = Step("a", command=("echo", "${DATA}", "$${DATA}"), reads=("raw", "b"), env=("REGION", "TOKEN", "NONE"))
    OTHER = Step("b", shell="echo ${DATA}", writes=("b",), cwd="sub/${NIGHT}")  # noqa: S604 -- as above
    PIPELINE = Pipeline("test", {"a": STEP, "b": OTHER}, {"raw": Dataset("raw", path="r"), "b": Dataset("b", path="b")})

    def test_command(self) -> None:
        """References are replaced; a shell line goes to the shell as it is written."""
        steps = planned(self.PIPELINE, ("a", "b")).steps

        assert ("echo", "data", "${DATA}") == steps["a"].argv
        assert {"argv": ["echo", "data", "${DATA}"]} == steps["a"].command
        assert ("/bin/sh", "-e", "-c", "echo ${DATA}") == steps["b"].argv
        assert {"shell": "echo ${DATA}", "cwd": "sub/2026-01-31"} == steps["b"].command
        assert (str(FOLDER), f"{FOLDER}/sub/2026-01-31") == (steps["a"].cwd, steps["b"].cwd)

    def test_variables_sources_and_baselines(self) -> None:
        """A secret is there by its name alone; what another step writes is no source."""
        step = planned(self.PIPELINE, ("a", "b"), a=Baseline(key="k")).steps["a"]

        assert {"REGION": "nyc", "TOKEN": None, "NONE": ""} == step.variables
        assert (frozenset({"raw"}), "k") == (step.sources, step.baseline.key)

    @pytest.mark.parametrize(
        "broken", [Step("a", command=("echo", "${GONE}")), Step("a", command=("x",), cwd="${GONE}")]
    )
    def test_what_is_not_selected_may_refer_to_nothing(self, broken: Step) -> None:
        """Given a variable without a value, then only the steps that refer to it cannot run."""
        pipeline = attrs.evolve(self.PIPELINE, steps={"a": broken, "b": self.OTHER})

        assert planned(pipeline, ("b",)).steps.keys() == {"a", "b"}
        with pytest.raises(UnresolvedReferenceError):
            planned(pipeline, ("a", "b"))


class TestGraphDocument:
    """An old run can be shown without its definition."""

    def test_former_names(self) -> None:
        """A renamed pipeline says what it was."""
        pipeline = Pipeline("test", {}, formerly=("old",))

        assert ["old"] == graph_document(pipeline, build_graph(pipeline))["formerly"]

    def test_document(self) -> None:
        """What is not there is left out."""
        steps = {
            "b": Step("b", command=("x",), writes=("out",), per_night=True, formerly=("old",)),
            "a": Step("a", command=("x",), reads=("out",)),
            "c": Step("c", command=("x",), needs=("a",)),
        }
        pipeline = Pipeline("test", steps, {"out": Dataset("out", path="o", layer="gold", classification="internal")})

        assert {
            "steps": [
                {"step": "b", "upstream": [], "writes": ["out"], "per_night": True, "formerly": ["old"]}
                | {"class": "internal"},
                {"step": "a", "upstream": ["b"], "reads": ["out"], "class": "internal"},
                {"step": "c", "upstream": ["a"], "needs": ["a"]},
            ],
            "datasets": {"out": {"path": "o", "layer": "gold", "classification": "internal"}},
        } == graph_document(pipeline, build_graph(pipeline))
