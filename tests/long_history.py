"""A ledger as long as one likes, recorded through the store: the same run again and again, many of them in a transaction."""

from __future__ import annotations

from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path

from ledger.canonical import blob_digest
from ledger.events import NewEvent
from ledger.store import Ledger, open_ledger
from orchestrator.core.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    RunFinished,
    RunStarted,
    StepFinished,
    event_data,
    event_type,
)
from orchestrator.projections.read_models import ReadModels
from tests.quarter import ACTOR, DEFINITION, GRAPH, LOG

STEPS_OF_A_RUN = 80
EVENTS_OF_A_RUN = 2 + 3 * STEPS_OF_A_RUN
_RUNS_IN_A_TRANSACTION = 20
_FIRST = date(1990, 1, 1)


def long_history(path: Path, events: int) -> str:
    """Make a ledger at *path* with about *events* events, a night for each run, and return the id of the last one."""
    runs, run_id = max(1, events // EVENTS_OF_A_RUN), ""
    with open_ledger(path, projections=[ReadModels()]) as ledger:
        for first in range(0, runs, _RUNS_IN_A_TRANSACTION):
            with ledger.transaction() as connection:
                connection.executemany(
                    "INSERT OR IGNORE INTO blobs VALUES (?, ?)",
                    [(blob_digest(item), item) for item in (GRAPH, DEFINITION)],
                )
                for number in range(first, min(first + _RUNS_IN_A_TRANSACTION, runs)):
                    run_id = _record(ledger, number)
    return run_id


def _record(ledger: Ledger, number: int) -> str:
    night = str(_FIRST + timedelta(days=number))
    run_id = f"{night.replace('-', '')}T020000Z-{number:09x}"
    events: list[Event] = [_started(run_id, night)]
    for step in (f"step{n:02}" for n in range(STEPS_OF_A_RUN)):
        log = {"path": f"logs/{run_id}/{step}.1.log", "bytes": len(LOG), "lines": 1, "sha256": sha256(LOG).hexdigest()}
        events += [
            AttemptStarted(step, 1, "changed", {}, "sha256:k", {}),
            AttemptFinished(step, 1, "succeeded", exit_code=0, log=log),
            StepFinished(step, "succeeded", attempts=1),
        ]
    events.append(RunFinished("succeeded", 0, 5, {"succeeded": STEPS_OF_A_RUN}))
    new = [NewEvent(*event_type(event), event_data(event)) for event in events]
    ledger.record(ledger.connection, f"run/{run_id}", new)
    return run_id


def _started(run_id: str, night: str) -> RunStarted:
    return RunStarted(
        run_id=run_id,
        pipeline="shop",
        night=night,
        definition=blob_digest(DEFINITION),
        definition_path="pipeline.toml",
        graph=blob_digest(GRAPH),
        selection={"only": [], "from": [], "until": [], "omit": [], "force": False},
        variables={},
        trigger="unattended",
        actor=ACTOR,
        git=None,
        host="etl1",
        boot_id="b",
        pid=1,
        process_start="1",
        max_parallel=1,
        program="0",
    )
