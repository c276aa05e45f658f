"""
The run events of OpenLineage as a function of the events of a run: for data catalogues, live or years later the same.

Each start of a run is a run there, and so is each resume, since a run of OpenLineage ends once; each step that is attempted in it is one too, with the run
as its parent. All retries of a step are one. A step that is skipped has not run: it stands in a facet of the run, with the reason. Ids are made from the
ledger, the run and the step, times are those of the events, so that sending twice changes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from ledger.events import RecordedEvent
from orchestrator.core.classification import Classes, graph_classes, is_withheld
from orchestrator.core.events import (
    AttemptFinished,
    AttemptStarted,
    RunFinished,
    RunResumed,
    RunStarted,
    StepFinished,
    event_from_data,
)
from orchestrator.core.explain import reason_text
from orchestrator.projections.openlineage_facets import (
    PRODUCER,
    SCHEMA,
    Extent,
    Facet,
    extent_of,
    facet,
    ownership,
    quality,
    tags,
)

Event = dict[str, Any]
Load = Callable[[str], Mapping[str, Any] | None]

TYPES = ("run.started", "run.resumed", "run.finished", "attempt.started", "attempt.finished", "step.finished")
"""The types of events that this reads, of the stream of a run."""

NAMESPACE = "orchestrate"
"""Of jobs and datasets, where nobody gives another one."""

_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:orchestrate:openlineage")
_RUN_ENDS = {"succeeded": "COMPLETE", "nothing_to_do": "COMPLETE", "failed": "FAIL", "timed_out": "FAIL"}
_STEP_ENDS = {"succeeded": "COMPLETE", "skipped": "COMPLETE", "failed": "FAIL"}
_ABORT = "ABORT"
_LANGUAGE = "unknown"
"""The standard wants to know the language of a message; that of a step is nothing that is recorded."""


@attrs.define(eq=False)
class _Step:
    """A step that has been attempted and has not ended yet."""

    id: str
    name: str
    started: AttemptStarted
    material: Mapping[str, Any]
    ends: list[dict[str, object]] = attrs.field(factory=list)
    last: AttemptFinished | None = None


@attrs.define(eq=False)
class _Start:
    """A run from a start or a resume on, until it ends."""

    id: str
    event: RunStarted | RunResumed
    graph: Mapping[str, Mapping[str, Any]]
    datasets: Mapping[str, Mapping[str, Any]]
    owners: Mapping[str, Mapping[str, Any]]
    classes: Classes
    steps: dict[str, _Step] = attrs.field(factory=dict)
    skipped: list[dict[str, object]] = attrs.field(factory=list)
    messages: dict[str, str] = attrs.field(factory=dict)
    """Why each step failed that did."""


def lineage_events(
    events: Iterable[RecordedEvent], load: Load, *, ledger: str, namespace: str = NAMESPACE
) -> Iterator[Event]:
    """
    Yield the run events that the *events* of one run give, in order; each start has one end, once the run has one.

    Args:
        load: Returns the document that is kept under a digest, or None where it is not there, as when it was pruned: what it would have said is left out.
        ledger: Its id, which makes the ids unique.
        namespace: Of jobs and datasets.

    Raises:
        UnknownEventError: An event is of a version that this program does not know.
    """
    lineage = _Lineage(load, ledger, namespace)
    for recorded in events:
        yield from lineage.take(recorded)


class _Lineage:
    def __init__(self, load: Load, ledger: str, namespace: str) -> None:
        self._load = load
        self._ledger = ledger
        self._namespace = namespace
        self._starts = 0
        self._start: _Start | None = None

    def take(self, recorded: RecordedEvent) -> Iterator[Event]:
        """Take the next event of the run."""
        if recorded.type not in TYPES:
            return
        event = event_from_data(recorded.type, recorded.type_version, recorded.data)
        at, start = recorded.recorded_at, self._start
        match event:
            case RunStarted() | RunResumed():
                yield self._begun(event, at)
            case AttemptStarted() if start is not None:
                yield from self._attempted(start, event, at)
            case AttemptFinished() if start is not None and event.step in start.steps:
                step = start.steps[event.step]
                step.last = event
                step.ends.append(_end_of(event))
            case StepFinished() if start is not None:
                yield from self._step_ended(start, event, at)
            case RunFinished() if start is not None:
                yield from self._ended(start, event, at)

    # Runs

    def _begun(self, event: RunStarted | RunResumed, at: str) -> Event:
        graph = self._load(event.graph) or {"steps": []}
        document = self._load(event.definition) or {}
        name = f"{self._ledger}/{event.run_id}/{self._starts}"
        self._starts += 1
        self._start = start = _Start(
            id=str(uuid.uuid5(_IDS, name)),
            event=event,
            graph={str(entry["step"]): entry for entry in graph["steps"]},
            datasets=graph.get("datasets", {}),
            owners=document.get("datasets", {}),
            classes=graph_classes(graph),
        )
        return self._run_event("START", start, at, {})

    def _ended(self, start: _Start, event: RunFinished, at: str) -> Iterator[Event]:
        # What waited for another try, or was lost with its orchestrator, has not ended by itself.
        for step in start.steps.values():
            yield self._step_event(_ABORT, start, step, at, _step_facet(step, "cancelled", None))
        self._start = None
        end = _RUN_ENDS.get(event.status, _ABORT)
        facets = facet(
            "orchestrate_run",
            run_id=start.event.run_id,
            pipeline=start.event.pipeline,
            night=start.event.night,
            status=event.status,
            definition=start.event.definition,
            resumed=isinstance(start.event, RunResumed),
            skipped=start.skipped,
        )
        if end != "COMPLETE":
            message = self._cause(start, event) or event.status
            facets |= facet("errorMessage", message=message, programmingLanguage=_LANGUAGE)
        yield self._run_event(end, start, at, facets)

    @staticmethod
    def _cause(start: _Start, event: RunFinished) -> str | None:
        cause = event.root_cause or {}
        if not cause.get("step"):
            return None
        step = str(cause["step"])
        told = start.messages.get(step)
        return f"{step}: {told or _message(start, step, str(cause.get('reason')), {}, cause.get('message'))}"

    def _run_event(self, kind: str, start: _Start, at: str, facets: Mapping[str, Facet]) -> Event:
        job = {"namespace": self._namespace, "name": start.event.pipeline, "facets": _job_type("PIPELINE")}
        return _event(kind, at, start.id, {**_common(start), **facets}, job)

    # Steps

    def _attempted(self, start: _Start, event: AttemptStarted, at: str) -> Iterator[Event]:
        if event.step in start.steps:
            return  # It is tried again.
        material = event.components
        if material.keys() == {"blob"}:
            material = self._load(str(material["blob"])) or {}
        step = _Step(str(uuid.uuid5(uuid.UUID(start.id), event.step)), event.step, event, material)
        start.steps[event.step] = step
        yield self._step_event("START", start, step, at, {})

    def _step_ended(self, start: _Start, event: StepFinished, at: str) -> Iterator[Event]:
        step = start.steps.pop(event.step, None)
        if step is None:
            # Nothing of it ran here; where it failed all the same, an earlier start has told of its attempts.
            if event.status == "skipped":
                start.skipped.append({"step": event.step, "reason": event.reason})
            return
        end = _STEP_ENDS.get(event.status, _ABORT)
        facets = _step_facet(step, event.status, event)
        if is_withheld(start.classes.steps.get(event.step)):
            facets["orchestrate_step"].pop("metrics", None)
        if end != "COMPLETE":
            told = None if step.last is None else step.last.message
            message = _message(start, event.step, event.reason or event.status, event.evidence, told)
            start.messages[event.step] = message
            facets |= facet("errorMessage", message=message, programmingLanguage=_LANGUAGE)
        yield self._step_event(end, start, step, at, facets, event.outputs if end == "COMPLETE" else None)

    def _step_event(
        self,
        kind: str,
        start: _Start,
        step: _Step,
        at: str,
        facets: Mapping[str, Facet],
        outputs: Mapping[str, object] | None = None,
    ) -> Event:
        run_job = {"namespace": self._namespace, "name": start.event.pipeline}
        parent = {"run": {"runId": start.id}, "job": run_job}
        run_facets = {**_common(start), **facet("parent", **parent, root=parent), **facets}
        job = {
            "namespace": self._namespace,
            "name": f"{start.event.pipeline}.{step.name}",
            "facets": _job_type("STEP"),
        }
        entry = start.graph.get(step.name, {})
        inputs = step.material.get("inputs", {})
        reported = (step.last.reported if step.last is not None else None) or {}
        return _event(kind, at, step.id, run_facets, job) | {
            "inputs": [self._input(start, name, inputs.get(name)) for name in entry.get("reads", ())],
            "outputs": [
                self._output(start, name, (outputs or {}).get(name), reported.get(name) if outputs else None)
                for name in entry.get("writes", ())
            ],
        }

    # Datasets

    def _input(self, start: _Start, name: str, digest: object) -> Facet:
        extent = self._extent(digest, None)
        statistics = extent.statistics()
        return self._dataset(start, name, digest) | (
            {"inputFacets": facet("inputStatistics", **statistics)} if statistics else {}
        )

    def _output(self, start: _Start, name: str, digest: object, reported: object) -> Facet:
        extent = self._extent(digest, reported.get("rows") if isinstance(reported, Mapping) else None)
        dataset = self._dataset(start, name, digest)
        dataset["facets"] |= quality(extent)
        statistics = extent.statistics()
        return dataset | ({"outputFacets": facet("outputStatistics", **statistics)} if statistics else {})

    def _extent(self, digest: object, rows: object) -> Extent:
        return extent_of(self._load(digest) if isinstance(digest, str) else None, rows)

    def _dataset(self, start: _Start, name: str, digest: object) -> Facet:
        known = start.classes.datasets.get(name)
        facets = {
            **(facet("version", datasetVersion=digest) if isinstance(digest, str) else {}),
            **ownership(start.owners.get(name, {}).get("owner")),
            **tags(
                [
                    ("layer", start.datasets.get(name, {}).get("layer")),
                    ("classification", None if known is None else known.classification),
                ]
            ),
        }
        return {"namespace": self._namespace, "name": f"{start.event.pipeline}.{name}", "facets": facets}


def _event(kind: str, at: str, run_id: str, facets: Mapping[str, Facet], job: Mapping[str, object]) -> Event:
    return {
        "eventType": kind,
        "eventTime": at,
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
        "run": {"runId": run_id, "facets": dict(facets)},
        "job": dict(job),
    }


def _common(start: _Start) -> dict[str, Facet]:
    """Return what belongs to the run and to each of its steps: the night, and who did it."""
    return {
        **facet("nominalTime", nominalStartTime=f"{start.event.night}T00:00:00Z"),
        **facet("processing_engine", name="orchestrate", version=start.event.program),
    }


def _job_type(kind: str) -> dict[str, Facet]:
    return facet("jobType", processingType="BATCH", integration="ORCHESTRATE", jobType=kind)


def _step_facet(step: _Step, status: str, event: StepFinished | None) -> dict[str, Facet]:
    metrics = step.last.metrics if step.last is not None else None
    numbers = {name: value for name, value in (metrics or {}).items() if isinstance(value, int | float)}
    return facet(
        "orchestrate_step",
        status=status,
        reason=None if event is None else event.reason,
        started_for=step.started.reason,
        key=step.started.key,
        attempts=step.ends,
        metrics=numbers or None,
    )


def _end_of(event: AttemptFinished) -> dict[str, object]:
    told = {
        "attempt": event.attempt,
        "status": event.status,
        "reason": event.reason,
        "error_class": event.error_class,
        "exit_code": event.exit_code,
        "signal": event.signal,
        "duration_us": event.duration_us,
    }
    return {name: value for name, value in told.items() if value is not None}


def _message(start: _Start, step: str, reason: str, evidence: Mapping[str, object], told: object) -> str:
    """Return why a step failed; what is known of that from itself is withheld where it touches personal data."""
    classification = start.classes.steps.get(step)
    if is_withheld(classification):
        return f"{reason_text('failed', reason, {})} (the rest is withheld, as it touches {classification} data)"
    text = reason_text("failed", reason, evidence)
    return text if told is None else f"{text}: {told}"
