"""The rows of what belongs to a pipeline rather than to a run: refusals, definitions, moves, and what people did by hand."""

from __future__ import annotations

import sqlite3

from ledger.canonical import canonical_text
from ledger.events import RecordedEvent
from orchestrator.core.pipeline_events import (
    CheckpointAnchored,
    DefinitionChanged,
    HostChanged,
    NoteAdded,
    OutputAccepted,
    PipelineMoved,
    RunAcknowledged,
    RunRefused,
    RunReproduced,
)


def refused(_: object, connection: sqlite3.Connection, recorded: RecordedEvent, event: RunRefused) -> None:
    """Add the row of a start that was refused."""
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


def definition_changed(
    _: object, connection: sqlite3.Connection, recorded: RecordedEvent, event: DefinitionChanged
) -> None:
    """Add the row of a change of the definition."""
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


def moved(_: object, connection: sqlite3.Connection, recorded: RecordedEvent, event: PipelineMoved) -> None:
    """Note the new place of the definition, and add the row of the move."""
    connection.execute("UPDATE pipelines SET definition_path = ? WHERE pipeline = ?", (event.after, event.pipeline))
    _insert_move(connection, recorded, event, "definition", event.reason)


def host_changed(_: object, connection: sqlite3.Connection, recorded: RecordedEvent, event: HostChanged) -> None:
    """Add the row of a move to another host."""
    _insert_move(connection, recorded, event, "host", None)


def accepted(_: object, connection: sqlite3.Connection, recorded: RecordedEvent, event: OutputAccepted) -> None:
    """Add the row of accepted outputs, which the next run compares with."""
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


def note_added(_: object, connection: sqlite3.Connection, recorded: RecordedEvent, event: NoteAdded) -> None:
    """Add the row of a note."""
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


def acknowledged(_: object, connection: sqlite3.Connection, recorded: RecordedEvent, event: RunAcknowledged) -> None:
    """Add the row of an acknowledgement."""
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


def reproduced(_: object, connection: sqlite3.Connection, recorded: RecordedEvent, event: RunReproduced) -> None:
    """Add the row of what came of running a run again."""
    first = event.first or {}
    connection.execute(
        "INSERT INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            recorded.seq,
            event.pipeline,
            event.run_id,
            event.reproduction,
            recorded.recorded_at,
            event.verdict,
            first.get("step"),
            first.get("dataset"),
            canonical_text(event.steps),
            canonical_text(event.causes),
            canonical_text(event.left_out),
            canonical_text(event.trusted),
            event.reason,
            canonical_text(event.actor),
        ),
    )


def anchored(_: object, connection: sqlite3.Connection, recorded: RecordedEvent, event: CheckpointAnchored) -> None:
    """Add the row of a checkpoint that was anchored."""
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


def _json(value: object) -> str | None:
    return None if value is None else canonical_text(value)
