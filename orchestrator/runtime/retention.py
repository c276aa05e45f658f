"""How old the files of a dataset are, for whoever asks what is kept for longer than it should be; nothing is opened, nothing removed."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from orchestrator.core.interpolation import UnresolvedReferenceError, references, resolve
from orchestrator.runtime.walking import walk_files


class Ages(NamedTuple):
    """Hold how many files there are, how many of them are older than was asked for, and the time of the oldest one."""

    files: int
    past: int
    oldest: float | None


def file_ages(folder: Path, path: str, pattern: str, values: Mapping[str, str], *, before: float) -> Ages | None:
    """
    Return the ages of a dataset's files by their times of change, or None where nothing of it can be seen.

    Args:
        folder: Of the definition.
        path: Of the dataset, as written; `${NIGHT}` in it stands for all nights.
        pattern: As written.
        values: What other names stand for.
        before: What is older than this (seconds since 1970) is counted as past.
    """
    try:
        root, patterns = _place(folder, path, pattern, values)
    except UnresolvedReferenceError:
        return None
    try:
        os.scandir(root).close()
        names = {name for each in patterns for name in walk_files(str(root), each) if name is not None}
        paths = [os.path.join(root, name) for name in names]
    except NotADirectoryError:
        paths = [str(root)]
    except OSError:
        return None
    times = list(_times(paths))
    return Ages(len(times), sum(1 for time in times if time < before), min(times, default=None))


def _place(folder: Path, path: str, pattern: str, values: Mapping[str, str]) -> tuple[Path, tuple[str, ...]]:
    """Return the folder or file to look at, and what matches in it; from the first part that holds `${NIGHT}` on, a path is a pattern too."""
    parts = path.split("/")
    fixed = next((place for place, part in enumerate(parts) if "NIGHT" in references(part)), len(parts))
    root = folder / resolve("/".join(parts[:fixed]) or "/", values) if parts[:fixed] else folder
    any_night = {**{name: glob.escape(value) for name, value in values.items()}, "NIGHT": "*"}
    below = "/".join(resolve(glob.escape(part), any_night) for part in parts[fixed:])
    within = resolve(pattern, {**values, "NIGHT": "*"})
    # A path with a night in it may be a folder or a file.
    return root, ((f"{below}/{within}", below) if below else (within,))


def _times(paths: list[str]) -> Iterator[float]:
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue  # It has gone meanwhile.
        if stat.S_ISREG(status.st_mode):
            yield status.st_mtime
