"""
`orchestrate reproduce`, put together: what a run had is held against what is there, laid out in a scratch folder, run again, and compared.

The run that does this is recorded in the same ledger, and as what it is: none of its pipeline's nights. It does not hold the lock of the pipeline either, since it
touches nothing of it: a night begins while one is on.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import attrs

from ledger.errors import LedgerError
from ledger.folders import make_private
from ledger.locks import KernelLock
from ledger.store import Ledger
from orchestrator.cli.beginning import make_beginning
from orchestrator.cli.delivering import unwritable
from orchestrator.cli.errors import RefusedError, UsageRefusedError, mask_bugs_with
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.holding import (
    append_event,
    close_lost_reproductions,
    reproduction_held,
    reproductions_lock,
    scratch_folder,
)
from orchestrator.cli.keying import keyed_surroundings
from orchestrator.cli.manual import acting, checked_reason
from orchestrator.cli.project import Prepared, Project
from orchestrator.cli.reading import View
from orchestrator.cli.recorded_run import RecordedRun, not_kept, recorded_run, variables_again
from orchestrator.cli.run_ids import new_run_id
from orchestrator.cli.running import MakeObservers, Say, run_engine
from orchestrator.cli.scratch_tree import Tree, lay_out, make_tree, outside_problems, with_programs
from orchestrator.cli.sealing import seal_ledger
from orchestrator.cli.telemetry.entry import NoTelemetry, telemetry_of_run
from orchestrator.cli.telemetry.of_run import RunTelemetry
from orchestrator.cli.verdicts import compared, reproduced_event
from orchestrator.core.events import RunReproduced, RunStarted
from orchestrator.core.problems import Problem
from orchestrator.core.reproduction import Again, StepVerdict, steps_again
from orchestrator.core.run_plan import RunPlan
from orchestrator.core.selection import Selection
from orchestrator.core.state import RunState
from orchestrator.projections.find_run import RunLookupError
from orchestrator.projections.reproductions import any_run
from orchestrator.runtime.assembly import run_plan
from orchestrator.runtime.environment import Environment, child_environment
from orchestrator.runtime.leaks import check_redactor
from orchestrator.runtime.provenance import git_state
from orchestrator.runtime.signals import parallel_limit
from orchestrator.runtime.trees import clear_away


@attrs.frozen
class Request:
    """
    Say what is to be run again, as it was typed.

    Attributes:
        into: The scratch folder, or None for a fresh one; one that is named stays.
        keep: The fresh one stays too.
        trusted: Secrets that are taken as they are today.
    """

    run: str
    pipeline: str | None = None
    ledger: str | None = None
    into: str | None = None
    keep: bool = False
    env_files: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    jobs: int | None = None
    reason: str | None = None


@attrs.frozen
class Result:
    """
    Hold what came of it.

    Attributes:
        reproduction: The run that ran it again, or None where nothing could be started.
        verdict: As it is recorded; None where the run was ended early, and nothing can be said.
        status: How that run ended, or None.
        exit_code: Of that run by itself, or None.
        folder: The scratch folder, where it stays.
        where: The options that a command needs to find pipeline and ledger.
    """

    recorded: RecordedRun
    reproduction: str | None
    verdict: RunReproduced | None
    status: str | None
    exit_code: int | None
    folder: Path | None
    where: str


def reproduce(request: Request, *, observers: MakeObservers, say: Say, began: Callable[[RecordedRun], None]) -> Result:
    """
    Run the run that *request* names again and compare what comes of it; everything is in the ledger.

    Args:
        began: Told which run it is, when it is about to be run again.

    Raises:
        RunLookupError, UsageRefusedError: There is no such run, it has no end yet, or it is a reproduction itself; the scratch folder cannot be used; what is to
            be trusted is no secret of it.
        RefusedError: There is no room, a file of variables cannot be used, or secrets are not masked.
        LedgerError: The ledger cannot be used, or an event could not be recorded; what ran then has been ended.
    """
    with acting(request.pipeline, request.ledger) as (view, ledger), _known_to_be_on(ledger):
        recorded = recorded_run(view, _found(view, request.run))
        close_lost_reproductions(ledger, recorded.name, say=say)
        reason = checked_reason(view, recorded.name, request.reason, "reproduce")
        again = steps_again(recorded.pipeline, recorded.steps)
        variables = variables_again(
            recorded, again.steps, env_files=request.env_files, trusted=frozenset(request.trusted)
        )
        run_id = new_run_id(datetime.now(UTC))
        with reproduction_held(ledger, run_id), _scratch(request, ledger, run_id) as (root, stays):
            made = _make(recorded, again, variables.environment, root, view)
            why = None if reason is None else made.prepared.redactor.redact(reason)
            telling = _Telling(recorded, again, variables.trusted, why, made.prepared.redactor.redact)
            problems = [*recorded.problems, *again.problems, *variables.problems]
            problems += [] if problems else outside_problems(recorded, again, made.tree)
            problems += [] if problems else _laid_out(made, recorded, again, ledger)
            plan = None
            if not problems:
                plan, problems = _plan(made, recorded, again, run_id, request.jobs)
            where = view.where(recorded.name)
            if plan is None or problems:
                event = telling.event(None, [], problems)
                append_event(ledger, f"pipeline/{recorded.name}", event)
                return Result(recorded, None, event, None, None, None, where)
            with telemetry_of_run(
                ledger, run_id, made.prepared, os.environ, say=say, folder=recorded.folder
            ) as telemetry:
                began(recorded)
                stays()
                state = _run(made, recorded, plan, ledger, observers, telemetry, reason=why)
                code = _sealed(ledger, run_id, say)
                telemetry.finish()
                telemetry.record()
            kept = root if request.keep or request.into is not None else None
            if state.status in ("cancelled", "timed_out"):
                return Result(recorded, run_id, None, state.status, code, kept, where)
            steps = compared(
                recorded, again, state, made.tree, manifest=ledger.blob, redact=made.prepared.redactor.redact
            )
            event = telling.event(run_id, steps, [])
            append_event(ledger, f"pipeline/{recorded.name}", event)
            return Result(recorded, run_id, event, state.status, code, kept, where)


def _found(view: View, word: str) -> str:
    """Return the id of the run that *word* means; one of a former ledger is refused as what it is."""
    try:
        holder, run_id = view.holding(word)
    finally:
        view.close_former()
    if holder is not view:
        message = f"run {run_id} is of a former ledger, which this one continues and which is closed: a run is run again by what its own ledger keeps"
        raise RunLookupError(
            "former_run", f"{message}, and its verdict is recorded there; `orchestrate show {run_id}` shows it"
        )
    return run_id


@contextlib.contextmanager
def _known_to_be_on(ledger: Ledger) -> Iterator[None]:
    """Keep those away who need the ledger for themselves, see `audit.quiet`."""
    lock = KernelLock(reproductions_lock(ledger.path))
    if not lock.acquire(shared=True):
        message = "somebody prunes, restores or rebuilds the ledger at this moment"
        raise RefusedError([Problem("active", message, suggestion="wait for its end")], ExitCode.ACTIVE)
    try:
        yield
    finally:
        lock.release()


@attrs.frozen
class _Telling:
    """What a verdict says besides how it came out."""

    recorded: RecordedRun
    again: Again
    trusted: tuple[str, ...]
    reason: str | None
    redact: Callable[[str], str]

    def event(self, reproduction: str | None, steps: list[StepVerdict], problems: list[Problem]) -> RunReproduced:
        return reproduced_event(
            self.recorded,
            self.again,
            reproduction,
            steps=steps,
            problems=[problem.masked(self.redact) for problem in problems],
            trusted=self.trusted,
            reason=self.reason,
        )


@contextlib.contextmanager
def _scratch(request: Request, ledger: Ledger, run_id: str) -> Iterator[tuple[Path, Callable[[], None]]]:
    """
    Give the scratch folder, which is empty, and what is called once something runs in it.

    At the end a fresh one is removed, unless it is to be kept. In one that was named, what was laid out stays where something ran; else it is empty again.

    Raises:
        UsageRefusedError: What was named is there and not empty, or cannot be made.
        DiskRefusedError: The disk refused.
    """
    root = scratch_folder(ledger, run_id) if request.into is None else Path(os.path.abspath(request.into))
    was_there = False
    try:
        was_there = root.exists()
        if request.into is not None and was_there and not (root.is_dir() and not any(root.iterdir())):
            raise UsageRefusedError("not_empty", f"--into {root}: it is there and is no empty folder")
        make_private(root)
    except OSError as error:
        raise unwritable(root, error, kind="no_folder", what="made") from None
    ran: list[bool] = []
    try:
        yield root, lambda: ran.append(True)
    finally:
        if not ran or (request.into is None and not request.keep):
            _removed(root, itself=not was_there)
            if request.into is None:
                with contextlib.suppress(OSError):
                    root.parent.rmdir()


def _removed(folder: Path, *, itself: bool) -> None:
    """Remove what lies in *folder*, and it *itself* where it is ours."""
    if itself:
        clear_away(folder)
        return
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            clear_away(path)
        else:
            path.unlink()


@attrs.frozen
class _Made:
    """What is run again: the tree, and in it the pipeline as it was."""

    tree: Tree
    prepared: Prepared


def _make(recorded: RecordedRun, again: Again, environment: Environment, root: Path, view: View) -> _Made:
    tree = make_tree(recorded, again, environment, root)
    project = Project(
        definition=tree.folder / recorded.definition.name,
        shown=str(recorded.definition),
        ledger=view.path,
        pipeline=recorded.pipeline,
        graph=recorded.graph,
        content=recorded.text,
    )
    steps = frozenset(again.steps)
    prepared = Prepared(project, recorded.night, steps, environment, tree.around, tree.places, ())
    mask_bugs_with(prepared.redactor.redact)
    broken = check_redactor(recorded.pipeline, environment, prepared.redactor)
    if broken:
        raise RefusedError(broken)
    return _Made(tree, prepared)


def _laid_out(made: _Made, recorded: RecordedRun, again: Again, ledger: Ledger) -> list[Problem]:
    redactor = made.prepared.redactor

    def shown(name: str) -> str:
        return redactor.redact_name(name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))

    why = functools.partial(not_kept, ledger.connection)
    return lay_out(recorded, again, made.tree, blob=ledger.blob, not_kept=why, shown=shown)


def _plan(
    made: _Made, recorded: RecordedRun, again: Again, run_id: str, jobs: int | None
) -> tuple[RunPlan, list[Problem]]:
    pipeline = recorded.pipeline
    plan = run_plan(
        pipeline,
        recorded.graph,
        keyed_surroundings(made.prepared, make=False),
        run_id=run_id,
        night=recorded.night,
        selected=frozenset(again.steps),
        forced=True,
        max_parallel=parallel_limit(jobs or pipeline.max_parallel),
        baselines=again.baselines(pipeline, recorded.steps),
    )
    reaching = child_environment(pipeline, made.prepared.environment, os.environ)
    search = {name: reaching[name].get("PATH", os.defpath) for name in again.steps}
    return with_programs(plan, again, search)


def _run(
    made: _Made,
    recorded: RecordedRun,
    plan: RunPlan,
    ledger: Ledger,
    observers: MakeObservers,
    telemetry: RunTelemetry | NoTelemetry,
    *,
    reason: str | None,
) -> RunState:
    selection = Selection(only=tuple(sorted(plan.selected)), force=True)
    git = git_state(recorded.folder)
    beginning = make_beginning(made.prepared, selection, plan, reason=reason, git=git, state=None)
    assert isinstance(beginning.event, RunStarted)
    event = attrs.evolve(beginning.event, definition_path=recorded.start["definition_path"], reproduces=recorded.run_id)
    return run_engine(made.prepared, ledger, plan, attrs.evolve(beginning, event=event), observers, telemetry)


def _sealed(ledger: Ledger, run_id: str, say: Say) -> int | None:
    """Seal the run, which has ended, and return its exit code; what keeps it from being sealed is told."""
    row = any_run(ledger.connection, run_id)
    try:
        seal_ledger(ledger, row["last_seq"] + 1, say=say)
    except LedgerError as error:
        say(f"warning: the run is recorded, its checkpoint could not be made: {error}")
    code: int | None = row["exit_code"]
    return code
