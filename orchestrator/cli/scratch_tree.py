"""The scratch folder of a reproduction: what lies where in it, what cannot be put into it, and what has to be in it before anything is started."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs

from orchestrator.cli.errors import RefusedError
from orchestrator.cli.recorded_run import RecordedRun
from orchestrator.core.definition import Pipeline, Step
from orchestrator.core.interpolation import UnresolvedReferenceError, resolve
from orchestrator.core.problems import Problem
from orchestrator.core.reproduction import Again
from orchestrator.core.run_plan import RunPlan
from orchestrator.runtime.assembly import Surroundings, dataset_places
from orchestrator.runtime.digests import DatasetPlace
from orchestrator.runtime.environment import Environment, surroundings
from orchestrator.runtime.room import free_bytes, shown_bytes
from orchestrator.runtime.scratch import Input, lay_out_code, lay_out_input

Blob = Callable[[str], bytes | None]


@attrs.frozen
class Tree:
    """
    Say where everything lies, then and now.

    Attributes:
        folder: What stands for the folder of the definition.
        around: What names mean there.
        places: Where each dataset that the steps read or write lies there.
        originals: Where it lies in truth.
    """

    folder: Path
    around: Surroundings
    places: Mapping[str, DatasetPlace]
    originals: Mapping[str, DatasetPlace]


def make_tree(recorded: RecordedRun, again: Again, environment: Environment, root: Path) -> Tree:
    """
    Return where things lie below *root*; nothing is made yet.

    A path that leads out of the definition's folder leads to the same place in relation to what stands for it, so that the tree begins above it.
    """
    pipeline = _used(recorded.pipeline, again)
    around = surroundings(recorded.pipeline, environment, recorded.folder, recorded.night)
    originals = dataset_places(pipeline, around)
    near = [place.path for name, place in originals.items() if place.path and not is_fixed(pipeline, name, around)]
    base = os.path.commonpath([str(recorded.folder), *near])
    folder = root / os.path.relpath(recorded.folder, base)
    there = attrs.evolve(around, folder=Path(os.path.normpath(folder)))
    return Tree(there.folder, there, dataset_places(pipeline, there), originals)


def _used(pipeline: Pipeline, again: Again) -> Pipeline:
    names = {name for step in again.steps for name in (*pipeline.steps[step].reads, *pipeline.steps[step].writes)}
    return attrs.evolve(pipeline, datasets={name: item for name, item in pipeline.datasets.items() if name in names})


def is_fixed(pipeline: Pipeline, dataset: str, around: Surroundings) -> bool:
    """Whether the path of *dataset* is absolute, so that a step finds it where it is, wherever the step runs."""
    return Path(resolve(pipeline.datasets[dataset].path or "", around.values)).is_absolute()


def outside_problems(recorded: RecordedRun, again: Again, tree: Tree) -> Iterator[Problem]:
    """Yield what would be written, or run, outside of the tree: by a path that is absolute."""
    pipeline = recorded.pipeline
    for name in again.steps:
        step = pipeline.steps[name]
        for dataset in step.writes:
            if is_fixed(pipeline, dataset, tree.around):
                message = f"step {name} writes {dataset} to the absolute path {tree.places[dataset].path}, and would overwrite what is there"
                yield Problem("outside", message)
        yield from _absolute_words(step, recorded.folder, tree.around)
        yield from _folder_named(step, recorded.folder, tree.around)


def _absolute_words(step: Step, folder: Path, around: Surroundings) -> Iterator[Problem]:
    try:
        words = [resolve(word, around.values) for word in (step.cwd or "", *step.command[1:])]
    except UnresolvedReferenceError as error:
        yield Problem("variable_differs", f"step {step.name}: no value of {error.name} is recorded")
        return
    for word in words:
        if Path(word).is_absolute() and (word == words[0] or Path(os.path.normpath(word)).is_relative_to(folder)):
            message = (
                f"step {step.name} names the absolute path {word}: it would work there, and not in a scratch folder"
            )
            yield Problem("outside", message)


def _folder_named(step: Step, folder: Path, around: Surroundings) -> Iterator[Problem]:
    """Yield where else the pipeline's own folder is named: in a shell line, a part of a word or a variable, it leads out of the scratch folder."""
    found = {f"the variable {name}": around.variables.get(name, "") for name in step.env}
    found["its shell line"] = step.shell or ""
    with contextlib.suppress(UnresolvedReferenceError):  # It has been told.
        words = [resolve(word, around.values) for word in step.command[1:]]
        found |= {f"its word {number}": word for number, word in enumerate(words, 1) if not word.startswith(os.sep)}
    for where, text in found.items():
        if f"{folder}{os.sep}" in f"{text}{os.sep}":
            message = f"step {step.name}: {where} names the pipeline's folder {folder}, and would be at work there"
            yield Problem("outside", message)


