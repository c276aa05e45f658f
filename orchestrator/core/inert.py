"""
What a definition asks for and this version does not do yet.

The keys are part of the contract and are checked like all others; whoever writes them has to know that they have no effect so far.
"""

from __future__ import annotations

from orchestrator.core.definition import Pipeline
from orchestrator.core.problems import Problem

Path = tuple[str | int, ...]


def inert_notices(pipeline: Pipeline) -> list[Problem]:
    """Return one notice for each kind of key that *pipeline* uses and that does nothing yet, in the order of the file's tables."""
    found: list[tuple[str, Path, str]] = []
    if pipeline.access_group is not None:
        found.append(("access.group", ("access", "group"), "files stay readable by their owner alone"))
    found += _of_variables(pipeline)
    found += _of_datasets(pipeline)
    found += _of_steps(pipeline)
    return [
        Problem("inert", f"{key} does nothing yet: {effect}", path, severity="warning") for key, path, effect in found
    ]


def _of_variables(pipeline: Pipeline) -> list[tuple[str, Path, str]]:
    name = next((item.name for item in pipeline.variables.values() if item.rekey), None)
    if name is None:
        return []
    return [("rekey", ("env", "vars", name, "rekey"), "a secret takes part in keys by its name alone")]


def _of_datasets(pipeline: Pipeline) -> list[tuple[str, Path, str]]:
    datasets = pipeline.datasets.values()
    first = {
        "retention": next((item.name for item in datasets if item.retention_us), None),
    }
    effects = {
        "retention": "nothing is removed",
    }
    return [(key, ("datasets", name, key), effects[key]) for key, name in first.items() if name is not None]


def _of_steps(pipeline: Pipeline) -> list[tuple[str, Path, str]]:
    found: list[tuple[str, Path, str]] = []
    if any(item.classification for item in pipeline.datasets.values()):
        path: Path = ("datasets", next(name for name, item in pipeline.datasets.items() if item.classification))
        effect = "a flow from a higher to a lower class is not refused"
        found.append(("classification", (*path, "classification"), effect))
    return found
