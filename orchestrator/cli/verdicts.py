"""What came of running a run again: each step held against what is recorded of it, and the verdict as it is recorded."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from orchestrator.cli.recorded_run import RecordedRun
from orchestrator.cli.scratch_tree import Tree
from orchestrator.core.classification import is_withheld
from orchestrator.core.events import RunReproduced
from orchestrator.core.flow_checks import pipeline_classes
from orchestrator.core.problems import Problem
from orchestrator.core.reproduction import (
    Again,
    DatasetVerdict,
    Ending,
    StepVerdict,
    first_different,
    other_outcome,
    worst,
)
from orchestrator.core.state import RunState, StepState
from orchestrator.runtime.dataset_comparison import Output, compare_dataset
from orchestrator.runtime.provenance import current_actor

_FILES_AT_MOST = 20
_CAUSES_AT_MOST = 50
_COLUMNS_AT_MOST = 50


def compared(
    recorded: RecordedRun,
    again: Again,
    state: RunState,
    tree: Tree,
    *,
    manifest: Callable[[str], bytes | None],
    redact: Callable[[str], str],
) -> list[StepVerdict]:
    """
    Return for each step that was run again, in the order of the graph, how it compares with what is recorded.

    Args:
        state: Of the run that ran them.
        manifest: Returns the manifest of a digest, or None where it is not kept.
        redact: Removes secrets.
    """
    touches = pipeline_classes(recorded.pipeline, recorded.graph).steps
    found: dict[str, StepVerdict] = {}
    for name in (name for name in recorded.graph.order if name in again.steps):
        then, now = recorded.steps[name], state.step(name)
        outcome = other_outcome(then, _ending(now))
        datasets: tuple[DatasetVerdict, ...] = ()
        if outcome is None and then.is_done:
            datasets = tuple(
                compare_dataset(
                    Output(dataset, tree.originals[dataset], tree.places[dataset], is_withheld(touches.get(name))),
                    then.outputs.get(dataset),
                    now.outputs.get(dataset),
                    manifest=manifest,
                    redact=redact,
                )
                for dataset in recorded.pipeline.steps[name].writes
            )
        verdict = worst(item.verdict for item in datasets) if outcome is None else "different"
        behind = tuple(
            other for other in _ancestors(recorded, name) if other in found and found[other].verdict == "different"
        )
        found[name] = StepVerdict(name, verdict, datasets, outcome, behind)
    return list(found.values())


def _ending(step: StepState) -> Ending:
    code, signal = (step.attempt_evidence.get(name) for name in ("exit_code", "signal"))
    return Ending(
        step.status,
        step.reason,
        exit_code=code if isinstance(code, int) else None,
        signal=signal if isinstance(signal, int) else None,
    )


def _ancestors(recorded: RecordedRun, name: str) -> list[str]:
    above: set[str] = set()
    waiting = [*recorded.graph.upstream[name]]
    while waiting:
        other = waiting.pop()
        if other not in above:
            above.add(other)
            waiting += recorded.graph.upstream[other]
    return [other for other in recorded.graph.order if other in above]


def reproduced_event(
    recorded: RecordedRun,
    again: Again,
    reproduction: str | None,
    *,
    steps: Sequence[StepVerdict],
    problems: Sequence[Problem],
    trusted: tuple[str, ...],
    reason: str | None,
) -> RunReproduced:
    """Return the event that says what came of it; *problems* are why it is not reproducible."""
    return RunReproduced(
        pipeline=recorded.name,
        run_id=recorded.run_id,
        reproduction=reproduction,
        verdict="not_reproducible" if problems else worst(step.verdict for step in steps),
        steps=tuple(_step_data(step) for step in steps),
        causes=tuple(problem.as_json() for problem in _limited(problems)),
        left_out=dict(again.left_out),
        actor=current_actor(os.environ),
        first=_first(steps),
        trusted=trusted,
        reason=reason,
    )


def _limited(problems: Sequence[Problem]) -> list[Problem]:
    listed = list(problems[:_CAUSES_AT_MOST])
    if len(problems) > len(listed):
        listed.append(Problem("more", f"and {len(problems) - len(listed)} more causes"))
    return listed


def _first(steps: Sequence[StepVerdict]) -> dict[str, object] | None:
    step = first_different(steps)
    if step is None:
        return None
    found: dict[str, object] = {"step": step.step}
    dataset = next((item for item in step.datasets if item.verdict == "different"), None)
    if dataset is not None:
        found["dataset"] = dataset.dataset
        columns = [name for file in dataset.files for name in _columns(file.detail)]
        if columns:
            found["columns"] = list(dict.fromkeys(columns))[:_COLUMNS_AT_MOST]
    return found


def _columns(detail: Mapping[str, object]) -> list[str]:
    columns = detail.get("columns")
    return columns if isinstance(columns, list) else []


def _step_data(step: StepVerdict) -> dict[str, object]:
    data: dict[str, object] = {"step": step.step, "verdict": step.verdict}
    if step.outcome is not None:
        data["outcome"] = dict(step.outcome)
    if step.verdict == "different" and step.behind:
        data["behind"] = list(step.behind)
    datasets = [_dataset_data(item) for item in step.datasets if item.verdict != "identical"]
    return data | ({"datasets": datasets} if datasets else {})


def _dataset_data(item: DatasetVerdict) -> dict[str, object]:
    listed = sorted(item.files, key=lambda file: file.verdict != "different")[:_FILES_AT_MOST]
    data: dict[str, object] = {
        "dataset": item.dataset,
        "verdict": item.verdict,
        "expected": item.expected,
        "actual": item.actual,
        "files": [{"path": file.path, "verdict": file.verdict, **file.detail} for file in listed],
    }
    return data | ({"more_files": len(item.files) - len(listed)} if len(item.files) > len(listed) else {})
