"""Two years of nights, recorded through the store without running anything: trends, a slow night, retries, failures, missing nights, changed definitions."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from ledger.canonical import blob_digest, canonical_bytes
from ledger.checkpoints import seal
from ledger.events import NewEvent
from ledger.store import Ledger, open_ledger
from orchestrator.core.events import (
    AttemptFinished,
    AttemptStarted,
    DefinitionChanged,
    Event,
    RunFinished,
    RunStarted,
    StepFinished,
    event_data,
    event_type,
)
from orchestrator.projections.read_models import ReadModels
from tests.quarter import ACTOR

FIRST = date(2024, 1, 1)
SECONDS = {"load": 40.0, "clean": 25.0, "join": 60.0, "report": 8.0}
UPSTREAM: dict[str, list[str]] = {"load": [], "clean": [], "join": ["load", "clean"], "report": ["join"]}
DATASETS = {"load": ("bronze", 4_000_000), "clean": ("silver", 3_000_000), "join": ("gold", 900_000)}
MISSING = (100, 101, 400)
SLOW, FLAKY, BROKEN = 300, frozenset(range(50, 730, 90)), frozenset({200, 510})
CHANGED = 365


class Years:
    """A ledger of *nights* nights of the pipeline `shop`, all from one seed."""

    def __init__(self, path: Path, nights: int) -> None:
        self._now = "2023-12-31T23:00:00.000000Z"
        self._chance = random.Random(7)  # noqa: S311 -- made up
        with open_ledger(path, projections=[ReadModels()], now=lambda: self._now) as ledger:
            self._ledger: Ledger = ledger
            self._definition = ""
            ledger.connection.execute("PRAGMA synchronous = OFF")  # Nobody loses anything with it.
            for number in range(nights):
                if number not in MISSING:
                    self._night(number)

    def _night(self, number: int) -> None:
        night = FIRST + timedelta(days=number)
        at = datetime(night.year, night.month, night.day, 2, tzinfo=UTC) + timedelta(
            minutes=self._chance.randint(0, 20)
        )
        definition = canonical_bytes({"pipeline": {"name": "shop"}, "version": number // CHANGED})
        graph = canonical_bytes(
            {
                "steps": [{"step": step, "upstream": upstream} for step, upstream in UPSTREAM.items()],
                "datasets": {name: {"layer": name} for name, _ in DATASETS.values()},
            }
        )
        run_id = f"{night:%Y%m%d}T020000Z-{number:09x}"
        blobs = {blob_digest(item): item for item in (definition, graph)}
        self._record(
            at, f"run/{run_id}", [_started(run_id, str(night), blob_digest(definition), blob_digest(graph))], blobs
        )
        before, self._definition = self._definition, blob_digest(definition)
        if before != self._definition:
            change = {"path": "version", "kind": "changed", "before": "0", "after": "1"}
            changed = DefinitionChanged(
                "shop", before or None, self._definition, (change,), "pipeline.toml", None, ACTOR
            )
            self._record(at, "pipeline/shop", [changed], {})
        failed = False
        for step in UPSTREAM:
            if failed:
                self._record(
                    at, f"run/{run_id}", [StepFinished(step, "skipped", "upstream_failed", {"step": "join"})], {}
                )
                continue
            at, failed = self._step(run_id, step, number, at)
        status = "failed" if failed else "succeeded"
        self._record(at, f"run/{run_id}", [RunFinished(status, int(failed), 140_000_000, {status: 1})], {})
        seal(self._ledger, now=lambda: self._now)

    def _step(self, run_id: str, step: str, number: int, at: datetime) -> tuple[datetime, bool]:
        attempt, broken = 1, step == "join" and number in BROKEN
        if step == "load" and number in FLAKY:
            self._attempt(run_id, step, 1, at, 9.0, number, failed=True)
            attempt, at = 2, at + timedelta(seconds=14)
        seconds = SECONDS[step] * self._chance.gauss(1, 0.06) * (1 + number / 2000)
        seconds *= 3 if (step, number) == ("join", SLOW) else 1
        seconds *= 0.6 if step == "clean" and number >= CHANGED else 1
        self._attempt(run_id, step, attempt, at, seconds, number, failed=broken)
        outputs, blobs = {}, {}
        if step in DATASETS and not broken:
            name, size = DATASETS[step]
            rows = [[f"{number}.csv", size + number * 3000, f"sha256:{number:064x}"]]
            manifest = canonical_bytes({"files": rows, "recipe": 1, "strength": "content"})
            outputs, blobs = {name: blob_digest(manifest)}, {blob_digest(manifest): manifest}
        at += timedelta(seconds=seconds)
        end = StepFinished(
            step,
            "failed" if broken else "succeeded",
            "exit" if broken else None,
            attempts=attempt,
            outputs=outputs or None,
            duration_us=int(seconds * 1e6),
        )
        self._record(at, f"run/{run_id}", [end], blobs)
        return at, broken

    def _attempt(
        self, run_id: str, step: str, attempt: int, at: datetime, seconds: float, number: int, *, failed: bool
    ) -> None:
        components = {
            "code": {f"{step}.py": blob_digest(f"{step} {number // 250}".encode())},
            "inputs": {},
            "variables": {},
            "recipe": 1,
        }
        self._record(at, f"run/{run_id}", [AttemptStarted(step, attempt, "changed", {}, "sha256:k", components)], {})
        end = AttemptFinished(
            step,
            attempt,
            "failed" if failed else "succeeded",
            reason="exit" if failed else None,
            error_class="transient" if failed else None,
            exit_code=75 if failed else 0,
            duration_us=int(seconds * 1e6),
            metrics=None if failed else {"rows": 10_000 + number * 7 + self._chance.randint(0, 300), "refused": self._chance.randint(0, 30)},
            masked={"API_KEY": 1} if step == "load" and number % 60 == 0 else {},
        )  # fmt: skip
        self._record(at + timedelta(seconds=seconds), f"run/{run_id}", [end], {})

    def _record(self, at: datetime, stream: str, events: list[Event], blobs: dict[str, bytes]) -> None:
        self._now = f"{at:%Y-%m-%dT%H:%M:%S}.000000Z"
        new = [NewEvent(*event_type(event), event_data(event)) for event in events]
        self._ledger.append(stream, new, expected_version=None, blobs=blobs)


def _started(run_id: str, night: str, definition: str, graph: str) -> RunStarted:
    return RunStarted(
        run_id=run_id,
        pipeline="shop",
        night=night,
        definition=definition,
        definition_path="pipeline.toml",
        graph=graph,
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
