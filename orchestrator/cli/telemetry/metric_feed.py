"""Metrics as a signal: from recorded events to what was measured, at the end of each part of a run and again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ledger.events import RecordedEvent
from ledger.verifier import Checkpoint
from orchestrator.cli.telemetry.settings import Settings, Signal
from orchestrator.projections.metrics import Metric, RunMetrics, metrics_of
from orchestrator.projections.traces import run_events


class MetricFeed:
    """Measure the run whose events it is given; see `feeds.Feed`. A run is one interval: its metrics go when it has ended."""

    signal: Signal = "metrics"

    def __init__(self) -> None:
        self._fold = RunMetrics()

    def items(self, event: RecordedEvent) -> Sequence[Metric]:
        """Return all metrics, where *event* is the end of the run."""
        self._fold.apply(event)
        return self._fold.metrics() if event.type == "run.finished" else ()

    def last_items(self, checkpoint: Checkpoint | None) -> Sequence[Metric]:
        """Return nothing: all has gone."""
        del checkpoint
        return ()


def recalled_metrics(connection: sqlite3.Connection, run_id: str, settings: Settings) -> Sequence[Metric]:
    """Return the metrics of all parts of the run *run_id*, as they were sent at the end of each; see `feeds.Recall`."""
    del settings
    return metrics_of(run_events(connection, run_id))
