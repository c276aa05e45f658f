"""
The report of a run as Markdown: what failed, why, what to type; then everything else.

What the report says is worked out here for both forms of it, as plain text; each form escapes it in its own way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from orchestrator.core.ended import CHOOSING
from orchestrator.core.explain import next_command, reason_text
from orchestrator.core.printable import printable, printable_line
from orchestrator.projections.graph_svg import shortened
from orchestrator.projections.graph_text import LOOKS, look_name, mermaid, words_of
from orchestrator.projections.manual_actions import manual_lines
from orchestrator.projections.sealing import checkpoint_text
from orchestrator.projections.timeline_svg import duration_text, time_text
from orchestrator.projections.withheld import withheld_text

Detail: TypeAlias = Mapping[str, Any]
"""A run, or a step of it, as `queries.run_detail` gives it."""

Tails: TypeAlias = Mapping[str, Sequence[str]]
"""The last lines of the log of each step that has one."""

_MESSAGE_AT_MOST = 160
_MERMAID_EDGES_AT_MOST = 500
_MERMAID_CHARACTERS_AT_MOST = 50_000

# An underscore within a word is none; everything else that may begin markup, a tag, an entity, a mention or a link is.
_SPECIAL = re.compile(r"[\\`*\[\]<>|~&$!#{}@^]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=www)\.|:(?=//)", re.IGNORECASE)


class SkipGroup(NamedTuple):
    """Hold the steps that were skipped for one reason; each has words of its own where the group's do not say it all."""

    words: str
    members: tuple[tuple[str, str], ...]


class Comparison(NamedTuple):
    """Hold how a step's duration compares with its usual one, the median of its last successes."""

    usual: str
    change: str


def report_markdown(detail: Detail, tails: Tails) -> str:
    """
    Return the report of a run as GitHub's kind of Markdown.

    Args:
        detail: The run as `queries.run_detail` gives it.
        tails: The last lines of the log of each step that has one; only those of failed steps are shown.
    """
    parts = [
        f"# {_glyph(detail['status'])} {_text(title(detail))}\n\n{_text(status_line(detail))}\n",
        *_counts(detail),
        *_root_cause(detail),
        *_next(detail),
        *_by_hand(detail),
        *_steps_table(detail),
        *_skips(detail),
        *_tails(detail, tails),
        *_facts(detail),
        *_graph(detail),
    ]
    return "\n".join(parts)


def title(detail: Detail) -> str:
    """Return the name of the pipeline, the night and how it went."""
    return f"{detail['pipeline']}, night {detail['night']}: {words_of(detail['status'])}"


def status_line(detail: Detail) -> str:
    """Return when the run was, how long it took and its exit code."""
    begun, ended = time_text(detail["started_at"]), time_text(detail["finished_at"])
    when = f"{begun} to {ended}" if detail["finished_at"] else f"{begun}, no end recorded"
    took = seconds_text(detail["duration_seconds"])
    exit_code = detail["exit_code"]
    said = [when, took, None if exit_code is None else f"exit code {exit_code}"]
    return " · ".join(part for part in said if part)


def status_counts(detail: Detail) -> list[tuple[str, int]]:
    """Return how many steps are in which status, failures first."""
    counts = detail["counts"] or {}
    return sorted(((name, count) for name, count in counts.items() if count), key=lambda pair: _rank(pair[0]))


def seconds_text(seconds: float | None) -> str:
    """Return a duration with no more digits than people compare; nothing for None."""
    return "" if seconds is None else duration_text(round(seconds * 1e6))


def comparison(step: Detail) -> Comparison | None:
    """Return how long *step* usually takes and by how much this time differs; None without a history."""
    usual, took = step["expected_seconds"], step["duration_seconds"]
    if usual is None:
        return None
    if not usual or took is None or step["status"] != "succeeded":
        return Comparison(seconds_text(usual), "")
    percent = round(100 * (took - usual) / usual)
    return Comparison(seconds_text(usual), f"{took / usual:.1f} times" if percent >= 100 else f"{percent:+d} %")  # noqa: PLR2004


def shown_steps(detail: Detail) -> list[Detail]:
    """Return the steps that were not skipped, failures first, each kind in the order of the graph."""
    return sorted(
        (step for step in detail["steps"] if step["status"] != "skipped"), key=lambda step: _rank(step["status"])
    )


