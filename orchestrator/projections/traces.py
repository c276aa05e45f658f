"""The trace of a run as the ledger has it: its events, the checkpoints that seal it, the trace of the run that it reproduces."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence

import attrs

from ledger.errors import ProofError
from ledger.events import RecordedEvent, event_of_body
from ledger.verifier import Checkpoint, open_checkpoint
from orchestrator.core.tracing import parse_traceparent, trace_id_of
from orchestrator.projections.spans import RunSpans, Span, sealed


@attrs.frozen
class RunTrace:
    """
    Hold the trace of one run.

    Attributes:
        caller_samples: As `RunSpans.caller_samples`.
    """

    trace_id: str
    caller_samples: bool | None
    spans: Sequence[Span]


def run_trace(connection: sqlite3.Connection, run_id: str) -> RunTrace:
    """Return the trace of the run *run_id*, which exists: `spans_of` its events, with what the ledger knows besides."""
    events = run_events(connection, run_id)
    ends = [event.seq + 1 for event in events if event.type == "run.finished"]
    checkpoints = {size: found for size in ends if (found := checkpoint_of_size(connection, size)) is not None}
    fold = RunSpans(reproduced_traces(connection, events))
    spans = [sealed(span, checkpoints.get(event.seq + 1)) for event in events for span in fold.apply(event)]
    return RunTrace(fold.trace_id, fold.caller_samples, spans)


def run_events(connection: sqlite3.Connection, run_id: str) -> list[RecordedEvent]:
    """Return the events of the run *run_id*, in order."""
    rows = connection.execute("SELECT body FROM events WHERE stream = ? ORDER BY version", (f"run/{run_id}",))
    return [event_of_body(body) for (body,) in rows]


def checkpoint_of_size(connection: sqlite3.Connection, size: int) -> Checkpoint | None:
    """Return the checkpoint over the first *size* events, or None where none was made of just these; unchecked, as it stands in the ledger."""
    # A ledger of the first format has no checkpoints.
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'checkpoints'").fetchone() is None:
        return None
    row = connection.execute("SELECT note FROM checkpoints WHERE size = ? ORDER BY id LIMIT 1", (size,)).fetchone()
    try:
        return None if row is None else open_checkpoint(row[0])[0]
    except ProofError:
        return None


def reproduced_traces(connection: sqlite3.Connection, events: Iterable[RecordedEvent]) -> dict[str, str]:
    """Return the trace id of each run that one of *events* says it reproduces, as far as the ledger has it."""
    named = {str(event.data["reproduces"]) for event in events if event.data.get("reproduces") is not None}
    found = {}
    for run_id in named:
        row = connection.execute(
            "SELECT data FROM events WHERE stream = ? AND version = 0", (f"run/{run_id}",)
        ).fetchone()
        if row is not None:
            found[run_id] = trace_id_of(run_id, parse_traceparent(json.loads(row[0]).get("traceparent")))
    return found
