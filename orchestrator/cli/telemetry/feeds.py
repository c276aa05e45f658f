"""What a signal is made of: items, from recorded events while the run is on, and the same from the ledger afterwards."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from ledger.events import RecordedEvent
from ledger.verifier import Checkpoint
from orchestrator.cli.telemetry.settings import Settings, Signal


class Feed(Protocol):
    """Make the items of one signal of one run."""

    def items(self, event: RecordedEvent) -> Sequence[object]:
        """Return what *event*, which was just recorded, makes."""
        ...

    def last_items(self, checkpoint: Checkpoint | None) -> Sequence[object]:
        """Return what is left now that the run has ended and was sealed with *checkpoint*, or could not be."""
        ...


Recall: TypeAlias = Callable[[sqlite3.Connection, str, Settings], Sequence[object]]
"""Makes the items of any run that has ended from what the ledger holds, the same as its feed has made; none where it is one that is not sent."""


def feed_of(
    signal: Signal, connection: sqlite3.Connection, settings: Settings, before: Sequence[RecordedEvent]
) -> Feed:
    """
    Return what makes the items of *signal* while a run is on.

    Args:
        before: The events that the run has already, where it is resumed.
    """
    if signal == "traces":
        from orchestrator.cli.telemetry.trace_feed import TraceFeed

        return TraceFeed(connection, settings, before)
    if signal == "metrics":
        from orchestrator.cli.telemetry.metric_feed import MetricFeed

        return MetricFeed()
    from orchestrator.cli.telemetry.log_feed import LogFeed

    return LogFeed(before)


def recall_of(signal: Signal) -> Recall:
    """Return what makes the items of *signal* again."""
    if signal == "traces":
        from orchestrator.cli.telemetry.trace_feed import recalled_spans

        return recalled_spans
    if signal == "metrics":
        from orchestrator.cli.telemetry.metric_feed import recalled_metrics

        return recalled_metrics
    from orchestrator.cli.telemetry.log_feed import recalled_records

    return recalled_records
