"""Whose a pipeline is and who works on it: its lock, what a dead orchestrator left of it, and the one definition that its name belongs to."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ledger.errors import WrongExpectedVersionError
from ledger.events import NewEvent
from ledger.locks import KernelLock
from ledger.store import Ledger
from orchestrator.cli.errors import RefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.project import Project
from orchestrator.cli.refusals import record_refusal
from orchestrator.core.events import Event, HostChanged, PipelineMoved, event_data, event_type
from orchestrator.core.printable import printable
from orchestrator.core.problems import Problem
from orchestrator.projections.manual_actions import last_host
from orchestrator.projections.queries import case_twin, pipeline_row, run_process, unfinished_runs
from orchestrator.projections.reproductions import unfinished_reproductions
from orchestrator.runtime.at_work import is_at_work, lock_of_pipeline, lock_of_reproduction
from orchestrator.runtime.definition_file import place_problems
from orchestrator.runtime.liveness import is_alive
from orchestrator.runtime.provenance import current_actor, host_name
from orchestrator.runtime.recovery import reconcile
from orchestrator.runtime.trees import clear_away

Say = Callable[[str], None]


@contextlib.contextmanager
def pipeline_held(
    project: Project, ledger: Ledger, *, wait: bool, holder: Mapping[str, object], say: Say, night: str | None
) -> Iterator[None]:
    """
    Hold the lock of the pipeline, and end what a dead orchestrator has left of it.

    The caller has held the ledger to its last seal; after a wait, which may have been hours, that is done again before anything is recorded.

    Raises:
        InconsistentHistoryError: The ledger was turned back during the wait.
        RefusedError: Another run is active and *wait* is not set; the refusal is recorded.
    """
    pipeline = project.pipeline
    # Under its former names it may be running still, or may have died.
    names = sorted({pipeline.name, *pipeline.formerly})
    with contextlib.ExitStack() as held:
        waited = False
        for name in names:
            lock = pipeline_lock(ledger, name)
            if not lock.acquire(holder=holder):
                _refuse_or_wait(project, ledger, lock, name, wait=wait, say=say, night=night)
                lock.acquire(wait=True, holder=holder)
                waited = True
            held.callback(lock.release)
        if waited:
            # What seals records events by what stands here.
            from orchestrator.cli.sealing import hold_to_last_seal

            hold_to_last_seal(ledger)
        for name in names:
            close_lost_runs(ledger, name, say=say)
            close_lost_reproductions(ledger, name, say=say)
        yield


def close_lost_runs(ledger: Ledger, pipeline: str, *, say: Say) -> None:
    """
    End the runs of *pipeline* that have lost their orchestrator; whoever calls holds its lock.

    Raises:
        RefusedError: One of them lives all the same: somebody has removed the file that it holds locked.
    """
    unfinished = unfinished_runs(ledger.connection, pipeline)
    for run_id in unfinished:
        process = run_process(ledger.connection, run_id)
        if is_alive(**process):
            message = f"run {run_id} of {pipeline} is on in process {process['pid']}, though its lock is free: somebody has removed the lock's file"
            problem = Problem("active", message, suggestion="wait for its end; `orchestrate cancel` asks for it")
            raise RefusedError([problem], ExitCode.ACTIVE)
    for run_id in reconcile(ledger, unfinished, folder=ledger.path.parent):
        say(f"run {run_id} had lost its orchestrator; it is interrupted now")
        # What its steps were told and had to report; nobody will ask for it.
        clear_away(ledger.path.parent / "exchange" / run_id)


def close_lost_reproductions(ledger: Ledger, pipeline: str, *, say: Say) -> None:
    """End what was to run a run of *pipeline* again and has lost its orchestrator, and remove its folder; one that lives goes on."""
    for run_id in unfinished_reproductions(ledger.connection, pipeline):
        if not has_lost_its_orchestrator(ledger, run_id, pipeline):
            continue
        with contextlib.suppress(WrongExpectedVersionError):  # Somebody else does the same: nobody holds a lock for it.
            reconcile(ledger, [run_id], folder=ledger.path.parent)
            say(f"reproduction {run_id} had lost its orchestrator; it is interrupted now")
        clear_away(ledger.path.parent / "exchange" / run_id)
        clear_away(scratch_folder(ledger, run_id))
        lock_of_reproduction(ledger.path.parent, run_id).unlink(missing_ok=True)


@contextlib.contextmanager
def reproduction_held(ledger: Ledger, run_id: str) -> Iterator[None]:
    """Say by a lock that the reproduction *run_id* is on: its process cannot be seen from everywhere, such as from another container."""
    path = lock_of_reproduction(ledger.path.parent, run_id)
    lock = KernelLock(path)
    lock.acquire()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def has_lost_its_orchestrator(ledger: Ledger, run_id: str, pipeline: str) -> bool:
    """Whether nobody works on the run *run_id* of *pipeline*, which has no end."""
    return not is_at_work(ledger.path.parent, run_id, pipeline, **run_process(ledger.connection, run_id))


def scratch_folder(ledger: Ledger, run_id: str) -> Path:
    """Return where the reproduction *run_id* works, unless somebody said where."""
    return ledger.path.parent / "reproductions" / run_id


def pipeline_lock(ledger: Ledger, name: str) -> KernelLock:
    """Return the lock of the pipeline *name*, not held."""
    return KernelLock(lock_of_pipeline(ledger.path.parent, name), watched=True)


def reproductions_lock(ledger: Path) -> Path:
    """Return the lock that all reproductions in the ledger at *ledger* share, and that who needs it for himself takes; no pipeline has such a name."""
    return ledger.parent / "locks" / "all.reproductions.lock"


def _refuse_or_wait(
    project: Project, ledger: Ledger, lock: KernelLock, name: str, *, wait: bool, say: Say, night: str | None
) -> None:
    active = lock.holder()
    told = f"run {active.get('run_id', '(unknown)')}, process {active.get('pid', '?')} on {active.get('host', '?')}"
    if wait:
        say(f"waiting for {told}")
        return
    hint = "wait for it with --wait, or look with `orchestrate status`"
    problem = Problem("active", f"pipeline {name} is active: {told}", suggestion=hint)
    record_refusal(
        ledger,
        project.pipeline.name,
        [problem],
        definition=project.definition_path,
        night=night,
        code=ExitCode.ACTIVE,
        holder=active,
    )
    raise RefusedError([problem], ExitCode.ACTIVE)


def check_owner(project: Project, ledger: Ledger, *, moved: bool, night: str | None, reason: str | None = None) -> None:
    """
    Make sure that the pipeline's name belongs to this definition, and record its new place where *moved* is set.

    Args:
        reason: Why it has moved, without secrets.

    Raises:
        RefusedError: The name belongs to another definition.
    """
    name, here = project.pipeline.name, project.definition_path
    problem = owner_problem(project, ledger.connection)
    if problem is None:
        return
    if moved and problem.kind == "other_definition":
        row = pipeline_row(ledger.connection, name) or {}
        event = PipelineMoved(name, str(row["definition_path"]), here, current_actor(os.environ), reason)
        append_event(ledger, f"pipeline/{name}", event)
        return
    record_refusal(ledger, name, [problem], definition=here, night=night)
    raise RefusedError([problem])


def owner_problem(project: Project, connection: sqlite3.Connection) -> Problem | None:
    """Say what is wrong where the pipeline's name belongs to another definition in this ledger; None where it does not."""
    name = project.pipeline.name
    twin = case_twin(connection, name)
    if twin is not None and twin not in project.pipeline.formerly:
        message = f"this ledger has a pipeline {twin}: names that differ only in case are one name"
        problem = Problem("duplicate_name", message, ("pipeline", "name"), suggestion="rename the pipeline")
        return place_problems(project.definition, [problem], shown=project.shown)[0]
    row = pipeline_row(connection, name)
    if row is None or row["definition_path"] == project.definition_path:
        return None
    there = os.path.normpath(project.ledger.parent / str(row["definition_path"]))
    message = f"in this ledger the name {name} belongs to {there}, not to {project.definition}"
    hint = "rename the pipeline, or, if the definition has moved, run once with --moved"
    problem = Problem("other_definition", message, ("pipeline", "name"), suggestion=hint)
    return place_problems(project.definition, [problem], shown=project.shown)[0]


def record_host(project: Project, ledger: Ledger, *, say: Say) -> None:
    """Record that the pipeline is about to run on another host than the last time, and say so; its history goes on all the same."""
    pipeline, here = project.pipeline, host_name()
    before = last_host(ledger.connection, [pipeline.name, *pipeline.formerly])
    if before is None or before == here:
        return
    append_event(
        ledger, f"pipeline/{pipeline.name}", HostChanged(pipeline.name, before, here, current_actor(os.environ))
    )
    moved = f"last ran on host {before}, now on {here}; recorded, what is up to date stays so"
    say(printable(f"warning: pipeline {pipeline.name} {moved}"))


def append_event(ledger: Ledger, stream: str, event: Event, blobs: Mapping[str, bytes] | None = None) -> None:
    """Append *event* to *stream*, wherever that stands."""
    ledger.append(stream, [NewEvent(*event_type(event), event_data(event))], expected_version=None, blobs=blobs)
