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
    CheckpointAnchored,
    DeadmanPinged,
    DefinitionChanged,
    HistoryCarried,
    HostChanged,
    NoteAdded,
    OutputAccepted,
    PipelineMoved,
    RunAcknowledged,
    RunCancelRequested,
    RunFinished,
    RunRefused,
    RunResumed,
    RunStarted,
    StepFinished,
    event_from_data,
)
from orchestrator.projections.carried import take_carried
from orchestrator.projections.read_model_tables import NAME, SCRIPT, TABLES, VERSION
from orchestrator.projections.resumed import load_graph, open_again
from orchestrator.projections.views import VIEW_SCRIPT, VIEWS

_LEDGERS_OWN = "ledger."


@attrs.frozen
class _Run:
    """What the rows of a run's steps need to know of it."""

    run_id: str
    pipeline: str
    night: str
    per_night: frozenset[str]

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
        self._runs[event.run_id] = _run_of(event.run_id, event.pipeline, event.night, graph)
        connection.execute(
            "INSERT INTO runs (run_id, pipeline, night, status, started_at, trigger, actor, reason, definition, graph, selection,"
            " git, first_seq) VALUES (?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
            ),
        )
        connection.execute(
            "INSERT INTO pipelines VALUES (?, ?, ?) ON CONFLICT (pipeline) DO UPDATE SET definition = excluded.definition",
            (event.pipeline, event.definition_path, event.definition),
        )
        connection.executemany(
            "INSERT INTO steps (run_id, step, position, status) VALUES (?, ?, ?, 'pending')",
            ((event.run_id, entry["step"], position) for position, entry in enumerate(graph)),
        )

    def _run_finished(self, connection: sqlite3.Connection, recorded: RecordedEvent, event: RunFinished) -> None:
        connection.execute(
            "UPDATE runs SET status = ?, exit_code = ?, finished_at = ?, duration_us = ?, root_cause = ?, counts = ?,"
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
            " started_seq) VALUES (?, ?, ?, 'running', ?, ?, ?, ?, ?, ?)",
            (
                run.run_id,
                event.step,
                event.attempt,
                event.reason,
                canonical_text(event.evidence) if event.evidence else "{}",
                event.key,
                canonical_text(event.components),
                recorded.recorded_at,
                recorded.seq,
            ),
        )
        connection.execute(
            "UPDATE steps SET status = 'running', attempts = ? WHERE run_id = ? AND step = ?",
            (event.attempt, run.run_id, event.step),
        )
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
            " outputs = ?, finished_seq = ? WHERE run_id = ? AND step = ?",
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
        if event.key is not None:
            run = self._run(connection, recorded)
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

    # What belongs to a pipeline rather than to a run

    def _refused(self, connection: sqlite3.Connection, recorded: RecordedEvent, event: RunRefused) -> None:
        connection.execute(
            "INSERT INTO refusals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                recorded.seq,
                event.pipeline,
                event.night,
                recorded.recorded_at,
                event.exit_code,
                canonical_text(event.problems),
                event.definition_path,
                _json(event.holder),
                canonical_text(event.actor),
            ),
        )

    def _definition_changed(
        self, connection: sqlite3.Connection, recorded: RecordedEvent, event: DefinitionChanged
    ) -> None:
        connection.execute(
            "INSERT INTO definitions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                recorded.seq,
                event.pipeline,
                recorded.recorded_at,
                event.before,
                event.after,
                canonical_text(event.changes),
                event.definition_path,
                _json(event.git),
                canonical_text(event.actor),
            ),
        )

    def _moved(self, connection: sqlite3.Connection, recorded: RecordedEvent, event: PipelineMoved) -> None:
        connection.execute("UPDATE pipelines SET definition_path = ? WHERE pipeline = ?", (event.after, event.pipeline))
        _insert_move(connection, recorded, event, "definition", event.reason)

    def _host_changed(self, connection: sqlite3.Connection, recorded: RecordedEvent, event: HostChanged) -> None:
        _insert_move(connection, recorded, event, "host", None)

    def _accepted(self, connection: sqlite3.Connection, recorded: RecordedEvent, event: OutputAccepted) -> None:
        connection.execute(
            "INSERT INTO acceptances VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                recorded.seq,
                event.pipeline,
                event.run_id,
                event.step,
                event.night,
                recorded.recorded_at,
                canonical_text(event.outputs),
                canonical_text(event.before),
                event.reason,
                canonical_text(event.actor),
            ),
        )
        # The attempt that is accepted is the last one, whether it succeeded, failed or was lost: its key counts from now on.
        connection.execute(
            "UPDATE baselines SET run_id = last_run_id, attempt = last_attempt, key = coalesce(?, key), outputs = ?,"
            " accepted = 1 WHERE pipeline = ? AND step = ? AND night = ?",
            (event.key, canonical_text(event.outputs), event.pipeline, event.step, event.night),
        )

    def _note_added(self, connection: sqlite3.Connection, recorded: RecordedEvent, event: NoteAdded) -> None:
        connection.execute(
            "INSERT INTO notes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                recorded.seq,
                event.pipeline,
                event.run_id,
                event.step,
                recorded.recorded_at,
                event.text,
                event.reason,
                canonical_text(event.actor),
            ),
        )

    def _acknowledged(self, connection: sqlite3.Connection, recorded: RecordedEvent, event: RunAcknowledged) -> None:
        connection.execute(
            "INSERT INTO acknowledgements VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                recorded.seq,
                event.pipeline,
                event.run_id,
                event.status,
                recorded.recorded_at,
                event.reason,
                canonical_text(event.actor),
            ),
        )

    def _run(self, connection: sqlite3.Connection, recorded: RecordedEvent) -> _Run:
        run_id = _run_id(recorded)
        known = self._runs.get(run_id)
        if known is None:
            pipeline, night, graph = connection.execute(
                "SELECT pipeline, night, graph FROM runs WHERE run_id = ?", (run_id,)
            ).fetchone()
            known = self._runs[run_id] = _run_of(run_id, pipeline, night, load_graph(connection, graph))
        return known


