"""What was seen of the end of an attempt, or of a run, as the event that records it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Mapping

from orchestrator.core.events import AttemptFinished, RunFinished
from orchestrator.core.outcome import Outcome
from orchestrator.core.output_contract import held_to_contract
from orchestrator.core.printable import as_utf8
from orchestrator.core.report import StepReport
from orchestrator.core.run_plan import RunPlan
from orchestrator.core.state import RunState, verdict
from orchestrator.runtime.ports import Exited, Log, Measured

ENDED_WELL = ("succeeded", "no_new_data")
_SURVIVORS_AT_MOST = 100
_SURVIVORS_NAMED = 3


def run_finished(
    state: RunState, steps: Collection[str], ending: str | None, *, signal: int | None, duration_us: int
) -> RunFinished:
    """
    Return the event for the end of a run in which each of *steps* has its final status.

    Args:
        ending: Why it was ended early, or None, see `core.state.verdict`.
        signal: The first one that the orchestrator got, or None.
    """
    status = verdict(state, ending, steps)
    exit_code = 0 if status in ("succeeded", "nothing_to_do") else 1
    return RunFinished(
        status=status,
        exit_code=128 + signal if signal is not None and status == "cancelled" else exit_code,
        duration_us=duration_us,
        counts=state.counts(steps),
        root_cause=_root_cause(state),
    )


def _root_cause(state: RunState) -> Mapping[str, object] | None:
    if not state.failures:
        return None
    name = state.failures[0]
    step = state.step(name)
    cause = {"step": name, "reason": step.reason, "error_class": step.error_class, "message": step.message}
    return {key: value for key, value in cause.items() if value is not None}


def held(
    outcome: Outcome, report: StepReport | None, left: Measured, plan: RunPlan, redact: Callable[[str], str]
) -> Outcome:
    """Return *outcome*, or the failure that the outputs make of it which the attempt has *left*."""
    if outcome.status not in ENDED_WELL:
        return outcome
    step, datasets = plan.steps[left.step].step, plan.pipeline.datasets
    return held_to_contract(
        outcome, step, datasets, report=report, digests=left.outputs, extents=left.extents, redact=redact
    )


def attempt_finished(
    run_id: str, exited: Exited, outcome: Outcome, report: StepReport | None, redact: Callable[[str], str]
) -> AttemptFinished:
    """Return the event for the end of an attempt; texts that came from outside go through *redact*."""
    log = exited.log
    return AttemptFinished(
        step=exited.step,
        attempt=exited.attempt,
        status=outcome.status,
        reason=outcome.reason,
        error_class=outcome.error_class,
        exit_code=exited.exit_code,
        signal=exited.signal,
        duration_us=None if exited.not_started else exited.duration_us,
        pid=exited.pid,
        message=_message(exited, outcome, redact),
        log=None if log is None else _log_data(run_id, exited, log),
        metrics=None if report is None or not report.metrics else _redacted(report.metrics, redact),
        reported=None if report is None or not report.outputs else _redacted(report.outputs, redact),
        masked=None if log is None or not log.masked else dict(log.masked),
        killed=exited.killed,
        survivors=tuple({"pid": item.pid, "name": redact(item.name)} for item in exited.survivors[:_SURVIVORS_AT_MOST]),
    )


def _message(exited: Exited, outcome: Outcome, redact: Callable[[str], str]) -> str | None:
    """Return what people should read of this end; that its output could not be kept is part of it."""
    lost = None if exited.log_failure is None else f"its output could not be kept: {exited.log_failure}"
    told = "; ".join(text for text in (outcome.message, _left_behind(exited), lost) if text)
    return redact(told) if told else None


def _left_behind(exited: Exited) -> str | None:
    if not exited.survivors:
        return None
    count = len(exited.survivors)
    names = ", ".join(dict.fromkeys(as_utf8(item.name) or "(no name)" for item in exited.survivors[:_SURVIVORS_NAMED]))
    what = "a process that went on after it was" if count == 1 else f"{count} processes that went on after it were"
    return f"{what} killed: {names}{', …' if count > _SURVIVORS_NAMED else ''}"


def ended_evidence(
    exited: Exited | None, outcome: Outcome | None = None, *, timeout_us: int | None = None
) -> Mapping[str, object]:
    """
    Return what a step's failure rests on: its timeout, its signal, its exit code or its outputs; empty where there is none of them.

    Args:
        timeout_us: Of an attempt of the step.
    """
    if exited is None:
        return {}
    if exited.timed_out:
        return {"timeout_us": timeout_us}
    if exited.signal is not None:
        return {"signal": exited.signal, "name": signal_name(exited.signal)}
    if exited.exit_code not in (None, 0):
        return {"exit_code": exited.exit_code}
    return {} if outcome is None else outcome.evidence


def signal_name(number: int) -> str:
    """Return the name of the signal *number*; those without a name of their own are counted from `SIGRTMIN`, or are but a number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}" if number > signal.SIGRTMIN else f"signal {number}"


def _redacted(facts: object, redact: Callable[[str], str]) -> dict[str, object]:
    """Return *facts* without secrets: in names, in texts, and in numbers, whose digits may be one."""
    assert isinstance(facts, dict)
    return {redact(name): _redacted_value(value, redact) for name, value in facts.items()}


def _redacted_value(value: object, redact: Callable[[str], str]) -> object:
    if isinstance(value, dict):
        return _redacted(value, redact)
    if isinstance(value, str):
        return redact(value)
    shown = redact(str(value))
    return value if shown == str(value) else shown


def _log_data(run_id: str, exited: Exited, log: Log) -> dict[str, object]:
    data: dict[str, object] = {
        "path": f"logs/{run_id}/{exited.step}.{exited.attempt}.log",
        "bytes": log.bytes,
        "lines": log.lines,
        "sha256": log.sha256,
    }
    if log.truncated:
        data["truncated"] = True
    return data
