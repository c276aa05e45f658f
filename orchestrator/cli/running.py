"""
`orchestrate run`, put together: everything from the lock of the pipeline to the end of the engine.

The order matters and stands here alone: refuse what cannot run, take the pipeline's lock, close what a dead orchestrator left, record a new definition, then run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import attrs

from ledger.canonical import blob_digest, canonical_bytes
from ledger.errors import LedgerError
from ledger.store import Ledger
from orchestrator import __version__
from orchestrator.cli.damage import naming_damage
from orchestrator.cli.errors import RefusedError
from orchestrator.cli.holding import append_event, check_owner, pipeline_held, record_host
from orchestrator.cli.opening import open_to_write
from orchestrator.cli.project import Options, Prepared, Project
from orchestrator.cli.refusals import record_refusal
from orchestrator.cli.sealing import check_signer, hold_to_last_seal, seal_run
from orchestrator.core.baselines import step_baselines
from orchestrator.core.definition_diff import definition_changes
from orchestrator.core.events import DefinitionChanged, RunStarted
from orchestrator.core.manual import manual_signs, missing_reason
from orchestrator.core.printable import as_utf8
from orchestrator.core.problems import Problem
from orchestrator.core.redaction import Redactor
from orchestrator.core.run_plan import RunPlan
from orchestrator.core.state import RunState
from orchestrator.projections.queries import baselines_for, load_blob, load_json, pipeline_row
from orchestrator.runtime.assembly import code_places, graph_document, run_plan
from orchestrator.runtime.clock import SystemClock
from orchestrator.runtime.digest_cache import DigestCache
from orchestrator.runtime.digests import FileDigester
from orchestrator.runtime.engine import Engine, Ports
from orchestrator.runtime.environment import child_environment, recorded_variables, secrets_of
from orchestrator.runtime.executor import ProcessExecutor
from orchestrator.runtime.liveness import boot_id, process_start
from orchestrator.runtime.manifests import Manifests, RememberingDigester
from orchestrator.runtime.ports import Observer
from orchestrator.runtime.provenance import current_actor, git_state, trigger
from orchestrator.runtime.signals import SignalInbox, parallel_limit, prepare_process
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
        reason: Why a person started it, as it was typed.
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
    return f"{now:%Y%m%dT%H%M%SZ}-{now.microsecond * 4096 // 1_000_000:03x}{os.urandom(3).hex()}"


@attrs.frozen
class Ended:
    """
    Hold how a run ended.

    Attributes:
        unsealed: What kept its checkpoint from being made, or None.
    """

    state: RunState
    unsealed: LedgerError | None


def execute(prepared: Prepared, options: Options, start: Start, *, observers: MakeObservers, say: Say) -> Ended:
    """
    Run what was *prepared*, seal it, and return the final state; everything that happened is in the ledger.

    Raises:
        InconsistentHistoryError: The ledger is not what was sealed last; nothing was started.
        KeyFileError: This user's key of the ledger cannot be used; nothing was started.
        RefusedError: Another run is active, the pipeline's name belongs to another definition, or a reason is required and missing.
        LedgerError: The ledger cannot be used, or an event could not be recorded; what ran then has been ended.
    """
    project = prepared.project
    start = attrs.evolve(start, reason=_redacted_reason(prepared, start.reason))
    run_id = new_run_id(datetime.now(UTC))
    holder = {"run_id": run_id, "pid": os.getpid(), "host": os.uname().nodename}
    with naming_damage(project.ledger), open_to_write(project.ledger) as ledger:
        hold_to_last_seal(ledger)
        check_signer(ledger)
        _refuse_on_problems(prepared, ledger, _reason_problems(project, options, start))
        with pipeline_held(project, ledger, wait=start.wait, holder=holder, say=say, night=prepared.night):
            check_owner(project, ledger, moved=start.moved, night=prepared.night, reason=start.reason)
            git = git_state(project.folder)
            _record_definition(project, ledger, git)
            record_host(project, ledger, say=say)
            plan = make_plan(prepared, options, ledger, run_id=run_id, jobs=start.jobs)
            state = _run(prepared, options, start, ledger, plan, git, observers)
            return Ended(state, _seal(prepared, ledger, run_id, say))


def _seal(prepared: Prepared, ledger: Ledger, run_id: str, say: Say) -> LedgerError | None:
    pipeline = prepared.project.pipeline
    clean = Redactor(secrets_of(pipeline, prepared.environment)).redact
    return seal_run(ledger, run_id, pipeline, folder=prepared.project.folder, clean=clean, say=say)


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
        max_parallel=min(jobs or pipeline.max_parallel or len(os.sched_getaffinity(0)), parallel_limit()),
        baselines=step_baselines(
            pipeline, rows, night=prepared.night, load=lambda value: load_json(connection, value)
        ),
    )  # fmt: skip


def make_digester(
    prepared: Prepared,
    cache: DigestCache,
    manifest: Callable[[str], bytes | None],
    *,
    unmeasured: str,
    redactor: Redactor | None = None,
) -> FileDigester:
    """Return what measures datasets and code of the *prepared* pipeline; names of files are recorded, so secrets are masked in them."""
    project = prepared.project
    if redactor is None:
        redactor = Redactor(secrets_of(project.pipeline, prepared.environment))
    return FileDigester(
        folder=project.folder,
        datasets=prepared.places,
        code=code_places(project.pipeline, prepared.around, prepared.places),
        cache=cache,
        load_manifest=manifest,
        unmeasured=unmeasured,
        redact=redactor.redact,
    )


def cache_path(ledger: Path) -> Path:
    """Return where digests of files are remembered."""
    return ledger.parent / "cache" / "digests.db"


def _redacted_reason(prepared: Prepared, reason: str | None) -> str | None:
    """Return *reason* as it may be recorded, or None where it says nothing."""
    if reason is None or not reason.strip():
        return None
    return Redactor(secrets_of(prepared.project.pipeline, prepared.environment)).redact(as_utf8(reason))


def _reason_problems(project: Project, options: Options, start: Start) -> list[Problem]:
    """Return the problem of a start by hand without the reason that the pipeline requires; none where all is well."""
    if start.reason is not None or not project.pipeline.audit.require_reason:
        return []
    signs = manual_signs(options.selection, settings=options.settings, moved=start.moved, trigger=trigger())
    return [missing_reason(f"a run with {', '.join(signs)}")] if signs else []


def _refuse_on_problems(prepared: Prepared, ledger: Ledger, others: Sequence[Problem]) -> None:
    errors = [*prepared.errors, *others]
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
    append_event(ledger, f"pipeline/{pipeline.name}", event, blobs)


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
        measured = Manifests(ledger.blob)
        digester = make_digester(prepared, cache, measured.get, unmeasured=plan.run_id, redactor=redactor)
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
            digester=RememberingDigester(digester, measured),
            workbench=workbench,
            interrupts=inbox,
            observers=stack.enter_context(observers(plan, ledger, executor.last_line)),
        )
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
        host=os.uname().nodename,
        boot_id=boot_id(),
        pid=pid,
        process_start=process_start(pid) or "",
        max_parallel=plan.max_parallel,
        program=__version__,
        reason=start.reason,
    )
