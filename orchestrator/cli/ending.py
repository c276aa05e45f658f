"""How a run or a resumed run ends for whoever started it: reports, summary, exit code."""

from __future__ import annotations

import os
from pathlib import Path

from ledger.errors import LedgerNotFoundError, StorageError, UnverifiableLedgerError
from ledger.reader import LedgerReader
from orchestrator.cli import render
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.reading import View
from orchestrator.cli.reports import write_reports
from orchestrator.cli.tails import failed_tails
from orchestrator.projections.summary import summary_json, summary_lines
from orchestrator.runtime.place import held_log


def show_end(path: Path, run_id: str, unsealed: Exception | None, *, quiet: bool, as_json: bool) -> int:
    """
    Write the reports of the run, print its summary, and return the exit code of the command.

    Args:
        path: Of the ledger.
        unsealed: What kept the checkpoint of the run from being made, or None; it counts where nothing else went wrong.

    Raises:
        StorageError: The ledger is gone.
    """
    try:
        code = _show(path, run_id, quiet=quiet, as_json=as_json)
    except LedgerNotFoundError:
        raise StorageError(str(path), "somebody has removed it while the run was on: restore a backup") from None
    held = None if quiet else held_log(path)
    if held is not None:
        render.err(f"warning: {held}")
    if unsealed is None:
        return code
    render.err(f"error: the run is recorded, its checkpoint could not be made: {unsealed}")
    if code != ExitCode.OK:
        return code
    return ExitCode.UNVERIFIED if isinstance(unsealed, UnverifiableLedgerError) else ExitCode.STORAGE


def _show(path: Path, run_id: str, *, quiet: bool, as_json: bool) -> int:
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
    with render.reader_may_leave():
        if as_json:
            render.out_json(summary_json(detail))
        elif not quiet or code != ExitCode.OK:
            render.out_lines(summary_lines(detail, tails))
            if page is not None:
                render.out(f"report: {os.path.relpath(page)}")
    return code
