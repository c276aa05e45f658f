"""
The SQL tables over the events: kept in the transaction of each append, and the same rows when they are rebuilt.

Everything here is a function of the events and of the blobs that they name. Columns that hold several values are canonical JSON.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence

import attrs

from ledger.canonical import canonical_text
from ledger.events import RecordedEvent
from orchestrator.core.events import (
    AlertDelivered,
    AlertFailed,
    AlertRaised,
    AttemptFinished,
    AttemptStarted,
    BlobsPruned,
    CheckpointAnchored,
    DeadmanPinged,
    DefinitionChanged,
    FilesPruned,
    HistoryCarried,
    HostChanged,
    NoteAdded,
    OutputAccepted,
    PipelineMoved,
    RetryScheduled,
    RunAcknowledged,
    RunCancelRequested,
    RunFinished,
    RunRefused,
    RunReproduced,
    RunResumed,
    RunStarted,
    StepFinished,
    TelemetryDelivered,
    TelemetryFailed,
    event_from_data,
)
from orchestrator.projections import rows_of_pipeline as of_pipeline
from orchestrator.projections.carried import take_carried
from orchestrator.projections.read_model_tables import NAME, SCRIPT, TABLES, VERSION
from orchestrator.projections.resumed import load_graph, open_again
from orchestrator.projections.views import VIEW_SCRIPT, VIEWS

_LEDGERS_OWN = "ledger."
# fmt: off
_WITHOUT_A_ROW = (
    RunCancelRequested, AlertRaised, AlertDelivered, AlertFailed, DeadmanPinged, TelemetryDelivered, TelemetryFailed,
    FilesPruned, BlobsPruned,
)
# fmt: on

_COLUMNS = (
    "run_id, pipeline, night, status, started_at, trigger, actor, reason, definition, graph, selection, git, first_seq"
)
_VALUES = "?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?"
_INSERT_RUN = f"INSERT INTO runs ({_COLUMNS}) VALUES ({_VALUES})"  # noqa: S608 - fixed names
# A table of its own, so that nothing that asks for runs, now or later, takes a reproduction for one.
_INSERT_REPRODUCTION = f"INSERT INTO reproductions ({_COLUMNS}, reproduces) VALUES ({_VALUES}, ?)"  # noqa: S608 - fixed names
_FIND_RUN = (
    "SELECT pipeline, night, graph, 1 FROM runs WHERE run_id = ?"
    " UNION ALL SELECT pipeline, night, graph, 0 FROM reproductions WHERE run_id = ?"
)


@attrs.frozen
class _Run:
    """
    What the rows of a run's steps need to know of it.

    Attributes:
        counts: What it does is what later runs compare with; what a reproduction does is not.
    """

    run_id: str
    pipeline: str
    night: str
    per_night: frozenset[str]
    counts: bool

    def counted_night(self, step: str) -> str:
        """Return the night that successes of *step* are counted by: empty where they are not counted by night."""
        return self.night if step in self.per_night else ""


class ReadModels:
    """The projection of the orchestrator's events, see `ledger.projection.Projection`."""

    name = NAME
    version = VERSION
    script = SCRIPT + VIEW_SCRIPT
    tables: tuple[str, ...] = TABLES
    views: tuple[str, ...] = tuple(VIEWS)

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}

    def apply(self, connection: sqlite3.Connection, events: Sequence[RecordedEvent]) -> None:
        """
        Take *events* into the tables.

        Raises:
            UnknownEventError: An event is of a type or version that this program does not know; it must not be skipped.
        """
        for recorded in events:
            if recorded.type.startswith(_LEDGERS_OWN):
                continue
            event = event_from_data(recorded.type, recorded.type_version, recorded.data)
            _HANDLERS[type(event)](self, connection, recorded, event)

    # Runs

    def _run_started(self, connection: sqlite3.Connection, recorded: RecordedEvent, event: RunStarted) -> None:
        graph = load_graph(connection, event.graph)
        counts = event.reproduces is None
        self._runs[event.run_id] = _run_of(event.run_id, event.pipeline, event.night, graph, counts=counts)
        connection.execute(
            _INSERT_RUN if counts else _INSERT_REPRODUCTION,
            (
                event.run_id,
                event.pipeline,
                event.night,
                recorded.recorded_at,
                event.trigger,
                canonical_text(event.actor),
                event.reason,
                event.definition,
                event.graph,
                canonical_text(event.selection),
                _json(event.git),
                recorded.seq,
                *(() if counts else (event.reproduces,)),
            ),
        )
        if counts:
            connection.execute(
                "INSERT INTO pipelines VALUES (?, ?, ?) ON CONFLICT (pipeline) DO UPDATE SET definition = excluded.definition",
                (event.pipeline, event.definition_path, event.definition),
            )
        connection.executemany(
            "INSERT INTO steps (run_id, step, position, status) VALUES (?, ?, ?, 'pending')",
            ((event.run_id, entry["step"], position) for position, entry in enumerate(graph)),
        )

    def _run_finished(self, connection: sqlite3.Connection, recorded: RecordedEvent, event: RunFinished) -> None:
        table = "runs" if self._run(connection, recorded).counts else "reproductions"
        connection.execute(
            f"UPDATE {table} SET status = ?, exit_code = ?, finished_at = ?, duration_us = ?, root_cause = ?, counts = ?,"  # noqa: S608 - of two
            " last_seq = ? WHERE run_id = ?",
            (
                event.status,
                event.exit_code,
                recorded.recorded_at,
                event.duration_us,
                _json(event.root_cause),
                canonical_text(event.counts),
                recorded.seq,
                _run_id(recorded),
            ),
        )
        self._runs.pop(_run_id(recorded), None)

    # Steps and attempts

    def _attempt_started(self, connection: sqlite3.Connection, recorded: RecordedEvent, event: AttemptStarted) -> None:
        run = self._run(connection, recorded)
        connection.execute(
            "INSERT INTO attempts (run_id, step, attempt, status, start_reason, start_evidence, key, components, started_at,"
            " waited_us, started_seq) VALUES (?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?)",
            (
                run.run_id,
                event.step,
                event.attempt,
                event.reason,
                canonical_text(event.evidence) if event.evidence else "{}",
                event.key,
                canonical_text(event.components),
                recorded.recorded_at,
                event.waited_us,
                recorded.seq,
            ),
        )
        connection.execute(
            "UPDATE steps SET status = 'running', attempts = ?, retry_at = NULL WHERE run_id = ? AND step = ?",
            (event.attempt, run.run_id, event.step),
        )
        if not run.counts:
            return
        connection.execute(
            "INSERT INTO baselines (pipeline, step, night, last_run_id, last_attempt) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (pipeline, step, night) DO UPDATE"
            " SET last_run_id = excluded.last_run_id, last_attempt = excluded.last_attempt, accepted = 0",
            (run.pipeline, event.step, run.counted_night(event.step), run.run_id, event.attempt),
        )

    def _attempt_finished(
        self, connection: sqlite3.Connection, recorded: RecordedEvent, event: AttemptFinished
    ) -> None:
        log = event.log or {}
        connection.execute(
            "UPDATE attempts SET status = ?, finished_at = ?, reason = ?, error_class = ?, message = ?, exit_code = ?,"
            " signal = ?, duration_us = ?, log = ?, log_bytes = ?, log_lines = ?, log_sha256 = ?, metrics = ?, masked = ?,"
            " finished_seq = ? WHERE run_id = ? AND step = ? AND attempt = ?",
            (
                event.status,
                recorded.recorded_at,
                event.reason,
                event.error_class,
                event.message,
                event.exit_code,
                event.signal,
                event.duration_us,
                log.get("path"),
                log.get("bytes"),
                log.get("lines"),
                log.get("sha256"),
                _json(event.metrics),
                _json(event.masked),
                recorded.seq,
                _run_id(recorded),
                event.step,
                event.attempt,
            ),
        )

    def _step_finished(self, connection: sqlite3.Connection, recorded: RecordedEvent, event: StepFinished) -> None:
        run_id = _run_id(recorded)
        outputs = _json(event.outputs)
        connection.execute(
            "UPDATE steps SET status = ?, reason = ?, evidence = ?, error_class = ?, attempts = ?, duration_us = ?,"
            " retry_at = NULL, outputs = ?, finished_seq = ? WHERE run_id = ? AND step = ?",
            (
                event.status,
                event.reason,
                canonical_text(event.evidence) if event.evidence else None,
                event.error_class,
                event.attempts,
                event.duration_us,
                outputs,
                recorded.seq,
                run_id,
                event.step,
            ),
        )
        if event.key is not None and (run := self._run(connection, recorded)).counts:
            connection.execute(
                "UPDATE baselines SET run_id = ?, attempt = ?, key = ?, outputs = ?"
                " WHERE pipeline = ? AND step = ? AND night = ?",
                (
                    run_id,
                    event.attempts,
                    event.key,
                    outputs,
                    run.pipeline,
                    event.step,
                    run.counted_night(event.step),
                ),
            )

    def _retry_scheduled(self, connection: sqlite3.Connection, recorded: RecordedEvent, event: RetryScheduled) -> None:
        connection.execute(
            "UPDATE steps SET status = 'retrying', retry_at = ? WHERE run_id = ? AND step = ?",
            (event.not_before, _run_id(recorded), event.step),
        )

    def _run(self, connection: sqlite3.Connection, recorded: RecordedEvent) -> _Run:
        run_id = _run_id(recorded)
        known = self._runs.get(run_id)
        if known is None:
            pipeline, night, graph, counts = connection.execute(_FIND_RUN, (run_id, run_id)).fetchone()
            graph = load_graph(connection, graph)
            known = self._runs[run_id] = _run_of(run_id, pipeline, night, graph, counts=bool(counts))
        return known


