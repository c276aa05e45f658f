"""
`orchestrate run` and `resume`, put together: everything from the lock of the pipeline to the end of the engine.

The order matters and stands here alone: refuse what cannot run, take the pipeline's lock, close what a dead orchestrator left, after a wait look again,
record a new definition, then run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from ledger.canonical import canonical_bytes
from ledger.errors import LedgerError, StorageError
from ledger.store import Ledger
from orchestrator.cli.alerting import tell_at_start, tell_of_run
from orchestrator.cli.beginning import Beginning, make_beginning, trace_of
from orchestrator.cli.capturing import capture
from orchestrator.cli.damage import naming_damage
from orchestrator.cli.errors import RefusedError
from orchestrator.cli.holding import append_event, check_owner, pipeline_held, record_host
from orchestrator.cli.keying import key_notices, keyed_surroundings, lost_key_notice
from orchestrator.cli.keyring import CONFIG_HOME
from orchestrator.cli.manual import typed_text
from orchestrator.cli.measuring import cache_path, make_digester
from orchestrator.cli.opening import open_to_write
from orchestrator.cli.project import Options, Prepared, Project
from orchestrator.cli.reach import prepared_reach
from orchestrator.cli.refusal_alerts import tell_of_error
from orchestrator.cli.refusals import record_refusal
from orchestrator.cli.resuming import Resumption, differing_variables, resumed_state
from orchestrator.cli.run_ids import new_run_id
from orchestrator.cli.sealing import check_signer, hold_to_last_seal, missing_key, seal_run
from orchestrator.cli.telemetry.entry import NoTelemetry, telemetry_of_run
from orchestrator.cli.telemetry.sampling import run_is_sampled
from orchestrator.core.baselines import step_baselines
from orchestrator.core.definition_diff import definition_changes
from orchestrator.core.events import DefinitionChanged
from orchestrator.core.manual import manual_signs, missing_reason
from orchestrator.core.problems import Problem
from orchestrator.core.run_plan import RunPlan
from orchestrator.core.state import RunState
from orchestrator.core.tracing import chosen_propagators
from orchestrator.projections.baseline_rows import baselines_for
from orchestrator.projections.environments import last_secrets
from orchestrator.projections.queries import load_blob, load_json, pipeline_row
from orchestrator.runtime.assembly import graph_document, run_plan
from orchestrator.runtime.clock import SystemClock
from orchestrator.runtime.digest_cache import DigestCache
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.environment import child_environment
from orchestrator.runtime.executor import ProcessExecutor
from orchestrator.runtime.leaks import check_redactor
from orchestrator.runtime.manifests import Manifests, RememberingDigester
from orchestrator.runtime.pools import LedgerPools
from orchestrator.runtime.ports import Observer, Ports
from orchestrator.runtime.provenance import current_actor, git_state, host_name, trigger
from orchestrator.runtime.sharing import share_ledger
from orchestrator.runtime.signals import SignalInbox, parallel_limit, prepare_process
from orchestrator.runtime.workbench import RunWorkbench

if TYPE_CHECKING:
    from orchestrator.cli.telemetry.of_run import RunTelemetry

Say = Callable[[str], None]
Prepare = Callable[[Options], Prepared]
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


@attrs.frozen
class Ended:
    """
    Hold how a run ended.

    Attributes:
        ledger: Where everything about it stands.
        unsealed: What kept its checkpoint from being made, or None.
    """

    ledger: Path
    state: RunState
    unsealed: LedgerError | None


def execute(
    prepare: Prepare,
    options: Options,
    start: Start,
    *,
    observers: MakeObservers,
    say: Say,
    resumption: Resumption | None = None,
) -> Ended:
    """
    Run what *prepare* makes of *options*, seal it, and return the final state; everything that happened is in the ledger.

    Args:
        prepare: Asked once more where the lock of the pipeline may have been waited for, perhaps for hours.
        resumption: The run that goes on, or None for a new one.

    Raises:
        InconsistentHistoryError: The ledger is not what was sealed last; nothing was started.
        KeyFileError: This user's key of the ledger, or that of keyed digests, cannot be used; nothing was started or recorded.
        RefusedError: Another run is active, the pipeline's name belongs to another definition, a reason is required and missing, or the run
            cannot go on.
        LedgerError: The ledger cannot be used, or an event could not be recorded; what ran then has been ended.
    """
    prepared = prepare(options)
    project = prepared.project
    run_id = new_run_id(datetime.now(UTC)) if resumption is None else resumption.run_id
    holder = {"run_id": run_id, "pid": os.getpid(), "host": host_name()}
    with _refused_without_room(prepared), naming_damage(project.ledger), open_to_write(project.ledger) as ledger:
        reason = _checked(prepared, options, start, ledger, resumption)
        with pipeline_held(project, ledger, wait=start.wait, holder=holder, say=say, night=prepared.night):
            if start.wait:
                prepared = _prepared_again(prepare, prepared, options, ledger)
                project = prepared.project
                reason = _checked(prepared, options, start, ledger, resumption)
            start = attrs.evolve(start, reason=reason)
            check_owner(project, ledger, moved=start.moved, night=prepared.night, reason=start.reason)
            state = None if resumption is None else resumed_state(prepared, ledger, resumption)
            for difference in () if resumption is None else differing_variables(resumption, prepared):
                say(f"warning: {difference}")
            unsigned = missing_key(ledger.connection, ledger.ledger_id)
            if unsigned is not None:
                say(f"warning: {unsigned}; set {CONFIG_HOME} as it was when the key was made")
            git = git_state(project.folder)
            _record_definition(project, ledger, git)
            record_host(project, ledger, say=say)
            tell_at_start(ledger, prepared, run_id, say=say)
            plan = make_plan(prepared, options, ledger, run_id=run_id, jobs=start.jobs, make_key=True)
            begun = {} if resumption is None else resumption.variables
            beginning = make_beginning(prepared, options.selection, plan, reason=start.reason, git=git, state=state)
            before = (
                last_secrets(ledger.connection, [project.pipeline.name, *project.pipeline.formerly])
                if beginning.secrets
                else {}
            )
            for notice in (*key_notices(plan, begun), *lost_key_notice(before, beginning.secrets, plan)):
                say(f"warning: {notice}")
            with telemetry_of_run(ledger, run_id, prepared, os.environ, say=say) as telemetry:
                ended = run_engine(prepared, ledger, plan, beginning, observers, telemetry)
                return Ended(project.ledger, ended, _seal(prepared, ledger, run_id, telemetry, say))


def _checked(
    prepared: Prepared, options: Options, start: Start, ledger: Ledger, resumption: Resumption | None
) -> str | None:
    """Make sure that *ledger* may be gone on with and that what was *prepared* can run; return the reason for it as it may be recorded."""
    hold_to_last_seal(ledger)
    check_signer(ledger)
    problems = share_ledger(ledger.path, prepared.project.pipeline)
    reason = _redacted_reason(ledger, prepared, start.reason)
    start = attrs.evolve(start, reason=reason)
    problems += _reason_problems(prepared.project, options, start, resumption)
    _refuse_on_problems(prepared, ledger, problems)
    keyed_surroundings(prepared, make=True)
    return reason


def _prepared_again(prepare: Prepare, before: Prepared, options: Options, ledger: Ledger) -> Prepared:
    """
    Return what is to be run now that the lock of the pipeline is held; it is still for the night that was meant *before*.

    Raises:
        RefusedError: The pipeline has another name now, under which others may be at work; the refusal is recorded.
    """
    prepared = prepare(attrs.evolve(options, night=before.night))
    project, name = prepared.project, before.project.pipeline.name
    if (project.pipeline.name, project.pipeline.formerly) != (name, before.project.pipeline.formerly):
        message = f"pipeline {name} has got another name while this run waited for it: {project.pipeline.name}"
        problem = Problem("renamed", message, suggestion="start it again")
        record_refusal(ledger, name, [problem], definition=project.definition_path, night=before.night)
        raise RefusedError([problem])
    return prepared


@contextlib.contextmanager
def _refused_without_room(prepared: Prepared) -> Iterator[None]:
    """Refuse a start for want of room also where that cannot be recorded, for want of room."""
    try:
        yield
    except (StorageError, OSError):
        if any(problem.kind == "disk_space" for problem in prepared.errors):
            raise RefusedError(prepared.errors) from None
        raise


def _seal(
    prepared: Prepared, ledger: Ledger, run_id: str, telemetry: RunTelemetry | NoTelemetry, say: Say
) -> LedgerError | None:
    pipeline = prepared.project.pipeline
    clean = prepared.redactor.redact

    def then() -> None:
        telemetry.finish()
        tell_of_run(ledger, prepared, run_id, say=say)
        telemetry.record()

    unsealed = seal_run(ledger, run_id, pipeline, folder=prepared.project.folder, clean=clean, say=say, then=then)
    if unsealed is not None:
        tell_of_error(prepared_reach(prepared), unsealed, say=say)
    return unsealed


def make_plan(
    prepared: Prepared,
    options: Options,
    ledger: Ledger,
    *,
    run_id: str,
    jobs: int | None = None,
    make_key: bool = False,
) -> RunPlan:
    """Return what a run decides with, compared with what *ledger* holds; *make_key* makes that of keyed digests where it is needed and missing."""
    project = prepared.project
    pipeline, connection = project.pipeline, ledger.connection
    rows = baselines_for(connection, pipeline.name, pipeline.formerly, night=prepared.night)
    return run_plan(
        pipeline,
        project.graph,
        keyed_surroundings(prepared, make=make_key),
        run_id=run_id,
        night=prepared.night,
        selected=prepared.selected,
        forced=options.selection.force,
        max_parallel=parallel_limit(jobs or pipeline.max_parallel),
        baselines=step_baselines(
            pipeline, rows, night=prepared.night, load=lambda value: load_json(connection, value)
        ),
    )  # fmt: skip


def _redacted_reason(ledger: Ledger, prepared: Prepared, reason: str | None) -> str | None:
    """Return *reason* as it may be recorded, or None where it says nothing."""
    if reason is None or not reason.strip():
        return None
    return typed_text(ledger.connection, prepared, reason)


def _reason_problems(project: Project, options: Options, start: Start, resumption: Resumption | None) -> list[Problem]:
    """Return the problem of a start by hand without the reason that the pipeline requires; none where all is well."""
    if start.reason is not None or not project.pipeline.audit.require_reason:
        return []
    if resumption is not None:
        return [missing_reason("resume")]
    signs = manual_signs(options.selection, settings=options.settings, moved=start.moved, trigger=trigger())
    return [missing_reason(f"a run with {', '.join(signs)}")] if signs else []


def _refuse_on_problems(prepared: Prepared, ledger: Ledger, others: Sequence[Problem]) -> None:
    project = prepared.project
    # Whatever else is wrong may hold a secret, and would be recorded.
    broken = check_redactor(project.pipeline, prepared.environment, prepared.redactor)
    errors = broken or [*prepared.errors, *others]
    if errors:
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


def run_engine(
    prepared: Prepared,
    ledger: Ledger,
    plan: RunPlan,
    beginning: Beginning,
    observers: MakeObservers,
    telemetry: RunTelemetry | NoTelemetry,
) -> RunState:
    """
    Run *plan* to its end, with what is *prepared* around it, and return the final state.

    Raises:
        LedgerError: An event could not be recorded; what ran then has been ended.
    """
    project = prepared.project
    pipeline, folder = project.pipeline, ledger.path.parent
    graph = canonical_bytes(graph_document(pipeline, project.graph))
    redactor = prepared.redactor
    environment = child_environment(pipeline, prepared.environment, os.environ)
    clock = SystemClock()
    prepare_process()
    with contextlib.ExitStack() as stack:
        inbox = stack.enter_context(SignalInbox())
        cache = DigestCache(cache_path(ledger.path))
        stack.callback(cache.close)
        measured = Manifests(ledger.blob)
        workbench = RunWorkbench(
            plan,
            folder=folder,
            datasets=prepared.places,
            environment=environment,
            manifest=measured.get,
            redact=redactor.redact,
            parent=(parent := trace_of(beginning.state)),
            sampled=run_is_sampled(telemetry.settings, plan.run_id, parent),
            propagators=chosen_propagators(os.environ.get("OTEL_PROPAGATORS")),
        )
        stack.callback(workbench.close)
        pools = LedgerPools(folder / "locks" / "pools", pipeline.pools)
        stack.callback(pools.close)
        # Made last, so that nothing is let go of while something still runs.
        executor = ProcessExecutor(clock=clock, new_stream=redactor.stream, wakeup_fd=inbox.fd, listen=telemetry.listen)
        stack.callback(executor.close)
        digester = make_digester(prepared, cache, measured.get, executor, run_id=plan.run_id)
        found = capture(
            prepared,
            plan,
            ledger.connection,
            digester,
            environment,
            beginning.secrets,
            is_ending=lambda: inbox.is_waiting,
        )
        opening = attrs.evolve(beginning.event, environment=found.digest)
        ports = Ports(
            journal=ledger,
            clock=clock,
            executor=executor,
            digester=RememberingDigester(digester, measured),
            workbench=workbench,
            interrupts=inbox,
            pools=pools,
            observers=[*stack.enter_context(observers(plan, ledger, executor.last_line)), *telemetry.observers],
        )
        blobs = {opening.graph: graph, **found.blobs}
        return Engine(plan, ports, started=opening, state=beginning.state, blobs=blobs).run()
