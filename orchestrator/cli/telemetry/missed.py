"""What earlier runs of a pipeline have missed, for the threads that send it while a run is on."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from ledger.times import format_utc
from orchestrator.cli.telemetry.feeds import Recall
from orchestrator.cli.telemetry.outlet import Backlog
from orchestrator.cli.telemetry.settings import Settings, Signal
from orchestrator.cli.telemetry.ways import PlaceName
from orchestrator.projections.telemetry_facts import TRIED_FOR, missed_runs

RUNS_AT_MOST = 100
"""Of so many earlier runs what they have missed is sent by one run."""

Found = TypeVar("Found")


class MissedRuns:
    """
    Find what earlier runs of the pipeline have missed, in the threads of outlets, while others write to the ledger.

    Args:
        run_id: The run that is on, and is none of them.
        names: The present and the former names of the pipeline.
    """

    def __init__(self, path: Path, run_id: str, names: Sequence[str], settings: Settings) -> None:
        self._path = path
        self._run_id = run_id
        self._names = names
        self._settings = settings
        self._lock = threading.Lock()
        self._stopped = False

    def stop(self) -> None:
        """Read no more; when this returns, nobody has the ledger open here, so that whoever closes it last can clear up."""
        with self._lock:
            self._stopped = True

    def backlog(self, signal: Signal, place: PlaceName, recall: Recall) -> Backlog:
        """Return what hands out the items of each run of which *place* has missed some."""

        def listed(connection: sqlite3.Connection) -> list[str]:
            since = format_utc(round((datetime.now(UTC) - TRIED_FOR).timestamp() * 1e6))
            found = missed_runs(connection, self._names, signal, place, since=since, most=RUNS_AT_MOST)
            # A short one may have ended by now.
            return [run_id for run_id in found if run_id != self._run_id]

        def found() -> Iterator[tuple[str, Sequence[object]]]:
            for run_id in self._read(listed) or ():
                items = self._read(lambda connection, run_id=run_id: recall(connection, run_id, self._settings))  # type: ignore[misc]
                if items is not None:
                    yield run_id, items

        return found

    def _read(self, ask: Callable[[sqlite3.Connection], Found]) -> Found | None:
        """Return what *ask* finds in the ledger, or None where nothing is to be read any more."""
        with self._lock:
            if self._stopped:
                return None
            # Through SQLite alone: whoever opens the file itself and closes it lets go of the locks that this process has on it.
            address = f"file:{quote(str(self._path))}?mode=ro"
            with contextlib.closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
                return ask(connection)
