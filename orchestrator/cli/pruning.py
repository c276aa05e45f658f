"""
`orchestrate prune`: what of logs, reports and blobs is past its retention, and removing it.

What goes is recorded before it goes. So a crash in between leaves files that an event says are removed, which the next call takes away, and never a
file that is gone without an event; for blobs, which are in the ledger, both are one transaction.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import attrs

from ledger.events import NewEvent
from ledger.pruning import remove_blobs
from ledger.store import Ledger
from ledger.times import format_utc
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.manual import checked_reason, masking
from orchestrator.cli.reading import View
from orchestrator.core.durations import InvalidDurationError, parse_duration
from orchestrator.core.events import BlobsPruned, FilesPruned, event_data, event_type
from orchestrator.core.retention import OVERRIDE, EndedRun, Rule, past_runs, rules_of
from orchestrator.projections.manual_actions import recorded_definition
from orchestrator.projections.prunable import Blob, prunable_blobs
from orchestrator.projections.pruned import pruned_files
from orchestrator.runtime.provenance import current_actor
from orchestrator.runtime.pruning import LeftFile, Recorded, files_of_run, remove_file

Item = TypeVar("Item")

BLOBS = "blobs"
_AT_ONCE = 500
"""So many files or blobs stand in one event."""


@attrs.frozen
class Wish:
    """Hold what the command was asked for; *now* in microseconds since the epoch."""

    kinds: Sequence[str]
    older_than: str | None
    now: int


@attrs.define
class Part:
    """
    Hold what is past one rule.

    Attributes:
        before: What ended before this time is.
        runs: Those that are past it.
        files: That may go.
        recorded: Of *files*, those of which an event says already that they are removed.
        left: That stay, with what keeps them.
    """

    rule: Rule
    before: str
    runs: Sequence[str]
    files: list[LeftFile] = attrs.field(factory=list)
    recorded: set[str] = attrs.field(factory=set)
    blobs: list[Blob] = attrs.field(factory=list)
    left: list[LeftFile] = attrs.field(factory=list)

    @property
    def there(self) -> list[LeftFile]:
        """The files that are there."""
        return [file for file in self.files if not file.absent]

    @property
    def bytes(self) -> int:
        """How much goes."""
        return sum(file.bytes for file in self.there) + sum(blob.bytes for blob in self.blobs)


def parts_past(view: View, wish: Wish, *, read: bool) -> list[Part]:
    """
    Return what is past its retention in the ledger of *view*, one part for each rule.

    Args:
        read: Also read the files, to know what is about to be removed.

    Raises:
        UsageRefusedError: What was asked for is no duration.
    """
    runs = [
        EndedRun(*row)
        for row in view.connection.execute("SELECT run_id, pipeline, finished_at FROM runs ORDER BY first_seq")
    ]
    again = [
        EndedRun(*row) for row in view.connection.execute("SELECT run_id, pipeline, finished_at FROM reproductions")
    ]
    found = []
    for rule in _rules(view, wish):
        before = format_utc(max(0, wish.now - parse_duration(rule.keep, zero_allowed=True)))
        # Nobody goes on with a reproduction, so that the newest one goes like any other.
        ended = [run.run_id for run in again if run.pipeline == rule.pipeline and (run.finished_at or before) < before]
        part = Part(rule, before, [*past_runs(runs, rule.pipeline, before), *ended])
        if rule.kind != BLOBS:
            _add_files(part, view, read=read)
        found.append(part)
    _add_blobs([part for part in found if part.rule.kind == BLOBS], view.connection)
    return found


def _rules(view: View, wish: Wish) -> list[Rule]:
    if wish.older_than is not None:
        try:
            parse_duration(wish.older_than, zero_allowed=True)
        except InvalidDurationError as error:
            raise UsageRefusedError("usage", f"{OVERRIDE}: {error}") from None
    return [
        rule
        for name in pruned_pipelines(view)
        for rule in rules_of(name, recorded_definition(view.connection, name), wish.kinds, wish.older_than)
    ]


def pruned_pipelines(view: View) -> list[str]:
    """Return the pipelines that are looked at: that of *view*, or all of its ledger."""
    names = [name for (name,) in view.connection.execute("SELECT pipeline FROM pipelines ORDER BY pipeline")]
    return [name for name in names if view.pipeline in (None, name)]


def _add_files(part: Part, view: View, *, read: bool) -> None:
    known = pruned_files(view.connection, part.rule.pipeline)
    for run_id in part.runs:
        recorded = _logs_of(view.connection, run_id) if part.rule.kind == "logs" else {}
        for file in files_of_run(view.folder, part.rule.kind, run_id, recorded, read=read):
            is_told = file.path in known and (not read or known[file.path]["sha256"] == file.sha256)
            if file.problem is not None:
                part.left.append(file)
            elif not (file.absent and is_told):
                part.files.append(file)
                part.recorded.update([file.path] if is_told else ())


def _logs_of(connection: sqlite3.Connection, run_id: str) -> dict[str, Recorded]:
    rows = connection.execute(
        "SELECT log, log_bytes, log_sha256 FROM attempts WHERE run_id = ? AND log IS NOT NULL", (run_id,)
    )
    return {path: Recorded(size, digest) for path, size, digest in rows}


def _add_blobs(parts: Sequence[Part], connection: sqlite3.Connection) -> None:
    past = {run_id: part.rule.pipeline for part in parts for run_id in part.runs}
    blobs = prunable_blobs(connection, past) if past else []
    for part in parts:
        part.blobs = [blob for blob in blobs if blob.pipeline == part.rule.pipeline]


@attrs.frozen
class Done:
    """Hold what was removed: the events that say so, and the files that could not be, with the reason."""

    events: Sequence[int]
    failed: Sequence[LeftFile]


def removed(view: View, store: Ledger, parts: Sequence[Part], *, since: int, reason: str | None) -> Done:
    """
    Record what is in *parts*, remove it, and return what came of it.

    Args:
        since: How many events there were before *parts* were looked for.

    Raises:
        RefusedError: A pipeline requires a reason for what its definition does not say, and none was given.
        StorageError: The disk refused; what is recorded by then and still there goes the next time.
    """
    reasons = {part.rule: _reason(view, part.rule, reason) for part in parts}
    seqs, failed = [], []
    for part in parts:
        new = [file for file in part.files if file.path not in part.recorded]
        for files in _chunks(new):
            event = FilesPruned(
                pipeline=part.rule.pipeline,
                kind=part.rule.kind,
                keep=part.rule.keep,
                policy=part.rule.policy,
                before=part.before,
                files=tuple(_as_recorded(file) for file in files),
                actor=current_actor(os.environ),
                reason=reasons[part.rule],
            )
            seqs += [item.seq for item in store.append(*_in_stream(event), expected_version=None)]
        failed += list(_remove_files(view.folder, part.there))
    seqs += _remove_blobs(store, parts, reasons, since)
    return Done(seqs, failed)


def _reason(view: View, rule: Rule, reason: str | None) -> str | None:
    """What the definition says needs no reason; whoever goes beyond it by hand may need one."""
    if rule.policy == OVERRIDE:
        reason = checked_reason(view, rule.pipeline, reason, f"prune {OVERRIDE}")
    return None if reason is None else masking(view, rule.pipeline, os.environ)(reason)


def _as_recorded(file: LeftFile) -> dict[str, object]:
    told: dict[str, object] = {"run": file.run_id, "path": file.path, "bytes": file.bytes, "sha256": file.sha256}
    return told | {"absent": True} if file.absent else told


def _remove_files(folder: Path, files: Iterable[LeftFile]) -> Iterator[LeftFile]:
    for file in files:
        try:
            remove_file(folder, file.path)
        except OSError as error:
            yield file._replace(problem=f"it cannot be removed: {error.strerror}")


def _remove_blobs(store: Ledger, parts: Sequence[Part], reasons: Mapping[Rule, str | None], since: int) -> list[int]:
    by_digest = {blob.digest: (blob, part) for part in parts for blob in part.blobs}
    if not by_digest:
        return []

    def record(digests: Sequence[str]) -> list[tuple[str, NewEvent]]:
        found: list[tuple[str, NewEvent]] = []
        for part in parts:
            own = [by_digest[digest][0] for digest in digests if by_digest[digest][1] is part]
            for blobs in _chunks(own):
                event = BlobsPruned(
                    pipeline=part.rule.pipeline,
                    keep=part.rule.keep,
                    policy=part.rule.policy,
                    before=part.before,
                    blobs=tuple({"digest": blob.digest, "bytes": blob.bytes} for blob in blobs),
                    actor=current_actor(os.environ),
                    reason=reasons[part.rule],
                )
                stream, new = _in_stream(event)
                found += [(stream, item) for item in new]
        return found

    return [item.seq for item in remove_blobs(store, list(by_digest), since=since, record=record)]


def _in_stream(event: FilesPruned | BlobsPruned) -> tuple[str, list[NewEvent]]:
    return f"pipeline/{event.pipeline}", [NewEvent(*event_type(event), event_data(event))]


def _chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[place : place + _AT_ONCE] for place in range(0, len(items), _AT_ONCE))
