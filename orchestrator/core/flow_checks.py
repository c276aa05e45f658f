"""Whether data flows from a higher class to a lower one where no step declares it; see `core.classification`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError

from orchestrator.core.classification import Classes, Downgrade, downgrades, find_classes
from orchestrator.core.definition import Pipeline
from orchestrator.core.graph import Graph, build_graph
from orchestrator.core.problems import Problem


def pipeline_classes(pipeline: Pipeline, graph: Graph) -> Classes:
    """Return what of *pipeline* counts as which class."""
    steps = {name: (pipeline.steps[name].reads, pipeline.steps[name].writes) for name in graph.order}
    declared = {name: item.classification for name, item in pipeline.datasets.items() if item.classification}
    return find_classes(steps, dict(declared))


def check_flows(pipeline: Pipeline, document: Mapping[str, object]) -> Iterator[Problem]:
    """
    Yield a problem for each dataset that a step writes below the class of what it reads, unless it says how it declassifies.

    Nothing is said where the flow is not known: of steps in a circle, and while a class that the file has is none.
    """
    classed = any(item.classification for item in pipeline.datasets.values())
    declassifying = any(step.declassifies for step in pipeline.steps.values())
    if not (classed or declassifying) or _is_misread(pipeline, document):
        return
    try:
        known = pipeline_classes(pipeline, build_graph(pipeline)).datasets
    except CycleError:
        return
    for step in pipeline.steps.values():
        found = list(downgrades(step.reads, step.writes, known))
        path = ("steps", step.name)
        if step.declassifies is None:
            for downgrade in found:
                place = step.writes.index(downgrade.written)
                yield _refused(step.name, downgrade, (*path, "writes", place))
        elif not found:
            message = f"step {step.name} says that it declassifies, but writes nothing below the class of what it reads"
            hint = "remove declassifies, or give what it writes the class that it should have"
            yield Problem("declassifies_nothing", message, (*path, "declassifies"), suggestion=hint, severity="warning")


def _refused(step: str, found: Downgrade, path: tuple[str | int, ...]) -> Problem:
    high = found.known.classification
    inherits = "" if found.known.source == found.read else f", as it has no class and comes from {found.known.source}"
    message = f"step {step} reads {found.read} ({high}{inherits}) and writes {found.written}, which is {found.written_class}: a lower class"
    hint = (
        f'write declassifies = "what makes that right" in [steps.{step}], or classification = "{high}" in [datasets.{found.written}]'
    )  # fmt: skip
    return Problem("class_lowered", message, path, suggestion=hint)


def _is_misread(pipeline: Pipeline, document: Mapping[str, object]) -> bool:
    """Whether the file has a class or a declaration that could not be used: that is a problem of its own, and no flow can be judged."""
    steps, datasets = document.get("steps"), document.get("datasets")
    found: list[tuple[object, object]] = [
        (table.get("classification"), pipeline.datasets[name].classification if name in pipeline.datasets else None)
        for name, table in (datasets.items() if isinstance(datasets, dict) else ())
        if isinstance(table, dict)
    ]
    found += [
        (table.get("declassifies"), pipeline.steps[name].declassifies if name in pipeline.steps else None)
        for name, table in (steps.items() if isinstance(steps, dict) else ())
        if isinstance(table, dict)
    ]
    return any(written != read for written, read in found)
