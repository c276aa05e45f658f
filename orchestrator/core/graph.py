"""The graph of a pipeline's steps: who waits for whom, in one order that never changes for one definition."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping

import attrs

from orchestrator.core.definition import Pipeline


@attrs.frozen
class Graph:
    """
    Hold the edges of a pipeline in both directions.

    Attributes:
        order: All steps, every upstream before its downstreams.
        upstream: For each step the steps it waits for, without repeats.
        downstream: For each step the steps that wait for it.
    """

    order: tuple[str, ...]
    upstream: Mapping[str, tuple[str, ...]]
    downstream: Mapping[str, tuple[str, ...]]

    def above(self, steps: Iterable[str]) -> frozenset[str]:
        """Return *steps* and everything upstream of them at any distance; linear in the edges."""
        return _closure(steps, self.upstream)

    def below(self, steps: Iterable[str]) -> frozenset[str]:
        """Return *steps* and everything downstream of them at any distance; linear in the edges."""
        return _closure(steps, self.downstream)


def step_edges(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    """
    Map each step to its upstreams: the writers of what it reads, then what it needs.

    Names that do not exist are left out, so that the edges can be drawn from a definition that is still being checked.
    """
    writers = pipeline.writers()
    edges: dict[str, tuple[str, ...]] = {}
    for step in pipeline.steps.values():
        named = [writers[dataset] for dataset in step.reads if dataset in writers]
        named += [other for other in step.needs if other in pipeline.steps]
        edges[step.name] = tuple(dict.fromkeys(named))
    return edges


def build_graph(pipeline: Pipeline) -> Graph:
    """
    Build the graph of a checked *pipeline*.

    Raises:
        graphlib.CycleError: The edges hold a cycle; `core.parse` refuses such a definition before.
    """
    upstream = step_edges(pipeline)
    order = tuple(graphlib.TopologicalSorter(upstream).static_order())
    downstream: dict[str, list[str]] = {step: [] for step in upstream}
    for step in order:
        for other in upstream[step]:
            downstream[other].append(step)
    return Graph(
        order=order,
        upstream=upstream,
        downstream={step: tuple(others) for step, others in downstream.items()},
    )


def _closure(steps: Iterable[str], edges: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    found: set[str] = set()
    waiting = list(steps)
    while waiting:
        step = waiting.pop()
        if step not in found:
            found.add(step)
            waiting.extend(edges[step])
    return frozenset(found)
