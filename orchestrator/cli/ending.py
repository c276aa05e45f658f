"""How a run or a resumed run ends for whoever started it: reports, summary, exit code."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ledger.errors import UnverifiableLedgerError
from ledger.reader import LedgerReader
from orchestrator.cli import render
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.reading import Row, View
from orchestrator.cli.reports import write_reports
from orchestrator.cli.tails import failed_tails
from orchestrator.projections.summary import summary_json, summary_lines


class Ending(NamedTuple):
    """
    How a run ended, with its reports written.

    Attributes:
        detail: As `View.detail` gives it.
        tails: For each failed step the last lines of its log.
        page: The report, or None where it could not be written.
        code: The exit code that the run stands for.
    """

    detail: Row
    tails: Mapping[str, Sequence[str]]
    page: Path | None
    code: int


def finish(path: Path, run_id: str, unsealed: Exception | None) -> Ending:
    """
    Write the reports of the run and return how it ended.

    Args:
        path: Of the ledger.
        unsealed: What kept the checkpoint of the run from being made, or None; it counts where nothing else went wrong, and is shown.
    """
    with LedgerReader(path) as reader:
        detail = View(path, reader.connection, None).detail(run_id)
    tails = failed_tails(detail, path.parent)
    page = None
    try:
        page = write_reports(path.parent, detail, tails)
    except OSError as error:
        render.err(f"warning: the report could not be written: {error}; `orchestrate report` makes it again")
    code = detail["exit_code"]
    assert isinstance(code, int)
    if unsealed is not None:
        render.err(f"error: the run is recorded, its checkpoint could not be made: {unsealed}")
        if code == ExitCode.OK:
            code = ExitCode.UNVERIFIED if isinstance(unsealed, UnverifiableLedgerError) else ExitCode.STORAGE
    return Ending(detail, tails, page, code)


def show_end(path: Path, run_id: str, unsealed: Exception | None, *, quiet: bool, as_json: bool) -> int:
    """Finish the run, print its summary, and return the exit code of the command; arguments as in `finish`."""
    ending = finish(path, run_id, unsealed)
    with render.reader_may_leave():
        if as_json:
            render.out_json(summary_json(ending.detail))
        elif not quiet or ending.detail["exit_code"] != ExitCode.OK:
            show_summary(ending)
    return ending.code


def show_summary(ending: Ending) -> None:
    """Print the summary of a run for people."""
    render.out_lines(summary_lines(ending.detail, ending.tails))
    if ending.page is not None:
        render.out(f"report: {os.path.relpath(ending.page)}")
