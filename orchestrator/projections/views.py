"""
The views for people and their programs: plain names over the tables, stable where tables may change.

They are made with the tables, so that the comparison of a ledger's schema finds one that was changed to hide rows. The data dictionary,
`audit export` and `audit serve` are made from what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.projections import views_of_data as data
from orchestrator.projections import views_of_evidence as evidence
from orchestrator.projections import views_of_reproductions as reproductions
from orchestrator.projections import views_of_runs as runs
from orchestrator.projections.view_form import View

VIEWS: Mapping[str, View] = {
    view.name: view
    for view in (
        runs.RUNS,
        runs.STEPS,
        runs.ATTEMPTS,
        runs.SKIPS,
        runs.FAILURES,
        runs.NIGHTS,
        runs.MISSING_NIGHTS,
        reproductions.REPRODUCTIONS,
        data.DATA_USE,
        evidence.EVENTS,
        evidence.CHECKPOINTS,
        evidence.UNSEALED,
        evidence.REFUSALS,
        evidence.OVERLAPS,
        evidence.DEFINITION_CHANGES,
        evidence.MANUAL_ACTIONS,
    )
}
"""By name, in the order of the data dictionary."""

VIEW_SCRIPT = "".join(f"\n{view.sql};\n" for view in VIEWS.values())
"""The SQL that makes them, in the form that `ledger.schema.statements` splits."""
