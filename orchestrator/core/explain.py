"""
Reasons in words: what the ledger records as `reason` and `evidence`, as a sentence for people, and what to type next.

The words are made here once, for the terminal, the reports, `plan` and `explain`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from orchestrator.core.durations import format_duration
from orchestrator.core.ended import CHOOSING, is_whole

Evidence = Mapping[str, object]

_STRENGTH = {"listing": "names, sizes and times", "probe": "probe"}
_DIGEST_SHOWN = len("sha256:") + 12


def short_digest(value: object) -> str:
    """Return a digest as people compare it: its first twelve digits; `nothing` where there is none."""
    if value is None:
        return "nothing"
    text = str(value)
    return text[:_DIGEST_SHOWN] + "…" if text.startswith("sha256:") else text


def reason_text(status: str, reason: str, evidence: Evidence) -> str:
    """
    Return *reason* as a short sentence without a full stop.

    Args:
        status: Of the step: `skipped`, `failed`, ..., or `run` for why an attempt was started.

    >>> reason_text("skipped", "upstream_failed", {"root": "bronze"})
    'upstream bronze failed'
    """
    table = {"skipped": _SKIPPED, "run": _STARTED}.get(status, _FAILED)
    words = table.get(reason) or reason.replace("_", " ")
    text = words if isinstance(words, str) else words(evidence)
    cause = evidence.get("not_retried")
    return text if cause is None else f"{text}, and not tried again, as the run was ending ({cause})"


def overwritten_text(reason: str, evidence: Evidence) -> str | None:
    """
    Name the output that was changed by hand and that an attempt overwrites, with both digests; None where there is none.

    Args:
        reason: Why the attempt was started: the output itself, or something that went first.
    """
    touched = evidence if reason == "output_changed" else evidence.get("output")
    if not isinstance(touched, Mapping) or touched.get("actual") is None:
        return None
    return f"{_output(touched)}; it is overwritten"


def shortfall_text(entry: Evidence) -> str:
    """Say of an output what was expected and what was found, as the evidence of `missing_output` has it."""
    name, expected, found = entry.get("dataset"), entry.get("expected"), entry.get("found")
    match entry.get("rule"):
        case "exists":
            return f"{name} does not exist" + (f" at {expected}" if expected else "")
        case "not_empty":
            return f"{name} is empty, which only allow_empty = true allows"
        case "min_files":
            return f"{name} has {found} files, expected at least {expected}"
        case _ if found is None:
            return f"{name} is to have at least {expected} rows, and how many it has is not known"
        case _:
            return f"{name} has {found} rows as {entry.get('by')}, expected at least {expected}"


def next_command(detail: Mapping[str, object]) -> list[str]:
    """
    Return the commands to type next, the most useful one first; empty where nothing is left to do.

    Args:
        detail: A run as `projections.queries.run_detail` gives it; its `where` (optional) are options that name pipeline and ledger,
            its `accepted_since` (optional) the steps whose outputs somebody has accepted since they ended; its `is_newest` (optional)
            whether it is the newest run of its pipeline, which alone can be resumed; its `has_settings` (optional) whether it was started with
            --set, which a resumed run keeps and another one lacks.
            Nothing is left to do for a night that a later run has repaired.
    """
    run_id, where = str(detail["run_id"]), str(detail.get("where") or "")
    status = detail["status"]
    steps = _steps(detail)
    original = detail.get("reproduces")
    new = f"orchestrate reproduce {original}{where}" if original else f"orchestrate run --for {detail['night']}{where}"
    resume = f"orchestrate resume {run_id}{where}" if detail.get("is_newest") else new
    again = resume if detail.get("has_settings") else new
    if status == "running":
        return [f"orchestrate logs {run_id} --follow{where}"]
    if detail.get("repaired_by"):
        return []
    if status in ("cancelled", "interrupted", "timed_out") and not detail.get("root_cause"):
        return [again]
    failed = _first_failure(detail, steps)
    accepted = _names(detail, "accepted_since")
    if failed is not None and failed["status"] == "failed":
        name = failed["step"]
        if name in accepted:
            return [resume]
        if _is_forbidden(failed):
            return [f'orchestrate accept {run_id} {name} --reason "…"{where}', f"{new} --force --only {name}"]
        return [f"orchestrate logs {run_id} {name}{where}", f"orchestrate explain {run_id} {name}{where}", again]
    if failed is not None:
        writer = None if original else _writer_of(detail, failed)
        if writer in accepted:
            return [resume]
        accept = [] if writer is None else [f'orchestrate accept {run_id} {writer} --reason "…"{where}']
        return [f"orchestrate explain {run_id} {failed['step']}{where}", *accept, again]
    selection = detail.get("selection")
    if status == "nothing_to_do" and isinstance(selection, Mapping) and _selects(selection):
        chosen = "".join(f" --{option} {name}" for option in CHOOSING for name in _names(selection, option))
        return [f"{new}{chosen} --force"]
    return []


def _first_failure(detail: Mapping[str, object], steps: list[Mapping[str, object]]) -> Mapping[str, object] | None:
    """Return the step that made the run fail: the first in time, else the first in the order of the graph."""
    failures = [step for step in steps if step["status"] == "failed" or step["reason"] == "input_untrusted"]
    cause = detail.get("root_cause")
    first = cause.get("step") if isinstance(cause, Mapping) else None
    return next((step for step in failures if step["step"] == first), failures[0] if failures else None)


def _is_forbidden(step: Mapping[str, object]) -> bool:
    """Whether *step* was not attempted, since an attempt of it was lost and `rerun = "never"`."""
    evidence = step["evidence"]
    return step["reason"] == "lost" and isinstance(evidence, Mapping) and "attempt" in evidence


def _writer_of(detail: Mapping[str, object], step: Mapping[str, object]) -> object:
    """Return the step whose output is not trusted, as far as the run's graph tells."""
    evidence, graph = step["evidence"], detail.get("graph")
    if not isinstance(evidence, Mapping) or not isinstance(graph, Mapping):
        return None
    return next((entry["step"] for entry in graph["steps"] if evidence.get("dataset") in entry.get("writes", ())), None)


