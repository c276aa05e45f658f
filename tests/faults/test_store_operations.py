"""An append is broken off at each of its operations: all of it is there, or nothing, and the next one goes on."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from ledger import Ledger, open_ledger
from ledger.audit.verdict import Options
from ledger.audit.verify import verify
from ledger.canonical import blob_digest, canonical_bytes
from ledger.errors import StorageError
from ledger.events import NewEvent
from orchestrator.core.events import AttemptFinished, AttemptStarted, Event, StepFinished, event_data, event_type
from orchestrator.projections.read_models import ReadModels
from orchestrator.runtime.assembly import graph_document
from tests.counting import count
from tests.pipelines import chain
from tests.simulation import run_started, simulated_plan

STREAM = "run/run-1"


def new(*events: Event) -> list[NewEvent]:
    """Return *events* as they are appended."""
    return [NewEvent(*event_type(event), event_data(event)) for event in events]


class BrokenOff:
    """Break off what *connection* does at the operation *number* of SQLite, from the first statement that does not begin with *sparing* on."""

    def __init__(self, connection: sqlite3.Connection, number: int, *, sparing: str) -> None:
        self._connection = connection
        self._left = number
        self._sparing = sparing
        self._counts = False

    def __enter__(self) -> None:
        self._connection.set_trace_callback(self._began)
        self._connection.set_progress_handler(self._is_over, 1)

    def __exit__(self, *_: object) -> None:
        self._connection.set_trace_callback(None)
        self._connection.set_progress_handler(None, 1)

    def _began(self, statement: str) -> None:
        self._counts = not statement.startswith(self._sparing)

    def _is_over(self) -> bool:
        self._left -= self._counts
        return self._counts and self._left == 0


def append_in_spite(ledger: Ledger, events: list[NewEvent], blobs: dict[str, bytes]) -> int:
    """
    Append, broken off at the first operation of SQLite, then at the second, until it is recorded; return at how many.

    At the last operation of the commit it is, and nobody knows: whoever is told of an error has to look.
    """
    before = ledger.stream_version(STREAM)
    for number in range(1, 10_000):
        with contextlib.suppress(StorageError), BrokenOff(ledger.connection, number, sparing="BEGIN"):
            ledger.append(STREAM, events, expected_version=before, blobs=blobs)
        recorded = ledger.stream_version(STREAM) - before
        there = [digest for digest in blobs if ledger.blob(digest) is not None]
        if recorded == len(events) and len(there) == len(blobs):
            return number
        assert (recorded, there) == (0, []), f"operation {number}"
    raise AssertionError("it never ends")


def test_broken_off_while_it_begins(tmp_path: Path) -> None:
    """Given an append that is broken off while its transaction begins, then the next one goes on."""
    with open_ledger(tmp_path / "ledger.db") as ledger:
        for number in range(1, 8):
            with contextlib.suppress(StorageError), BrokenOff(ledger.connection, number, sparing="ROLLBACK"):
                ledger.append("a", [NewEvent("thing.happened", 1, {})], expected_version=None)
            ledger.append("a", [NewEvent("thing.happened", 1, {})], expected_version=None)


@pytest.mark.slow
def test_broken_off_at_every_operation(tmp_path: Path) -> None:
    """Given appends of each kind of event, broken off at every operation of SQLite, then nothing of one is left, and the ledger verifies."""
    plan = simulated_plan(chain("a"))
    graph = canonical_bytes(graph_document(plan.pipeline, plan.graph))
    digest, components = blob_digest(graph), canonical_bytes({"large": True})
    points = 0
    with open_ledger(tmp_path / "ledger.db", projections=[ReadModels()]) as ledger:
        points += append_in_spite(ledger, new(run_started(plan, digest)), {digest: graph})
        key = blob_digest(components)
        started = AttemptStarted("a", 1, "never_succeeded", {}, key, {"blob": key})
        points += append_in_spite(ledger, new(started), {key: components})
        ended = (AttemptFinished("a", 1, "succeeded", exit_code=0), StepFinished("a", "succeeded", attempts=1, key=key))
        points += append_in_spite(ledger, new(*ended), {})
    assert points > 300
    assert list(verify(tmp_path / "ledger.db", Options([ReadModels()])).problems) == []
    count("operations of SQLite at which an append was broken off", points)
