"""Tests of the estimate of what is left of a run."""

from __future__ import annotations

from orchestrator.core.graph import Graph, build_graph
from orchestrator.core.remaining import remaining_us
from tests.pipelines import chain, pipeline_of


def estimate(graph: Graph, expected: dict[str, int], **changes: object) -> int | None:
    """Return the estimate for *graph*, two steps at a time."""
    options: dict[str, object] = {"elapsed_us": {}, "finished": (), "max_parallel": 2}
    return remaining_us(graph, expected_us=expected, **{**options, **changes})  # type: ignore[arg-type]


class TestRemaining:
    """The longest way, or the work shared out, whichever is longer."""

    def test_a_chain_takes_the_sum(self) -> None:
        """No two of its steps can run side by side."""
        assert estimate(build_graph(chain("a", "b", "c")), {"a": 10, "b": 20, "c": 30}) == 60

    def test_independent_steps_share_the_places(self) -> None:
        """Four times ten on two places take twenty; one long step takes its time."""
        graph = build_graph(pipeline_of({"a": [], "b": [], "c": [], "d": []}))
        assert estimate(graph, dict.fromkeys("abcd", 10)) == 20
        assert estimate(graph, {"a": 50, "b": 10, "c": 10, "d": 10}) == 50

    def test_what_has_passed_counts(self) -> None:
        """Finished steps cost nothing more, running ones what they usually still need, late ones nothing."""
        graph = build_graph(chain("a", "b", "c"))
        assert estimate(graph, {"a": 10, "b": 20, "c": 30}, finished={"a"}, elapsed_us={"b": 5}) == 45
        assert estimate(graph, {"a": 10, "b": 20, "c": 30}, finished={"a"}, elapsed_us={"b": 500}) == 30

    def test_nothing_is_said_where_nothing_is_known(self) -> None:
        """A first night has no history; a last step without one neither."""
        graph = build_graph(chain("a", "b"))
        assert estimate(graph, {}) is None
        assert estimate(graph, {"a": 10}, finished={"a"}) is None
        assert estimate(graph, {"a": 10}) == 10
