"""One side of a comparison of two runs: everything that the ledger keeps of a run that can differ from another, with the texts that it names."""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ledger.reader import kept_blob, read_rows
from orchestrator.core.reproduction import is_done
from orchestrator.projections.environments import environment_of
from orchestrator.projections.queries import load_blob, load_json
from orchestrator.projections.reproductions import any_run
from orchestrator.projections.starts import last_start

Document = Mapping[str, Any]

_STEPS = (
    "SELECT s.step, s.status, s.reason, s.evidence, s.error_class, s.duration_us, s.outputs, a.attempt, a.start_reason, a.start_evidence,"
    " a.components, a.exit_code, a.signal, a.reason AS failure, a.status AS attempt_status, (SELECT count(*) FROM attempts n WHERE n.run_id = s.run_id"
    " AND n.step = s.step) AS attempts FROM steps s LEFT JOIN attempts a ON a.run_id = s.run_id AND a.step = s.step"
    " AND a.attempt = (SELECT max(m.attempt) FROM attempts m WHERE m.run_id = s.run_id AND m.step = s.step)"
    " WHERE s.run_id = ? ORDER BY s.position"
)


class StepSide(NamedTuple):
    """
    A step of one run.

    Attributes:
        components: What its key is made of: of its last attempt, else of the certificate of its skip; None where neither was.
        decision: Why it ran or was skipped, as the ledger names it; None where it was not decided.
        outputs: What it wrote; of a skipped one what was there already, by its certificate; None where it did not run and nothing tells.
        is_done: Whether it was attempted and ended well, with new data or without.
    """

    status: str
    decision: str | None
    evidence: Document
    components: Document | None
    outcome: Document
    outputs: Document | None
    seconds: float | None
    is_done: bool = False


class Side(NamedTuple):
    """
    A run as one side of a comparison.

    Attributes:
        start: What its newest start or resume has recorded.
        definition: The definition; None where it is not kept.
        graph: As `runtime.assembly.graph_document` makes it.
        environment: What it ran with; None where an older program started it.
        steps: By name, in the order of the graph.
        text: Returns the bytes that are kept under a digest, or None.
    """

    run: Document
    start: Document
    definition: Document | None
    graph: Document
    environment: Document | None
    steps: Mapping[str, StepSide]
    text: Callable[[str], bytes | None]


def side_of(connection: sqlite3.Connection, run_id: str) -> Side:
    """Return the run *run_id*, which exists, as one side of a comparison."""
    columns = (
        "run_id",
        "pipeline",
        "night",
        "status",
        "exit_code",
        "started_at",
        "finished_at",
        "duration_us",
        "definition",
        "graph",
        "reproduces",
    )
    row = any_run(connection, run_id)
    run = {name: row[name] for name in columns}

    return Side(
        run=run,
        start=last_start(connection, run_id),
        definition=load_blob(connection, str(run["definition"])),
        graph=load_blob(connection, str(run["graph"])) or {"steps": [], "datasets": {}},
        environment=environment_of(connection, run_id),
        steps=_steps(connection, run_id),
        text=functools.partial(kept_blob, connection),
    )


def _steps(connection: sqlite3.Connection, run_id: str) -> dict[str, StepSide]:
    return {str(row["step"]): _step(connection, row) for row in read_rows(connection, _STEPS, (run_id,))}


def _step(connection: sqlite3.Connection, row: Mapping[str, Any]) -> StepSide:
    evidence = _parsed(row["evidence"])
    attempted = row["attempt"] is not None
    components: Document | None = None
    outputs: Document | None = _parsed(row["outputs"]) if attempted else None
    if attempted:
        components = load_json(connection, row["components"])
    elif "certificate" in evidence:
        certificate: Mapping[str, Any] = load_blob(connection, str(evidence["certificate"])) or {}
        components = load_json(connection, json.dumps(certificate.get("components")))
        outputs = certificate.get("outputs")
    facts = {
        "error_class": row["error_class"],
        "exit_code": row["exit_code"],
        "signal": row["signal"],
        "attempts": row["attempts"],
    }
    if row["status"] == "failed":
        facts["reason"] = row["reason"]
    return StepSide(
        status=str(row["status"]),
        decision=str(row["start_reason"]) if attempted else row["reason"],
        evidence=_parsed(row["start_evidence"]) if attempted else evidence,
        components=components,
        outcome={"status": row["status"], **facts},
        outputs=outputs,
        seconds=None if row["duration_us"] is None else row["duration_us"] / 1e6,
        is_done=is_done(str(row["status"]), row["attempt_status"]),
    )


def _parsed(value: str | None) -> Document:
    found: Document = {} if value is None else json.loads(value)
    return found
