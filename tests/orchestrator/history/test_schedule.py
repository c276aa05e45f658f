"""What a run could have taken on another number of places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.history.schedule import Task, critical_path, path_seconds, replay

DIAMOND = [Task("a", 2), Task("b", 5, ("a",)), Task("c", 1, ("a",)), Task("d", 3, ("b", "c"))]


@st.composite
def graphs(draw: st.DrawFn) -> list[Task]:
    """Draw steps in an order in which each comes after its upstream."""
    tasks: list[Task] = []
    for number in range(draw(st.integers(0, 8))):
        upstream = draw(st.sets(st.sampled_from([task.step for task in tasks]))) if tasks else set()
        tasks.append(Task(f"s{number}", draw(st.integers(0, 50)), tuple(sorted(upstream))))
    return tasks


class TestCriticalPath:
    """The chain that decides when a run is over."""

    def test_longest_chain(self) -> None:
        """Of two ways the longer one counts."""
        assert critical_path(DIAMOND) == ["a", "b", "d"]
        assert path_seconds(DIAMOND) == 10

    def test_what_did_not_run(self) -> None:
        """An upstream that was skipped took no time; without steps there is no path."""
        assert critical_path([Task("b", 1, ("skipped",))]) == ["b"]
        assert critical_path([]) == []
        assert path_seconds([]) == 0


class TestReplay:
    """List scheduling of recorded durations."""

    def test_places(self) -> None:
        """One place takes the sum, two take the critical path, and none is refused."""
        assert (replay(DIAMOND, 1), replay(DIAMOND, 2)) == (11, 10)
        with pytest.raises(ValueError, match="at least one place, not 0"):
            replay(DIAMOND, 0)

    @given(graphs(), st.integers(1, 6))
    def test_bounds(self, tasks: list[Task], places: int) -> None:
        """Whatever the graph: never quicker than the critical path or than all places busy all the time, never slower than twice the best."""
        total, path = sum(task.seconds for task in tasks), path_seconds(tasks)
        taken = replay(tasks, places)
        assert max(path, total / places) - 1e-9 <= taken <= total / places + path + 1e-9
        assert replay(tasks, 1) == pytest.approx(total)
        assert replay(tasks, max(1, len(tasks))) == pytest.approx(path)
