"""
The frontier of a run: which steps have all their upstreams done, and what was done above each of them.

A step leaves the frontier when it gets its final status; only then are its downstreams looked at. Every edge is looked at
once, so that a run of 20,000 steps costs per step what one of ten does.
"""

from __future__ import annotations

from collections import deque

from orchestrator.core.decide import Upstream
from orchestrator.core.errors import InternalError
from orchestrator.core.graph import Graph

_NOTHING_ABOVE = Upstream()


class Frontier:
    """Hand out the steps of *graph* in order, each one when all its upstreams are finished."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._waiting_for = {step: len(graph.upstream[step]) for step in graph.order}
        self._facts: dict[str, Upstream] = {}
        self._ready = deque(step for step in graph.order if not graph.upstream[step])
        self._unfinished = len(graph.order)

    @property
    def done(self) -> bool:
        """Whether every step is finished."""
        return self._unfinished == 0

    @property
    def has_ready(self) -> bool:
        """Whether a step waits to be taken."""
        return bool(self._ready)

    def take(self) -> str:
        """Return the next step whose upstreams are all finished; each step is handed out once."""
        return self._ready.popleft()

    def upstream(self, step: str) -> Upstream:
        """Return what was done above *step* at any distance; complete once it has been handed out."""
        return self._facts.get(step, _NOTHING_ABOVE)

    def finish(self, step: str, *, failed: bool, attempted: bool, begun: int = -1) -> None:
        """
        Take note that *step* has its final status and make ready what waited for it alone.

        Args:
            failed: It ended as failed, so that it is the root of what lies below, unless something above it is.
            attempted: At least one attempt of it was started.
            begun: Place of the start of the last one in the stream of the run.
        """
        if self._waiting_for.pop(step, -1) != 0:
            raise InternalError(f"step {step} finished twice or before its upstreams")
        self._unfinished -= 1
        above = self._facts.pop(step, _NOTHING_ABOVE)
        root = above.failed or (step if failed else None)
        attempted, begun = attempted or above.attempted, max(begun, above.begun)
        for other in self._graph.downstream[step]:
            self._waiting_for[other] -= 1
            if root is not None or attempted:
                known = self._facts.get(other, _NOTHING_ABOVE)
                self._facts[other] = Upstream(
                    known.failed or root, known.attempted or attempted, max(known.begun, begun)
                )
            if self._waiting_for[other] == 0:
                self._ready.append(other)
