"""
What the demo says: a line for each run while it goes on, and at the end what it did and what to look at next.

Figures come from what the runs answered and from what the pipeline wrote, never from the plan.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from orchestrator.cli.demo_nights import STORM, DemoNight

REPORT = Path("data/report/daily.html")
_NAMED_AT_MOST = 2
_EXPECTED = {"delivery": "succeeded", "none": "nothing_to_do", "broken": "failed"}


@attrs.frozen
class NightRun:
    """
    Hold one run of the demo and what it answered.

    Attributes:
        morning: It is the second run for this night, after a repair or a second delivery.
        answer: The JSON value of `run --json`.
        seconds: From the start of the command to its end.
    """

    night: DemoNight
    morning: bool
    answer: Mapping[str, object]
    seconds: float

    @property
    def run_id(self) -> str:
        """The run's id, or an empty text where nothing was started."""
        return str(self.answer.get("run_id") or "")

    @property
    def status(self) -> str:
        """How the run ended."""
        return str(self.answer.get("status", "unknown"))

    @property
    def expected_status(self) -> str:
        """How it should have ended."""
        return "succeeded" if self.morning else _EXPECTED[self.night.kind]

    def steps(self) -> list[Mapping[str, object]]:
        """The steps as `run --json` gives them."""
        steps = self.answer.get("steps", [])
        return [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []

    def counts(self) -> Counter[str]:
        """How many steps ran (`ran`), and how many were skipped for which reason."""
        counts: Counter[str] = Counter()
        for step in self.steps():
            counts[str(step.get("reason")) if step.get("status") == "skipped" else "ran"] += 1
        return counts


def delivery_text(night: DemoNight, *, morning: bool) -> str:
    """Say in a few words what arrived."""
    if morning:
        return "flights delivered again, whole" if night.morning == "repair" else "same flights in another order"
    if night.kind == "none":
        return "nothing"
    parts = ["flights, cut off and garbled" if night.kind == "broken" else "flights, weather"]
    if night.late:
        parts.append("the day before")
    if night.registry is not None:
        parts.append("registry")
    return " + ".join(parts)


def progress_line(run: NightRun, nights: int) -> str:
    """Say what arrived and what the pipeline made of it, in one line."""
    width = len(str(nights))
    title = " " * (7 + 2 * width) if run.morning else f"night {run.night.number:>{width}}/{nights}"
    ran = [str(step["step"]) for step in run.steps() if step.get("status") != "skipped"]
    counts = run.counts()
    skipped = sum(counts.values()) - counts["ran"]
    if run.status == "failed":
        failed = [str(step["step"]) for step in run.steps() if step.get("status") == "failed"]
        detail = f"stopped at {', '.join(failed)}, {skipped} skipped"
    elif skipped and 0 < len(ran) <= _NAMED_AT_MOST:
        detail = f"ran {', '.join(ran)}; {skipped} skipped"
    else:
        detail = f"{len(ran)} ran, {skipped} skipped"
    when = "the morning" if run.morning else f"{run.night.night}"
    mark = "" if run.status == run.expected_status else f"  (expected: {run.expected_status})"
    arrived = delivery_text(run.night, morning=run.morning)
    return f"{title}  {when:<11} {arrived:<41} {run.status:<13} {detail:<36} {run.seconds:5.1f} s{mark}"


def summary(directory: Path, runs: Sequence[NightRun]) -> Iterator[str]:
    """Yield the lines that end the demo."""
    total: Counter[str] = Counter()
    for run in runs:
        total += run.counts()
    statuses = Counter(run.status for run in runs)
    nights = len({run.night.number for run in runs})
    seconds = sum(run.seconds for run in runs)
    ended = ", ".join(f"{count} {status}" for status, count in statuses.most_common())
    yield f"{nights} nights, {len(runs)} runs in {seconds:.0f} s: {ended}."
    reasons = ", ".join(f"{count} {reason}" for reason, count in total.most_common() if reason != "ran")
    skipped = sum(total.values()) - total["ran"]
    yield f"Steps: {total['ran']} ran, {skipped} {'was' if skipped == 1 else 'were'} skipped" + (
        f" ({reasons})." if reasons else "."
    )
    yield from _storm(directory)
    yield from _quarantine(directory)
    yield ""
    yield "What to look at next:"
    if (directory / REPORT).is_file():
        yield f"  the report of the last night: {(directory / REPORT).resolve().as_uri()}"
    for command, purpose in _commands(directory, runs):
        yield f"  {command}" + (f"    # {purpose}" if purpose else "")


def _storm(directory: Path) -> Iterator[str]:
    """Say how many flights the blizzard cost, by the pipeline's own gold table."""
    table = directory / "data/gold/airports/origin_nights.parquet"
    if not table.is_file():
        return
    import polars as pl

    nights = pl.read_parquet(table).filter(pl.col("night").is_in(STORM)).group_by("night")
    rows = nights.agg(pl.col("flights", "cancelled").sum()).sort("night").iter_rows()
    told = [f"{night}: {cancelled} of {flights} ({cancelled / flights:.0%})" for night, flights, cancelled in rows]
    if told:
        yield f"The blizzard, as cancelled flights: {', '.join(told)}. True data, so it passed the gate."


def _quarantine(directory: Path) -> Iterator[str]:
    """Say which rows the quality gate sorted out."""
    reasons: Counter[str] = Counter()
    for path in sorted((directory / "data/quality").glob("*/*.json")):
        for reason, count in json.loads(path.read_text(encoding="utf-8"))["reasons"].items():
            reasons[f"{reason} in {path.parent.name} of {path.stem}"] += count
    if reasons:
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        yield f"Quarantined rows: {told}; see {directory / 'data/quarantine'}"


def _commands(directory: Path, runs: Sequence[NightRun]) -> Iterator[tuple[str, str]]:
    if shutil.which("orchestrate") is None:
        yield f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"', ""
    yield f"cd {shlex.quote(str(directory))}", ""
    yield "orchestrate runs", "every night and how it ended"
    started = [run for run in runs if run.run_id]
    for run in started:
        if run.night.kind == "broken" and not run.morning:
            yield f"orchestrate explain {run.run_id} quality", "why the gate stopped the broken delivery"
            break
    for run in started:
        if run.night.morning == "resend" and run.morning:
            yield f"orchestrate show {run.run_id}", "same rows again: the ingest ran, the rest was cut off"
            break
    if started:
        yield f"orchestrate logs {started[0].run_id} bronze_flights", "a log that prints the API key: it is masked"
        yield f"orchestrate report {started[-1].run_id} --html report.html", "the run's report, with graph and timeline"
    yield "orchestrate status", "what needs attention, and what to type next"
