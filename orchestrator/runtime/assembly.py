"""From a checked definition and a resolved environment to what one run works with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from orchestrator.core.decide import NEVER_RUN, Baseline
from orchestrator.core.definition import Dataset, Pipeline, Step
from orchestrator.core.flow_checks import pipeline_classes
from orchestrator.core.graph import Graph
from orchestrator.core.interpolation import UnresolvedReferenceError, resolve
from orchestrator.core.run_plan import RunPlan, StepPlan
from orchestrator.runtime.digests import CodePlace, DatasetPlace
from orchestrator.runtime.walking import matches

SHELL = "/bin/sh"


SHELL = "/bin/sh"


@attrs.frozen
class Surroundings:
    """
    Where a pipeline stands and what its names mean for one night.

    Attributes:
        folder: Of the definition, absolute.
        values: What `${NAME}` stands for: plain variables, parameters and `NIGHT`.
        secret_names: Declared variables whose value must not be looked at here.
        variables: Declared variables and parameters with their value; secrets included, only to be handed to processes.
        keyed: Secret to what stands for its value in the keys of steps, of those that run their steps again.
    """

    folder: Path
    values: Mapping[str, str]
    secret_names: frozenset[str]
    variables: Mapping[str, str]
    keyed: Mapping[str, str] = attrs.field(factory=dict)


def dataset_places(pipeline: Pipeline, around: Surroundings) -> dict[str, DatasetPlace]:
    """Return where each dataset lies, absolute and with every `${NAME}` replaced."""
    return {name: _place(dataset, around) for name, dataset in pipeline.datasets.items()}


def code_places(pipeline: Pipeline, around: Surroundings, places: Mapping[str, DatasetPlace]) -> dict[str, CodePlace]:
    """
    Return where each step's code may lie: words of its command inside the folder and in no dataset, and its globs.

    Steps that have neither are left out, and those that refer to what has no value, which are not part of the run. Nothing is
    looked up on the disk here.
    """
    data = [place for place in places.values() if place.path is not None]
    found: dict[str, CodePlace] = {}
    for step in pipeline.steps.values():
        try:
            place = _code_place(step, around, data)
        except UnresolvedReferenceError:
            continue
        if place.words or place.globs:
            found[step.name] = place
    return found


def run_plan(  # noqa: PLR0913 -- everything that makes a run, by name
    pipeline: Pipeline,
    graph: Graph,
    around: Surroundings,
    *,
    run_id: str,
    night: str,
    selected: frozenset[str],
    forced: bool,
    max_parallel: int,
    baselines: Mapping[str, Baseline],
) -> RunPlan:
    """
    Resolve the *selected* steps of *pipeline* for one run.

    What the others refer to may have no value; they keep their texts as they are written.
    """
    writers = pipeline.writers()
    classes = pipeline_classes(pipeline, graph).steps
    steps: dict[str, StepPlan] = {}
    for step in pipeline.steps.values():
        part = step.name in selected
        argv = step_argv(step, around) if part else step.command
        cwd = _cwd(step, around) if part else around.folder
        steps[step.name] = StepPlan(
            step=step,
            argv=argv,
            cwd=str(cwd),
            command=_command_component(step, argv, around) if part else {},
            variables={
                name: around.keyed.get(name) if name in around.secret_names else around.variables.get(name, "")
                for name in step.env
            },
            sources=frozenset(name for name in step.reads if name not in writers),
            baseline=baselines.get(step.name, NEVER_RUN),
            touches=classes.get(step.name),
        )
    return RunPlan(
        run_id=run_id,
        night=night,
        pipeline=pipeline,
        graph=graph,
        steps=steps,
        selected=selected,
        forced=forced,
        max_parallel=max_parallel,
        writers=writers,
    )


def graph_document(pipeline: Pipeline, graph: Graph) -> dict[str, object]:
    """
    Return the graph as the ledger keeps it, so that an old run can be shown without its definition.

    The class of each step, and of a dataset one that it inherits, are there for those who ask in SQL.
    """
    classes = pipeline_classes(pipeline, graph)
    steps = []
    for name in graph.order:
        step = pipeline.steps[name]
        entry: dict[str, object] = {"step": name, "upstream": list(graph.upstream[name])}
        optional = {"reads": list(step.reads), "writes": list(step.writes), "needs": list(step.needs)}
        entry.update({key: value for key, value in optional.items() if value})
        if step.per_night:
            entry["per_night"] = True
        if step.formerly:
            entry["formerly"] = list(step.formerly)
        if name in classes.steps:
            entry["class"] = classes.steps[name]
        steps.append(entry)
    datasets = {}
    for name, item in pipeline.datasets.items():
        facts = {"path": item.path, "layer": item.layer, "classification": item.classification}
        datasets[name] = {key: value for key, value in facts.items() if value is not None}
        if item.classification is None and name in classes.datasets:
            datasets[name]["inherits"] = classes.datasets[name].classification
    document: dict[str, object] = {"steps": steps, "datasets": datasets}
    if pipeline.formerly:
        document["formerly"] = list(pipeline.formerly)
    return document


def _place(dataset: Dataset, around: Surroundings) -> DatasetPlace:
    pattern = resolve(dataset.pattern, around.values)
    path = None
    if dataset.path is not None:
        path = os.path.normpath(around.folder / resolve(dataset.path, around.values))
    if not dataset.probe:
        return DatasetPlace(path, pattern, dataset.digest)
    probe = tuple(resolve(word, around.values) for word in dataset.probe)
    return DatasetPlace(path, pattern, dataset.digest, probe, dataset.probe_timeout_us)


def _code_place(step: Step, around: Surroundings, data: Sequence[DatasetPlace]) -> CodePlace:
    cwd = _cwd(step, around)
    found = (_word_as_file(resolve(word, around.values), cwd, around.folder, data) for word in step.command)
    words = tuple(dict.fromkeys(word for word in found if word is not None))
    return CodePlace(words, tuple(resolve(pattern, around.values) for pattern in step.code))


def _cwd(step: Step, around: Surroundings) -> Path:
    return around.folder if step.cwd is None else around.folder / resolve(step.cwd, around.values)


def step_argv(step: Step, around: Surroundings) -> tuple[str, ...]:
    """Return what is executed for *step*, every `${NAME}` replaced; a `shell` line goes to `/bin/sh -e -c` as it stands."""
    if step.shell is not None:
        return (SHELL, "-e", "-c", step.shell)
    return tuple(resolve(word, around.values) for word in step.command)


def _command_component(step: Step, argv: tuple[str, ...], around: Surroundings) -> dict[str, object]:
    component: dict[str, object] = {"argv": list(argv)} if step.shell is None else {"shell": step.shell}
    if step.cwd is not None:
        component["cwd"] = resolve(step.cwd, around.values)
    return component


def _word_as_file(word: str, cwd: Path, folder: Path, data: Sequence[DatasetPlace]) -> str | None:
    """Return *word*, which a process in *cwd* is given, as a path relative to *folder* if it may name a file there that is no data."""
    if not word or word.startswith("-") or "\0" in word:
        return None
    path = os.path.normpath(cwd / word)
    if not path.startswith(f"{folder}{os.sep}") or any(_is_data(path, place) for place in data):
        return None
    return os.path.relpath(path, folder)


def _is_data(path: str, place: DatasetPlace) -> bool:
    if path == place.path:
        return True
    prefix = f"{place.path}{os.sep}"
    return path.startswith(prefix) and matches(path.removeprefix(prefix), place.pattern)