def step_reason(step: Detail) -> str:
    """Return why *step* ended as it did or, where that needs no words, why it ran; and how many attempts it took."""
    last = step["attempts"][-1] if step["attempts"] else {}
    told = []
    if step["reason"]:
        told.append(reason_text(step["status"], step["reason"], step["evidence"]))
    elif last.get("start_reason"):
        told.append(reason_text("run", last["start_reason"], last.get("start_evidence") or {}))
    if step["status"] == "failed" and step["error_class"]:
        told.append(step["error_class"])
    if len(step["attempts"]) > 1:
        told.append(f"{len(step['attempts'])} attempts")
    if step["status"] != "succeeded" and last.get("message"):
        told.append(shortened(str(last["message"]).strip().partition("\n")[0], _MESSAGE_AT_MOST))
    return "; ".join(told)


def root_cause(detail: Detail) -> tuple[str, str, list[str]] | None:
    """Return the step that failed first, the reason and the lines of its message; None where nothing failed."""
    cause = detail["root_cause"]
    if not cause:
        return None
    step = next((step for step in detail["steps"] if step["step"] == cause["step"]), None)
    evidence = step["evidence"] if step and step["reason"] == cause["reason"] else {}
    words = [reason_text("failed", cause["reason"], evidence)] if cause["reason"] else []
    words += [cause["error_class"]] if cause["error_class"] else []
    return cause["step"], ", ".join(words), (cause["message"] or "").splitlines()


def skip_groups(detail: Detail) -> list[SkipGroup]:
    """Return the skipped steps, those with one reason together, in the order of the graph."""
    found: dict[str, list[tuple[str, str]]] = {}
    for step in detail["steps"]:
        if step["status"] == "skipped":
            reason = step["reason"] or "skipped"
            sentence = reason_text("skipped", reason, step["evidence"])
            kind = sentence if reason in ("upstream_failed", "run_ended") else reason
            found.setdefault(kind, []).append((step["step"], sentence))
    groups = []
    for kind, members in found.items():
        sentences = {sentence for _, sentence in members}
        alike = len(sentences) == 1
        told = tuple((name, "" if alike else sentence) for name, sentence in members)
        groups.append(SkipGroup(sentences.pop() if alike else words_of(kind), told))
    return groups


class Tail(NamedTuple):
    """Hold what is shown of a failed step's log: what it is, or why it is withheld, and the lines, safe to show."""

    step: str
    caption: str
    lines: tuple[str, ...]


def failed_tails(detail: Detail, tails: Tails) -> Iterator[Tail]:
    """Yield what is shown of the log of each failed step that has one."""
    for step in detail["steps"]:
        lines = tuple(printable_line(line) for line in tails.get(step["step"], ()))
        withheld = withheld_text(detail, step["step"])
        if step["status"] != "failed":
            continue
        of_log = f" of {step['log']}" if step["log"] else ""
        if withheld is not None and step["log"]:
            yield Tail(step["step"], f"The last lines{of_log}: {withheld}", ())
        elif withheld is None and lines:
            count = f"{len(lines)} lines" if len(lines) > 1 else "line"
            yield Tail(step["step"], f"The last {count}{of_log}", lines)


def run_facts(detail: Detail) -> list[tuple[str, str]]:
    """Return what identifies the run: label and value, without what is not known."""
    actor, git = detail["actor"] or {}, detail["git"] or {}
    who = "@".join(str(actor[name]) for name in ("user", "host") if actor.get(name))
    aside = [
        f"{name} {actor[name]}"
        for name in ("login", "sudo", "unit")
        if actor.get(name) and actor[name] != actor.get("user")
    ]
    selection = detail["selection"] or {}
    chosen = [f"--{name} {value}" for name in CHOOSING for value in selection.get(name) or ()]
    facts = [
        ("Run", detail["run_id"]),
        ("Pipeline", detail["pipeline"]),
        ("Night", detail["night"]),
        ("Started", time_text(detail["started_at"])),
        ("Finished", time_text(detail["finished_at"])),
        ("Started by", f"{who} ({', '.join(aside)})" if aside else who),
        ("Trigger", detail["trigger"]),
        ("Selection", " ".join([*chosen, *(["--force"] if selection.get("force") else [])])),
        ("Given reason", detail["reason"]),
        (
            "Commit",
            f"{git['commit']}{' with uncommitted changes' if git.get('dirty') else ''}" if git.get("commit") else None,
        ),
        ("Definition", detail["definition"]),
        ("Sealed", checkpoint_text(detail.get("checkpoint"))),
    ]
    return [(label, str(value)) for label, value in facts if value]


