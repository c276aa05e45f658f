"""What a run is resumed with: the start that the ledger keeps of it, and whether it may go on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from ledger.store import Ledger
from orchestrator.cli.change_text import change_text
from orchestrator.cli.errors import RefusedError
from orchestrator.cli.project import Options, Prepared, Project
from orchestrator.cli.reading import viewing
from orchestrator.cli.refusals import record_refusal
from orchestrator.core.definition_diff import definition_changes
from orchestrator.core.events import event_from_data
from orchestrator.core.problems import Problem
from orchestrator.core.selection import Selection
from orchestrator.core.state import RESUMABLE, RunState, fold
from orchestrator.projections.find_run import find_run
from orchestrator.projections.queries import list_runs, load_blob
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
    """

    run_id: str
    options: Options
    variables: Mapping[str, Mapping[str, str]]
    accepted: bool = False


def resumption_of(project: Project, word: str, options: Options, *, accepted: bool) -> Resumption:
    """
    Return what the ledger knows of the run that *word* means; whether it may go on is for `resumed_state` to say, when nobody else works on it.

    Args:
        options: Where the definition and the ledger are, and the files of variables: a secret is in no ledger.

    Raises:
        RunLookupError: There is no such run of this pipeline, or no ledger.
    """
    with viewing(None, str(project.ledger)) as view:
        run_id = find_run(view.connection, word, pipeline=project.pipeline.name)
        night, chosen = view.connection.execute(
            "SELECT night, selection FROM runs WHERE run_id = ?", (run_id,)
        ).fetchone()
        variables = _recorded(view.connection, run_id)
    selection: dict[str, Any] = json.loads(chosen)
    names = {name: tuple(selection[name]) for name in ("only", "until", "omit")}
    given = [f"{name}={item['value']}" for name, item in variables.items() if item["origin"] == "--set"]
    found = attrs.evolve(
        options,
        selection=Selection(**names, from_=tuple(selection["from"]), force=bool(selection["force"])),
        settings=tuple(given),
        night=str(night),
    )
    return Resumption(run_id, found, variables, accepted)


def differing_variables(resumption: Resumption, prepared: Prepared) -> Iterator[str]:
    """Yield a sentence for each plain variable that has another value than the run was started with."""
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
    return [Problem("definition_changed", message, suggestion=hint), *listed]


def _recorded(connection: sqlite3.Connection, run_id: str) -> dict[str, dict[str, str]]:
    row = connection.execute(
        "SELECT json_extract(data, '$.variables') FROM audit_events WHERE stream = ? AND type IN ('run.started', 'run.resumed')"
        " ORDER BY version DESC LIMIT 1",
        (f"run/{run_id}",),
    ).fetchone()
    variables: dict[str, dict[str, str]] = json.loads(row[0])
    return variables
