"""The files that a run leaves for people and programs: `report.html`, `report.md`, `summary.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ledger.folders import make_private, write_private
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
    make_private(place, inherit=True)
    write_private(place / "report.html", *report_parts(detail, tails), inherit=True)
    write_private(place / "report.md", report_markdown(detail, tails), inherit=True)
    write_private(
        place / "summary.json", json.dumps(summary_json(detail), ensure_ascii=False, indent=1) + "\n", inherit=True
    )
    return place / "report.html"
