"""A run as the ledger has it, in the form in which it is run again: definition, variables, and for each step its last attempt with inputs, code and outputs."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from ledger.canonical import blob_digest, canonical_bytes
from ledger.reader import kept_blob
from orchestrator.cli.errors import RefusedError, UsageRefusedError
from orchestrator.cli.keyring import digest_key, digest_key_path
from orchestrator.cli.reading import View
from orchestrator.core.definition import Pipeline
from orchestrator.core.explain import id_of
from orchestrator.core.graph import Graph, build_graph
from orchestrator.core.keyed import key_id, keyed_digest
from orchestrator.core.names import shown
from orchestrator.core.parse_values import build_pipeline
from orchestrator.core.problems import Problem
from orchestrator.core.reproduction import RecordedStep
from orchestrator.core.toml_text import read_toml
from orchestrator.projections.environments import environment_of
from orchestrator.projections.find_run import refuse_reproduction
from orchestrator.projections.pruned import pruned_blob, pruned_when
from orchestrator.projections.queries import load_blob, load_json, pipeline_row, run_row
from orchestrator.projections.reproductions import last_attempts, starts_of
from orchestrator.runtime.environment import Environment, Resolved, resolve_environment


@attrs.frozen
class RecordedRun:
    """
    Hold what is recorded of a run.

    Attributes:
        name: Of its pipeline.
        definition: Where its pipeline's definition lies today; absolute.
        start: What it was last started or resumed with.
        environment: The document of what it ran with; None where an older program ran it, or it is not kept.
        text: Of the definition as it was read, or its canonical form where that is not kept.
        steps: What is recorded of each step.
        problems: Why it cannot be run again, as far as that is plain here.
    """

    run_id: str
    name: str
    night: str
    definition: Path
    start: Mapping[str, Any]
    environment: Mapping[str, Any] | None
    text: bytes
    pipeline: Pipeline
    graph: Graph
    steps: Mapping[str, RecordedStep]
    problems: tuple[Problem, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder of the definition: where its data lies."""
        return self.definition.parent


def recorded_run(view: View, run_id: str) -> RecordedRun:
    """
    Return what the ledger of *view* has of the run *run_id*, which exists.

    Raises:
        RunLookupError: It reproduces another one.
        UsageRefusedError: It has no end yet.
    """
    connection = view.connection
    refuse_reproduction(connection, run_id)
    run = run_row(connection, run_id)
    if run["status"] == "running":
        what = "is still on" if view.is_active(run_id) else "lost its orchestrator and has no end yet"
        raise UsageRefusedError("not_ended", f"run {run_id} {what}: there is nothing yet to be had again")
    starts = starts_of(connection, run_id)
    row = pipeline_row(connection, str(run["pipeline"])) or {}
    environment = environment_of(connection, run_id)
    digest = str(starts[-1]["definition"])
    document = load_blob(connection, digest) or {}
    attempts = last_attempts(connection, run_id)
    text = _definition_text(connection, environment) or canonical_bytes(document)
    # The text has the steps in their order, which is that of the graph.
    read = read_toml(text, "the definition").document or {}
    document = read if blob_digest(canonical_bytes(read)) == digest else document
    pipeline, wrong = build_pipeline(document)
    return RecordedRun(
        run_id=run_id,
        name=str(run["pipeline"]),
        night=str(run["night"]),
        definition=Path(os.path.normpath(view.folder.resolve() / str(row.get("definition_path", "pipeline.toml")))),
        start=starts[-1],
        environment=environment,
        text=text,
        pipeline=attrs.evolve(pipeline, document=document, digest=digest),
        graph=build_graph(pipeline),
        steps={name: _recorded_step(connection, item) for name, item in attempts.items()},
        problems=(*_definition_problems(starts, document, wrong), *_key_problems(connection, attempts)),
    )


def not_kept(connection: sqlite3.Connection, digest: str) -> str:
    """Say of *digest*, under which the ledger has nothing, that it is not kept, and which event says that it was pruned, where one does."""
    row = pruned_blob(connection, digest)
    told = "" if row is None else f": {pruned_when(row)}"
    return f"is not kept in the ledger{told}"


def _definition_text(connection: sqlite3.Connection, environment: Mapping[str, Any] | None) -> bytes | None:
    return None if environment is None else kept_blob(connection, environment["definition_text"])


def _definition_problems(
    starts: list[Mapping[str, Any]], document: Mapping[str, object], wrong: list[Problem]
) -> Iterator[Problem]:
    if not document:
        yield Problem("definition_not_kept", "the definition that it had is not kept in the ledger")
    if wrong:
        yield Problem("definition_not_read", f"the definition that it had means nothing to this program: {wrong[0]}")
    if len({start["definition"] for start in starts}) > 1:
        yield Problem("definition_changed", "it was resumed with another definition: its steps ran by two of them")


