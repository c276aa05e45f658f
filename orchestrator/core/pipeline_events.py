"""
The domain events that belong to a pipeline, or to the ledger as a whole, rather than to a run: what happened around runs.

They are listed, and given the names under which they are stored, in `core.events`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import attrs

Json: TypeAlias = Mapping[str, object]


@attrs.frozen
class RunRefused:
    """
    A start was refused before anything ran; in the stream of the pipeline, since it is no run.

    Attributes:
        problems: As `core.problems.Problem.as_json` gives them.
        holder: For a start that lost to an active run: `{"run_id", "pid", "host"}`.
    """

    pipeline: str
    night: str | None
    exit_code: int
    problems: tuple[Json, ...]
    definition_path: str
    actor: Json
    holder: Json | None = None


@attrs.frozen
class DefinitionChanged:
    """
    A run met a definition digest that this pipeline has not had before, or not last.

    Attributes:
        changes: `{"path", "kind": added|removed|changed|renamed, "before", "after"}`, one for each difference.
    """

    pipeline: str
    before: str | None
    after: str
    changes: tuple[Json, ...]
    definition_path: str
    git: Json | None
    actor: Json


@attrs.frozen
class PipelineMoved:
    """A pipeline's name was given to another definition path on purpose."""

    pipeline: str
    before: str
    after: str
    actor: Json
    reason: str | None = None


@attrs.frozen
class HostChanged:
    """A pipeline is about to run on another host than the last time; its history and its skips go on."""

    pipeline: str
    before: str
    after: str
    actor: Json


@attrs.frozen
class OutputAccepted:
    """
    Somebody declared the present outputs of a step to be current, though no attempt wrote them.

    Attributes:
        outputs: Content digest of each dataset as it was accepted.
        before: Content digest of each dataset as the step had last written it.
    """

    pipeline: str
    run_id: str
    step: str
    night: str
    outputs: Json
    before: Json
    key: str | None
    actor: Json
    reason: str


@attrs.frozen
class NoteAdded:
    """
    Somebody wrote something down about a run or one of its steps.

    Attributes:
        step: None where it is about the run as a whole.
    """

    pipeline: str
    run_id: str
    step: str | None
    text: str
    actor: Json
    reason: str | None = None


@attrs.frozen
class RunAcknowledged:
    """
    Somebody said that a run that did not end well is known of; it stays what it was.

    Attributes:
        status: How the run had ended.
    """

    pipeline: str
    run_id: str
    status: str
    actor: Json
    reason: str | None = None


@attrs.frozen
class RunCancelRequested:
    """
    Somebody asked for the end of a run that counted as running; how it ended stands in its `run.finished`.

    Attributes:
        force: What runs was to be killed at once.
    """

    pipeline: str
    run_id: str
    force: bool
    actor: Json
    reason: str | None = None


@attrs.frozen
class RunReproduced:
    """
    A run was run again, or was to be, and this is what came of it.

    Attributes:
        run_id: The run that was to be had again.
        reproduction: The run that ran it again, which names it as `reproduces`; None where nothing could be started.
        verdict: identical, equivalent (other bytes, the same content), different, or not_reproducible.
        first: `{"step", "dataset", "columns"}` of the first step that differs, in the order of the graph; the latter two where they are known.
        steps: `{"step", "verdict"}` of each step that was run again; where it is not identical with `outcome`, `behind` and `datasets`: `{"dataset", "verdict",
            "expected", "actual", "files": [{"path", "verdict", ...}], "more_files"}`. No value of a cell stands in it.
        causes: Why it is not reproducible, as `core.problems.Problem.as_json` gives them.
        left_out: Step that had been attempted and was not run again, to the reason.
        trusted: Secrets whose value of today was taken though it is not known to be the recorded one.
    """

    pipeline: str
    run_id: str
    reproduction: str | None
    verdict: str
    steps: tuple[Json, ...]
    causes: tuple[Json, ...]
    left_out: Json
    actor: Json
    first: Json | None = None
    trusted: tuple[str, ...] = ()
    reason: str | None = None


