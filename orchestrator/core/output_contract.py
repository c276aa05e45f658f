"""
What a step owes after a good end: its outputs exist, hold something, are as many as the definition asks for, and are what its report says of them.

The rules are read in the order of `docs/reference/steps.md`; the first that an output breaks is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import attrs

from orchestrator.core.definition import Dataset, Step
from orchestrator.core.explain import short_digest, shortfall_text
from orchestrator.core.outcome import Outcome
from orchestrator.core.report import Scalar, StepReport


@attrs.frozen
class Extent:
    """
    How much was found of a dataset.

    Attributes:
        files: How many files belong to it.
        bytes: What they hold together; of a probe, what it printed.
        file_digest: Content digest of the file that the dataset is; None for a folder, and where contents were not read.
        rows: As counted; None where nobody asked for it, or they cannot be counted.
        failure: Why they cannot be counted, or why it could not be looked at.
    """

    files: int = 0
    bytes: int = 0
    file_digest: str | None = None
    rows: int | None = None
    failure: str | None = None


NOTHING = Extent()


def rows_to_count(step: Step, datasets: Mapping[str, Dataset], report: StepReport | None) -> tuple[str, ...]:
    """Name the outputs of *step* whose rows have to be counted: a minimum is asked for, and *report* says nothing of them."""
    return tuple(name for name in step.writes if datasets[name].min_rows and _reported(report, name, "rows") is None)


def held_to_contract(
    outcome: Outcome,
    step: Step,
    datasets: Mapping[str, Dataset],
    *,
    report: StepReport | None,
    digests: Mapping[str, str | None],
    extents: Mapping[str, Extent],
    redact: Callable[[str], str],
) -> Outcome:
    """
    Return *outcome*, of an attempt that ended well, or the failure that its outputs make of it.

    What a report says has to be true also where it says `no_new_data`; what the definition asks for is held against a success alone.

    Args:
        digests: Of each output, None where it does not exist.
        extents: How much each output is.
        redact: Removes secrets; the digits of what was reported may be one.
    """
    if report is not None and report.outputs:
        wrong = _untrue(step, report, digests, extents)
        if wrong is not None:
            return wrong
    if outcome.status != "succeeded":
        return outcome
    missing: list[dict[str, object]] = []
    for name in step.writes:
        extent = extents.get(name, NOTHING)
        rows = _reported(report, name, "rows")
        for rule in _broken_rule(datasets[name], extent, rows, exists=digests[name] is not None):
            masked = redact(str(rule["found"]))
            missing.append({"dataset": name, **rule, **({} if masked == str(rule["found"]) else {"found": masked})})
    if not missing:
        return outcome
    told = "; ".join(_told(entry, extents) for entry in missing)
    return Outcome("failed", "missing_output", "permanent", f"it ended well, but {told}", {"outputs": missing})


def _untrue(
    step: Step, report: StepReport, digests: Mapping[str, str | None], extents: Mapping[str, Extent]
) -> Outcome | None:
    for name, facts in report.outputs.items():
        if name not in step.writes:
            writes = ", ".join(step.writes) or "nothing"
            message = f"the report tells of an output {name}, which is none of the step's: it writes {writes}"
            return Outcome("failed", "bad_result", "permanent", message)
        claimed, actual = facts.get("digest"), digests.get(name)
        if claimed is not None and claimed not in (actual, extents.get(name, NOTHING).file_digest):
            message = (
                f"the report says that {name} has the digest {short_digest(claimed)}, what is there has "
                f"{short_digest(extents.get(name, NOTHING).file_digest or actual)}"
            )
            evidence = {"dataset": name, "actual": actual}
            return Outcome("failed", "bad_result", "permanent", message, evidence)
    return None


def _broken_rule(dataset: Dataset, extent: Extent, rows: Scalar | None, *, exists: bool) -> Iterator[dict[str, object]]:
    """Yield the first rule that an output breaks, with what it asks for and what was found; nothing where it keeps all."""
    counted = extent.rows if rows is None else rows
    if not exists:
        yield {"rule": "exists", "expected": dataset.path, "found": None}
    elif not (extent.bytes or dataset.allow_empty):
        yield {"rule": "not_empty", "expected": 1, "found": 0}
    elif dataset.path is not None and extent.files < dataset.min_files:
        yield {"rule": "min_files", "expected": dataset.min_files, "found": extent.files}
    elif dataset.min_rows and (counted is None or isinstance(counted, str) or counted < dataset.min_rows):
        by = "counted" if rows is None else "reported"
        yield {"rule": "min_rows", "expected": dataset.min_rows, "found": counted, "by": by}


def _told(entry: Mapping[str, object], extents: Mapping[str, Extent]) -> str:
    why = extents.get(str(entry["dataset"]), NOTHING).failure if entry["found"] is None else None
    return shortfall_text(entry) + (f" ({why})" if why else "")


def _reported(report: StepReport | None, dataset: str, fact: str) -> Scalar | None:
    return None if report is None else report.outputs.get(dataset, {}).get(fact)
