"""What dataframes of a long history cost in processor time: a million events beside a bare scan and pandas' own `read_sql`, within this process, in turn."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import pandas as pd

from ledger.checkpoints import seal
from ledger.store import open_ledger
from orchestrator.history import History
from orchestrator.projections.read_models import ReadModels
from tests.long_history import long_history

_EVENTS = "SELECT * FROM audit_events ORDER BY seq"
_ATTEMPTS = "SELECT * FROM audit_attempts ORDER BY run_id, step, attempt"

BESIDE: Mapping[str, tuple[str, str]] = {
    "events()": ("scan of audit_events", "read_sql of audit_events"),
    "attempts()": ("scan of audit_attempts", "read_sql of audit_attempts"),
}
"""What is measured, and beside what: the ratio is how much of the other's speed it reaches."""


def exploring(folder: Path, *, events: int, rounds: int) -> dict[str, object]:
    """Measure with a ledger of about *events* events, sealed as after each run."""
    path = folder / "exploring" / "ledger.db"
    path.parent.mkdir(parents=True)
    long_history(path, events)
    with open_ledger(path, projections=[ReadModels()]) as ledger:
        seal(ledger)
    return measured(path, rounds=rounds)


def measured(path: Path, *, rounds: int) -> dict[str, object]:
    """Measure with the ledger at *path*."""
    history = History(path, verify=False)
    tasks: dict[str, Callable[[], object]] = {
        "scan of audit_events": lambda: _scan(path, _EVENTS),
        "read_sql of audit_events": lambda: _read_sql(path, _EVENTS),
        "events()": history.events,
        "events(columns=[seq, recorded_at, type])": lambda: history.events(columns=["seq", "recorded_at", "type"]),
        "scan of audit_attempts": lambda: _scan(path, _ATTEMPTS),
        "read_sql of audit_attempts": lambda: _read_sql(path, _ATTEMPTS),
        "attempts()": history.attempts,
        "runs()": history.runs,
    }
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(rounds):
        names = list(tasks)
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            before = time.process_time()
            tasks[name]()
            taken[name].append(time.process_time() - before)
    return {
        "events": len(history.events(columns=["seq"])),
        "attempts": len(history.attempts()),
        "rounds": rounds,
        "cpu_seconds": {name: round(median(found), 3) for name, found in taken.items()},
        "ratio": {
            own: {
                other: round(median(b / a for a, b in zip(taken[own], taken[other], strict=True)), 3)
                for other in BESIDE[own]
            }
            for own in BESIDE
        },
    }


def _scan(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for _ in connection.execute(statement):
            pass


def _read_sql(path: Path, statement: str) -> pd.DataFrame:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return pd.read_sql(statement, connection)
