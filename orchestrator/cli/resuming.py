"""What a run is resumed with: the start that the ledger keeps of it, and whether it may go on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from ledger.store import Ledger
from orchestrator.cli.errors import RefusedError, UsageRefusedError
from orchestrator.cli.project import Options, Prepared, Project
from orchestrator.cli.reading import viewing
from orchestrator.cli.refusals import record_refusal
from orchestrator.core.definition import Pipeline
from orchestrator.core.definition_diff import definition_changes
from orchestrator.core.ended import CHOOSING
from orchestrator.core.events import event_from_data
from orchestrator.core.problems import Problem
from orchestrator.core.selection import Selection
from orchestrator.core.state import RESUMABLE, RunState, fold
from orchestrator.projections.change_text import change_text
from orchestrator.projections.find_run import find_own_run
from orchestrator.projections.queries import list_runs, load_blob
from orchestrator.projections.starts import last_start
from orchestrator.runtime.environment import recorded_variables

_LISTED_AT_MOST = 40


@attrs.frozen
class Resumption:
    """
    Say which run goes on.

    Attributes:
        options: Night, selection and settings that it was started with, as `run` takes them.
        variables: What it was last started or resumed with, as recorded.
        accepted: It may go on with another definition.
        gone: A sentence for each step and variable that it was started with and that the definition lacks now; *options* are without them.
    """

    run_id: str
    options: Options
    variables: Mapping[str, Mapping[str, str]]
    accepted: bool = False
    gone: tuple[str, ...] = ()


def resumption_of(project: Project, word: str, options: Options, *, accepted: bool) -> Resumption:
    """
    Return what the ledger knows of the run that *word* means; whether it may go on is for `resumed_state` to say, when nobody else works on it.

    Args:
        options: Where the definition and the ledger are, and the files of variables: a secret is in no ledger.

    Raises:
        RunLookupError: There is no such run of this pipeline, or no ledger.
        UsageRefusedError: The definition has none of the steps any more that the run was about.
    """
    with viewing(None, str(project.ledger)) as view:
        run_id = find_own_run(view.connection, word, project.pipeline.name)
        night, chosen = view.connection.execute(
            "SELECT night, selection FROM runs WHERE run_id = ?", (run_id,)
        ).fetchone()
        variables: dict[str, dict[str, str]] = last_start(view.connection, run_id)["variables"]
    pipeline = project.pipeline
    selection, gone = _selection(pipeline, json.loads(chosen), run_id)
    plain = pipeline.params.keys() | {name for name, item in pipeline.variables.items() if not item.secret}
    for name in [name for name, item in variables.items() if item["origin"] == "--set" and name not in plain]:
        gone.append(f"the run was started with --set {name}, which is no plain variable or parameter now")
        del variables[name]
    settings = tuple(f"{name}={item['value']}" for name, item in variables.items() if item["origin"] == "--set")
    found = attrs.evolve(options, selection=selection, settings=settings, night=str(night))
    return Resumption(run_id, found, variables, accepted, tuple(gone))


def differing_variables(resumption: Resumption, prepared: Prepared) -> Iterator[str]:
    """Yield a sentence for whatever the run goes on without, and for each plain variable that has another value than it was started with."""
    yield from resumption.gone
    now = recorded_variables(prepared.project.pipeline, prepared.environment)
    for name, before in resumption.variables.items():
        after = now.get(name)
        if not isinstance(after, Mapping):
            yield f"variable {name} has no value now; the run had one ({before['origin']})"
        elif after.get("value") != before.get("value"):
            yield f"variable {name} ({after['origin']}) is not what the run had ({before['origin']})"


def resumed_state(prepared: Prepared, ledger: Ledger, resumption: Resumption) -> RunState:
    """
    Return the state of the run, which may go on: it is the newest of its pipeline, did not end well, and has this definition.

    The caller holds the pipeline's lock.

    Raises:
        RefusedError: It may not; the refusal is recorded.
    """
    project, run_id = prepared.project, resumption.run_id
    state = fold(
        event_from_data(item.type, item.type_version, item.data) for item in ledger.read_stream(f"run/{run_id}")
    )
    problems = _problems(project, ledger.connection, state, resumption)
    if problems:
        name = project.pipeline.name
        record_refusal(ledger, name, problems, definition=project.definition_path, night=prepared.night)
        raise RefusedError(problems)
    return state


def _problems(
    project: Project, connection: sqlite3.Connection, state: RunState, resumption: Resumption
) -> Sequence[Problem]:
    run_id, again = resumption.run_id, f"orchestrate run --for {state.night}"
    if state.status not in RESUMABLE:
        message = f"run {run_id} ended well ({state.status.replace('_', ' ')}): nothing of it is left to do"
        return [Problem("ended_well", message, suggestion=f"`{again}` looks for what is new since")]
    newest = list_runs(connection, pipeline=project.pipeline.name, limit=1)[0]["run_id"]
    if newest != run_id:
        message = f"run {run_id} is not the newest of pipeline {project.pipeline.name}: that is {newest}"
        hint = f"what it had done may have been done again since; `{again}` does what is left of its night"
        return [Problem("not_newest", message, suggestion=hint)]
    (before,) = connection.execute("SELECT definition FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if before == project.pipeline.digest or resumption.accepted:
        return []
    message = f"the definition {project.shown} is not the one that run {run_id} has"
    hint = "go on with it as it is now with --accept-definition: what has succeeded stays, the rest is decided by it"
    changes = definition_changes(load_blob(connection, str(before)), project.pipeline.document)
    listed = [Problem("definition_change", change_text(change)) for change in changes[:_LISTED_AT_MOST]]
    if len(changes) > len(listed):
        listed.append(Problem("definition_change", f"… and {len(changes) - len(listed)} more differences"))
    gone = [Problem("start_changed", sentence) for sentence in resumption.gone]
    return [Problem("definition_changed", message, suggestion=hint), *gone, *listed]


def _selection(pipeline: Pipeline, recorded: Mapping[str, Any], run_id: str) -> tuple[Selection, list[str]]:
    """Return what the run was about, under the names of now, and a sentence for each name that means no step any more."""
    names = {former: step.name for step in pipeline.steps.values() for former in step.formerly}
    names |= {name: name for name in pipeline.steps}
    gone: list[str] = []
    chosen: dict[str, tuple[str, ...]] = {}
    for option in CHOOSING:
        given = recorded[option]
        chosen[option] = tuple(names[name] for name in given if name in names)
        gone += [
            f"the run was started with --{option} {name}, which is no step now" for name in given if name not in names
        ]
        if given and not chosen[option] and option != "omit":
            # Without the option the run would be about more than it was.
            message = f"run {run_id} was started with --{option} {', '.join(given)}, and no step is left of that"
            raise UsageRefusedError("empty_selection", f"{message}: start another one with `orchestrate run`")
    selection = Selection(chosen["only"], chosen["from"], chosen["until"], chosen["omit"], bool(recorded["force"]))
    return selection, gone
