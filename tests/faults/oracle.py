"""
What has to hold whatever has happened to a run: the promises that every fault is held to.

The ledger verifies; no attempt ran that it does not know; each run has an end; nothing that succeeded ran again; nobody lives; nothing half-written
lies about; no traceback was shown.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ledger.audit.verdict import Options
from ledger.audit.verify import verify
from ledger.times import utc_now
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.projections.blob_names import blob_names
from orchestrator.projections.read_models import ReadModels
from orchestrator.projections.removed_names import removed_names
from tests.programs import program

PIPELINE = """\
[pipeline]
name = "p"
[datasets.raw]
path = "raw"
[datasets.out]
path = "out"
[steps.a]
shell = "echo a >> effects; cat raw/* > out.new; mkdir -p out; mv out.new out/x; echo done"
reads = ["raw"]
writes = ["out"]
[steps.b]
shell = "echo b >> effects; cat out/x"
reads = ["out"]
"""
STEPS = ("a", "b")
Recorded = tuple[str, str, Any]
"""Stream, type and data of an event."""
DOCUMENTED = {int(code) for code in ExitCode} - {ExitCode.BUG}


def make_project(folder: Path) -> Path:
    """Make a small pipeline in *folder*, whose steps leave a line in `effects` each time they run."""
    folder.mkdir(parents=True)
    (folder / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    (folder / "raw").mkdir()
    (folder / "raw" / "x").write_text("1\n", encoding="utf-8")
    return folder


def recovered(folder: Path) -> list[str]:
    """Run the pipeline in *folder* once more, undisturbed, and return what does not hold then."""
    done = program("run", "--quiet", cwd=folder)
    wrong = [] if done.returncode == ExitCode.OK else [f"the next run ended with {done.returncode}: {done.stderr}"]
    return wrong + broken_promises(folder, finished=True) + [*_undone(folder)]


def broken_promises(folder: Path, *, finished: bool, now: Callable[[], str] = utc_now) -> list[str]:
    """
    Return what does not hold in *folder*.

    Args:
        finished: A run has ended undisturbed since, so that no run may be open, and nothing may lie or live about.
        now: The time, where the clock of the runs was ahead of it.
    """
    ledger = folder / ".orchestrate" / "ledger.db"
    if not ledger.exists():
        return ["there is no ledger"] if finished else []
    verdict = verify(ledger, Options([ReadModels()], blobs_of=blob_names, removed_of=removed_names, now=now))
    wrong = [f"verify: {problem.kind}: {problem.detail}" for problem in verdict.problems]
    events, statuses = _history(ledger)
    wrong += _unrecorded(folder, events)
    if finished:
        wrong += [f"a run is still open: {statuses}"] if "running" in statuses else []
        wrong += [f"left behind: {path.relative_to(folder)}" for path in _unfinished_files(folder)]
        wrong += [f"process {pid} of run {run_id} lives" for run_id, pid in _living(folder, events)]
    return wrong


def _history(ledger: Path) -> tuple[list[Recorded], list[str]]:
    """Return the events of *ledger*, and how its runs ended, in order."""
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT stream, type, data FROM events ORDER BY seq").fetchall()
        statuses = [status for (status,) in connection.execute("SELECT status FROM runs ORDER BY started_at")]
    return [(stream, kind, json.loads(data)) for stream, kind, data in rows], statuses


def _unrecorded(folder: Path, events: list[Recorded]) -> Iterator[str]:
    """Every execution was recorded before it began."""
    effects = folder / "effects"
    words = effects.read_text(encoding="utf-8").split() if effects.exists() else []
    ran = Counter(word.partition(":")[0] for word in words)
    started = Counter(data["step"] for _, kind, data in events if kind == "attempt.started")
    for step, count in ran.items():
        if count > started[step]:
            yield f"step {step} ran {count} times, {started[step]} attempts are recorded"


def _undone(folder: Path) -> Iterator[str]:
    """Everything was done, once."""
    events, statuses = _history(folder / ".orchestrate" / "ledger.db")
    if not statuses or statuses[-1] not in ("succeeded", "nothing_to_do"):
        yield f"the last run is {statuses[-1:]}"
    succeeded: set[str] = set()
    for _, kind, data in events:
        if kind == "attempt.started" and data["step"] in succeeded:
            yield f"step {data['step']} had succeeded and ran again"
        if kind == "step.finished" and data["status"] == "succeeded":
            succeeded.add(data["step"])
    if missing := set(STEPS) - succeeded:
        yield f"steps {sorted(missing)} never succeeded"


def _unfinished_files(folder: Path) -> Iterator[Path]:
    for path in (folder / ".orchestrate").rglob("*"):
        if path.name.endswith((".new", ".tmp")) or (path.name.startswith(".") and path.is_file()):
            yield path


def _living(folder: Path, events: list[Recorded]) -> Iterator[tuple[str, int]]:
    """Yield processes that have the id of a run in their environment; in a copy of *folder* the same run may have been resumed at this moment."""
    marks = {
        f"ORCHESTRATE_RUN_ID={data['run_id']}".encode(): data["run_id"]
        for _, kind, data in events
        if kind == "run.started"
    }
    reporting = b"ORCHESTRATE_RESULT="
    here = reporting + os.fsencode(folder.resolve()) + b"/"
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                entries = (process / "environ").read_bytes().split(b"\0")
                if any(entry.startswith(reporting) and not entry.startswith(here) for entry in entries):
                    continue
                for entry in marks.keys() & entries:
                    yield marks[entry], int(process.name)
