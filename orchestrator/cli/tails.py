"""The ends of logs, read from their end."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from orchestrator.projections.summary import failed_steps

_BLOCK_BYTES = 1 << 16


def open_log(path: Path) -> IO[bytes]:
    """
    Open the log at *path*: a step may have put a link to something else there, which is not followed, or a pipe, which would be waited for.

    Raises:
        OSError: There is none, or something that is none.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is no regular file", str(path))


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last *count* lines of the file at *path*; reads 64 KiB at most, and nothing where there is no file."""
    try:
        with open_log(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _BLOCK_BYTES))
            content = file.read(_BLOCK_BYTES)
    except OSError:
        return []
    lines = content.decode("utf-8", "replace").splitlines()
    if size > _BLOCK_BYTES and len(lines) > 1:
        lines = lines[1:]  # The first one is cut.
    return lines[-count:]


def failed_tails(detail: Mapping[str, object], folder: Path, count: int = 15) -> dict[str, list[str]]:
    """Return the last lines of the first failed steps' logs, which lie below *folder*."""
    found = {str(step["step"]): last_lines(folder / str(step["log"]), count) for step in failed_steps(detail)}
    return {step: lines for step, lines in found.items() if lines}
