"""The program's own log: each recorded event as one record, with run, step and attempt bound to it."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from ledger.events import RecordedEvent
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.core.printable import printable
from orchestrator.projections.log_records import RunLog

if TYPE_CHECKING:
    from loguru import Record


STDERR = "-"
"""Stands for stderr where a file is asked for: what systemd and containers collect."""


class EventLog:
    """
    Write a record for each event after it was recorded; see `projections.log_records` for what stands in it.

    Args:
        path: JSON lines are appended to this file, `-` for stderr, or None.
        verbose: Text for people goes to stderr.
        before: The events that the run has already, where it is resumed.

    Raises:
        UsageRefusedError: The file cannot be written, or is a pipe.
    """

    def __init__(self, path: str | None, *, verbose: bool, before: Iterable[RecordedEvent] = ()) -> None:
        logger.remove()
        self._records = RunLog()
        for event in before:
            self._records.apply(event)
        self._sinks: list[int] = []
        if path is not None:
            try:
                _refuse_pipe(path)
                # A pipe that nobody reads, a full disk: the run goes on without its log.
                self._sinks.append(logger.add(sys.stderr if path == STDERR else path, serialize=True, catch=True))
            except OSError as error:
                raise UsageRefusedError("log_file", f"--log-file {path}: {error.strerror}") from None
        if verbose:
            self._sinks.append(logger.add(sys.stderr, format=_text, colorize=False))

    def recorded(self, event: RecordedEvent) -> None:
        """Write a record for *event*."""
        record = self._records.apply(event)
        logger.bind(**record.bound).log(str(record.level), record.message)

    def tick(self) -> int | None:
        """Ask for nothing."""
        return None

    def close(self) -> None:
        """Let go of file and terminal."""
        for sink in self._sinks:
            logger.remove(sink)


def _refuse_pipe(path: str) -> None:
    """Refuse what has a name and is no file, such as a FIFO: opening it would wait for a reader. A device will do, and so will a pipe that was handed over as `/dev/fd/N`."""
    if path == STDERR or not Path(os.path.realpath(path)).exists():
        return
    mode = Path(path).stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode)):
        message = f"--log-file {path}: it is no regular file; give the name of a file, or - for stderr"
        raise UsageRefusedError("log_file", message)


def _text(record: Record) -> str:
    """Return the template of one line for people, its fields already in it."""
    fields = " ".join(f"{name}={printable(str(value))}" for name, value in record["extra"].items())
    escaped = fields.replace("{", "{{").replace("}", "}}").replace("<", r"\<")
    return "{time:YYYY-MM-DDTHH:mm:ss.SSSSSS!UTC}Z {level} {message} " + escaped + "\n"
