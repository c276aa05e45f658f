"""
From the rows that the ledger keeps to what decisions compare with, across renamed steps, datasets and pipelines.

A step, a dataset or a pipeline that names its former names with `formerly` keeps its history: its last success is looked up under
the present name first, then under the former ones, and former names inside the key's material are carried over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.core.decide import NEVER_RUN, Baseline
from orchestrator.core.definition import Pipeline, Step
from orchestrator.core.fingerprint import key_digest, rename_components

Row = Mapping[str, object]
Rows = Mapping[tuple[str, str], Row]

_MEASURED = ("succeeded", "no_new_data")
"""How attempts end after which the step's outputs are measured, which makes them its last success."""


def step_baselines(
    pipeline: Pipeline, rows: Rows, *, night: str, load: Callable[[object], Mapping[str, object]]
) -> dict[str, Baseline]:
    """
    Return the baseline of each step of *pipeline*.

    Args:
        rows: By step and night; the night is empty for a step that is not counted night by night.
        night: Of the run.
        load: Turns a stored JSON column, or its reference to a blob, into a mapping.
    """
    datasets = {former: item.name for item in pipeline.datasets.values() for former in item.formerly}
    steps = {former: item.name for item in pipeline.steps.values() for former in item.formerly}
    found: dict[str, Baseline] = {}
    for step in pipeline.steps.values():
        row = _row_of(step, rows, night)
        found[step.name] = NEVER_RUN if row is None else _baseline(row, load, datasets, steps)
    return found


def _row_of(step: Step, rows: Rows, night: str) -> Row | None:
    counted = night if step.per_night else ""
    for name in (step.name, *step.formerly):
        row = rows.get((name, counted))
        if row is not None:
            return row
    return None


def _baseline(
    row: Row,
    load: Callable[[object], Mapping[str, object]],
    datasets: Mapping[str, str],
    steps: Mapping[str, str],
) -> Baseline:
    components: Mapping[str, object] = {} if row["components"] is None else load(row["components"])
    key = row["key"]
    if components:
        renamed = rename_components(components, datasets=datasets, steps=steps)
        if renamed != components:
            components, key = renamed, key_digest(renamed)
    outputs = {} if row["outputs"] is None else load(row["outputs"])
    last_status = None if row["last_status"] is None else str(row["last_status"])
    if last_status in _MEASURED and (row["run_id"], row["attempt"]) != (row["last_run_id"], row["last_attempt"]):
        # Its orchestrator died before it had looked at what the attempt left: nobody can say what that was.
        last_status = "lost"
    vouched_run, vouched_night = row.get("vouched_run"), row.get("vouched_night")
    return Baseline(
        key=None if key is None else str(key),
        components=components,
        outputs={
            datasets.get(name, name): value if isinstance(value, str) else None for name, value in outputs.items()
        },
        success=None if row["run_id"] is None else f"{row['run_id']}/{row['attempt']}",
        last_status=last_status,
        last_attempt=None if row["last_run_id"] is None else f"{row['last_run_id']}/{row['last_attempt']}",
        vouched_run=None if vouched_run is None else str(vouched_run),
        vouched_night=None if vouched_night is None else str(vouched_night),
    )
