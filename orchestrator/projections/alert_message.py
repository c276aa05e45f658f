"""
The message of an alert, made when it is sent: what happened, why, what follows from it, and what to type.

Its form as JSON is `schemas/alert.schema.json`; `text` is the whole of it for people. Where it goes is nothing to it, and secrets are masked in it by `sendable`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.core.ended import WELL
from orchestrator.core.explain import next_command
from orchestrator.core.outbox import Row
from orchestrator.core.printable import printable, printable_line
from orchestrator.projections.queries import pipeline_overview, run_detail
from orchestrator.projections.sealing import checkpoint_text
from orchestrator.projections.summary import cause_text

Tail = Callable[[Mapping[str, Any], Mapping[str, Any]], Sequence[str]]
"""From a run and a failed step of it, as `run_detail` has them, to the last lines of its log; empty where they may not be shown."""

Message = dict[str, Any]

_LINE_MAX = 1_000
_TEXT_MAX = 12_000
_NAMES_MAX = 5
_IDENTIFIERS = ("alert", "pipeline", "channel", "step", "run_id", "root")
_FIXED = ("kind", "raised_at", "night", "status")


def alert_message(
    connection: sqlite3.Connection | None, row: Row, *, where: str, host: str, today: str, tail: Tail | None = None
) -> Message:
    """
    Return the message of the alert *row*, as the outbox has it.

    Args:
        connection: To the ledger, or None where it cannot be read: then the row has to say it all.
        where: The options that name definition and ledger wherever a command is typed.
        tail: Gives the end of the log of the step that failed first.
    """
    message: Message = {
        "alert": row["alert"],
        "kind": row["kind"],
        "pipeline": row["pipeline"],
        "channel": row["channel"],
        "title": printable(str(row["what"])),
        "raised_at": row["raised_at"],
        "host": host,
        "run_id": row["run_id"],
        "night": None,
        "status": None,
        "root_cause": None,
        "skipped": 0,
        "problems": [],
        "pipelines": [],
        "next": [],
        "tail": None,
        "checkpoint": None,
    }
    if row["run_id"] is not None and connection is not None:
        detail = run_detail(connection, str(row["run_id"]), history=False) | {"where": where}
        if detail["status"] == "running" and (row["facts"] or {}).get("lost"):
            detail["status"] = "interrupted"  # The next start is what records it.
        message |= _of_run(detail, tail)
    elif row["kind"] == "digest" and connection is not None:
        message["pipelines"] = [_overview_line(entry) for entry in pipeline_overview(connection, today=today)]
        message["next"] = [f"orchestrate status{where}"]
    else:
        facts = row["facts"] or {}
        message["problems"] = [_problem_line(problem) for problem in facts.get("problems", ())]
        message["next"] = _next_of(row, facts, where)
    message["text"] = "\n".join(_lines(message))
    return message


def sendable(message: Message, redact: Callable[[str], str], redact_name: Callable[[str], str]) -> Message:
    """
    Return *message* without secrets, and no longer than a message should be: texts go through *redact*, names through *redact_name*.

    Nothing is cut before it is masked: half a secret would be left.
    """
    found = _masked(message, redact, redact_name)
    found["text"] = "\n".join(_cut(line) for line in found["text"].split("\n"))[:_TEXT_MAX]
    found["title"], found["problems"] = _cut(found["title"]), [_cut(line) for line in found["problems"]]
    if found["root_cause"] is not None:
        found["root_cause"] = {key: value and _cut(value) for key, value in found["root_cause"].items()}
    if found["tail"] is not None:
        found["tail"]["lines"] = [_cut(line) for line in found["tail"]["lines"]]
    return found


def _masked(message: Message, redact: Callable[[str], str], redact_name: Callable[[str], str]) -> Message:
    found: Message = {}
    for key, value in message.items():
        if key in _FIXED:
            found[key] = value
        elif key == "tail" and value is not None:
            # As one text: a secret may have several lines.
            lines = redact("\n".join(value["lines"])).split("\n")
            found[key] = {"step": redact_name(value["step"]), "log": redact_name(value["log"]), "lines": lines}
        elif isinstance(value, dict):
            found[key] = _masked(value, redact, redact_name)
        elif isinstance(value, list):
            found[key] = [redact(item) for item in value]
        elif isinstance(value, str):
            found[key] = redact_name(value) if key in _IDENTIFIERS else redact(value)
        else:
            found[key] = value
    return found


def _of_run(detail: Mapping[str, Any], tail: Tail | None) -> Message:
    cause = detail["root_cause"]
    step = None
    if cause is not None:
        step = next((entry for entry in detail["steps"] if entry["step"] == cause["step"]), None)
    lines = [] if step is None or tail is None or not step["log"] else [*tail(detail, step)]
    return {
        "night": detail["night"],
        "status": detail["status"],
        "root_cause": None if cause is None else {**cause, "text": cause_text(detail) or ""},
        "skipped": sum(
            entry["reason"] == "upstream_failed" and entry["status"] == "skipped" for entry in detail["steps"]
        ),
        "problems": [_others(detail, cause)] if _other_failures(detail, cause) else [],
        "next": next_command(detail),
        "tail": {"step": step["step"], "log": step["log"], "lines": lines} if step is not None and lines else None,
        "checkpoint": detail["checkpoint"],
    }


def _other_failures(detail: Mapping[str, Any], cause: Mapping[str, Any] | None) -> list[str]:
    first = None if cause is None else cause["step"]
    return [entry["step"] for entry in detail["steps"] if entry["status"] == "failed" and entry["step"] != first]


def _others(detail: Mapping[str, Any], cause: Mapping[str, Any] | None) -> str:
    names = _other_failures(detail, cause)
    shown = ", ".join(names[:_NAMES_MAX]) + (", …" if len(names) > _NAMES_MAX else "")
    return f"{shown} failed as well" if len(names) == 1 else f"{len(names)} more steps failed: {shown}"


def _problem_line(problem: Mapping[str, Any]) -> str:
    place = ":".join(str(problem[name]) for name in ("file", "line") if problem.get(name) is not None)
    hint = f" ({problem['suggestion']})" if problem.get("suggestion") else ""
    return printable(f"{place}: {problem['message']}{hint}" if place else f"{problem['message']}{hint}")


def _next_of(row: Row, facts: Mapping[str, Any], where: str) -> list[str]:
    """Return what to type about something that is no run, and no digest."""
    if row["kind"] == "missing":
        return [f"orchestrate run --for {night}{where}" for night in facts["nights"][:_NAMES_MAX]]
    command = {2: "validate", 3: "audit verify", 5: "doctor"}.get(facts.get("exit_code", 0), "status")
    if command in ("audit verify", "doctor"):
        # They are about the ledger alone.
        where = where[where.find(" --ledger") :] if " --ledger" in where else where
    return [f"orchestrate {command}{where}"]


def _overview_line(entry: Mapping[str, Any]) -> str:
    last = entry["last_run"]
    if last is None:
        return f"{entry['pipeline']}: never run"
    text = f"{entry['pipeline']}: {str(last['status']).replace('_', ' ')}, night {last['night']}"
    good = entry["last_success"]
    if last["status"] not in WELL:
        text += f", last good night {good['night']}" if good else ", no good night yet"
    count, missing = entry["unacknowledged_count"], entry["missing_nights"]
    told = [
        f"{_counted(count, 'failure')} not acknowledged" if count else "",
        f"{_counted(len(missing), 'night')} missing" if missing else "",
    ]
    return printable(", ".join([text, *filter(None, told)]))


def _lines(message: Message) -> Iterator[str]:
    yield message["title"]
    if message["root_cause"] is not None:
        yield f"first failure: {message['root_cause']['text']}"
    if message["skipped"]:
        were = "was" if message["skipped"] == 1 else "were"
        cause = "what failed" if message["problems"] else "it"
        yield f"{_counted(message['skipped'], 'step')} {were} skipped because of {cause}"
    yield from message["problems"]
    yield from message["pipelines"]
    if message["kind"] in ("failed", "deadline") and message["status"] in WELL:
        yield f"since then: {message['status'].replace('_', ' ')}"
    if message["next"]:
        yield ""
        first, *others = message["next"]
        yield f"next: {first}"
        yield from (f"      {command}" for command in others)
    if message["tail"] is not None:
        yield ""
        yield printable(f"last lines of {message['tail']['log']}:")
        yield from (f"  {printable_line(line)}" for line in message["tail"]["lines"])
    yield ""
    if message["run_id"] is not None:
        seal = checkpoint_text(message["checkpoint"])
        yield f"run {message['run_id']}" + (f", checkpoint over {seal}" if seal else "")
    yield f"alert {message['alert']}, raised {message['raised_at']}, sent from host {message['host']}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _cut(text: str) -> str:
    return text if len(text) <= _LINE_MAX else text[:_LINE_MAX] + "…"
