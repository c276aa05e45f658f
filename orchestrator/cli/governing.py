"""The report of governance, put together: what the ledger knows, and how old the files are that can be seen from here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.reading import View
from orchestrator.core.durations import parse_duration
from orchestrator.core.names import shown
from orchestrator.core.nights import parse_date
from orchestrator.projections.governance import governance
from orchestrator.runtime.retention import file_ages

Row = dict[str, Any]

_LAST = datetime.max.replace(tzinfo=UTC).timestamp() - 1


def governance_report(view: View | None, since: str | None, until: str | None) -> Row:
    """
    Return the report on the ledger of *view* (None: there is none yet), for the nights from *since* to *until*.

    Raises:
        UsageRefusedError: One of them is no date, or they are in the wrong order.
    """
    for option, value in (("--since", since), ("--until", until)):
        if value is not None and parse_date(value) is None:
            raise UsageRefusedError("bad_night", f"{option} takes a date such as 2026-01-31, not {shown(value)}")
    if since is not None and until is not None and until < since:
        raise UsageRefusedError("usage", f"--until {until} is before --since {since}")
    now = datetime.now(UTC)
    if view is None:
        empty: Row = {"since": since, "until": until, "pipelines": [], "events": 0, "checkpoint": None}
        return {**empty, "touched": [], "declarations": [], "datasets": [], "looked_at": _text(now)}
    report = governance(view.connection, pipeline=view.pipeline, since=since, until=until)
    for dataset in report["datasets"]:
        dataset["kept"] = _kept(dataset, dataset.pop("place"), view.folder, now)
    return {**report, "looked_at": _text(now)}


def _kept(dataset: Mapping[str, Any], place: Mapping[str, Any], ledger_folder: Path, now: datetime) -> Row | None:
    """Return what is known of the age of *dataset*, or None where it has no retention."""
    if dataset["retention"] is None:
        return None
    before = now.timestamp() - parse_duration(dataset["retention"]) / 1e6
    if place["path"] is not None:
        folder = Path(os.path.normpath(ledger_folder / place["definition_path"])).parent
        ages = file_ages(folder, place["path"], place["pattern"], place["values"], before=before)
        if ages is not None:
            oldest = None if ages.oldest is None else _text(_moment(ages.oldest))
            return {"by": "files", "files": ages.files, "past": ages.past, "oldest_at": oldest}
    last = dataset["last_success"]
    past = last is not None and datetime.fromisoformat(last).timestamp() < before
    return {"by": "nothing" if last is None else "last_success", "files": None, "past": int(past), "oldest_at": last}


def _moment(seconds: float) -> datetime:
    """Return *seconds* since 1970 as a time; what a file system can say and a calendar cannot is taken to its end."""
    return datetime.fromtimestamp(min(max(seconds, datetime.min.replace(tzinfo=UTC).timestamp()), _LAST), UTC)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
