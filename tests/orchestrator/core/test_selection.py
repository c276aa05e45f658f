"""Tests of which steps a run is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.graph import Graph, build_graph
from orchestrator.core.selection import EmptySelectionError, Selection, UnknownStepError, select
from tests.pipelines import chain, graphs, pipeline_of

LINE = build_graph(chain("a", "b", "c", "d"))


def chosen(selection: Selection, graph: Graph = LINE) -> frozenset[str]:
    """Return what *selection* chooses, or nothing where it leaves none."""
    try:
        return select(graph, graph.upstream, selection)
    except EmptySelectionError:
        return frozenset()


def reaches(edges: Mapping[str, Sequence[str]], start: str) -> frozenset[str]:
    """Return *start* and what it waits for, at any distance."""
    return frozenset({start}).union(*(reaches(edges, other) for other in edges[start]))


class TestSelect:
    """Options narrow what is chosen; `--only` adds."""

    @pytest.mark.parametrize(
        ("selection", "expected"),
        [
            (Selection(), "abcd"),
            (Selection(force=True), "abcd"),
            (Selection(only=("b",)), "b"),
            (Selection(only=("d", "a")), "ad"),
            (Selection(from_=("c",)), "cd"),
            (Selection(until=("b",)), "ab"),
            (Selection(from_=("b",), until=("c",)), "bc"),
            (Selection(omit=("b", "c")), "ad"),
            (Selection(from_=("c",), only=("a",)), "acd"),
            (Selection(until=("a",), only=("d",)), "ad"),
            (Selection(only=("a", "b"), omit=("b",)), "a"),
            (Selection(from_=("d",), until=("a",), only=("b",)), "b"),
        ],
    )
    def test_chain(self, selection: Selection, expected: str) -> None:
        """Given options on a chain a, b, c, d, then these steps."""
        assert frozenset(expected) == chosen(selection)

    @pytest.mark.parametrize(
        "selection",
        [
            Selection(from_=("c",), until=("b",)),
            Selection(omit=("a", "b", "c", "d")),
            Selection(only=("a",), omit=("a",)),
        ],
    )
    def test_nothing_left(self, selection: Selection) -> None:
        """Given options that exclude each other, then the selection is refused."""
        with pytest.raises(EmptySelectionError, match="the selection leaves no step") as caught:
            select(LINE, LINE.upstream, selection)

        assert caught.value.kind == "empty_selection"

    @pytest.mark.parametrize(
        ("selection", "message"),
        [
            (
                Selection(only=("silwer",)),
                "--only names 'silwer', which is no step of this pipeline; did you mean silver?",
            ),
            (
                Selection(from_=("x",)),
                "--from names 'x', which is no step of this pipeline; `orchestrate graph` shows the steps",
            ),
            (
                Selection(until=("x\n",)),
                "--until names 'x\\n', which is no step of this pipeline; `orchestrate graph` shows the steps",
            ),
            (
                Selection(omit=("Gold",)),
                "--omit names 'Gold', which is no step of this pipeline; did you mean gold?",
            ),
        ],
    )
    def test_unknown_step(self, selection: Selection, message: str) -> None:
        """Given a step that is not there, then the option, and what was probably meant."""
        graph = build_graph(chain("silver", "gold"))

        with pytest.raises(UnknownStepError) as caught:
            select(graph, graph.upstream, selection)

        assert (message, "unknown_step") == (str(caught.value), caught.value.kind)
        assert caught.value.step in (*selection.only, *selection.from_, *selection.until, *selection.omit)

    @given(graphs(), st.data())
    def test_any_graph(self, edges: dict[str, list[str]], data: st.DataObject) -> None:
        """For any graph, what is chosen is what the words of each option mean."""
        names = st.lists(st.sampled_from(sorted(edges)), unique=True, max_size=3).map(tuple)
        selection = Selection(data.draw(names), data.draw(names), data.draw(names), data.draw(names))
        below = {step for step in edges for start in selection.from_ if start in reaches(edges, step)}
        above = {step for end in selection.until for step in reaches(edges, end)}

        between = {
            step for step in edges if (not selection.from_ or step in below) and (not selection.until or step in above)
        }
        if selection.only and not (selection.from_ or selection.until):
            between = set()
        expected = (between | set(selection.only)) - set(selection.omit)

        assert expected == chosen(selection, build_graph(pipeline_of(edges)))


class TestAsJson:
    """What a run records of its selection."""

    def test_fields(self) -> None:
        """Given options, then each under its own name."""
        assert {"only": ["a"], "from": ["b"], "until": ["c"], "omit": ["d"], "force": True} == Selection(
            ("a",), ("b",), ("c",), ("d",), force=True
        ).as_json()
