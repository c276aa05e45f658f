"""
The end of a run in a few lines, and as the JSON value of `run --json`.

What failed stands first, then what to type, then everything else. Long lists are cut, and say so; the report holds them whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from orchestrator.core.durations import format_duration
from orchestrator.core.explain import next_command, overwritten_text, reason_text
from orchestrator.core.printable import printable, printable_line
from orchestrator.projections.withheld import withheld_text

_ROWS_AT_MOST = 40
_NAMES_AT_MOST = 6
_TAILS_AT_MOST = 3
_LONGER_BY = 1.5
_NOTICED_SECONDS = 1.0

Detail = Mapping[str, object]


def summary_json(detail: Detail) -> dict[str, object]:
    """Return what `run --json` prints of a run's *detail*."""
    names = ("run_id", "pipeline", "night", "status", "exit_code", "duration_seconds", "root_cause", "counts")
    return {name: detail[name] for name in names} | {"steps": [_step_json(step) for step in _steps(detail)]}


def summary_lines(detail: Detail, tails: Mapping[str, Sequence[str]]) -> list[str]:
    """
    Return the lines that end a run on a terminal.

    Args:
        detail: As `queries.run_detail` gives it.
        tails: For each failed step the last lines of its log; what is withheld is not shown, whether it stands here or not.
    """
    return [
        *_head(detail),
        *_cause(detail),
        *_next(detail),
        "",
        *_attempted(detail),
        *_skipped(detail),
        *_notes(detail),
        *_tails(detail, tails),
    ]


def headline(detail: Detail) -> str:
    """Return status, pipeline, night, run and duration in one line."""
    duration = _seconds(detail.get("duration_seconds"))
    took = f" in {duration}" if duration else ""
    status = str(detail["status"]).replace("_", " ")
    return printable(f"{status}: {detail['pipeline']}, night {detail['night']}, run {detail['run_id']}{took}")


def cause_text(detail: Detail) -> str | None:
    """Return the first failure in a sentence, or None where nothing failed."""
    cause = detail.get("root_cause")
    if not isinstance(cause, Mapping):
        return None
    step = next((step for step in _steps(detail) if step["step"] == cause.get("step")), None)
    evidence = {} if step is None else step["evidence"]
    status = "failed" if step is None else str(step["status"])
    text = reason_text(status, str(cause.get("reason")), evidence if isinstance(evidence, Mapping) else {})
    error_class = f" ({cause['error_class']})" if cause.get("error_class") else ""
    message = str(cause.get("message") or "")
    if text in message:
        return printable(f"{cause.get('step')}: {message}{error_class}")  # Which says it already.
    return printable(f"{cause.get('step')}: {text}{error_class}{f': {message}' if message else ''}")


def skip_groups(detail: Detail) -> dict[str, list[str]]:
    """Return the skipped steps by the sentence that says why, the largest group first."""
    groups: dict[str, list[str]] = {}
    for step in _steps(detail):
        if step["status"] == "skipped":
            evidence = step["evidence"]
            assert isinstance(evidence, Mapping)
            # The attempt that a skip rests on differs from step to step; the sentence without it is what they share.
            shared = {key: value for key, value in evidence.items() if key != "since"}
            groups.setdefault(reason_text("skipped", str(step["reason"]), shared), []).append(str(step["step"]))
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def against_history(step: Mapping[str, object]) -> str:
    """Return how the duration of *step* compares with what is usual, or an empty text where that is not known."""
    duration, expected = step.get("duration_seconds"), step.get("expected_seconds")
    if not isinstance(duration, int | float) or not isinstance(expected, int | float):
        return ""
    usual = f"usually {_seconds(expected)}"
    slower = duration > expected * _LONGER_BY and duration - expected > _NOTICED_SECONDS
    return f"{usual}, slower" if slower else usual


def _step_json(step: Mapping[str, object]) -> dict[str, object]:
    attempts = step["attempts"]
    last: Mapping[str, object] = attempts[-1] if isinstance(attempts, list) and attempts else {}
    return {
        "step": step["step"],
        "status": step["status"],
        "reason": step["reason"],
        "error_class": step["error_class"],
        "attempts": len(attempts) if isinstance(attempts, list) else 0,
        "exit_code": last.get("exit_code"),
        "signal": last.get("signal"),
        "duration_seconds": step["duration_seconds"],
        "log": step["log"],
    }


