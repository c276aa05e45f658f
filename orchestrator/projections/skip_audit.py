"""
Whether each skip was right, told from what the history held before it: the skip's certificate against the last success, recomputed.

The history is read once, in order. It is the events that are asked, not the tables, and the decision's own code has no part in it: what is
compared are digests, and how they are made is written down in `docs/reference/decisions.md`.

What is kept meanwhile does not grow with the number of runs: of each pipeline the newest run, and of documents those that were used last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping
from functools import lru_cache
from typing import Any

import attrs

from ledger.canonical import blob_digest
from ledger.events import RecordedEvent
from orchestrator.core.decide import SUCCESSES
from orchestrator.core.events import (
    AttemptFinished,
    AttemptStarted,
    HistoryCarried,
    OutputAccepted,
    RunResumed,
    RunStarted,
    StepFinished,
    event_from_data,
)
from orchestrator.core.explain import short_digest
from orchestrator.core.fingerprint import first_difference, key_digest, rename_components

TYPES = (
    "attempt.finished",
    "attempt.started",
    "history.carried",
    "output.accepted",
    "run.resumed",
    "run.started",
    "step.finished",
)
"""The types of events that this reads."""

_DECIDED = ("no_new_data", "up_to_date")
_KEPT_AT_MOST = 256
"""Documents of each kind: a definition or a graph is that of many runs, a certificate that of many skips."""


class _PrunedError(Exception):
    """Raised where something is asked for that is there no more, as an event says."""


@attrs.define(eq=False)
class _Attempt:
    name: str
    key: str
    components: Mapping[str, Any]
    night: str | None
    status: str = "running"


@attrs.define(eq=False)
class _Row:
    """What a step is compared with: its last attempt, and its last success with its outputs."""

    last: _Attempt
    success: _Attempt | None = None
    key: str | None = None
    outputs: Mapping[str, Any] = attrs.field(factory=dict)
    is_accepted: bool = False
    accepted_run: str | None = None


@attrs.define(eq=False)
class _Run:
    run_id: str
    pipeline: str
    night: str
    is_forced: bool
    graph: dict[str, Mapping[str, Any]]
    document: Mapping[str, Any]
    attempted: set[str] = attrs.field(factory=set)

    def counted_night(self, step: str) -> str:
        return self.night if self.graph.get(step, {}).get("per_night") else ""

    def is_vouched(self, step: str, row: _Row) -> bool:
        """Whether *step* must not be attempted twice, and the lost attempt in *row* was accepted in this run or is of its night."""
        here = self.run_id == row.accepted_run or self.night == row.last.night
        never = self.document.get("steps", {}).get(step, {}).get("rerun") == "never"
        return row.is_accepted and row.last.status == "lost" and here and never

    def former(self, table: str) -> dict[str, str]:
        """Return former names of datasets or of steps with the present ones."""
        entries = self.document.get(table, {})
        return {former: name for name, entry in entries.items() for former in entry.get("formerly", ())}

    def names(self, step: str) -> Iterator[tuple[str, str]]:
        """Yield the names of pipeline and step under which the step's history may stand, the present ones first."""
        pipelines = (self.pipeline, *self.document.get("pipeline", {}).get("formerly", ()))
        steps = (step, *self.document.get("steps", {}).get(step, {}).get("formerly", ()))
        yield from ((pipeline, name) for name in steps for pipeline in pipelines)


