"""
Who touched which class of data, when, and under whose declaration: the report of governance, from the ledger alone.

What steps did is asked of the view `audit_data_use`. What holds today (owner, layer, retention) is what the definition says that each pipeline last
ran with. Of the disk nothing is known here: whoever can see the files adds their age, see `cli.governing`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from ledger.reader import read_rows
from orchestrator.core.classification import graph_classes, rank
from orchestrator.projections.queries import load_blob
from orchestrator.projections.starts import last_start

Row = dict[str, Any]

_USE = """
SELECT pipeline, step, use, dataset, classification, inherited, declassifies, definition, declared_at, declared_by, git_commit,
    run_id, night, started_at FROM audit_data_use
WHERE pipeline = coalesce(:pipeline, pipeline) AND night >= coalesce(:since, night) AND night <= coalesce(:until, night)
ORDER BY first_seq
"""


def governance(
    connection: sqlite3.Connection, *, pipeline: str | None = None, since: str | None = None, until: str | None = None
) -> Row:
    """
    Return the report: what was touched, what declarations there were, which datasets there are now.

    Args:
        pipeline: Only this one.
        since: The first night, an ISO date.
        until: The last night, included.
    """
    known = [name for (name,) in connection.execute("SELECT pipeline FROM pipelines ORDER BY pipeline")]
    pipelines = [name for name in known if pipeline in (None, name)]
    (events,) = connection.execute("SELECT coalesce(max(seq) + 1, 0) FROM events").fetchone()
    sealed = connection.execute(
        "SELECT size, lower(hex(root)) FROM checkpoints ORDER BY size DESC, id DESC LIMIT 1"
    ).fetchone()
    return {
        "since": since,
        "until": until,
        "pipelines": pipelines,
        "events": events,
        "checkpoint": None if sealed is None else {"size": sealed[0], "root": sealed[1]},
        "touched": _touched(connection, pipeline, since, until),
        "declarations": [row for name in pipelines for row in _declarations(connection, name)],
        "datasets": [row for name in pipelines for row in present_datasets(connection, name)],
    }


def _touched(connection: sqlite3.Connection, pipeline: str | None, since: str | None, until: str | None) -> list[Row]:
    """Return one row for each step, with what it touched, for each way in which it was declared; the highest class first."""
    attempts: dict[tuple[object, ...], list[Row]] = {}
    for row in read_rows(connection, _USE, {"pipeline": pipeline, "since": since, "until": until}):
        attempts.setdefault((row["pipeline"], row["step"], row["run_id"], row["started_at"]), []).append(row)
    found: dict[str, Row] = {}
    for rows in attempts.values():
        first = rows[0]
        used = {
            use: sorted(
                (
                    {name: row[name] for name in ("dataset", "classification")} | {"inherited": bool(row["inherited"])}
                    for row in rows
                    if row["use"] == use
                ),
                key=lambda item: str(item["dataset"]),
            )
            for use in ("reads", "writes")
        }
        what = {name: first[name] for name in ("pipeline", "step", "declassifies")} | used
        highest = max((row["classification"] for row in rows), key=rank)
        entry = found.setdefault(
            json.dumps(what, sort_keys=True),
            {"classification": highest, **what, "attempts": 0, "nights": {}, "runs": {}, "definitions": {}},
        )
        _count(entry, first)
    for entry in found.values():
        entry["nights"], entry["runs"] = list(entry["nights"]), list(entry["runs"])
        entry["definitions"] = list(entry["definitions"].values())
    return sorted(found.values(), key=lambda entry: (-rank(entry["classification"]), entry["pipeline"], entry["step"]))


def _count(entry: Row, attempt: Row) -> None:
    entry["attempts"] += 1
    # As ordered sets.
    entry["nights"][attempt["night"]] = entry["runs"][attempt["run_id"]] = None
    entry.setdefault("first_at", attempt["started_at"])
    entry["last_at"] = attempt["started_at"]
    names = ("definition", "declared_at", "declared_by", "git_commit")
    entry["definitions"].setdefault(attempt["definition"], {name: attempt[name] for name in names})


def _declarations(connection: sqlite3.Connection, pipeline: str) -> Iterator[Row]:
    """Yield what steps of *pipeline* have said of declassifying: since when, brought in by whom, and until when where that has ended."""
    rows = connection.execute(
        "SELECT recorded_at, after, user, git_commit FROM audit_definition_changes WHERE pipeline = ? ORDER BY seq",
        (pipeline,),
    ).fetchall()
    standing: dict[str, Row] = {}
    for recorded_at, digest, user, commit in rows:
        said = _said(load_blob(connection, digest) or {})
        for step in [name for name, row in standing.items() if said.get(name) != row["declassifies"]]:
            yield {**standing.pop(step), "until": recorded_at}
        for step, text in said.items():
            if step not in standing:
                since = {"since": recorded_at, "declared_by": user, "definition": digest, "git_commit": commit}
                standing[step] = {"pipeline": pipeline, "step": step, "declassifies": text, **since}
    yield from ({**row, "until": None} for row in standing.values())


def _said(document: Mapping[str, Any]) -> dict[str, str]:
    return {name: table["declassifies"] for name, table in document.get("steps", {}).items() if "declassifies" in table}


def present_datasets(connection: sqlite3.Connection, pipeline: str) -> Iterator[Row]:
    """
    Yield the datasets of *pipeline* as its newest run knows them, by name.

    `last_success` is when the step that writes it last succeeded, `place` what is needed to find its files.
    """
    run = connection.execute(
        "SELECT run_id, graph, definition, night FROM runs WHERE pipeline = ? ORDER BY first_seq DESC LIMIT 1",
        (pipeline,),
    ).fetchone()
    if run is None:
        return
    graph = load_blob(connection, run[1]) or {"steps": [], "datasets": {}}
    document: Mapping[str, Any] = load_blob(connection, run[2]) or {}
    known = graph_classes(graph).datasets
    steps: Any = graph["steps"]
    writers = {name: entry["step"] for entry in steps for name in entry.get("writes", ())}
    begun = last_start(connection, run[0])
    values = {name: item["value"] for name, item in begun["variables"].items() if "value" in item}
    for name, table in document.get("datasets", {}).items():
        own = known.get(name)
        yield {
            "pipeline": pipeline,
            "dataset": name,
            "classification": None if own is None else own.classification,
            "inherited_from": None if own is None or own.source == name else own.source,
            "layer": table.get("layer"),
            "owner": table.get("owner"),
            "retention": table.get("retention"),
            "writer": writers.get(name),
            "last_success": _last_success(connection, pipeline, writers.get(name)),
            "place": {
                "definition_path": begun["definition_path"],
                "path": table.get("path"),
                "pattern": table.get("pattern", "**/*"),
                "values": values,
            },
        }


def _last_success(connection: sqlite3.Connection, pipeline: str, step: str | None) -> str | None:
    """Return when the last attempt of *step* that ended well was recorded to end."""
    row = connection.execute(
        "SELECT a.finished_at FROM baselines b JOIN attempts a ON a.run_id = b.run_id AND a.step = b.step AND a.attempt = b.attempt"
        " WHERE b.pipeline = ? AND b.step = ? AND a.status IN ('succeeded', 'no_new_data') ORDER BY a.finished_at DESC LIMIT 1",
        (pipeline, step),
    ).fetchone()
    return None if row is None else row[0]