def _key_problems(connection: sqlite3.Connection, attempts: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """Yield the steps of which it is not known any more what they read and ran: what is large of that is a blob of its own."""
    for name, row in attempts.items():
        digest = json.loads(row["components"] or "{}").get("blob")
        if digest is not None and load_blob(connection, digest) is None:
            yield Problem("key_not_kept", f"step {name}: what it read and ran {not_kept(connection, digest)}")


def _recorded_step(connection: sqlite3.Connection, row: Mapping[str, Any]) -> RecordedStep:
    lost = row["attempt_reason"] == "lost"
    outputs = load_json(connection, row["outputs"])
    return RecordedStep(
        status=row["status"],
        reason=row["reason"],
        exit_code=row["exit_code"],
        signal=row["signal"],
        attempt_status="lost" if lost else row["attempt_status"],
        components=load_json(connection, row["components"]),
        outputs={name: value if isinstance(value, str) else None for name, value in outputs.items()},
    )


@attrs.frozen
class Variables:
    """
    Hold the variables that a run is run again with.

    Attributes:
        environment: Plain ones as they are recorded, secrets as they are today.
        trusted: Secrets that were taken though they are not known to be what they were.
        problems: A sentence for each that is not what it was.
    """

    environment: Environment
    trusted: tuple[str, ...]
    problems: tuple[Problem, ...]


def variables_again(
    recorded: RecordedRun, steps: tuple[str, ...], *, env_files: tuple[str, ...], trusted: frozenset[str]
) -> Variables:
    """
    Return the variables that *steps* of the run are run again with.

    Args:
        env_files: Of `--env-file`, in which secrets may stand.
        trusted: Names of secrets that are to be taken as they are.

    Raises:
        KeyFileError: The key of keyed digests is damaged.
        RefusedError: A file of variables cannot be used.
        UsageRefusedError: *trusted* names what is no secret of the run's definition.
    """
    pipeline = recorded.pipeline
    _refuse_unknown(recorded, trusted)
    files = [Path(name) for name in env_files]
    resolved = resolve_environment(pipeline, recorded.folder, selected=steps, env_files=files, environ=os.environ)
    _refuse_files(resolved.problems, frozenset(map(str, files)))
    today = resolved.variables
    known = {name: item for name, item in recorded.start["variables"].items() if "value" in item}
    plain = {name: Resolved(str(item["value"]), str(item["origin"])) for name, item in known.items()}
    secrets = {name: item for name, item in today.items() if pipeline.variables[name].secret}
    taken = {name for step in steps for name in pipeline.steps[step].env if name in pipeline.variables}
    doubts = {
        name: why
        for name in sorted(taken)
        if pipeline.variables[name].secret and (why := _doubt(recorded, name, secrets.get(name))) is not None
    }
    taken_as_is = [name for name in doubts if name in trusted and name in secrets]
    found = Environment(
        variables=secrets | {name: item for name, item in plain.items() if name in pipeline.variables},
        params={name: item for name, item in plain.items() if name in pipeline.params},
    )
    problems = tuple(
        Problem("variable_differs", why, suggestion=f"take it as it is with --trust-secret {name}")
        for name, why in doubts.items()
        if name not in taken_as_is
    )
    return Variables(found, tuple(taken_as_is), problems)


def _refuse_unknown(recorded: RecordedRun, trusted: frozenset[str]) -> None:
    secrets = sorted(name for name, variable in recorded.pipeline.variables.items() if variable.secret)
    unknown = sorted(trusted.difference(secrets))
    # A definition that is not kept is told in the verdict.
    if unknown and not recorded.problems:
        known = f"there are {', '.join(secrets)}" if secrets else "there is none"
        message = (
            f"--trust-secret names {shown(unknown[0])}, which is no secret of the definition that the run had: {known}"
        )
        raise UsageRefusedError("unknown_secret", message)


def _refuse_files(problems: Iterable[Problem], given: frozenset[str]) -> None:
    """Refuse what is wrong with files of variables, as `run` does; one of the definition's may be gone, since the secrets may come from elsewhere today."""
    wrong = [
        problem
        for problem in problems
        if problem.severity == "error"
        and problem.file is not None
        and (problem.kind != "env_missing" or problem.file in given)
    ]
    if wrong:
        raise RefusedError(wrong)


def _doubt(recorded: RecordedRun, name: str, today: Resolved | None) -> str | None:
    """Say why the value that the secret *name* has *today* is not known to be the one that the run had; None where it is."""
    kept = None if recorded.environment is None else recorded.environment["secrets"].get(name)
    expected = kept or recorded.start["variables"].get(name, {}).get("keyed")
    had_value = name in recorded.start["variables"]
    if today is None:
        return f"the secret {name} has no value today; the run had one" if had_value else None
    if not had_value:
        return f"the secret {name} has a value today; the run had none"
    if id_of(expected) in (None, "none"):
        return f"whether the secret {name} is what the run had is not known: no digest of it is recorded"
    key = digest_key(make=False)
    if key is None or id_of(expected) != key_id(key):
        what = "is not there" if key is None else "is another one"
        return f"whether the secret {name} is what the run had is not known: the key in {digest_key_path()} under which that is recorded {what}"
    same = keyed_digest(key, name, today.value) == expected
    return None if same else f"the secret {name} is not what the run had"
