"""One start of the pipeline, as `run` and `backfill` make it, and how `resume` begins: prepared, with its warnings shown once, its refusals recorded."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.cli import render
from orchestrator.cli.observing import Watching
from orchestrator.cli.project import Options, Prepared, Project, load_project, prepare
from orchestrator.cli.refusals import record_definition_refusal
from orchestrator.cli.running import Start, execute
from orchestrator.core.errors import DefinitionError


def run_once(
    options: Options, start: Start, watching: Watching, *, quiet: bool, told: set[str]
) -> tuple[Path, str, Exception | None]:
    """
    Run, and return the path of the ledger, the id of the run, and what kept its checkpoint from being made.

    What the run was made of goes with this frame, before the reports take their own memory.

    Args:
        told: Warnings that have been shown, which are not shown again; extended here.

    Raises:
        DefinitionError, RefusedError, LedgerError: As in `running.execute`.
    """

    def prepared(options: Options) -> Prepared:
        found = prepare(load_to_start(options), options, os.environ)
        warnings = [str(item) for item in (*found.project.warnings, *found.problems) if item.severity == "warning"]
        for warning in () if quiet else warnings:
            if warning not in told:
                render.err(f"warning: {warning}")
        told.update(warnings)
        return found

    ended = execute(prepared, options, start, observers=watching.observers, say=render.err)
    return ended.ledger, ended.state.run_id, ended.unsealed


def load_to_start(options: Options) -> Project:
    """Read the definition; one that is refused is recorded where the ledger knows whose it is. Errors as in `project.load_project`."""
    try:
        return load_project(options)
    except DefinitionError as error:
        record_definition_refusal(options, error.problems)
        raise
