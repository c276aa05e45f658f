"""What a shell completes: ids of runs, and steps of the run that stands before them; silent about everything that goes wrong."""

from __future__ import annotations

import click

from ledger.errors import LedgerError
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.reading import viewing
from orchestrator.projections.find_run import RunLookupError
from orchestrator.projections.queries import list_runs

_OFFERED_AT_MOST = 50


def complete_runs(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return `latest` and the newest runs that begin with *incomplete*."""
    try:
        with viewing(context.params.get("pipeline"), context.params.get("ledger")) as view:
            ids = [
                str(row["run_id"]) for row in list_runs(view.connection, pipeline=view.pipeline, limit=_OFFERED_AT_MOST)
            ]
    except (LedgerError, RunLookupError, UsageRefusedError):
        return []
    return [word for word in ("latest", *ids) if word.startswith(incomplete)]


def complete_steps(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the steps of the run that was typed, as far as they begin with *incomplete*."""
    try:
        with viewing(context.params.get("pipeline"), context.params.get("ledger")) as view:
            run_id = view.find(str(context.params.get("run") or "latest"))
            rows = view.connection.execute("SELECT step FROM steps WHERE run_id = ? ORDER BY position", (run_id,))
            return [step for (step,) in rows if step.startswith(incomplete)]
    except (LedgerError, RunLookupError, UsageRefusedError):
        return []


def complete_defined_steps(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the steps of the definition, as far as they begin with *incomplete*."""
    from orchestrator.cli.locate import definition_path
    from orchestrator.core.errors import DefinitionError
    from orchestrator.runtime.definition_file import read_definition

    try:
        steps = read_definition(definition_path(context.params.get("pipeline"))).pipeline.steps
    except DefinitionError:
        return []
    return [step for step in steps if step.startswith(incomplete)]
