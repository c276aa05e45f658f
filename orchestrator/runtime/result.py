"""Reading the file in which a step reports; it may be anything that a process can leave behind."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from orchestrator.core.report import REPORT_BYTES_MAX, BadReportError, StepReport, parse_report


class BadResultError(Exception):
    """Raised when a step has reported something that cannot be read; says what and where."""


def read_result(path: str | Path) -> StepReport | None:
    """
    Return the report at *path*, or None where the step has not reported.

    Never follows a link, never waits on a FIFO, reads at most 1 MiB.

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
        raise BadResultError(str(error)) from None
