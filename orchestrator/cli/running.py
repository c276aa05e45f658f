"""
`orchestrate run`, put together: everything from the lock of the pipeline to the end of the engine.

The order matters and stands here alone: refuse what cannot run, take the pipeline's lock, close what a dead orchestrator left, record a new definition, then run.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import attrs

from ledger.canonical import blob_digest, canonical_bytes
from ledger.events import NewEvent
from ledger.locks import KernelLock
from ledger.store import Ledger, open_ledger
from orchestrator import __version__
from orchestrator.cli.errors import RefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.project import Options, Prepared, Project
from orchestrator.cli.refusals import record_refusal
from orchestrator.core.baselines import step_baselines
from orchestrator.core.definition_diff import definition_changes
from orchestrator.core.events import DefinitionChanged, Event, PipelineMoved, RunStarted, event_data, event_type
from orchestrator.core.problems import Problem
from orchestrator.core.redaction import Redactor
from orchestrator.core.run_plan import RunPlan
from orchestrator.core.state import RunState
from orchestrator.projections.queries import baselines_for, load_blob, load_json, pipeline_row, unfinished_runs
from orchestrator.projections.read_models import ReadModels
from orchestrator.runtime.assembly import code_places, graph_document, run_plan
from orchestrator.runtime.clock import SystemClock
from orchestrator.runtime.digest_cache import DigestCache
from orchestrator.runtime.digests import FileDigester
from orchestrator.runtime.engine import Engine, Ports
from orchestrator.runtime.environment import child_environment, recorded_variables, secrets_of
from orchestrator.runtime.executor import ProcessExecutor
from orchestrator.runtime.liveness import boot_id, process_start
from orchestrator.runtime.ports import Measured, MeasureRequest, Observer
from orchestrator.runtime.provenance import current_actor, git_state, trigger
from orchestrator.runtime.recovery import reconcile
from orchestrator.runtime.signals import SignalInbox, prepare_process
from orchestrator.runtime.workbench import RunWorkbench

Say = Callable[[str], None]
MakeObservers = Callable[
    [RunPlan, Ledger, Callable[[str], str | None]], "contextlib.AbstractContextManager[list[Observer]]"
]


@attrs.frozen
class Start:
    """
    How a run is started, besides what it is about.

    Attributes:
        jobs: Most steps side by side, or None for what the definition says, or for the cores.
        wait: Wait for an active run instead of being refused.
        moved: The definition has a new place on purpose.
        reason: Why a person started it.
    """

    jobs: int | None = None
    wait: bool = False
    moved: bool = False
    reason: str | None = None


def new_run_id(now: datetime) -> str:
    """
    Return a new run id: the UTC second, then three digits of its fraction (in 4096ths) and six random ones, all hexadecimal.

    Ids sort by time, also those of one second.
    """
    return f"{now:%Y%m%dT%H%M%SZ}-{now.microsecond * 4096 // 1_000_000:03x}{secrets.token_hex(3)}"


@contextlib.contextmanager
def pipeline_held(
    project: Project, ledger: Ledger, *, wait: bool, holder: Mapping[str, object], say: Say, night: str | None
) -> Iterator[None]:
    """
    Hold the lock of the pipeline, and end what a dead orchestrator has left of it.

    Raises:
        RefusedError: Another run is active and *wait* is not set; the refusal is recorded.
    """
    name = project.pipeline.name
    lock = KernelLock(ledger.path.parent / "locks" / f"{name}.lock")
    if not lock.acquire(holder=holder):
        active = lock.holder()
        told = f"run {active.get('run_id', '(unknown)')}, process {active.get('pid', '?')} on {active.get('host', '?')}"
        if not wait:
            hint = "wait for it with --wait, or look with `orchestrate status`"
            problem = Problem("active", f"pipeline {name} is active: {told}", suggestion=hint)
            record_refusal(
                ledger, name, [problem], definition=project.definition_path, night=night, code=ExitCode.ACTIVE, holder=active
            )  # fmt: skip
            raise RefusedError([problem], ExitCode.ACTIVE)
        say(f"waiting for {told}")
        lock.acquire(wait=True, holder=holder)
    with contextlib.closing(_Released(lock)):
        for run_id in reconcile(ledger, unfinished_runs(ledger.connection, name)):
            say(f"run {run_id} had lost its orchestrator; it is interrupted now")
        yield


def execute(prepared: Prepared, options: Options, start: Start, *, observers: MakeObservers, say: Say) -> RunState:
    """
    Run what was *prepared* and return the final state; everything that happened is in the ledger.

    Raises:
        RefusedError: Another run is active, or the pipeline's name belongs to another definition.
        LedgerError: The ledger cannot be used, or an event could not be recorded; what ran then has been ended.
    """
    project = prepared.project
    run_id = new_run_id(datetime.now(UTC))
    holder = {"run_id": run_id, "pid": os.getpid(), "host": socket.gethostname()}
    with open_ledger(project.ledger, projections=[ReadModels()]) as ledger:
        _refuse_on_problems(prepared, ledger)
        with pipeline_held(project, ledger, wait=start.wait, holder=holder, say=say, night=prepared.night):
            check_owner(project, ledger, moved=start.moved, night=prepared.night)
            git = git_state(project.folder)
            _record_definition(project, ledger, git)
            plan = make_plan(prepared, options, ledger, run_id=run_id, jobs=start.jobs)
            return _run(prepared, options, start, ledger, plan, git, observers)


def make_plan(prepared: Prepared, options: Options, ledger: Ledger, *, run_id: str, jobs: int | None = None) -> RunPlan:
    """Return what a run decides with, compared with what *ledger* holds."""
    project = prepared.project
    pipeline, connection = project.pipeline, ledger.connection
    rows = baselines_for(connection, pipeline.name, pipeline.formerly, night=prepared.night)
    return run_plan(
        pipeline,
        project.graph,
        prepared.around,
        run_id=run_id,
        night=prepared.night,
        selected=prepared.selected,
        forced=options.selection.force,
        max_parallel=jobs or pipeline.max_parallel or len(os.sched_getaffinity(0)),
        baselines=step_baselines(
            pipeline, rows, night=prepared.night, load=lambda value: load_json(connection, value)
        ),
    )  # fmt: skip


def make_digester(
    prepared: Prepared, cache: DigestCache, manifest: Callable[[str], bytes | None], *, unmeasured: str
) -> FileDigester:
    """Return what measures datasets and code of the *prepared* pipeline."""
    project = prepared.project
    return FileDigester(
        folder=project.folder,
        datasets=prepared.places,
        code=code_places(project.pipeline, prepared.around, prepared.places),
        cache=cache,
        load_manifest=manifest,
        unmeasured=unmeasured,
    )


def cache_path(ledger: Path) -> Path:
    """Return where digests of files are remembered."""
    return ledger.parent / "cache" / "digests.db"


def check_owner(project: Project, ledger: Ledger, *, moved: bool, night: str | None) -> None:
    """
    Make sure that the pipeline's name belongs to this definition, and record its new place where *moved* is set.

    Raises:
        RefusedError: The name belongs to another definition.
    """
    row = pipeline_row(ledger.connection, project.pipeline.name)
    here = project.definition_path
    if row is None or row["definition_path"] == here:
        return
    name = project.pipeline.name
    if moved:
        event = PipelineMoved(name, str(row["definition_path"]), here, current_actor(os.environ))
        _append(ledger, f"pipeline/{name}", event)
        return
    there = ledger.path.parent / str(row["definition_path"])
    message = f"in this ledger the name {name} belongs to {os.path.normpath(there)}, not to {project.definition}"
    hint = "rename the pipeline, or, if the definition has moved, run once with --moved"
    problem = Problem("other_definition", message, ("pipeline", "name"), file=project.shown, suggestion=hint)
    record_refusal(ledger, name, [problem], definition=here, night=night)
    raise RefusedError([problem])


class _Released:
    """Let a lock go on `close`."""

    def __init__(self, lock: KernelLock) -> None:
        self.close = lock.release


def _refuse_on_problems(prepared: Prepared, ledger: Ledger) -> None:
    errors = prepared.errors
    if errors:
        project = prepared.project
        record_refusal(
            ledger, project.pipeline.name, errors, definition=project.definition_path, night=prepared.night
        )  # fmt: skip
        raise RefusedError(errors)


def _record_definition(project: Project, ledger: Ledger, git: Mapping[str, object] | None) -> None:
    pipeline, connection = project.pipeline, ledger.connection
    names = (pipeline.name, *pipeline.formerly)
    known = next((row for name in names if (row := pipeline_row(connection, name)) is not None), None)
    before = None if known is None or known["definition"] is None else str(known["definition"])
    if before == pipeline.digest:
        return
    former = None if before is None else load_blob(connection, before)
    event = DefinitionChanged(
        pipeline=pipeline.name,
        before=before,
        after=pipeline.digest,
        changes=tuple(definition_changes(former, pipeline.document)),
        definition_path=project.definition_path,
        git=git,
        actor=current_actor(os.environ),
    )
    blobs = {pipeline.digest: canonical_bytes(pipeline.document)}
    _append(ledger, f"pipeline/{pipeline.name}", event, blobs)


def _append(ledger: Ledger, stream: str, event: Event, blobs: Mapping[str, bytes] | None = None) -> None:
    ledger.append(stream, [NewEvent(*event_type(event), event_data(event))], expected_version=None, blobs=blobs)


def _run(
    prepared: Prepared,
    options: Options,
    start: Start,
    ledger: Ledger,
    plan: RunPlan,
    git: Mapping[str, object] | None,
    observers: MakeObservers,
) -> RunState:
    project = prepared.project
    pipeline, folder = project.pipeline, ledger.path.parent
    graph = canonical_bytes(graph_document(pipeline, project.graph))
    redactor = Redactor(secrets_of(pipeline, prepared.environment))
    clock = SystemClock()
    prepare_process()
    with contextlib.ExitStack() as stack:
        inbox = stack.enter_context(SignalInbox())
        cache = DigestCache(cache_path(ledger.path))
        stack.callback(cache.close)
        measured = _Manifests(ledger)
        digester = make_digester(prepared, cache, measured.get, unmeasured=plan.run_id)
        workbench = RunWorkbench(
            plan,
            folder=folder,
            datasets=prepared.places,
            environment=child_environment(pipeline, prepared.environment, os.environ),
            manifest=measured.get,
            redact=redactor.redact,
        )
        stack.callback(workbench.close)
        executor = ProcessExecutor(clock=clock, new_stream=redactor.stream, wakeup_fd=inbox.fd)
        stack.callback(executor.close)
        ports = Ports(
            journal=ledger,
            clock=clock,
            executor=executor,
            digester=_Remembering(digester, measured),
            workbench=workbench,
            interrupts=inbox,
            observers=stack.enter_context(observers(plan, ledger, executor.last_line)),
        )
        start = attrs.evolve(start, reason=redactor.redact(start.reason) if start.reason else None)
        started = _run_started(prepared, options, start, plan, blob_digest(graph), git)
        return Engine(plan, ports, started=started, blobs={blob_digest(graph): graph}).run()


def _run_started(
    prepared: Prepared,
    options: Options,
    start: Start,
    plan: RunPlan,
    graph: str,
    git: Mapping[str, object] | None,
) -> RunStarted:
    pipeline = prepared.project.pipeline
    pid = os.getpid()
    return RunStarted(
        run_id=plan.run_id,
        pipeline=pipeline.name,
        night=plan.night,
        definition=pipeline.digest,
        definition_path=prepared.project.definition_path,
        graph=graph,
        selection=options.selection.as_json(),
        variables=recorded_variables(pipeline, prepared.environment),
        trigger=trigger(),
        actor=current_actor(os.environ),
        git=git,
        host=socket.gethostname(),
        boot_id=boot_id(),
        pid=pid,
        process_start=process_start(pid) or "",
        max_parallel=plan.max_parallel,
        program=__version__,
        reason=start.reason,
    )


class _Manifests:
    """Manifests by digest: those just measured, and those that the ledger keeps."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._fresh: dict[str, bytes] = {}

    def remember(self, manifests: Mapping[str, bytes]) -> None:
        self._fresh.update(manifests)

    def get(self, digest: str) -> bytes | None:
        return self._fresh.get(digest) or self._ledger.blob(digest)


class _Remembering:
    """A digester whose manifests can be asked for as soon as it has returned them."""

    def __init__(self, digester: FileDigester, manifests: _Manifests) -> None:
        self._digester = digester
        self._manifests = manifests
        self.submit: Callable[[MeasureRequest], None] = digester.submit
        self.missing = digester.missing

    @property
    def busy(self) -> bool:
        return self._digester.busy

    def advance(self) -> list[Measured]:
        found = self._digester.advance()
        for measured in found:
            self._manifests.remember(measured.manifests)
        return found
