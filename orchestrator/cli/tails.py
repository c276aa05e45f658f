"""Logs as they lie beside the ledger: whole, or their ends, read from the end."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path

from orchestrator.projections.pruned import pruned_text
from orchestrator.projections.summary import failed_steps
from orchestrator.projections.withheld import withheld_text

_BLOCK_BYTES = 1 << 16


def open_log(path: Path) -> BufferedReader:
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


def log_blocks(path: Path) -> Iterator[bytes]:
    """
    Yield what stands in the log at *path*.

    Raises:
        OSError: See `open_log`.
    """
    with open_log(path) as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


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


def tail_of(detail: Mapping[str, object], step: Mapping[str, object], folder: Path, count: int = 15) -> list[str]:
    """
    Return the last *count* lines of what *step* has printed, or in their place why they are withheld; the way to a log for all that goes to people.

    Args:
        detail: The run as `View.detail` gives it.
        step: One of its steps.
        folder: Of the ledger, below which logs lie.
    """
    if not step["log"]:
        return []
    withheld = withheld_text(detail, str(step["step"]))
    if withheld is not None:
        return [withheld]
    pruned = detail.get("pruned")
    told = pruned.get(str(step["log"])) if isinstance(pruned, Mapping) else None
    path = folder / str(step["log"])
    return [pruned_text(told)] if told is not None and not path.exists() else last_lines(path, count)


def failed_tails(detail: Mapping[str, object], folder: Path) -> dict[str, list[str]]:
    """Return the last lines of the first failed steps' logs, which lie below *folder*; those that are withheld are not read."""
    shown = [step for step in failed_steps(detail) if withheld_text(detail, str(step["step"])) is None]
    found = {str(step["step"]): tail_of(detail, step, folder) for step in shown}
    return {step: lines for step, lines in found.items() if lines}
