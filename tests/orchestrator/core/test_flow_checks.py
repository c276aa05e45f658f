"""Tests of the classes that data counts as, and of flows from a higher class to a lower one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.classification import CLASSIFICATIONS, graph_classes, is_withheld, rank
from orchestrator.core.definition import Pipeline
from orchestrator.core.errors import DefinitionError
from orchestrator.core.flow_checks import check_flows
from orchestrator.core.graph import build_graph
from orchestrator.core.parse import parse_pipeline
from orchestrator.runtime.assembly import graph_document
from orchestrator.schemas import load_schema
from tests.conftest import ROOT
from tests.pipelines import data_pipeline, graphs

SCHEMA = load_schema("pipeline")


def told(text: str) -> list[str]:
    """Return all that is wrong with the definition *text*, each as it is shown, with its kind."""
    try:
        found = parse_pipeline('pipeline.name = "p"\n' + text, file="p.toml", schema=SCHEMA).warnings
    except DefinitionError as error:
        found = error.problems
    return [f"{problem.severity} {problem.kind} {problem}" for problem in found]


def definition(classes: Mapping[str, str | None], steps: Sequence[tuple[str, str, str]], more: str = "") -> str:
    """Return a definition: datasets with their classes, and steps that read and write one dataset each."""
    lines = []
    for name, classification in classes.items():
        lines += [f"[datasets.{name}]", f'path = "data/{name}"']
        lines += [f'classification = "{classification}"'] if classification else []
    for name, reads, writes in steps:
        lines += [f"[steps.{name}]", 'command = ["x"]', f'reads = ["{reads}"]', f'writes = ["{writes}"]']
    return "\n".join(lines) + f"\n{more}"


def classed(pipeline: Pipeline, classes: Mapping[str, str | None]) -> Pipeline:
    """Return *pipeline* with the *classes* of its datasets."""
    datasets = {
        name: attrs.evolve(item, classification=classes.get(name))  # type: ignore[arg-type]
        for name, item in pipeline.datasets.items()
    }
    return attrs.evolve(pipeline, datasets=datasets)


class TestRefusals:
    """Data of a higher class is written to a lower one only where the definition says why that is right."""

    def test_lower_class(self) -> None:
        """Given a step that reads personal data and writes internal, then both classes, the place and what to write are told."""
        text = definition({"people": "personal", "counts": "internal"}, [("count", "people", "counts")])

        (problem,) = told(text)

        message = "step count reads people (personal) and writes counts, which is internal: a lower class"
        hint = 'write declassifies = "what makes that right" in [steps.count], or classification = "personal" in [datasets.counts]'
        assert problem == f"error class_lowered p.toml:11:11: {message} ({hint})"

    def test_declared(self) -> None:
        """Given the same step with a reason, then nothing is wrong."""
        text = definition(
            {"people": "personal", "counts": "internal"}, [("count", "people", "counts")], 'declassifies = "sums"\n'
        )

        assert [] == told(text)

    @pytest.mark.parametrize("low", range(len(CLASSIFICATIONS)))
    @pytest.mark.parametrize("high", range(len(CLASSIFICATIONS)))
    def test_order_of_classes(self, high: int, low: int) -> None:
        """Given any two classes, then exactly the way down is refused."""
        names = {"a": CLASSIFICATIONS[high], "b": CLASSIFICATIONS[low]}

        assert (low < high) == bool(told(definition(names, [("s", "a", "b")])))

    def test_through_a_chain_without_classes(self) -> None:
        """Given personal data that passes through two datasets without a class, then the step that lowers it is refused, with where it comes from."""
        text = definition(
            {"people": "personal", "one": None, "two": None, "counts": "public"},
            [("first", "people", "one"), ("second", "one", "two"), ("third", "two", "counts")],
        )

        (problem,) = told(text)

        assert "class_lowered" in problem
        assert "step third reads two (personal, as it has no class and comes from people) and writes counts" in problem

    def test_after_a_declaration_the_lower_class_counts(self) -> None:
        """Given a chain whose first step declassifies to internal, then the next may not go lower, and is told of internal."""
        text = definition(
            {"people": "personal", "sums": "internal", "page": "public"},
            [("publish", "sums", "page"), ("sum", "people", "sums")],
            'declassifies = "sums"\n',
        )

        (problem,) = told(text)

        assert "step publish reads sums (internal) and writes page, which is public" in problem

    def test_without_a_class_nothing_is_declassified(self) -> None:
        """Given a step that declassifies into a dataset without a class, then that one still counts as personal further on."""
        text = definition(
            {"people": "personal", "sums": "internal", "rest": None, "page": "public"},
            [("publish", "rest", "page"), ("sum", "people", "sums")],
            'declassifies = "sums"\n',
        ).replace('writes = ["sums"]', 'writes = ["sums", "rest"]')

        (problem,) = told(text)

        assert "step publish reads rest (personal, as it has no class and comes from people)" in problem

    def test_each_dataset_is_told_of(self) -> None:
        """Given a step that writes two lower classes from several inputs, then each is told, against the highest."""
        text = definition(
            {"a": "internal", "b": "confidential", "x": "public", "y": "internal"}, [("s", "a", "x")]
        ).replace('"x"]', '"x", "y"]').replace('reads = ["a"]', 'reads = ["a", "b"]')  # fmt: skip

        assert ["b (confidential) and writes x", "b (confidential) and writes y"] == [
            line.partition("reads ")[2].partition(",")[0] for line in told(text)
        ]

    @pytest.mark.parametrize("wrong", ['""', '"  "', "3"])
    def test_reason_that_says_nothing(self, wrong: str) -> None:
        """Given a declaration without words, then that is wrong, and nothing else is said."""
        names = {"people": "personal", "counts": "internal"}

        (problem,) = told(definition(names, [("count", "people", "counts")], f"declassifies = {wrong}\n"))

        assert "steps.count.declassifies is" in problem

    def test_misspelt_class(self) -> None:
        """Given a class that is none, then that alone is told: no flow can be judged."""
        (problem,) = told(
            definition({"a": "personal", "b": "intrenal", "c": "internal"}, [("s", "b", "c"), ("r", "a", "b")])
        )

        assert "did you mean internal?" in problem

    def test_circle(self) -> None:
        """Given steps that wait for each other, then the circle is told."""
        assert all(
            " cycle " in line
            for line in told(definition({"a": "personal", "b": "public"}, [("s", "a", "b"), ("r", "b", "a")]))
        )

    def test_declaration_without_need(self) -> None:
        """Given a step that declassifies nothing, then a warning asks for its removal: it would hide the next one."""
        text = definition({"a": "public", "b": "internal"}, [("s", "a", "b")], 'declassifies = "old"\n')

        (problem,) = told(text)

        message = "step s says that it declassifies, but writes nothing below the class of what it reads"
        hint = "remove declassifies, or give what it writes the class that it should have"
        assert problem == f"warning declassifies_nothing p.toml:12:1: {message} ({hint})"


class TestFlights:
    """The example shows it."""

    def test_each_declaration_is_needed(self) -> None:
        """Given the flights without what they say of declassifying, then each of the three steps is refused."""
        text = (ROOT / "examples" / "flights" / "pipeline.toml").read_text(encoding="utf-8")
        kept = [line for line in text.splitlines() if not line.startswith("declassifies")]

        with pytest.raises(DefinitionError) as refused:
            parse_pipeline("\n".join(kept), file="p.toml", schema=SCHEMA)

        assert 3 == len(text.splitlines()) - len(kept)
        assert {"gold_carriers", "gold_airports", "report"} == {problem.path[1] for problem in refused.value.problems}
        assert {"class_lowered"} == {problem.kind for problem in refused.value.problems}


class TestClasses:
    """What has no class inherits the highest of what it is made of."""

    def test_source_without_a_class(self) -> None:
        """Given sources without a class, then nothing is known of what is made of them, and nothing refused."""
        pipeline = classed(data_pipeline({"b": ["a"], "c": ["b"]}), {"c": "public"})

        assert [] == list(check_flows(pipeline, {}))
        assert {"c": "public"} == graph_classes(graph_document(pipeline, build_graph(pipeline))).steps

    def test_of_a_step(self) -> None:
        """Given a step that reads public and writes personal data, then it touches personal data."""
        pipeline = classed(data_pipeline({"b": ["a"]}), {"a": "public", "b": "personal"})

        assert {"b": "personal"} == graph_classes(graph_document(pipeline, build_graph(pipeline))).steps

    def test_in_the_graph(self) -> None:
        """Given a dataset that inherits, then the graph that the ledger keeps says so, and the class of each step."""
        pipeline = classed(data_pipeline({"b": ["a"], "c": ["b"]}), {"a": "confidential"})

        document = graph_document(pipeline, build_graph(pipeline))

        assert {"path": "data/c", "inherits": "confidential"} == document["datasets"]["c"]  # type: ignore[index]
        assert ["confidential"] * 2 == [step["class"] for step in document["steps"]]  # type: ignore[attr-defined]

    def test_graph_of_an_older_program(self) -> None:
        """Given a graph without datasets, as old ledgers have it, then nothing has a class."""
        assert ({}, {}) == graph_classes({"steps": [{"step": "a", "upstream": [], "reads": ["x"]}]})

    def test_class_that_nobody_knows(self) -> None:
        """Given a class of a newer program, then it counts as the highest of all, and as withheld."""
        assert rank("secret") > rank("personal") > rank("public") > rank(None)
        assert is_withheld("secret")
        assert is_withheld("personal")
        assert not is_withheld("confidential")
        assert not is_withheld(None)

    @given(graphs(), st.data())
    def test_no_flow_goes_down_unseen(self, edges: dict[str, list[str]], data: st.DataObject) -> None:
        """Given any graph with any classes that is not refused, then no dataset counts as less than anything upstream of it at any distance."""
        reads = {name: [*others, f"raw_{name}"] for name, others in edges.items()}
        pipeline = data_pipeline(reads)
        choice = st.sampled_from([None, *CLASSIFICATIONS])
        pipeline = classed(pipeline, {name: data.draw(choice, name) for name in pipeline.datasets})
        graph = build_graph(pipeline)
        known = graph_classes(graph_document(pipeline, graph)).datasets

        def counts_as(name: str) -> int:
            return rank(known[name].classification if name in known else None)

        lowered = {
            name
            for name in reads
            if counts_as(name) < max(counts_as(above) for step in graph.above([name]) for above in reads[step])
        }
        refused = {problem.path[1] for problem in check_flows(pipeline, {})}

        assert not refused or lowered, "nothing is refused without need"
        assert not lowered or refused, "no way down is unseen"
