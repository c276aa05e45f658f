"""Between what is seen and what is recorded: measurements as decisions need them, starts and ends of attempts and of runs as their events."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Mapping, Sequence

from orchestrator.core.certificates import recorded_material
from orchestrator.core.decide import Baseline, Measurement, Run
from orchestrator.core.definition import RetryPolicy, Step
from orchestrator.core.ended import WELL
from orchestrator.core.events import AttemptFinished, AttemptStarted, RetryScheduled, RunFinished, StepFinished
from orchestrator.core.outcome import Outcome, classify
from orchestrator.core.output_contract import held_to_contract
from orchestrator.core.printable import as_utf8
from orchestrator.core.report import StepReport
from orchestrator.core.retry import delay_us, time_after
from orchestrator.core.run_plan import RunPlan
from orchestrator.core.state import RunState, StepState, verdict
from orchestrator.runtime.ports import Exited, Log, Measured, MeasureRequest, Ports, Survivor
from orchestrator.runtime.result import BadResultError

ENDED_WELL = ("succeeded", "no_new_data")
_WAIT_NOTED_US = 1000
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
    exit_code = 0 if status in WELL else 1
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


def wanted(step: Step, baseline: Baseline) -> MeasureRequest:
    """Return what has to be measured for a decision about *step*, whose last success is *baseline*."""
    known = baseline.components.get("inputs")
    former = known if isinstance(known, Mapping) else {}
    return MeasureRequest(step.name, {dataset: former.get(dataset) for dataset in step.reads}, step.writes)


def measurement_of(plan: RunPlan, state: RunState, measured: Measured) -> Measurement:
    """Return what a decision rests on, of what was *measured*."""
    return plan.measurement(
        measured.step,
        state,
        inputs=measured.inputs,
        outputs=measured.outputs,
        code=measured.code,
        files=measured.files,
        extents=measured.extents,
    )


def attempt_started(
    step: str, attempt: int, decision: Run, measurement: Measurement, *, waited_us: int
) -> tuple[AttemptStarted, dict[str, bytes]]:
    """
    Return the event for the start of an attempt, and the blobs that it points to.

    Args:
        waited_us: Since the decision; what is less than a millisecond is no waiting.
    """
    key, components, blobs = recorded_material(measurement.components)
    waited = waited_us if waited_us >= _WAIT_NOTED_US else None
    return AttemptStarted(step, attempt, decision.reason, decision.evidence, key, components, waited), blobs


def judged(exited: Exited, step: Step, ports: Ports, *, cancelled: str) -> tuple[Outcome, StepReport | None]:
    """
    Return how an attempt of *step* ended, and what it reported; what it has left to be read is cleared up.

    Args:
        cancelled: Why it was stopped, where it was.
    """
    report: StepReport | None = None
    bad_result: str | None = None
    if exited.not_started is None:
        try:
            report = ports.workbench.collect(exited.step, exited.attempt)
        except BadResultError as error:
            bad_result = str(error)
    outcome = classify(
        exit_code=exited.exit_code,
        signal=exited.signal,
        timed_out=exited.timed_out,
        not_started=exited.not_started,
        cancelled=cancelled if exited.stopped else None,
        report=report,
        bad_result=bad_result,
        exit_codes=step.exit_codes,
        unkillable=exited.unkillable,
    )
    return outcome, report


def retry_scheduled(run_id: str, name: str, step: StepState, policy: RetryPolicy, *, now: str) -> RetryScheduled:
    """Return the event that says when the step *name*, whose attempt has failed at *now*, is tried again."""
    after_us = delay_us(policy, run_id=run_id, step=name, attempt=step.attempt, tried=step.tried)
    return RetryScheduled(name, step.attempt + 1, str(step.error_class), after_us, time_after(now, after_us))


def not_retried(step: StepState, cause: str | None) -> Outcome:
    """Return how a *step* ends that was to be tried again and is not, because of *cause*: as its last attempt did."""
    evidence = {**step.attempt_evidence, "not_retried": cause}
    return Outcome("failed", step.attempt_reason, step.error_class, step.message, evidence)


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
        killed_us=exited.killed_us or None,
        survivors=tuple(_survivor_data(item, redact) for item in exited.survivors[:_SURVIVORS_AT_MOST]),
    )


def _message(exited: Exited, outcome: Outcome, redact: Callable[[str], str]) -> str | None:
    """Return what people should read of this end; that its output could not be kept is part of it."""
    lost = None if exited.log_failure is None else f"its output could not be kept: {exited.log_failure}"
    told = "; ".join(text for text in (outcome.message, _left_behind(exited), lost) if text)
    return redact(told) if told else None


def _left_behind(exited: Exited) -> str | None:
    dead = [item.name for item in exited.survivors if not item.is_alive]
    alive = [f"{item.name} ({item.pid})" for item in exited.survivors if item.is_alive]
    texts = (
        _told(dead, "a process that went on after it was killed", "processes that went on after it were killed"),
        _told(alive, "a process that could not be killed lives on", "processes that could not be killed live on"),
    )
    return "; ".join(text for text in texts if text) or None


def _told(names: Sequence[str], one: str, several: str) -> str:
    if not names:
        return ""
    listed = ", ".join(dict.fromkeys(as_utf8(name) or "(no name)" for name in names[:_SURVIVORS_NAMED]))
    what = one if len(names) == 1 else f"{len(names)} {several}"
    return f"{what}: {listed}{', …' if len(names) > _SURVIVORS_NAMED else ''}"


def _survivor_data(survivor: Survivor, redact: Callable[[str], str]) -> dict[str, object]:
    data: dict[str, object] = {"pid": survivor.pid, "name": redact(survivor.name)}
    if survivor.is_alive:
        data["alive"] = True
    return data


def step_finished(
    name: str,
    step: StepState,
    status: str,
    reason: str | None,
    evidence: Mapping[str, object],
    *,
    outcome: Outcome | None,
    exited: Exited | None,
    outputs: Mapping[str, str | None] | None,
) -> StepFinished:
    """
    Return the event that gives the step *name*, known as *step*, its final status.

    Args:
        outcome: Of its last attempt, or None where it ends without one.
        exited: The end of that attempt, where it ends with it.
        outputs: Where it succeeded, or has no new data: what its datasets hold now.
    """
    return StepFinished(
        step=name,
        status=status,
        reason=reason,
        evidence=evidence,
        error_class=None if outcome is None else outcome.error_class,
        attempts=step.attempt,
        key=step.key if outputs is not None else None,
        outputs=outputs,
        duration_us=None if exited is None or exited.not_started else exited.duration_us,
    )


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
