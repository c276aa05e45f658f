"""The ends of logs, read from their end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from orchestrator.projections.summary import failed_steps

_BLOCK_BYTES = 1 << 16


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last *count* lines of the file at *path*; reads 64 KiB at most, and nothing where there is no file."""
    try:
        with path.open("rb") as file:
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
