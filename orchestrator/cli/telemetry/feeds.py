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
) -> Feed | None:
    """
    Return what makes the items of *signal* while a run is on; None where there is nothing that does.

    Args:
        before: The events that the run has already, where it is resumed.
    """
    if signal == "traces":
        from orchestrator.cli.telemetry.trace_feed import TraceFeed

        return TraceFeed(connection, settings, before)
    return None


def recall_of(signal: Signal) -> Recall | None:
    """Return what makes the items of *signal* again; None where they are not sent again."""
    if signal == "traces":
        from orchestrator.cli.telemetry.trace_feed import recalled_spans

        return recalled_spans
    return None
