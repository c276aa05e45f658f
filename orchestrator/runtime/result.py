"""Reading the file in which a step reports; it may be anything that a process can leave behind."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from orchestrator.core.report import REPORT_BYTES_MAX, BadReportError, StepReport, parse_report


class BadResultError(Exception):
    """Raised when a step has reported something that cannot be read; says what and where."""


def read_result(path: str | Path, redact: Callable[[str], str] = str) -> StepReport | None:
    """
    Return the report at *path*, or None where the step has not reported.

    Never follows a link, never waits on a FIFO, reads at most 1 MiB.

    Args:
        redact: Removes secrets from a text; what is said of a bad report is said of it without them, before anything of it is cut.

    Raises:
        BadResultError: It is no regular file, cannot be read, or breaks its schema.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadResultError(f"the report cannot be read: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadResultError("the report is no regular file")
        content = os.read(descriptor, REPORT_BYTES_MAX + 1)
    except OSError as error:
        raise BadResultError(f"the report cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    try:
        return parse_report(content)
    except BadReportError as error:
        shown = content.decode("utf-8", "replace")
        hidden = redact(shown)
        raise BadResultError(str(error) if hidden == shown else _complaint(hidden)) from None


def _complaint(text: str) -> str:
    try:
        parse_report(text.encode("utf-8", "replace"))
    except BadReportError as error:
        return str(error)
    return "the report is broken by what stands where its secrets are masked here"
