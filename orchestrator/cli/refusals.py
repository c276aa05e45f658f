"""Recording that a start was refused: part of the history of a pipeline, though no run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ledger.errors import LedgerError
from ledger.events import NewEvent
from ledger.store import Ledger
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.locate import definition_path, ledger_path, relative_to_ledger
from orchestrator.cli.opening import open_to_write
from orchestrator.cli.project import Options
from orchestrator.core.events import RunRefused, event_data, event_type
from orchestrator.core.problems import Problem
from orchestrator.core.redaction import Redactor
from orchestrator.projections.queries import pipeline_of_path
from orchestrator.runtime.dotenv import read_env_file
from orchestrator.runtime.environment import DEFAULT_FILE
from orchestrator.runtime.provenance import current_actor

_RECORDED_AT_MOST = 100


def record_refusal(
    ledger: Ledger,
    pipeline: str,
    problems: Sequence[Problem],
    *,
    definition: str,
    night: str | None = None,
    code: int = ExitCode.REFUSED,
    holder: Mapping[str, object] | None = None,
) -> None:
    """Append `run.refused` to the stream of *pipeline*; problems beyond a hundred are left out."""
    event = RunRefused(
        pipeline=pipeline,
        night=night,
        exit_code=int(code),
        problems=tuple(problem.as_json() for problem in problems[:_RECORDED_AT_MOST]),
        definition_path=definition,
        actor=current_actor(os.environ),
        holder=holder,
    )
    ledger.append(f"pipeline/{pipeline}", [NewEvent(*event_type(event), event_data(event))], expected_version=None)


def record_definition_refusal(options: Options, problems: Sequence[Problem]) -> None:
    """
    Record that a definition was refused, where the ledger exists and knows whose it is.

    Nothing is made for it, and what goes wrong here does not hide the problems themselves.
    """
    path = definition_path(options.pipeline)
    ledger_file: Path = ledger_path(options.ledger, path)
    if not ledger_file.is_file():
        return
    relative = relative_to_ledger(path, ledger_file)
    try:
        with open_to_write(ledger_file) as ledger:
            pipeline = pipeline_of_path(ledger.connection, relative)
            if pipeline is not None:
                record_refusal(ledger, pipeline, without_values(path, problems), definition=relative)
    except LedgerError:
        return


def without_values(definition: Path, problems: Sequence[Problem]) -> list[Problem]:
    """
    Return *problems* without any value of the `.env` beside *definition*.

    Which variables are secret is not known of a definition that is wrong, so that every value counts as one.
    """
    values = read_env_file(definition.parent / DEFAULT_FILE, shown=DEFAULT_FILE).values
    redact = Redactor(values).redact
    return [problem.masked(redact) for problem in problems]
