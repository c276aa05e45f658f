"""The program's own log as a signal: from recorded events to records, live and again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ledger.events import RecordedEvent
from ledger.verifier import Checkpoint
from orchestrator.cli.telemetry.settings import Settings, Signal
from orchestrator.projections.log_records import Record, RunLog
from orchestrator.projections.traces import run_events


class LogFeed:
    """
    Make records of the run whose events it is given; see `feeds.Feed`.

    Attributes:
        log: Knows where in the trace of the run something belongs.

    Args:
        before: The events that the run has already, where it is resumed.
    """

    signal: Signal = "logs"

    def __init__(self, before: Sequence[RecordedEvent] = ()) -> None:
        self.log = RunLog()
        for event in before:
            self.log.apply(event)

    def items(self, event: RecordedEvent) -> Sequence[Record]:
        """Return the record of *event*."""
        return [self.log.apply(event)]

    def last_items(self, checkpoint: Checkpoint | None) -> Sequence[Record]:
        """Return nothing: all has gone."""
        del checkpoint
        return ()


def recalled_records(connection: sqlite3.Connection, run_id: str, settings: Settings) -> Sequence[Record]:
    """Return a record for each event of the run *run_id*, as they were sent while it was on; see `feeds.Recall`."""
    del settings
    log = RunLog()
    return [log.apply(event) for event in run_events(connection, run_id)]
