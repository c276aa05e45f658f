"""
How an attempt ended: one pure function from what was seen to status, reason and class of failure.

The class alone drives retries: `transient` may pass by itself, `infrastructure` was not the step's fault, `misuse` needs somebody to change something,
`permanent` is the rest. The exit codes follow `sysexits.h` (64, 75, 78) and the shell (126, 127).
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from orchestrator.core.report import StepReport

_SIGKILL = 9
_CLASS_OF_EXIT_CODE: Mapping[int, str] = {
    64: "misuse",
    75: "transient",
    78: "misuse",
    126: "misuse",
    127: "misuse",
}


@attrs.frozen
class Outcome:
    """
    Say how an attempt ended.

    Attributes:
        status: `succeeded`, `no_new_data`, `failed` or `cancelled`.
        reason: Why it failed or was cancelled; None otherwise.
        message: For people: what the step reported, or what was seen.
        evidence: What was expected of an output, and what was found.
    """

    status: str
    reason: str | None = None
    error_class: str | None = None
    message: str | None = None
    evidence: Mapping[str, object] = attrs.field(factory=dict)


def classify(  # noqa: PLR0913 -- one argument for each thing that is seen of an attempt
    *,
    exit_code: int | None,
    signal: int | None,
    timed_out: bool,
    not_started: str | None,
    cancelled: str | None,
    report: StepReport | None,
    bad_result: str | None,
    exit_codes: Mapping[int, str],
    unkillable: bool = False,
) -> Outcome:
    """
    Return the outcome of an attempt: the first of these that holds.

    It never started; it was cancelled; its time was up; a signal ended it; its exit code says so; its report is unreadable; its report says so; it
    succeeded, unless its outputs say otherwise (`core.output_contract`). An exit code that means `no_new_data` counts as 0 where the report is unreadable
    or says that the step failed.

    Args:
        not_started: Why it could not be started, or None.
        cancelled: Why it was ended with its run, `cancelled` or `deadline`, or None.
        bad_result: Why its report could not be read, or None.
        exit_codes: What the definition says of exit codes: `no_new_data`, or a class of failure.
        unkillable: Its process lives on, so that nothing may be started in its place.
    """
    reported = None if report is None else report.message
    if not_started is not None:
        return Outcome("failed", "not_started", "misuse", not_started)
    if cancelled is not None:
        return Outcome("cancelled", cancelled, None, reported)
    if timed_out:
        return Outcome("failed", "timeout", "permanent" if unkillable else "transient", reported)
    if signal is not None:
        # Only somebody else sends KILL: the kernel that is out of memory, or an operator.
        error_class = "infrastructure" if signal == _SIGKILL else "permanent"
        return Outcome("failed", "signal", error_class, reported)
    mapped = exit_codes.get(exit_code or 0)
    nothing_new = mapped == "no_new_data"
    if nothing_new and bad_result is None and (report is None or report.status != "failed"):
        return Outcome("no_new_data", message=reported)
    if exit_code and not nothing_new:
        stated = None if report is None else report.error_class
        error_class = stated or mapped or _CLASS_OF_EXIT_CODE.get(exit_code, "permanent")
        return Outcome("failed", "exit", error_class, reported or bad_result)
    if bad_result is not None:
        return Outcome("failed", "bad_result", "permanent", bad_result)
    return _ended_well(report)


def _ended_well(report: StepReport | None) -> Outcome:
    """Return the outcome of an attempt whose exit code was 0 and whose report, if any, is readable."""
    reported = None if report is None else report.message
    if report is not None and report.status == "failed":
        return Outcome("failed", "reported", report.error_class or "permanent", reported)
    if report is not None and report.status == "no_new_data":
        return Outcome("no_new_data", message=reported)
    return Outcome("succeeded", message=reported)
