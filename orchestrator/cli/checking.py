"""What `orchestrate check` finds: for each pipeline of a ledger whether what was due has run, has ended well, and is recent enough."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.lateness import add_lateness, run_missing
from orchestrator.cli.reading import View, complete_from_former
from orchestrator.core.durations import format_duration
from orchestrator.core.explain import next_command
from orchestrator.core.names import shown
from orchestrator.projections.manual_actions import asks_for_digest
from orchestrator.projections.queries import has_settings, pipeline_overview
from orchestrator.projections.schedules import failed_nights, renamed_pipelines

Severity = Literal["critical", "warning", "unknown"]

_SHOWN = 5

Row = dict[str, Any]


class Finding(NamedTuple):
    """
    Something that a person should see to.

    Attributes:
        pipeline: None where it is about the ledger as a whole.
        kind: A word for programs: `no_ledger`, `never_ran`, `too_old`, `missing_nights`, `failed_nights`, `lost_run`, `stale_dataset`, `unjudged`.
        message: One line for people.
        next: What to type, the most useful first.
    """

    pipeline: str | None
    kind: str
    severity: Severity
    message: str
    nights: Sequence[str] = ()
    next: Sequence[str] = ()


class Checked(NamedTuple):
    """
    What was looked at, one row for each pipeline, and what was found.

    Attributes:
        path: In which ledger, or None where there is nothing to tell anybody of in one.
        digest: One of the pipelines asks for a daily digest, so that people may have to be told where nothing was found.
    """

    pipelines: Sequence[Row]
    findings: Sequence[Finding]
    path: Path | None = None
    digest: bool = False


def check_all(view: View, now: datetime, *, max_age_us: int | None, ignored: Collection[str]) -> Checked:
    """
    Judge each pipeline of *view*, or the one that it is restricted to.

    Args:
        max_age_us: How long ago the last success may be, or None where only schedules say what is due.
        ignored: Pipelines that are not judged.

    Raises:
        UsageRefusedError: One to be ignored is not in the ledger.
    """
    overview = pipeline_overview(view.connection, today=now.date().isoformat())
    unknown = sorted(set(ignored) - {str(entry["pipeline"]) for entry in overview})
    if unknown:
        raise UsageRefusedError(
            "unknown_name", f"--ignore {shown(unknown[0])}: the ledger {view.path} has no such pipeline"
        )
    passed = {*ignored, *renamed_pipelines(view.connection)}
    rows: list[Row] = []
    findings: list[Finding] = []
    for entry in overview:
        name = str(entry["pipeline"])
        if (name == view.pipeline) if view.pipeline is not None else (name not in passed):
            row = _row(entry, view, now)
            rows.append(row)
            findings += _findings(row, view, max_age_us)
    if not rows and not passed:
        findings.append(
            Finding(None, "never_ran", "critical", f"the ledger {view.path} holds no pipeline: no night has run")
        )
    digest = any(asks_for_digest(view.connection, str(row["pipeline"])) for row in rows)
    return Checked(rows, findings, view.path, digest)


def _row(entry: Row, view: View, now: datetime) -> Row:
    name = str(entry["pipeline"])
    holder = view
    if entry["last_success"] is None:
        holder = complete_from_former(entry, view, today=now.date().isoformat())
    entry["schedule"], entry["freshness"] = None, []
    add_lateness(entry, view, now)
    last, good = entry["last_run"], entry["last_success"]
    running = last is not None and last["status"] == "running"
    age = None if good is None else (now - datetime.fromisoformat(good["finished_at"])).total_seconds()
    return {
        "pipeline": name,
        "last_run": last,
        "last_success": good,
        "age_seconds": None if age is None else max(0.0, age),
        "alive": holder.is_active(last["run_id"]) if running else None,
        "missing_nights": entry["missing_nights"] if entry["schedule"] else [],
        "failed_nights": failed_nights(view.connection, name),
        "schedule": entry["schedule"],
        "freshness": entry["freshness"],
    }


def _findings(row: Row, view: View, max_age_us: int | None) -> Iterator[Finding]:
    """Yield what is wrong with a pipeline, the most urgent first."""
    name, where = str(row["pipeline"]), view.where(str(row["pipeline"]))
    if row["last_run"] is None:
        yield Finding(name, "never_ran", "critical", "it has never run", next=[f"orchestrate run{where}"])
        return
    if row["alive"] is False:
        message = f"run {row['last_run']['run_id']} lost its orchestrator"
        again = f"orchestrate run --for {row['last_run']['night']}{where}"
        if has_settings(view.connection, str(row["last_run"]["run_id"])):
            again = f"orchestrate resume {row['last_run']['run_id']}{where}"
        yield Finding(name, "lost_run", "critical", message, [row["last_run"]["night"]], [again])
    yield from _failed(row, view, where)
    if row["missing_nights"]:
        nights = row["missing_nights"]
        what = f"{_count(nights, 'night')} without a run: {_some(nights)}"
        yield Finding(name, "missing_nights", "critical", what, nights, run_missing(nights, where))
    yield from _too_old(row, max_age_us, where)
    for data in row["freshness"]:
        if data["state"] in ("warn", "error"):
            severity: Severity = "critical" if data["state"] == "error" else "warning"
            yield Finding(name, "stale_dataset", severity, data["text"], next=[f"orchestrate status{where}"])
        elif data["state"] == "unknown":
            yield Finding(name, "unjudged", "unknown", data["text"])
    yield from _unjudged(row, max_age_us)


def _failed(row: Row, view: View, where: str) -> Iterator[Finding]:
    failed = row["failed_nights"]
    if not failed:
        return
    nights = [str(night["night"]) for night in failed]
    newest = view.detail(str(failed[0]["run_id"]), history=False)
    commands = [*next_command(newest), *(f"orchestrate run --for {night}{where}" for night in nights[1:_SHOWN])]
    what = f"{_count(nights, 'night')} did not end well: {_some(nights)}"
    yield Finding(str(row["pipeline"]), "failed_nights", "critical", what, nights, commands)


def _too_old(row: Row, max_age_us: int | None, where: str) -> Iterator[Finding]:
    if max_age_us is None:
        return
    name, limit, good = str(row["pipeline"]), format_duration(max_age_us), row["last_success"]
    if good is None:
        yield Finding(
            name,
            "too_old",
            "critical",
            f"it has never succeeded, expected within {limit}",
            next=[f"orchestrate run{where}"],
        )
    elif row["age_seconds"] * 1e6 > max_age_us:
        age = format_duration(round(row["age_seconds"]) * 1_000_000)
        message = f"its last success, for the night {good['night']}, is {age} old, expected within {limit}"
        yield Finding(name, "too_old", "critical", message, next=[f"orchestrate run{where}"])


def _unjudged(row: Row, max_age_us: int | None) -> Iterator[Finding]:
    """Yield that nothing says whether the last night is there; with a highest age, that alone says enough."""
    if max_age_us is not None:
        return
    name, schedule = str(row["pipeline"]), row["schedule"]
    if schedule is None:
        message = "nothing says when it is due: give --max-age, state [schedule] cron, or leave it out with --ignore"
        yield Finding(name, "unjudged", "unknown", message)
    elif schedule["problem"]:
        yield Finding(name, "unjudged", "unknown", schedule["problem"])


def state_of_all(findings: Sequence[Finding]) -> str:
    """Return the word for all *findings*: `stale`, `unknown`, `warning` or `ok`."""
    severities = {finding.severity for finding in findings}
    words: Mapping[Severity, str] = {"critical": "stale", "unknown": "unknown", "warning": "warning"}
    return next((word for severity, word in words.items() if severity in severities), "ok")


def nagios_line(checked: Checked, max_age_us: int | None) -> tuple[int, str]:
    """Return the exit code and the one line that plugins of Nagios and its kin print: state, findings, what to type, figures."""
    code, word = {"ok": (0, "OK"), "warning": (1, "WARNING"), "stale": (2, "CRITICAL"), "unknown": (3, "UNKNOWN")}[
        state_of_all(checked.findings)
    ]
    texts = [
        f"{finding.pipeline}: {finding.message}" if finding.pipeline else finding.message
        for finding in checked.findings
    ]
    text = "; ".join(texts) or f"{_count(checked.pipelines, 'pipeline')} on time"
    command = next((finding.next[0] for finding in checked.findings if finding.next), None)
    said = text if command is None else f"{text}; next: {command}"
    figures = " ".join(_figures(checked.pipelines, max_age_us))
    return code, f"ORCHESTRATE {word} - {said.replace('|', '/')}{' | ' if figures else ''}{figures}"


def _figures(rows: Sequence[Row], max_age_us: int | None) -> Iterator[str]:
    limit = "" if max_age_us is None else f"{max_age_us / 1e6:.0f}"
    for row in rows:
        name = row["pipeline"]
        if row["age_seconds"] is not None:
            yield f"'{name}.age'={row['age_seconds']:.0f}s;;{limit};0"
        yield f"'{name}.missing'={len(row['missing_nights'])};;0;0"
        yield f"'{name}.failed'={len(row['failed_nights'])};;0;0"
        for data in row["freshness"]:
            if data["age_seconds"] is not None:
                limits = ("" if data[key] is None else f"{data[key]:.0f}" for key in ("warn_seconds", "error_seconds"))
                yield f"'{name}.{data['dataset']}.age'={data['age_seconds']:.0f}s;{';'.join(limits)};0"


def _count(items: Sequence[object], noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def _some(nights: Sequence[str]) -> str:
    return ", ".join(nights[:_SHOWN]) + (", …" if len(nights) > _SHOWN else "")