class SkipAudit:
    """
    Read a history and say what is wrong with its skips.

    Attributes:
        checked: How many skips were decided and checked.
        reported: How many steps said by themselves that there was nothing new; their keys are checked.
        uncertified: How many skips have no certificate, since an older program decided them; of these the key alone is checked.
        pruned: How many, of both sorts, cannot be checked any more: what they rested on was pruned.

    Args:
        blob: Returns what is kept under a digest, or None.
        pruned: What events say was pruned, by digest.
    """

    def __init__(self, blob: Callable[[str], bytes | None], pruned: Container[str] = ()) -> None:
        self.checked = self.reported = self.uncertified = self.pruned = 0
        self._kept = blob
        self._pruned = pruned
        self._runs: dict[str, _Run] = {}
        self._rows: dict[tuple[str, str, str], _Row] = {}
        self._is_certified = False
        self._document = lru_cache(_KEPT_AT_MOST)(self._load)
        self._extent = lru_cache(_KEPT_AT_MOST)(self._measure)
        self._certificate = lru_cache(_KEPT_AT_MOST)(self._read)

    def take(self, recorded: RecordedEvent) -> list[str]:
        """Take the next event, and return what is wrong with the skip that it records, if it does."""
        event = event_from_data(recorded.type, recorded.type_version, recorded.data)
        run = self._runs.get(recorded.stream.removeprefix("run/"))
        match event:
            case RunStarted(reproduces=str()):
                pass  # What a reproduction does is no part of the history that decisions rest on.
            case RunStarted() | RunResumed():
                self._open(event)
            case HistoryCarried():
                self._carry(event)
            case OutputAccepted():
                self._accept(event)
            case AttemptStarted() if run is not None:
                self._start(run, event)
            case AttemptFinished() if run is not None:
                row = self._rows[run.pipeline, event.step, run.counted_night(event.step)]
                row.last.status = "lost" if event.reason == "lost" else event.status
            case StepFinished() if run is not None:
                return [f"run {run.run_id}, step {event.step}: {what}" for what in self._finished(run, event)]
            case StepFinished(status="skipped") if event.reason in _DECIDED:
                return [
                    f"{recorded.stream}, step {event.step}: its run never began, or is not the newest of its pipeline"
                ]
        return []

    def _blob(self, digest: str) -> bytes | None:
        content = self._kept(digest)
        if content is None and digest in self._pruned:
            raise _PrunedError
        return content

    def _finished(self, run: _Run, event: StepFinished) -> list[str]:
        problems: list[str] = []
        try:
            problems.extend(self._finish(run, event))
        except _PrunedError:
            self.pruned += event.reason in _DECIDED
        return problems

    # What is compared with

    def _open(self, event: RunStarted | RunResumed) -> None:
        graph = self._document(event.graph)
        known = self._runs.get(event.run_id)
        for run_id in [run.run_id for run in self._runs.values() if run.pipeline == event.pipeline]:
            del self._runs[run_id]  # Only the newest run of a pipeline is ever gone on with.
        self._runs[event.run_id] = _Run(
            run_id=event.run_id,
            pipeline=event.pipeline,
            night=event.night,
            is_forced=bool(event.selection.get("force")) if isinstance(event, RunStarted) else known is not None and known.is_forced,
            graph={str(entry["step"]): entry for entry in graph.get("steps", ())},
            document=self._document(event.definition),
            attempted=set() if known is None else known.attempted,
        )  # fmt: skip

    def _carry(self, event: HistoryCarried) -> None:
        state = self._document(event.state)
        attempts = {}
        for item in state.get("attempts", ()):
            components = json.loads(item["components"])
            status = "lost" if item["reason"] == "lost" else str(item["status"])
            name = f"{item['run_id']}/{item['attempt']}"
            attempts[item["step"], name] = _Attempt(name, str(item["key"]), components, None, status)
        for item in state.get("baselines", ()):
            last = attempts[item["step"], f"{item['last_run_id']}/{item['last_attempt']}"]
            last.night = item["night"] or None
            success = attempts.get((item["step"], f"{item['run_id']}/{item['attempt']}"))
            outputs = json.loads(item["outputs"]) if item["outputs"] else {}
            row = _Row(last, success, item["key"], outputs, is_accepted=bool(item["accepted"]))
            self._rows[item["pipeline"], item["step"], item["night"]] = row

    def _start(self, run: _Run, event: AttemptStarted) -> None:
        run.attempted.add(event.step)
        attempt = _Attempt(f"{run.run_id}/{event.attempt}", event.key, event.components, run.night)
        place = (run.pipeline, event.step, run.counted_night(event.step))
        row = self._rows.get(place)
        if row is None:
            self._rows[place] = _Row(attempt)
        else:
            row.last, row.is_accepted = attempt, False

    def _accept(self, event: OutputAccepted) -> None:
        row = self._rows.get((event.pipeline, event.step, event.night))
        if row is not None:
            row.success, row.outputs, row.is_accepted = row.last, event.outputs, True
            row.accepted_run = event.run_id
            row.key = event.key or row.key

    # What is checked

    def _finish(self, run: _Run, event: StepFinished) -> Iterator[str]:
        row = self._rows.get((run.pipeline, event.step, run.counted_night(event.step)))
        if event.key is not None and row is not None:
            row.success, row.key, row.outputs = row.last, event.key, event.outputs or {}
            if event.key != row.last.key or key_digest(self._material(row.last.components)) != event.key:
                yield f"the key {short_digest(event.key)} of its success is not that of the material of attempt {row.last.name}"
            self.reported += event.reason == "no_new_data"
        elif event.status == "skipped" and event.reason in _DECIDED:
            yield from self._check(run, event)
            self.checked += 1

    def _check(self, run: _Run, event: StepFinished) -> Iterator[str]:
        night = run.counted_night(event.step)
        row = next((row for names in run.names(event.step) if (row := self._rows.get((*names, night)))), None)
        if row is None or row.success is None:
            yield f"it names {event.evidence.get('since')} as its last success, and it had none before"
            return
        success = row.success
        if event.evidence.get("since") != success.name:
            yield f"it names {event.evidence.get('since')} as its last success, which was {success.name}"
        status = "accepted" if row.is_accepted else row.last.status
        if status not in SUCCESSES or (row.last is not success and status != "accepted"):
            yield f"its last attempt, {row.last.name}, had ended as {status}: it was to run"
        if run.is_forced and event.step not in run.attempted:
            yield "the run was started with --force: it was to run"
        material = self._material(success.components)
        if key_digest(material) != success.key:
            yield f"the key of its last success is not that of the material of attempt {success.name}"
        datasets = run.former("datasets")
        renamed = rename_components(material, datasets=datasets, steps=run.former("steps"))
        if key_digest(renamed) != event.evidence.get("key"):
            yield f"its key is {short_digest(event.evidence.get('key'))}, the material of its last success has {short_digest(key_digest(renamed))}"
        outputs = {datasets.get(name, name): digest for name, digest in row.outputs.items()}
        is_vouched = run.is_vouched(event.step, row)
        yield from self._check_certificate(run, event, renamed, outputs, is_vouched=is_vouched)

    def _check_certificate(
        self,
        run: _Run,
        event: StepFinished,
        renamed: Mapping[str, Any],
        outputs: Mapping[str, Any],
        *,
        is_vouched: bool,
    ) -> Iterator[str]:
        digest = event.evidence.get("certificate")
        if not isinstance(digest, str):
            self.uncertified += 1
            if self._is_certified:
                yield "it has no certificate, and skips before it have"
            return
        self._is_certified = True
        key, certificate, problems = self._certificate(digest)
        yield from problems
        if not certificate:
            return
        if key != event.evidence.get("key") and not is_vouched:
            difference = first_difference(renamed, self._material(certificate["components"]))
            what = "" if difference is None else f", first in {difference.component}"
            yield f"its certificate has the key {short_digest(key)}, which differs from that of its last success{what}"
        for name, actual in certificate["outputs"].items():
            expected = outputs.get(name)
            if name not in outputs:
                yield f"output {name} was none of its last success: it was to run"
            if expected is not None and expected != actual:
                yield f"output {name} was {short_digest(actual)}, its last success had left {short_digest(expected)}: it was to run"
        inputs = self._material(certificate["components"]).get("inputs", {})
        if not inputs and "needs" not in renamed and event.step not in run.attempted and not is_vouched:
            yield "it reads and needs nothing: it was to run"
        written = {name for entry in run.graph.values() for name in entry.get("writes", ())}
        reason = "no_new_data" if inputs.keys() - written else "up_to_date"
        if reason != event.reason:
            yield f"its reason is {event.reason}, by what it reads it is {reason}"

    def _read(self, digest: str) -> tuple[str, Mapping[str, Any], list[str]]:
        """Return the key of a certificate, the certificate, and what is wrong with it by itself."""
        content = self._blob(digest)
        if content is None or blob_digest(content) != digest:
            return "", {}, [f"its certificate {short_digest(digest)} is not there"]
        certificate = json.loads(content)
        material = self._material(certificate["components"])
        problems = []
        for name, manifest in material.get("inputs", {}).items():
            extent = None if manifest is None else self._extent(manifest)
            if manifest is not None and extent is None:
                problems.append(f"the manifest {short_digest(manifest)} of its input {name} is not there")
            elif extent != certificate["inputs"].get(name):
                problems.append(f"its input {name} was {certificate['inputs'].get(name)}, its manifest says {extent}")
        return key_digest(material), certificate, problems

    def _measure(self, manifest: str) -> dict[str, int] | None:
        content = self._blob(manifest)
        return None if content is None or blob_digest(content) != manifest else _extent_of(content)

    def _material(self, components: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._document(str(components["blob"])) if components.keys() == {"blob"} else components

    def _load(self, digest: str) -> Mapping[str, Any]:
        content = self._blob(digest)
        found: Mapping[str, Any] = {} if content is None else json.loads(content)
        return found


def _extent_of(manifest: bytes) -> dict[str, int]:
    document = json.loads(manifest)
    size = sum(entry[1] for entry in document["files"])
    return {"files": len(document["files"]), "bytes": document.get("probe", {}).get("bytes", size)}
