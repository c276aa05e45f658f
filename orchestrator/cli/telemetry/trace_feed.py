"""Traces as a signal: from recorded events to spans, live and again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ledger.events import RecordedEvent
from ledger.verifier import Checkpoint
from orchestrator.cli.telemetry.sampling import is_sampled
from orchestrator.cli.telemetry.settings import Settings, Signal
from orchestrator.projections.spans import RunSpans, Span, sealed
from orchestrator.projections.traces import reproduced_traces, run_trace


class TraceFeed:
    """
    Make spans of the run whose events it is given; see `feeds.Feed`.

    The span of the run itself waits for the checkpoint that seals it.

    Args:
        before: The events that the run has already, where it is resumed.
    """

    signal: Signal = "traces"

    def __init__(
        self, connection: sqlite3.Connection, settings: Settings, before: Sequence[RecordedEvent] = ()
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._fold = RunSpans(reproduced_traces(connection, before))
        self._held: list[Span] = []
        for event in before:
            self._fold.apply(event)

    def items(self, event: RecordedEvent) -> Sequence[Span]:
        """Return the spans that *event* ends, but for that of the run."""
        if event.data.get("reproduces") is not None:
            self._fold = RunSpans(reproduced_traces(self._connection, [event]))
        spans = self._fold.apply(event)
        if not is_sampled(self._settings, self._fold.trace_id, self._fold.caller_samples):
            return ()
        self._held += [span for span in spans if span.kind == "server"]
        return [span for span in spans if span.kind != "server"]

    def last_items(self, checkpoint: Checkpoint | None) -> Sequence[Span]:
        """Return the span of the run."""
        return [sealed(span, checkpoint) for span in self._held]


def recalled_spans(connection: sqlite3.Connection, run_id: str, settings: Settings) -> Sequence[Span]:
    """Return the spans of the run *run_id*, all its parts, as they were sent while it was on; none where its trace is not sampled; see `feeds.Recall`."""
    trace = run_trace(connection, run_id)
    return trace.spans if is_sampled(settings, trace.trace_id, trace.caller_samples) else ()