def _selects(selection: Mapping[str, object]) -> bool:
    return not selection.get("force") and not is_whole(selection)


def _names(table: Mapping[str, object], key: str) -> Sequence[object]:
    names = table.get(key)
    return names if isinstance(names, list | tuple) else ()


def _steps(detail: Mapping[str, object]) -> list[Mapping[str, object]]:
    steps = detail["steps"]
    assert isinstance(steps, list)
    return steps


def _counts(evidence: Evidence) -> str:
    told = [f"{evidence[kind]} {kind}" for kind in ("added", "changed", "removed") if evidence.get(kind)]
    return f" ({', '.join(told)})" if told else ""


def _change(evidence: Evidence) -> str:
    kind, _, name = str(evidence.get("component", "")).partition(":")
    before, after = evidence.get("before"), evidence.get("after")
    match kind:
        case "code" if before is None:
            return f"code file {name} is new"
        case "code" if after is None:
            return f"code file {name} is gone"
        case "code":
            return f"code file {name} changed"
        case "variable" if None not in (keys := {id_in(before), id_in(after)}) and len(keys) > 1:
            return f"whether the secret {name} changed is not known: the key of its digest is another one"
        case "variable":
            return f"variable {name} changed"
        case "input":
            return f"input {name} changed{_counts(evidence)}{_by(evidence)}"
        case "needs":
            return f"{name} ran again"
        case "recipe":
            return f"its key was made by recipe {before}, which this program does not know"
        case _:
            return "its command changed"


def id_in(component: object) -> str | None:
    """Return the id of the key of the digest that stands for a secret in *component* of a step's key, or None where there is none."""
    return id_of(component.get("value") if isinstance(component, Mapping) else None)


def id_of(value: object) -> str | None:
    """Return the id of the key of the digest *value* of a secret, `none` where there was no key; None for what is no such digest."""
    return value.split(":")[1] if isinstance(value, str) and value.startswith("keyed:") else None


def _output(evidence: Evidence) -> str:
    expected, actual = short_digest(evidence.get("expected")), short_digest(evidence.get("actual"))
    if evidence.get("actual") is None:
        return f"output {evidence.get('dataset')} is gone, it was {expected}"
    return (
        f"output {evidence.get('dataset')} was changed by hand: {actual}, the step had left {expected}{_by(evidence)}"
    )


def _untrusted(evidence: Evidence) -> str:
    expected, actual = short_digest(evidence.get("expected")), short_digest(evidence.get("actual"))
    return (
        f"input {evidence.get('dataset')} is {actual}, but its writer, which is not part of this run, left {expected}"
        f"{_by(evidence)}"
    )


