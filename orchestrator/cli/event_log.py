"""The program's own log: each recorded event as one record, with run, step and attempt bound to it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from loguru import logger

from ledger.events import RecordedEvent
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.core.printable import printable

if TYPE_CHECKING:
    from loguru import Record

_WORSE = ("failed", "timed_out", "interrupted")


class EventLog:
    """
    Write a record for each event after it was recorded.

    Args:
        path: JSON lines are appended to this file, or None.
        verbose: Text for people goes to stderr.

    Raises:
        UsageRefusedError: The file cannot be written.
    """

    def __init__(self, path: str | None, *, verbose: bool) -> None:
        logger.remove()
        self._sinks: list[int] = []
        if path is not None:
            try:
                self._sinks.append(logger.add(path, serialize=True, catch=True))
            except OSError as error:
                raise UsageRefusedError("log_file", f"--log-file {path}: {error.strerror}") from None
        if verbose:
            self._sinks.append(logger.add(sys.stderr, format=_text, colorize=False))

    def recorded(self, event: RecordedEvent) -> None:
        """Write a record for *event*."""
        data = event.data
        run_id = data.get("run_id") or event.stream.removeprefix("run/")
        fields = {name: data[name] for name in ("step", "attempt", "status", "reason", "error_class") if name in data}
        level = "ERROR" if data.get("status") in _WORSE else "INFO"
        logger.bind(run=run_id, seq=event.seq, **fields).log(level, event.type)

    def tick(self) -> int | None:
        """Ask for nothing."""
        return None

    def close(self) -> None:
        """Let go of file and terminal."""
        for sink in self._sinks:
            logger.remove(sink)


def _text(record: Record) -> str:
    """Return the template of one line for people, its fields already in it."""
    fields = " ".join(f"{name}={printable(str(value))}" for name, value in record["extra"].items())
    escaped = fields.replace("{", "{{").replace("}", "}}").replace("<", r"\<")
    return "{time:YYYY-MM-DDTHH:mm:ss.SSSSSS!UTC}Z {level} {message} " + escaped + "\n"
