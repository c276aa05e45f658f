"""Ending the program where nothing else can: SQLite looks at no clock while it works on one value."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from ledger.errors import QueryLimitError
from orchestrator.cli import render
from orchestrator.cli.errors import show_error
from orchestrator.cli.exit_codes import ExitCode

_GRACE_SECONDS = 2.0


@contextlib.contextmanager
def ended_in_time(seconds: float, *, as_json: bool, advice: str = "ask for less, or raise --timeout") -> Iterator[None]:
    """
    End the program, which only reads, where the block goes on for more than two seconds after its *seconds*, with *advice*.

    A comparison of two long texts, or a product of them, is one step to SQLite, between which alone it can be stopped.
    """
    error = QueryLimitError(f"it was not done after {seconds:g} s: {advice}")
    timer = threading.Timer(seconds + _GRACE_SECONDS, _end, (error, as_json))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(error: QueryLimitError, as_json: bool) -> None:  # noqa: FBT001 - a timer hands it over by position
    show_error(error, ExitCode.QUERY_REFUSED, as_json=as_json)
    with contextlib.suppress(render.ReaderLeftError, render.OutputError):
        render.flush()
    os._exit(ExitCode.QUERY_REFUSED)
