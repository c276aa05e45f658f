"""
The domain events: every state transition of a run, in the past tense, with the names under which they are stored.

A type's stored name is a literal in `EVENT_TYPES`, never an import path, so that renaming a class breaks no history.
Durations are integer microseconds. Times stand in the envelope (`recorded_at`), not here.
`docs/reference/events.md` is generated from this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs

from orchestrator.core.errors import UnknownEventError
from orchestrator.core.pipeline_events import (
    AlertDelivered,
    AlertFailed,
    AlertRaised,
    BlobsPruned,
    CheckpointAnchored,
    DeadmanPinged,
    DefinitionChanged,
    FilesPruned,
    HistoryCarried,
    HostChanged,
    Json,
    NoteAdded,
    OutputAccepted,
    PipelineMoved,
    RunAcknowledged,
    RunCancelRequested,
    RunRefused,
    RunReproduced,
    TelemetryDelivered,
    TelemetryFailed,
)
from orchestrator.core.upcasts import UPCASTS, Upcasts, upcast

__all__ = [
    "EVENT_TYPES",
    "AlertDelivered",
    "AlertFailed",
    "AlertRaised",
    "AttemptFinished",
    "AttemptStarted",
    "BlobsPruned",
    "CheckpointAnchored",
    "DeadmanPinged",
    "DefinitionChanged",
    "Event",
    "FilesPruned",
    "HistoryCarried",
    "HostChanged",
    "NoteAdded",
    "OutputAccepted",
    "PipelineMoved",
    "RetryScheduled",
    "RunAcknowledged",
    "RunCancelRequested",
    "RunFinished",
    "RunRefused",
    "RunReproduced",
    "RunResumed",
    "RunStarted",
    "StepFinished",
    "TelemetryDelivered",
    "TelemetryFailed",
    "event_data",
    "event_from_data",
    "event_type",
]


@attrs.frozen
class RunStarted:
    """
    A run began; everything it was started with.

    Attributes:
        definition: Digest of the definition's canonical form; the form itself is a blob of that digest.
        graph: Digest of the blob `{"steps": [{"step": ..., "upstream": [...], "reads": [...], "writes": [...]}]}`, in order.
        selection: `{"only": [...], "from": [...], "until": [...], "omit": [...], "force": bool}`.
        variables: For each declared variable `{"origin": ..., "value": ...}`; secrets have no value, those with `rekey` a keyed digest (`keyed`).
        actor: Who started it, as claimed by the host: `{"user", "login", "sudo", "host", "terminal"}`.
        git: `{"commit", "dirty"}` of the folder of the definition, or None.
        traceparent: The W3C trace context in which it was started, where there was a valid one; its trace is that of the run.
        tracestate: What belongs to that.
        environment: Digest of the blob that says what it ran with: code, interpreter, packages, programs, platform; see the reference of environments.
        reproduces: The run that this one runs again, to compare what comes of it; None for every other run.
    """

    run_id: str
    pipeline: str
    night: str
    definition: str
    definition_path: str
    graph: str
    selection: Json
    variables: Json
    trigger: str
    actor: Json
    git: Json | None
    host: str
    boot_id: str
    pid: int
    process_start: str
    max_parallel: int
    program: str
    reason: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    environment: str | None = None
    reproduces: str | None = None


@attrs.frozen
class RunResumed:
    """
    A run that had not ended well goes on: what had succeeded stays, everything else is decided again.

    Attributes:
        before: How it had ended.
        definition: As in `run.started`, like all that is not explained here; another one than before was accepted by whoever resumed it.
    """

    run_id: str
    pipeline: str
    night: str
    before: str
    definition: str
    definition_path: str
    graph: str
    variables: Json
    trigger: str
    actor: Json
    git: Json | None
    host: str
    boot_id: str
    pid: int
    process_start: str
    max_parallel: int
    program: str
    reason: str | None = None
    environment: str | None = None


@attrs.frozen
class RunFinished:
    """
    A run ended, once for each start or resume; `status` is one of succeeded, nothing_to_do, failed, timed_out, cancelled, interrupted.

    Attributes:
        counts: How many steps ended in each status.
        root_cause: `{"step", "reason", "error_class", "message"}` of the first failure, or None.
        duration_us: From the start or the last resume by the monotonic clock; None where the orchestrator died.
    """

    status: str
    exit_code: int | None
    duration_us: int | None
    counts: Json
    root_cause: Json | None = None


@attrs.frozen
class AttemptStarted:
    """
    An attempt of a step was decided and is about to be spawned.

    Attributes:
        reason: Why it runs: `never_succeeded`, `last_attempt_failed`, `forced`, `changed`, `output_changed`, ...
        evidence: What the reason rests on, such as `{"component", "before", "after"}`.
        key: Digest of *components*.
        components: The key's material, see `core.fingerprint`; `{"blob": digest}` where it is large.
        waited_us: From the decision to this start: for one of the `max_parallel` places and for shares of pools; absent where it did not wait.
    """

    step: str
    attempt: int
    reason: str
    evidence: Json
    key: str
    components: Json
    waited_us: int | None = None


@attrs.frozen
class AttemptFinished:
    """
    An attempt ended.

    Attributes:
        status: succeeded, no_new_data, failed, cancelled.
        reason: Why it failed: exit, signal, timeout, not_started, bad_result, missing_output, reported, lost; cancelled or deadline where it was ended with its run.
        exit_code: 0 to 255, or None where a signal ended it or it never started.
        duration_us: From spawn to exit by the monotonic clock; None where it is not known.
        log: `{"path", "bytes", "lines", "sha256"}`, or None where nothing was printed.
        metrics: What the step reported.
        masked: How often each secret was masked, by name.
        killed: Signals that were sent to the group, in order.
        killed_us: When each of *killed* was sent first, in microseconds after the spawn by the monotonic clock.
        survivors: `{"pid", "name"}` of each process that went on after the end of the one that was started, and was killed; a hundred at most. With
            `"alive": true` it could not be killed, and went on; that may be the one that was started.
    """

    step: str
    attempt: int
    status: str
    reason: str | None = None
    error_class: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    duration_us: int | None = None
    pid: int | None = None
    message: str | None = None
    log: Json | None = None
    metrics: Json | None = None
    reported: Json | None = None
    masked: Json | None = None
    killed: tuple[str, ...] = ()
    killed_us: tuple[int, ...] | None = None
    survivors: tuple[Json, ...] = ()


@attrs.frozen
class RetryScheduled:
    """
    An attempt failed, and the step will be tried again.

    Attributes:
        attempt: Number of the attempt that will follow.
        delay_us: Between the failure and that attempt, by the step's `retry`; a function of run, step and attempt.
        not_before: The wall time at which that is over; a resumed run waits for it as well.
    """

    step: str
    attempt: int
    error_class: str
    delay_us: int
    not_before: str


@attrs.frozen
class StepFinished:
    """
    A step got its final status in this run: succeeded, failed, skipped or cancelled.

    Attributes:
        reason: Why it was skipped or failed, see the decision table; None for a plain success.
        evidence: What the reason rests on.
        key: The key that a later run compares with; set on success and on `no_new_data`.
        components: As in `AttemptStarted`; only where no attempt of this run carries them.
        outputs: Content digest of each dataset it writes, as they are now; set on success.
        duration_us: Of the last attempt.
    """

    step: str
    status: str
    reason: str | None = None
    evidence: Json = attrs.field(factory=dict)
    error_class: str | None = None
    attempts: int = 0
    key: str | None = None
    outputs: Json | None = None
    duration_us: int | None = None


Event: TypeAlias = (
    RunStarted
    | RunResumed
    | RunFinished
    | AttemptStarted
    | AttemptFinished
    | RetryScheduled
    | StepFinished
    | RunRefused
    | DefinitionChanged
    | PipelineMoved
    | HostChanged
    | OutputAccepted
    | NoteAdded
    | RunAcknowledged
    | RunCancelRequested
    | RunReproduced
    | CheckpointAnchored
    | HistoryCarried
    | AlertRaised
    | AlertDelivered
    | AlertFailed
    | DeadmanPinged
    | FilesPruned
    | BlobsPruned
    | TelemetryDelivered
    | TelemetryFailed
)

EVENT_TYPES: Mapping[str, tuple[type[Event], int]] = {
    "run.started": (RunStarted, 1),
    "run.resumed": (RunResumed, 1),
    "run.finished": (RunFinished, 1),
    "run.refused": (RunRefused, 1),
    "attempt.started": (AttemptStarted, 1),
    "attempt.finished": (AttemptFinished, 1),
    "retry.scheduled": (RetryScheduled, 1),
    "step.finished": (StepFinished, 1),
    "definition.changed": (DefinitionChanged, 1),
    "pipeline.moved": (PipelineMoved, 1),
    "host.changed": (HostChanged, 1),
    "output.accepted": (OutputAccepted, 1),
    "note.added": (NoteAdded, 1),
    "run.acknowledged": (RunAcknowledged, 1),
    "run.cancel_requested": (RunCancelRequested, 1),
    "run.reproduced": (RunReproduced, 1),
    "checkpoint.anchored": (CheckpointAnchored, 1),
    "history.carried": (HistoryCarried, 1),
    "alert.raised": (AlertRaised, 1),
    "alert.delivered": (AlertDelivered, 1),
    "alert.failed": (AlertFailed, 1),
    "deadman.pinged": (DeadmanPinged, 1),
    "files.pruned": (FilesPruned, 1),
    "blobs.pruned": (BlobsPruned, 1),
    "telemetry.delivered": (TelemetryDelivered, 1),
    "telemetry.failed": (TelemetryFailed, 1),
}
"""Stored name to class and current version of its data."""

_NAMES: Mapping[type[object], tuple[str, int]] = {cls: (name, version) for name, (cls, version) in EVENT_TYPES.items()}
_FIELDS: Mapping[type[object], tuple[str, ...]] = {
    cls: tuple(field.name for field in attrs.fields(cls)) for cls, _ in EVENT_TYPES.values()
}
_ABSENT: Mapping[type[object], Mapping[str, object]] = {
    cls: {
        field.name: None
        for field in attrs.fields(cls)
        if field.default is attrs.NOTHING and str(field.type).endswith("| None")
    }
    for cls, _ in EVENT_TYPES.values()
}
"""Fields that must be given and may be None: stored data leaves them out then."""


def event_type(event: Event) -> tuple[str, int]:
    """Return the stored name and the data version of *event*."""
    return _NAMES[type(event)]


def event_data(event: Event) -> dict[str, object]:
    """
    Return the fields of *event* as plain values, without those that are None.

    An absent field and a None field mean the same, so that old data needs no upcast for a new optional field.
    """
    data: dict[str, object] = {}
    for name in _FIELDS[type(event)]:
        value = getattr(event, name)
        if value is not None:
            data[name] = list(value) if type(value) is tuple else value
    return data


def event_from_data(
    name: str,
    version: int,
    data: Mapping[str, object],
    *,
    types: Mapping[str, tuple[type[Event], int]] = EVENT_TYPES,
    upcasts: Upcasts = UPCASTS,
) -> Event:
    """
    Rebuild the event of a stored *name* and *version*; an older version is carried up to the present one.

    Raises:
        UnknownEventError: The name or the version is not in the table; a projection must stop, not guess.
    """
    known = types.get(name)
    if known is None:
        raise UnknownEventError(name, version)
    cls, present = known
    if version != present:
        data = upcast(name, version, data, present=present, upcasts=upcasts)
    values: dict[str, Any] = dict(_ABSENT[cls])
    values.update((key, tuple(value) if isinstance(value, list) else value) for key, value in data.items())
    try:
        event: Event = cls(**values)
    except TypeError:
        # The name and version are ours, the fields are not: somebody else's history.
        raise UnknownEventError(name, version) from None
    return event
