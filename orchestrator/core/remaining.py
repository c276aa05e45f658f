"""How long a run will probably go on: from what its steps usually take."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from orchestrator.core.graph import Graph


def remaining_us(
    graph: Graph,
    *,
    expected_us: Mapping[str, int],
    elapsed_us: Mapping[str, int],
    finished: Collection[str],
    max_parallel: int,
) -> int | None:
    """
    Return an estimate of the time until the last step has ended, in microseconds, or None where nothing is known of what is left.

    The longer one of two: the longest way through what is left, and all that is left shared out among *max_parallel*. Linear in the edges.

    Args:
        expected_us: What steps usually take; a step that is not known counts as nothing.
        elapsed_us: For each running step how long it has been running.
        finished: Steps that have ended, in whatever way.
    """
    left = [name for name in graph.order if name not in finished]
    if not any(name in expected_us for name in left):
        return None
    total, longest = 0, 0
    until: dict[str, int] = {}
    for name in left:
        own = max(0, expected_us.get(name, 0) - elapsed_us.get(name, 0))
        until[name] = own + max((until.get(other, 0) for other in graph.upstream[name]), default=0)
        total += own
        longest = max(longest, until[name])
    return max(longest, total // max_parallel)
