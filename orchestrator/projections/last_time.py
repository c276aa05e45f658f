"""What of a step's key is not as it was at its last success, whatever the attempt was started for: what `explain` says beside the reason."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from orchestrator.core.definition_diff import renamed_entries
from orchestrator.core.fingerprint import first_difference, rename_components
from orchestrator.projections.queries import load_blob, load_json

_BEFORE = (
    "SELECT a.run_id, a.attempt, a.components, r.definition FROM runs r JOIN attempts a ON a.run_id = r.run_id"
    " WHERE r.pipeline IN (SELECT value FROM json_each(:pipelines)) AND r.first_seq <= :first_seq"
    " AND a.step IN (SELECT value FROM json_each(:steps)) AND a.status IN ('succeeded', 'no_new_data')"
    " AND a.finished_seq < :started_seq AND (NOT :per_night OR r.night = :night)"
    " ORDER BY r.first_seq DESC, a.attempt DESC LIMIT 1"
)


def since_last_success(
    connection: sqlite3.Connection, detail: Mapping[str, Any], step: str, attempt: Mapping[str, Any]
) -> dict[str, object] | None:
    """
    Return the last success of *step* before its *attempt* as `{"run_id", "attempt", "difference"}`; None where it never succeeded before.

    `difference` is the first component of the key that differs, as `{"component", "before", "after"}`, or None where the key is the same.

    Args:
        detail: The run, as `queries.run_detail` gives it.
        attempt: With its `components`.
    """
    graph = detail["graph"]
    entry: Mapping[str, Any] = next((known for known in graph["steps"] if known["step"] == step), {})
    asked = {
        "pipelines": json.dumps([detail["pipeline"], *graph.get("formerly", ())]),
        "steps": json.dumps([step, *entry.get("formerly", ())]),
        "first_seq": detail["first_seq"],
        "started_seq": attempt["started_seq"],
        "per_night": bool(entry.get("per_night")),
        "night": detail["night"],
    }
    row = connection.execute(_BEFORE, asked).fetchone()
    if row is None:
        return None
    definitions = [load_blob(connection, str(digest)) or {} for digest in (row[3], detail["definition"])]
    datasets, steps = (
        renamed_entries(*(_table(definition, name) for definition in definitions)) for name in ("datasets", "steps")
    )
    before = rename_components(load_json(connection, row[2]), datasets=datasets, steps=steps)
    found = first_difference(before, attempt["components"])
    difference = None if found is None else {"component": found.component, "before": found.before, "after": found.after}
    return {"run_id": row[0], "attempt": row[1], "difference": difference}


def _table(definition: Mapping[str, object], name: str) -> Mapping[str, object]:
    table = definition.get(name)
    return table if isinstance(table, Mapping) else {}
