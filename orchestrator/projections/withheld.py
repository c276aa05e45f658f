"""
Which steps of a run touch data whose class keeps their output out of everything that is shown by the way: summaries, reports, alerts.

A log takes the highest class of the data that its step touches. What that is stands in the ledger, in the graph of the run, so that it is known
also where the definition has gone or says something else today.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping

from orchestrator.core.classification import graph_classes, is_withheld, rank


def step_classes(connection: sqlite3.Connection, run_id: str) -> dict[str, str]:
    """
    Map each step of the run *run_id* that touches classified data to the highest class of it.

    A run that was resumed has several graphs: a log of before may hold what the step touched then, and the highest class of all counts.
    """
    found: dict[str, str] = {}
    rows = connection.execute(
        "SELECT DISTINCT b.bytes FROM events e JOIN blobs b ON b.digest = json_extract(e.data, '$.graph')"
        " WHERE e.stream = 'run/' || ? AND e.type IN ('run.started', 'run.resumed')",
        (run_id,),
    )
    for (graph,) in rows:
        for step, classification in graph_classes(json.loads(graph)).steps.items():
            if rank(classification) > rank(found.get(step)):
                found[step] = classification
    return found


def withheld_text(detail: Mapping[str, object], step: str) -> str | None:
    """
    Return the sentence that stands where lines of the log of *step* would stand, or None where they may be shown.

    Args:
        detail: The run as `queries.run_detail` gives it; its `where` (optional) are options that a command needs to find it.
    """
    classes = detail["classes"]
    assert isinstance(classes, Mapping)
    classification = classes.get(step)
    if not is_withheld(classification):
        return None
    where = detail.get("where") or ""
    return f"withheld, as the step touches {classification} data: `orchestrate logs {detail['run_id']} {step}{where}` shows it"
