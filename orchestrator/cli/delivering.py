"""Handing a text out: to the file that the user names, or to stdout; and what it means that a place cannot be written to."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from orchestrator.cli import render
from orchestrator.cli.errors import DiskRefusedError, UsageRefusedError

_STORAGE_FAILED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def deliver(target: str, text: str) -> None:
    """
    Write *text* to the file *target*, which appears whole, or to stdout where it is `-`; say so.

    Raises:
        UsageRefusedError: It is no place that can be written to.
        DiskRefusedError: The disk refused.
    """
    if target == "-":
        render.out_raw(text.encode("utf-8"))
        return
    if not target:
        raise UsageRefusedError("unwritable", "'' cannot be written: the name is empty; - is stdout")
    from ledger.folders import write_private

    # A link means the file behind it; a device or a pipe is written to, never replaced.
    path = Path(os.path.realpath(target))
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if Path(target).exists() and not path.is_file():
            _hand_over(target, text)
        else:
            write_private(path, text)
    except OSError as error:
        raise unwritable(target, error) from None
    render.err(f"written: {target}")


def _hand_over(target: str, text: str) -> None:
    """Write *text* to the device or the pipe *target*; a pipe that nobody reads is no place to wait at."""
    descriptor = os.open(target, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def unwritable(
    target: str | os.PathLike[str], error: OSError, *, kind: str = "unwritable", what: str = "written"
) -> UsageRefusedError | DiskRefusedError:
    """
    Return what is to be raised where *error* keeps *target*, which the user has named, from being written.

    What the disk refuses is a failure of storage; everything else is a name that is no place to write to.

    Args:
        kind: The word for programs.
        what: What could not be done.
    """
    reason = "nobody reads from it" if error.errno == errno.ENXIO else error.strerror
    message = f"{os.fspath(target)} cannot be {what}: {reason}"
    return DiskRefusedError(message) if error.errno in _STORAGE_FAILED else UsageRefusedError(kind, message)
