"""Where a file may be written: under a name that is free, or that of a plain file; what a call that was killed has left there goes."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable
from glob import escape
from pathlib import Path

from orchestrator.cli.errors import UsageRefusedError


def file_named(option: str, word: str) -> Path:
    """
    Return the path that *word* is.

    Raises:
        UsageRefusedError: It ends in no name, as an empty one does.
    """
    path = Path(word)
    if not path.name:
        raise UsageRefusedError("bad_path", f"{option} takes the name of a file, not {word!a}")
    return path


def clear_way(paths: Iterable[Path]) -> None:
    """
    Make sure that files at *paths* can take the place of what stands there, and remove what calls that were killed have left beside them.

    Raises:
        UsageRefusedError: A folder, a device or a pipe stands there.
    """
    for path in paths:
        # What cannot be looked at cannot be written either, and is told then.
        with contextlib.suppress(OSError):
            mode = path.lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
                raise UsageRefusedError("no_plain_file", f"{path} is no plain file and stays: give another name")
        remove_leftovers(path)


def remove_leftovers(path: Path) -> None:
    """Remove unfinished files for *path* of processes that are no more."""
    form = re.compile(rf"\.{re.escape(path.name)}\.([0-9]+)\.new(-journal)?")
    for left in path.parent.glob(f".{escape(path.name)}.*.new*"):
        match = form.fullmatch(left.name)
        if match is not None and (int(match[1]) == os.getpid() or not Path(f"/proc/{match[1]}").exists()):
            left.unlink(missing_ok=True)
