"""
What a definition asks for and this version does not do yet.

The keys are part of the contract and are checked like all others; whoever writes them has to know that they have no effect so far.
"""

from __future__ import annotations

from orchestrator.core.definition import Pipeline, RetryPolicy
from orchestrator.core.problems import Problem

Path = tuple[str | int, ...]


def inert_notices(pipeline: Pipeline) -> list[Problem]:
    """Return one notice for each kind of key that *pipeline* uses and that does nothing yet, in the order of the file's tables."""
    document = pipeline.document
    found: list[tuple[str, Path, str]] = []
    if pipeline.deadline_us is not None:
        found.append(("deadline", ("pipeline", "deadline"), "a run is not ended when its time is up"))
    if pipeline.schedule_cron is not None:
        found.append(("schedule.cron", ("schedule", "cron"), "nothing is started at these times"))
    if "alerts" in document:
        found.append(("alerts", ("alerts",), "nobody is told"))
    if pipeline.pools:
        found.append(("pools", ("pools",), "shares are not counted, only max_parallel is"))
    found += _of_datasets(pipeline)
    found += _of_steps(pipeline)
    return [
        Problem("inert", f"{key} does nothing yet: {effect}", path, severity="warning") for key, path, effect in found
    ]


def _of_datasets(pipeline: Pipeline) -> list[tuple[str, Path, str]]:
    datasets = pipeline.datasets.values()
    first = {
        "fresh_within": next((item.name for item in datasets if item.fresh_within), None),
        "probe": next((item.name for item in datasets if item.digest == "probe"), None),
    }
    effects = {
        "fresh_within": "the age of files is not looked at",
        "probe": "the command is not run; the dataset counts as new in each run",
    }
    return [(key, ("datasets", name, key), effects[key]) for key, name in first.items() if name is not None]


def _of_steps(pipeline: Pipeline) -> list[tuple[str, Path, str]]:
    steps = pipeline.steps.values()
    found: list[tuple[str, Path, str]] = []
    retried = next((item.name for item in steps if item.retry != RetryPolicy()), None)
    if retried is not None:
        found.append(("retry", ("steps", retried, "retry"), "a failed attempt is not tried again"))
    return found
