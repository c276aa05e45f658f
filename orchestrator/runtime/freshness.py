"""The age of a dataset by its newest file; nothing is opened, and nothing but the standard library is loaded."""

from __future__ import annotations

import os
import stat

from orchestrator.core.freshness import Age
from orchestrator.runtime.walking import walk_files

_GONE = -1


def age_by_files(path: str, pattern: str, now_us: int) -> Age | None:
    """
    Return the age of the dataset at *path* by the newest of its files that match *pattern*, or None where it cannot be looked at.

    A file that is dated in the future is of age zero. What is not there has no file.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return Age("files", None)
    except (OSError, ValueError):
        return None
    if not stat.S_ISDIR(status.st_mode):
        return _aged(status.st_mtime_ns // 1000, now_us)
    if not os.access(path, os.R_OK | os.X_OK):
        return None
    newest = max((_modified(os.path.join(path, name)) for name in walk_files(path, pattern) if name), default=_GONE)
    return _aged(newest, now_us)


def _modified(path: str) -> int:
    """Return when the file at *path* was last changed; one that has gone meanwhile does not count."""
    try:
        return os.stat(path).st_mtime_ns // 1000
    except OSError:
        return _GONE


def _aged(changed_us: int, now_us: int) -> Age:
    return Age("files", None if changed_us == _GONE else max(0, now_us - changed_us))
