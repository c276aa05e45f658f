"""What evidence costs: appending beside raw inserts, verifying beside reading, rebuilding beside SQL; all within this process, in turn."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contenders import PROGRAM, write_pipeline
from benchmarks.measuring import Contender, run_once
from benchmarks.rebuilding_sql import SQL, TAKEN_OUT
from benchmarks.shapes import layered
from ledger.audit.events import Leaves, Texts, pages
from ledger.audit.findings import Findings
from ledger.audit.tree import Tree
from ledger.audit.verdict import Options
from ledger.audit.verify import verify
from ledger.events import NewEvent, RecordedEvent
from ledger.projection import Projection, make_objects
from ledger.schema import FORMAT, SCRIPTS, statements
from ledger.store import open_ledger
from ledger.writing import INSERT_EVENT, connect_to_write
from orchestrator.cli.run_ids import RUN_ID
from orchestrator.projections.blob_names import blob_names
from orchestrator.projections.read_models import ReadModels

BATCH = 256

Batch = tuple[str, list[NewEvent], dict[str, bytes]]
Task = Callable[[], float]
"""Does something and returns the seconds that count."""


def evidence(folder: Path, *, steps: int, nights: int, rounds: int) -> dict[str, object]:
    """Measure with the history of *nights* runs of *steps* steps each."""
    history = list(_history(folder / "history", steps, nights))
    whole = folder / "whole.db"
    _append(whole, history, [ReadModels()])
    _by_sql(whole)
    _verify(whole)  # What SQL makes are the same rows.
    with contextlib.closing(sqlite3.connect(whole)) as connection:
        rows = connection.execute("SELECT seq, body, leaf_hash FROM events ORDER BY seq").fetchall()
    batches = [1, *(len(events) for _, events, _ in history)]
    taken = _in_turn(
        {
            "executemany": lambda: _raw(folder / "raw.db", rows, batches),
            "append": lambda: _append(folder / "appended.db", history, []),
            "append with tables": lambda: _append(folder / "appended.db", history, [ReadModels()]),
            "scan": lambda: _timed(lambda: _scan(whole)),
            "leaves and root": lambda: _timed(lambda: _leaves(whole)),
            "leaves, root and texts": lambda: _timed(lambda: _texts(whole)),
            "verify": lambda: _timed(lambda: _verify(whole)),
            "sql": lambda: _by_sql(whole),
            "rebuild": lambda: _rebuild(whole),
        },
        rounds,
    )
    return {
        "events": len(rows),
        "mean_bytes": round(sum(len(row[1]) for row in rows) / len(rows)),
        "rounds": rounds,
        "beside": dict(BESIDE),
        "microseconds_per_event": {name: round(median(found) / len(rows) * 1e6, 2) for name, found in taken.items()},
        "ratio": {
            name: round(median(other / own for own, other in zip(taken[name], taken[beside], strict=True)), 3)
            for name, beside in BESIDE.items()
        },
    }


BESIDE: Mapping[str, str] = {
    "append": "executemany",
    "append with tables": "executemany",
    "leaves and root": "scan",
    "leaves, root and texts": "scan",
    "verify": "scan",
    "rebuild": "sql",
}
"""What is measured, and beside what: the ratio is how much of the other's speed it reaches."""


def _in_turn(tasks: Mapping[str, Task], rounds: int) -> dict[str, list[float]]:
    """Do every task once a round, each round beginning with another, after a round that does not count; return the seconds of each."""
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    names = list(tasks)
    for number in range(-1, rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            os.sync()  # What one has written is not to be waited for by the next.
            seconds = tasks[name]()
            if number >= 0:
                taken[name].append(seconds)
    return taken


def _history(folder: Path, steps: int, nights: int) -> Iterator[Batch]:
    """Yield the events of a real run in batches, and again under other run ids, as often as there are nights."""
    write_pipeline(folder, layered(steps))
    run_once(Contender("run", (PROGRAM, "run"), folder))
    path = folder / ".orchestrate/ledger.db"
    with open_ledger(path, read_only=True) as ledger:
        events = [event for event in ledger.read_all() if event.stream != "ledger"]
        blobs = dict(ledger.connection.execute("SELECT digest, bytes FROM blobs"))
    for number in range(nights):
        for stream, found in groupby(events, key=lambda event: event.stream):
            members = [_again(event, number) for event in found]
            for first in range(0, len(members), BATCH):
                yield _renamed(stream, number), members[first : first + BATCH], blobs if not number else {}


def _again(event: RecordedEvent, number: int) -> NewEvent:
    data: dict[str, Any] = dict(event.data)
    if "run_id" in data:
        data["run_id"] = _renamed(data["run_id"], number)
    return NewEvent(event.type, event.type_version, data)


def _renamed(text: str, number: int) -> str:
    return RUN_ID.sub(lambda match: f"{match[0][:17]}{number:09x}", text)


def _fresh(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    shutil.rmtree(path.parent / "locks", ignore_errors=True)


def _timed(act: Callable[[], None]) -> float:
    before = time.perf_counter()
    act()
    return time.perf_counter() - before


def _append(path: Path, history: list[Batch], projections: list[Projection]) -> float:
    _fresh(path)
    with open_ledger(path, projections=projections) as ledger:

        def act() -> None:
            for stream, events, blobs in history:
                ledger.append(stream, events, expected_version=None, blobs=blobs)

        return _timed(act)


def _raw(path: Path, rows: list[tuple[int, str, bytes]], batches: list[int]) -> float:
    """Insert the same rows into the same tables in the same transactions."""
    _fresh(path)
    path.touch()
    with contextlib.closing(connect_to_write(path)) as connection:
        connection.execute("BEGIN")
        for script in SCRIPTS[FORMAT]:
            for statement in statements(script):
                connection.execute(statement)
        connection.execute("COMMIT")

        def act() -> None:
            first = 0
            for count in batches:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(INSERT_EVENT, rows[first : first + count])
                connection.execute("COMMIT")
                first += count

        return _timed(act)


def _scan(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for _ in connection.execute("SELECT seq, body, leaf_hash FROM events ORDER BY seq"):
            pass


def _leaves(path: Path) -> None:
    findings = Findings()
    tree = Tree((), lambda *_: None)
    leaves = Leaves(tree, findings)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for page in pages(connection):
            leaves.take(page)
    tree.root()
    assert not findings.problems


def _texts(path: Path) -> None:
    findings = Findings()
    tree = Tree((), lambda *_: None)
    leaves, texts = Leaves(tree, findings), Texts(None, "9999", findings)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for page in pages(connection):
            leaves.take(page)
            texts.take(page)
    assert not findings.problems


def _verify(path: Path) -> None:
    verdict = verify(path, Options([ReadModels()], blobs_of=blob_names))
    assert verdict.ok, verdict.problems
    assert verdict.projections == "held"


def _rebuild(path: Path) -> float:
    with open_ledger(path, projections=[ReadModels()]) as ledger:
        return _timed(ledger.rebuild)


def _by_sql(path: Path) -> float:
    with contextlib.closing(connect_to_write(path)) as connection:

        def act() -> None:
            connection.execute("BEGIN IMMEDIATE")
            make_objects(connection, ReadModels())
            for statement in (*statements(TAKEN_OUT), *statements(SQL)):
                connection.execute(statement)
            connection.execute("COMMIT")

        return _timed(act)