@attrs.frozen
class CheckpointAnchored:
    """
    The checkpoint over a run was handed to the anchors that the definition names; after the run, so that the next checkpoint covers this.

    Attributes:
        size: How many events the checkpoint covers.
        root: Of their Merkle tree, hexadecimal.
        anchors: `{"anchor", "ok", "detail"}` for each; the detail only where it failed.
    """

    pipeline: str
    run_id: str
    size: int
    root: str
    anchors: tuple[Json, ...]


@attrs.frozen
class HistoryCarried:
    """
    A ledger that continues a former one takes over what decisions need of it; in the stream of the ledger, right after its first event.

    Attributes:
        ledger: Id of the former ledger.
        events: How many of its events were saved.
        state: Digest of the blob with its pipelines and baselines, and with the attempts that those compare with.
    """

    ledger: str
    events: int
    state: str


@attrs.frozen
class AlertRaised:
    """
    Somebody is to be told something; until `alert.delivered` follows, it is tried again at each start.

    Attributes:
        alert: Made of what it is about and of the channel, so that the same is never raised twice.
        channel: As the definition names it; how to reach it stands there.
        kind: failed, recovered, refused, deadline, stale, missing, digest.
        what: In one line; the message itself is made when it is sent.
        about: Place in the ledger of the event that it is about.
        facts: What a finding or a refusal rests on.
    """

    alert: str
    pipeline: str
    channel: str
    kind: str
    what: str
    run_id: str | None = None
    about: int | None = None
    facts: Json | None = None


@attrs.frozen
class AlertDelivered:
    """A channel has taken an alert: its command ended with 0, or its address answered with a success."""

    alert: str
    pipeline: str
    channel: str
    attempt: int


@attrs.frozen
class AlertFailed:
    """
    A channel has not taken an alert.

    Attributes:
        attempt: Counted from 1.
        error: Why, without secrets.
    """

    alert: str
    pipeline: str
    channel: str
    attempt: int
    error: str


@attrs.frozen
class DeadmanPinged:
    """
    An address of `[deadman]` was asked for; what came of it changes nothing for the run.

    Attributes:
        on: start, success or failure.
        error: Why it did not answer with a success, without secrets.
    """

    pipeline: str
    run_id: str | None
    on: str
    ok: bool
    error: str | None = None


@attrs.frozen
class FilesPruned:
    """
    Files beside the ledger were past their retention; what is there of them is removed right after this is recorded.

    Attributes:
        kind: logs or reports.
        keep: The retention that they were past, such as `90d`.
        policy: Where that stands: `definition`, with which the pipeline last ran, or `--older-than`.
        before: They are of runs that ended before this time.
        files: `{"run", "path", "bytes", "sha256"}` for each, the path from the ledger's folder on. With `"absent": true` it was gone already, and
            length and digest are those of the event that named it.
        actor: Who pruned.
    """

    pipeline: str
    kind: str
    keep: str
    policy: str
    before: str
    files: tuple[Json, ...]
    actor: Json
    reason: str | None = None


@attrs.frozen
class BlobsPruned:
    """
    Documents that the ledger kept by digest were past their retention, and are removed in the transaction that records this.

    Attributes:
        keep: As in `files.pruned`, like all that is not explained here.
        blobs: `{"digest", "bytes"}` for each: certificates, lists of files and the material of keys that only runs past their retention name.
    """

    pipeline: str
    keep: str
    policy: str
    before: str
    blobs: tuple[Json, ...]
    actor: Json
    reason: str | None = None


@attrs.frozen
class TelemetryDelivered:
    """
    A place has taken all that a run had for it of one signal: at its end, at the start or the end of a later one, or by `telemetry replay`.

    Attributes:
        signal: traces, metrics, logs, or step_output for what steps have printed.
        place: otlp for a collector, file for a file of OTLP JSON lines.
        items: How many spans, metrics, records or lines that were.
    """

    pipeline: str
    run_id: str
    signal: str
    place: str
    items: int


@attrs.frozen
class TelemetryFailed:
    """
    A place has not taken all that a run had for it of one signal; until `telemetry.delivered` follows, later runs try again for a week, but for `step_output`.

    Attributes:
        items: How many were not delivered.
        error: One word for what went wrong last; with `rejected` nobody tries again.
    """

    pipeline: str
    run_id: str
    signal: str
    place: str
    items: int
    error: str