def _head(detail: Detail) -> Iterator[str]:
    yield headline(detail)
    counts = detail["counts"]
    if isinstance(counts, Mapping) and counts:
        yield "steps: " + ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))


def _cause(detail: Detail) -> Iterator[str]:
    cause = cause_text(detail)
    if cause is not None:
        yield f"first failure: {cause}"


def _next(detail: Detail) -> Iterator[str]:
    commands = next_command(detail)
    if commands:
        first, *others = commands
        yield f"next: {first}"
        yield from (f"      {command}" for command in others)


def _attempted(detail: Detail) -> Iterator[str]:
    rows = [
        step
        for step in _steps(detail)
        if step["status"] in ("failed", "cancelled") or (step["attempts"] and step["status"] != "skipped")
    ]
    failed = [step for step in rows if step["status"] != "succeeded"]
    good = [step for step in rows if step["status"] == "succeeded"]
    shown = [*failed[:_ROWS_AT_MOST], *good[: max(0, _ROWS_AT_MOST - len(failed))]]
    width = max((len(str(step["step"])) for step in shown), default=0)
    for step in shown:
        why = ""
        if step["reason"]:
            evidence = step["evidence"]
            assert isinstance(evidence, Mapping)
            why = reason_text(str(step["status"]), str(step["reason"]), evidence)
        duration = _seconds(step["duration_seconds"]) or "-"
        cells = (f"{step['status']:<9}  {step['step']:<{width}}  {duration:>8}", against_history(step), why)
        yield printable("  ".join(cell for cell in cells if cell)).rstrip()
    if len(rows) > len(shown):
        yield f"… and {len(rows) - len(shown)} more; `orchestrate show {detail['run_id']}` lists all"


def _skipped(detail: Detail) -> Iterator[str]:
    for reason, names in skip_groups(detail).items():
        yield printable(f"skipped    {_listed(names)}: {reason}")


def _notes(detail: Detail) -> Iterator[str]:
    """Yield what of the attempts is worth knowing where nothing failed: what they wrote over, what they said, what they left behind."""
    for step in _steps(detail):
        attempts = step["attempts"]
        for attempt in attempts if isinstance(attempts, list) else ():
            texts = [attempt.get("message")] if attempt.get("status") == "succeeded" else []
            evidence = attempt.get("start_evidence")
            if isinstance(evidence, Mapping):
                texts.append(overwritten_text(str(attempt.get("start_reason")), evidence))
            yield from (printable(f"note: step {step['step']}: {text}") for text in texts if text)


def _tails(detail: Detail, tails: Mapping[str, Sequence[str]]) -> Iterator[str]:
    folder = f"{detail['folder']}/" if detail.get("folder") else ""
    for step in failed_steps(detail):
        withheld = withheld_text(detail, str(step["step"]))
        lines = tails.get(str(step["step"]), ())
        if withheld is not None:
            yield ""
            yield printable(f"last lines of {folder}{step['log']}: {withheld}")
        elif lines:
            yield ""
            yield printable(f"last lines of {folder}{step['log']}:")
            yield from (f"  {printable_line(line)}" for line in lines)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMES_AT_MOST])
    return f"{shown} and {len(names) - _NAMES_AT_MOST} more" if len(names) > _NAMES_AT_MOST else shown


def _seconds(seconds: object) -> str:
    return format_duration(round(seconds * 1000) * 1000) if isinstance(seconds, int | float) else ""


def _steps(detail: Detail) -> list[Mapping[str, object]]:
    steps = detail["steps"]
    assert isinstance(steps, list)
    return steps


def failed_steps(detail: Detail) -> Iterable[Mapping[str, object]]:
    """Return the failed steps whose log is worth its place in a summary: the first failure first."""
    cause = detail.get("root_cause")
    first = cause.get("step") if isinstance(cause, Mapping) else None
    failed = [step for step in _steps(detail) if step["status"] == "failed" and step["log"]]
    return sorted(failed, key=lambda step: step["step"] != first)[:_TAILS_AT_MOST]