def _nothing_upstream(evidence: Evidence) -> str:
    if "dataset" in evidence:
        return f"dataset {evidence['dataset']} does not exist, since its writer was skipped"
    if "step" in evidence:
        return f"{evidence['step']}, which it needs, never succeeded"
    return "nothing upstream was attempted"


def _since(what: str) -> Callable[[Evidence], str]:
    def words(evidence: Evidence) -> str:
        return (f"{what} since {evidence['since']}" if evidence.get("since") else what) + _by(evidence)

    return words


def _by(evidence: Evidence) -> str:
    """Say where something weaker than content was compared."""
    strength = evidence.get("strength")
    if isinstance(strength, Mapping):
        return f" ({', '.join(f'{name} by its {_STRENGTH.get(str(by), by)}' for name, by in strength.items())})"
    return f", by its {_STRENGTH.get(str(strength), strength)}" if strength else ""


def _limit(evidence: Evidence) -> str:
    limit = evidence.get("timeout_us")
    return f" ({format_duration(limit)})" if isinstance(limit, int) else ""


def _shortfalls(evidence: Evidence) -> str:
    outputs = evidence.get("outputs")
    told = [shortfall_text(entry) for entry in outputs] if isinstance(outputs, list | tuple) else []
    return "; ".join(told) or "it did not write what it should"


def _unreadable(evidence: Evidence) -> str:
    if "dataset" not in evidence:
        return "its report cannot be read, or is not true"
    return f"it reported another digest of {evidence['dataset']} than what is there has: {short_digest(evidence.get('actual'))}"


def _lost(evidence: Evidence) -> str:
    if evidence.get("attempt"):
        return f'attempt {evidence["attempt"]} was lost, and rerun = "never" forbids another'
    return "the orchestrator died while it ran"


_Words = Mapping[str, str | Callable[[Evidence], str]]

_SKIPPED: _Words = {
    "not_selected": "not selected",
    "no_failure": "nothing upstream failed",
    "upstream_skipped": _nothing_upstream,
    "upstream_failed": lambda evidence: f"upstream {evidence.get('root', evidence.get('step'))} failed",
    "run_ended": lambda evidence: f"the run was ending ({evidence.get('cause')})",
    "input_untrusted": _untrusted,
    "no_new_data": _since("no new data"),
    "up_to_date": _since("up to date"),
}

_FAILED: _Words = {
    "exit": lambda evidence: f"exit code {evidence['exit_code']}" if "exit_code" in evidence else "exit code",
    "signal": lambda evidence: f"ended by {evidence.get('name', 'a signal')}",
    "timeout": lambda evidence: f"its time was up{_limit(evidence)}",
    "not_started": "it could not be started",
    "bad_result": _unreadable,
    "missing_output": _shortfalls,
    "reported": "it reported a failure",
    "lost": _lost,
    "cancelled": "cancelled",
    "deadline": "the run's time was up",
}

_STARTED: _Words = {
    "never_succeeded": lambda evidence: (
        "it never succeeded for this night" if evidence.get("per_night") else "it never succeeded before"
    ),
    "last_attempt_failed": lambda evidence: (
        f"its last attempt ({evidence.get('attempt')}) did not succeed: {evidence.get('status')}"
    ),
    "retry": lambda evidence: f"attempt {evidence.get('attempt')} failed, and it is tried again",
    "last_attempt_lost": lambda evidence: f"its last attempt ({evidence.get('attempt')}) was lost",
    "forced": "forced",
    "no_inputs": "it reads and needs nothing, so it always runs",
    "cleanup": 'it always runs (when = "always")',
    "upstream_failed": lambda evidence: f"upstream {evidence.get('step')} failed",
    "upstream_runs": lambda evidence: f"depends on {_joined(evidence.get('upstream'))}",
    "recipe_changed": _change,
    "command_changed": _change,
    "code_changed": _change,
    "variables_changed": _change,
    "input_changed": _change,
    "needs_changed": _change,
    "output_changed": _output,
    "output_missing": _output,
    "output_new": lambda evidence: f"it writes {evidence.get('dataset')} now, which its last success did not",
}


def _joined(names: object) -> str:
    return ", ".join(str(name) for name in names) if isinstance(names, list | tuple) else "its upstreams"