def _run_of(run_id: str, pipeline: str, night: str, graph: Sequence[Mapping[str, object]], *, counts: bool) -> _Run:
    per_night = frozenset(str(entry["step"]) for entry in graph if entry.get("per_night"))
    return _Run(run_id, pipeline, night, per_night, counts)


def _run_id(recorded: RecordedEvent) -> str:
    return recorded.stream.removeprefix("run/")


def _json(value: object) -> str | None:
    return None if value is None else canonical_text(value)


_HANDLERS: Mapping[type[object], Callable[..., None]] = {
    RunStarted: ReadModels._run_started,  # noqa: SLF001
    RunResumed: open_again,
    RunFinished: ReadModels._run_finished,  # noqa: SLF001
    AttemptStarted: ReadModels._attempt_started,  # noqa: SLF001
    AttemptFinished: ReadModels._attempt_finished,  # noqa: SLF001
    RetryScheduled: ReadModels._retry_scheduled,  # noqa: SLF001
    StepFinished: ReadModels._step_finished,  # noqa: SLF001
    RunRefused: of_pipeline.refused,
    DefinitionChanged: of_pipeline.definition_changed,
    PipelineMoved: of_pipeline.moved,
    HistoryCarried: take_carried,
    HostChanged: of_pipeline.host_changed,
    OutputAccepted: of_pipeline.accepted,
    NoteAdded: of_pipeline.note_added,
    RunAcknowledged: of_pipeline.acknowledged,
    RunReproduced: of_pipeline.reproduced,
    CheckpointAnchored: of_pipeline.anchored,
    # How a run that was to be cancelled ended is what its own events say; alerts, and what arrived of telemetry or was pruned, are folded where they are needed.
    **dict.fromkeys(_WITHOUT_A_ROW, lambda *_: None),
}