def step_statuses(detail: Detail) -> dict[str, str]:
    """Map each step to its status."""
    return {step["step"]: step["status"] for step in detail["steps"]}


def _rank(status: str) -> int:
    return list(LOOKS).index(look_name(status))


def _text(text: object) -> str:
    """Return *text* so that Markdown shows it as it is, on one line."""
    return _SPECIAL.sub(lambda match: f"\\{match[0]}", printable(str(text)))


def _fenced(lines: Iterable[str], language: str = "") -> str:
    """Return *lines* as a block of code, its fence longer than any run of backticks inside."""
    body = "\n".join(lines)
    longest = max((len(run) for run in re.findall("`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{body}\n{fence}\n"


def _glyph(status: str) -> str:
    return LOOKS[look_name(status)].glyph


def _counts(detail: Detail) -> Iterator[str]:
    counts = status_counts(detail)
    if counts:
        yield f"{' · '.join(f'{_glyph(name)} {count} {_text(name)}' for name, count in counts)}\n"


def _root_cause(detail: Detail) -> Iterator[str]:
    cause = root_cause(detail)
    if cause is not None:
        step, words, message = cause
        yield f"## Root cause\n\n**{_text(step)}** failed{': ' if words else ''}{_text(words)}\n"
        if message:
            yield _fenced(printable_line(line) for line in message)


def _next(detail: Detail) -> Iterator[str]:
    commands = next_command(detail)
    if commands:
        yield "## What to type next\n\n" + _fenced((printable(command) for command in commands), "sh")


def _by_hand(detail: Detail) -> Iterator[str]:
    lines = list(manual_lines(detail, time_text))
    if lines:
        yield "## By hand\n"
        yield from (f"- **{label}**: {_text(text)}" for label, text in lines)
        yield ""


def _steps_table(detail: Detail) -> Iterator[str]:
    steps = shown_steps(detail)
    if not steps:
        return
    yield "## Steps\n\n| Step | Status | Duration | Usually | Reason |\n|---|---|---:|---:|---|"
    for step in steps:
        compared = comparison(step)
        usual = compared.usual + (f" ({compared.change})" if compared.change else "") if compared else ""
        status = f"{_glyph(step['status'])} {words_of(step['status'])}"
        cells = [step["step"], status, seconds_text(step["duration_seconds"]), usual, step_reason(step)]
        yield f"| {' | '.join(_text(cell) for cell in cells)} |"
    yield ""


def _skips(detail: Detail) -> Iterator[str]:
    groups = skip_groups(detail)
    if not groups:
        return
    yield "## Skipped\n"
    for group in groups:
        names = "" if group.members[0][1] else ", ".join(_text(name) for name, _ in group.members)
        yield f"- **{_text(group.words)}** ({len(group.members)}): {names}".rstrip()
        yield from (f"  - **{_text(name)}**: {_text(words)}" for name, words in group.members if words)
    yield ""


def _tails(detail: Detail, tails: Tails) -> Iterator[str]:
    for step, caption, lines in failed_tails(detail, tails):
        yield f"## Log of {_text(step)}\n\n{_text(caption)}{':' if lines else ''}\n"
        if lines:
            yield _fenced(lines, "text")


def _facts(detail: Detail) -> Iterator[str]:
    yield "## Run\n\n| Fact | Value |\n|---|---|"
    for label, value in run_facts(detail):
        yield f"| {label} | {_text(value)} |"
    yield ""


def _graph(detail: Detail) -> Iterator[str]:
    graph = detail["graph"]
    if not graph["steps"]:
        return
    text = mermaid(graph, step_statuses(detail))
    edges = sum(len(entry["upstream"]) for entry in graph["steps"])
    if edges > _MERMAID_EDGES_AT_MOST or len(text) > _MERMAID_CHARACTERS_AT_MOST:
        yield f"## Graph\n\nToo large for Mermaid; `orchestrate graph {_text(detail['run_id'])} --format svg` draws it.\n"
    else:
        yield "## Graph\n\n" + _fenced(text.splitlines(), "mermaid")