def lay_out(
    recorded: RecordedRun,
    again: Again,
    tree: Tree,
    *,
    blob: Blob,
    not_kept: Callable[[str], str],
    shown: Callable[[str], str],
) -> list[Problem]:
    """
    Put code and inputs into the tree, each held to its recorded digest, and return what is missing or not what it was.

    Args:
        blob: Returns what the ledger keeps under a digest.
        not_kept: Says of a digest under which it keeps nothing that it does not, and why.
        shown: Returns the name of a file as manifests have it.

    Raises:
        RefusedError: There is no room for it.
    """
    problems: list[Problem] = []
    inputs: list[Input] = []
    for dataset, digest in again.inputs.items():
        manifest = None if digest is None else blob(digest)
        if digest is not None and manifest is None:
            problems.append(Problem("input_not_kept", f"input {dataset}: its manifest {not_kept(digest)}"))
            continue
        target = tree.places[dataset].path
        assert target is not None
        inputs.append(Input(dataset, manifest, tree.originals[dataset], target))
    needed, free = sum(item.bytes for item in inputs), free_bytes(tree.folder)
    if needed > free:
        message = f"too little room for the inputs: they take {shown_bytes(needed)}, {shown_bytes(free)} are free where {tree.folder} is to be"
        raise RefusedError([Problem("disk_space", message, suggestion="name another place with --into DIR")])
    tree.folder.mkdir(parents=True, exist_ok=True)
    (tree.folder / recorded.definition.name).write_bytes(recorded.text)
    for item in inputs:
        problems += lay_out_input(item, shown)
    problems += lay_out_code(again.code, original=recorded.folder, folder=tree.folder, kept=blob, not_kept=not_kept)
    for name in again.steps:
        step = recorded.pipeline.steps[name]
        Path(tree.folder, resolve(step.cwd or "", tree.around.values)).mkdir(parents=True, exist_ok=True)
        for dataset in step.writes:
            # A step may rely on the folder above what it writes; where it is its own, it makes it.
            Path(str(tree.places[dataset].path)).parent.mkdir(parents=True, exist_ok=True)
    return problems


def with_programs(plan: RunPlan, again: Again, search: Mapping[str, str]) -> tuple[RunPlan, list[Problem]]:
    """
    Return *plan* with the programs of *again* where they are found, and a problem for each that is not.

    A program that lies in the pipeline's folder is started where it lies in truth, since it finds its libraries beside itself.

    Args:
        search: For each step, its `PATH`.
    """
    steps, problems = dict(plan.steps), []
    for name in again.steps:
        step = plan.steps[name]
        word = step.argv[0]
        found = str(Path(step.cwd, word)) if os.sep in word else shutil.which(word, path=search[name])
        path = None if found is None else Path(found)
        if path is None or path.is_dir() or not os.access(path, os.X_OK):
            problems.append(Problem("program_missing", f"step {name}: there is no program {word} today"))
        elif os.sep in word and not Path(word).is_absolute() and path.is_symlink():
            steps[name] = attrs.evolve(step, argv=(str(path.readlink()), *step.argv[1:]))
    return attrs.evolve(plan, steps=steps), problems
