"""How an end is told in a span: the few values that the conventions have, the type of an error, and the error for people."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import TypeAlias

Value: TypeAlias = str | int | bool | float | tuple[str, ...]

RESULTS: Mapping[str, str] = {
    "succeeded": "success",
    "nothing_to_do": "skip",
    "no_new_data": "skip",
    "skipped": "skip",
    "failed": "failure",
    "timed_out": "timeout",
    "interrupted": "error",
    "cancelled": "cancellation",
}
"""How a run, a step or an attempt ended to the values of `cicd.pipeline.result`."""

GOOD = ("success", "skip")
"""The results that are no error."""

_RESULT_OF_REASON = {"timeout": "timeout", "deadline": "timeout", "lost": "error", "not_started": "error"}


def run_resource(data: Mapping[str, object]) -> dict[str, Value]:
    """Return what a run and its host are, from the *data* of its start or its last resume: the resource of all that is sent of it."""
    resource: dict[str, Value] = {
        "cicd.pipeline.name": str(data["pipeline"]),
        "cicd.pipeline.run.id": str(data["run_id"]),
        "cicd.worker.id": str(data["host"]),
        "cicd.worker.name": str(data["host"]),
    }
    git = data.get("git")
    if isinstance(git, Mapping) and git.get("commit"):
        resource["vcs.ref.head.revision"] = str(git["commit"])
    return resource


def ending_words(data: Mapping[str, object]) -> dict[str, Value]:
    """Return how a step or an attempt ended, in the words of the conventions and in ours."""
    status, reason = str(data["status"]), data.get("reason")
    result = RESULTS.get(status, status)
    if result == "failure":
        result = _RESULT_OF_REASON.get(str(reason), result)
        if data.get("error_class") == "infrastructure":
            result = "error"
    elif reason == "deadline":
        result = "timeout"
    attributes: dict[str, Value] = {"cicd.pipeline.task.run.result": result, "orchestrate.status": status}
    if reason is not None:
        attributes["orchestrate.reason"] = str(reason)
    if result not in GOOD:
        attributes["error.type"] = error_type(data)
    if data.get("error_class") is not None:
        attributes["orchestrate.error_class"] = str(data["error_class"])
    return attributes


def error_type(data: Mapping[str, object]) -> str:
    """Return what went wrong as one of few words: the exit code, the signal, else the reason."""
    evidence = data.get("evidence")
    facts = {**data, **evidence} if isinstance(evidence, Mapping) else data
    if facts.get("exit_code"):
        return f"exit_{facts['exit_code']}"
    if number := facts.get("signal"):
        return next((known.name for known in signal.Signals if known == number), "signal")
    return str(data.get("reason") or data["status"])


def error_text(data: Mapping[str, object]) -> str | None:
    """Return what went wrong, for people; None where nothing did."""
    if RESULTS.get(str(data["status"])) in GOOD:
        return None
    return str(data.get("message") or data.get("reason") or data["status"])
