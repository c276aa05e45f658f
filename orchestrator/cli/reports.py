"""The files that a run leaves for people and programs: `report.html`, `report.md`, `summary.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ledger.folders import make_private
from orchestrator.projections.report_html import report_parts
from orchestrator.projections.report_markdown import report_markdown
from orchestrator.projections.summary import summary_json


def write_reports(folder: Path, detail: Mapping[str, object], tails: Mapping[str, Sequence[str]]) -> Path:
    """
    Write the three files of a run below *folder*, the ledger's, and return the path of the page.

    Raises:
        OSError: A file cannot be written; the report can be made again from the ledger at any time.
    """
    place = folder / "reports" / str(detail["run_id"])
    make_private(place)
    write_private(place / "report.html", *report_parts(detail, tails))
    write_private(place / "report.md", report_markdown(detail, tails))
    write_private(place / "summary.json", json.dumps(summary_json(detail), ensure_ascii=False, indent=1) + "\n")
    return place / "report.html"


def write_private(path: Path, *texts: str) -> None:
    """
    Write *texts* to *path*, readable by its owner alone; whoever looks sees the old file or the new one, whole.

    Raises:
        OSError: It cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(texts)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
