"""Tests of the frontier: which steps are handed out when, and what was done above them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.decide import Upstream
from orchestrator.core.errors import InternalError
from orchestrator.core.graph import build_graph
from orchestrator.core.plan import Frontier
from tests.pipelines import chain, graphs, pipeline_of


class TestFrontier:
    """Steps come out in order."""

    @given(graphs(), st.randoms(use_true_random=False))
    def test_a_step_is_handed_out_once_and_after_its_upstreams(
        self, edges: dict[str, list[str]], random: object
    ) -> None:
        """For any graph every step comes once, and only when all its upstreams are finished."""
        graph = build_graph(pipeline_of(edges))
        frontier, finished, taken = Frontier(graph), set[str](), list[str]()
        while not frontier.done:
            assert frontier.has_ready
            step = frontier.take()
            taken.append(step)
            assert set(graph.upstream[step]) <= finished
            frontier.finish(step, failed=False, attempted=False)
            finished.add(step)

        assert sorted(edges) == sorted(taken)
        assert not frontier.has_ready

    @given(graphs(), st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)))
    def test_facts_reach_every_distance(
        self, edges: dict[str, list[str]], failing: set[int], attempted: set[int]
    ) -> None:
        """Failure and attempt are seen below at any distance, and only there."""
        graph = build_graph(pipeline_of(edges))
        failed = {name for number, name in enumerate(edges) if number in failing}
        tried = {name for number, name in enumerate(edges) if number in attempted}
        frontier, taken = Frontier(graph), list[str]()
        while not frontier.done:
            step = frontier.take()
            above = graph.above([step]) - {step}
            facts = frontier.upstream(step)
            assert (facts.failed in failed & above, facts.failed is None) in (
                (True, False),
                (False, not failed & above),
            )
            places = [taken.index(name) for name in tried & above]
            assert (bool(places), max(places, default=-1)) == (facts.attempted, facts.begun)
            taken.append(step)
            begun = taken.index(step) if step in tried else -1
            frontier.finish(step, failed=step in failed, attempted=step in tried, begun=begun)

    def test_root_is_the_first_failure_above(self) -> None:
        """Given a failure below a failure, then the upper one is the root."""
        frontier = Frontier(build_graph(chain("a", "b", "c")))
        frontier.finish(frontier.take(), failed=True, attempted=True)
        frontier.finish(frontier.take(), failed=True, attempted=False)

        assert Upstream("a", attempted=True) == frontier.upstream(frontier.take())

    def test_an_attempt_stays_known_beside_a_failure_without_one(self) -> None:
        """Given two upstreams, one that was attempted and one that failed without an attempt, then both are known below."""
        frontier = Frontier(build_graph(pipeline_of({"a": [], "b": [], "c": ["a", "b"]})))
        frontier.finish("a", failed=False, attempted=True, begun=1)
        frontier.finish("b", failed=True, attempted=False)
        assert frontier.upstream("c") == Upstream("b", attempted=True, begun=1)

    def test_finishing_twice_is_a_bug(self) -> None:
        """A step leaves the frontier once."""
        frontier = Frontier(build_graph(chain("a", "b")))
        frontier.finish(frontier.take(), failed=False, attempted=True)

        with pytest.raises(InternalError, match="finished twice"):
            frontier.finish("a", failed=False, attempted=True)


class TestGraph:
    """Edges follow from data and from needs."""

    @given(graphs())
    def test_above_and_below_are_each_other_turned_round(self, edges: dict[str, list[str]]) -> None:
        """A step is above another exactly when that one is below it."""
        graph = build_graph(pipeline_of(edges))

        for step in edges:
            assert all(step in graph.below([other]) for other in graph.above([step]))
            assert all(step in graph.above([other]) for other in graph.below([step]))