def _anchored(
    _: ReadModels, connection: sqlite3.Connection, recorded: RecordedEvent, event: CheckpointAnchored
) -> None:
    connection.execute(
        "INSERT INTO anchorings VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            recorded.seq,
            event.pipeline,
            event.run_id,
            recorded.recorded_at,
            event.size,
            event.root,
            canonical_text(event.anchors),
        ),
    )


def _insert_move(
    connection: sqlite3.Connection,
    recorded: RecordedEvent,
    event: PipelineMoved | HostChanged,
    kind: str,
    reason: str | None,
) -> None:
    place = (recorded.seq, event.pipeline, recorded.recorded_at)
    connection.execute(
        "INSERT INTO moves VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*place, kind, event.before, event.after, reason, canonical_text(event.actor)),
    )


def _run_of(run_id: str, pipeline: str, night: str, graph: Sequence[Mapping[str, object]]) -> _Run:
    return _Run(run_id, pipeline, night, frozenset(str(entry["step"]) for entry in graph if entry.get("per_night")))


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
    StepFinished: ReadModels._step_finished,  # noqa: SLF001
    RunRefused: ReadModels._refused,  # noqa: SLF001
    DefinitionChanged: ReadModels._definition_changed,  # noqa: SLF001
    PipelineMoved: ReadModels._moved,  # noqa: SLF001
    HistoryCarried: take_carried,
    HostChanged: ReadModels._host_changed,  # noqa: SLF001
    OutputAccepted: ReadModels._accepted,  # noqa: SLF001
    NoteAdded: ReadModels._note_added,  # noqa: SLF001
    RunAcknowledged: ReadModels._acknowledged,  # noqa: SLF001
    CheckpointAnchored: _anchored,
    # How a run that was to be cancelled ended is what its own events say; alerts are folded where they are needed.
    **dict.fromkeys((RunCancelRequested, AlertRaised, AlertDelivered, AlertFailed, DeadmanPinged), lambda *_: None),
}
