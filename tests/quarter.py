"""A ledger with some days of history of every kind that an auditor asks for, recorded at times of the test's choosing."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Self

import attrs

from ledger.canonical import blob_digest, canonical_bytes
from ledger.checkpoints import seal
from ledger.events import NewEvent
from ledger.signing import SigningKey, signed_note
from ledger.store import Ledger, open_ledger
from orchestrator.core.events import (
    AttemptFinished,
    AttemptStarted,
    DefinitionChanged,
    Event,
    HostChanged,
    NoteAdded,
    OutputAccepted,
    PipelineMoved,
    RunAcknowledged,
    RunFinished,
    RunRefused,
    RunStarted,
    StepFinished,
    event_data,
    event_type,
)
from orchestrator.projections.read_models import ReadModels

ACTOR = {"user": "alice", "host": "etl1"}
GRAPH = canonical_bytes({"steps": [{"step": "load"}, {"step": "report"}]})
DEFINITION = canonical_bytes({"pipeline": {"name": "shop"}})
LOG = b"loaded 3 rows\n"
STEPS = ("load", "report")


@attrs.define
class Quarter:
    """
    Record history at *now*, which a test sets.

    Attributes:
        key: Signs each checkpoint, if there is one.
    """

    path: Path
    now: str = "2025-12-31T23:00:00.000000Z"
    key: SigningKey | None = None
    ledger: Ledger = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.ledger = open_ledger(self.path, projections=[ReadModels()], now=lambda: self.now)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.ledger.close()

    def at(self, day: str, time: str = "02:00:00") -> Quarter:
        """Let it be *time* on *day*."""
        self.now = f"{day}T{time}.000000Z"
        return self

    def record(self, stream: str, *events: Event, blobs: dict[str, bytes] | None = None) -> None:
        """Append *events*."""
        new = [NewEvent(*event_type(event), event_data(event)) for event in events]
        self.ledger.append(stream, new, expected_version=None, blobs=blobs)

    def run(self, night: str, *, pipeline: str = "shop", status: str = "succeeded", **options: object) -> str:
        """Record a run of two steps that started and ended now, and return its id."""
        digits = self.now[:19].replace("-", "").replace(":", "")
        run_id = f"{digits}Z-{sha256(f'{pipeline}{night}{self.now}'.encode()).hexdigest()[:9]}"
        started = RunStarted(
            run_id=run_id,
            pipeline=pipeline,
            night=night,
            definition=blob_digest(DEFINITION),
            definition_path="pipeline.toml",
            graph=blob_digest(GRAPH),
            selection={"only": [], "from": [], "until": [], "omit": [], "force": False} | options,
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
        blobs = {blob_digest(GRAPH): GRAPH, blob_digest(DEFINITION): DEFINITION}
        self.record(f"run/{run_id}", started, blobs=blobs)
        for step in STEPS:
            good = status == "succeeded" or step == "load"
            path = f"logs/{run_id}/{step}.1.log"
            place = self.path.parent / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(LOG)
            log = {"path": path, "bytes": len(LOG), "lines": 1, "sha256": sha256(LOG).hexdigest()}
            end = "succeeded" if good else "failed"
            self.record(
                f"run/{run_id}",
                AttemptStarted(step, 1, "changed", {}, "sha256:k", {}),
                AttemptFinished(step, 1, end, reason=None if good else "exit", exit_code=int(not good), log=log),
                StepFinished(step, end, reason=None if good else "exit", attempts=1),
            )
        self.record(f"run/{run_id}", RunFinished(status, int(status == "failed"), 5, {"succeeded": 2}))
        return run_id

    def refuse(self, *, overlap: bool = False, pipeline: str = "shop") -> None:
        """Record a start that was refused, because another run was active where *overlap* is set."""
        problem = {"kind": "missing_source", "message": "source raw does not exist", "severity": "error"}
        holder = {"run_id": "r", "pid": 7, "host": "etl1"} if overlap else None
        code = 4 if overlap else 2
        self.record(
            f"pipeline/{pipeline}", RunRefused(pipeline, None, code, (problem,), "pipeline.toml", ACTOR, holder)
        )

    def seal(self, size: int | None = None, *, signed: bool = True) -> None:
        """Seal the ledger."""
        key = self.key if signed else None
        sign = None if key is None else lambda found: signed_note(found.text, key.signature_line(found.text))
        seal(self.ledger, size, sign=sign, now=lambda: self.now)

    def make_key(self) -> SigningKey:
        """Sign from now on, always with the same key for the same ledger."""
        self.key = SigningKey(f"orchestrate-ledger/{self.ledger.ledger_id}", 1, b"q" * 32)
        return self.key

    def live_through(self) -> None:
        """Record a quarter: five nights of shop with one missing and one failed, a mart, and something of each other kind."""
        self.at("2026-01-01").run("2026-01-01")
        self.seal()
        self.at("2026-01-02").run("2026-01-02")
        self.at("2026-01-02", "03:00:00").run("2026-01-02", pipeline="mart")
        self.at("2026-01-02", "09:00:00").refuse()
        self.seal()
        failed = self.at("2026-01-04").run("2026-01-04", status="failed")
        self.at("2026-01-04", "02:00:01").refuse(overlap=True)
        self.at("2026-01-04", "08:00:00")
        self.record(
            "pipeline/shop",
            NoteAdded("shop", failed, "report", '=HYPERLINK("x")', ACTOR),
            RunAcknowledged("shop", failed, "failed", ACTOR, "ticket 4711"),
            OutputAccepted("shop", failed, "report", "", {"gold": "sha256:a"}, {}, None, ACTOR, "mended by hand"),
            DefinitionChanged("shop", "sha256:a", "sha256:b", ({"path": "steps.load"},), "pipeline.toml", None, ACTOR),
            PipelineMoved("shop", "pipeline.toml", "new/pipeline.toml", ACTOR, "tidied"),
            HostChanged("shop", "etl1", "etl2", ACTOR),
        )
        self.at("2026-01-05").run("2026-01-05", force=True)
        self.seal()
        self.at("2026-01-07", "10:00:00").run("2026-01-03", pipeline="mart")
        self.seal()
        self.at("2026-01-08").run("2026-01-08")
