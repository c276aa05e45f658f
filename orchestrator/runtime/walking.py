"""
Which files of a folder match a glob, a little at a time, whatever the folder is like.

The standard library's globs do not give way while nothing matches, do not look into linked folders, and raise when a folder goes
while they read it; a dataset may be all of that.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator, Sequence

_ENTRIES_BEFORE_YIELD = 256
_ANY = "**"

Parts = tuple[str, ...]


def walk_files(root: str, pattern: str) -> Iterator[str | None]:
    """
    Yield whatever is no folder below *root* and matches *pattern*, relative to *root*, in no order; None to give way.

    `*`, `?` and `[…]` stand for parts of one name, `**` for any number of folders. Links to folders are followed, but not into a
    folder that they lie in; what cannot be read or has gone meanwhile is left out. Only folders that can hold a match are read.
    """
    matchers = _matchers(pattern)
    waiting: list[tuple[Parts, frozenset[tuple[int, int]]]] = [((), frozenset())]
    seen = 0
    while waiting:
        parts, above = waiting.pop()
        folder = os.path.join(root, *parts)
        try:
            status = os.stat(folder)
            entries = list(os.scandir(folder))
        except OSError:
            continue
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            continue
        for entry in entries:
            seen += 1
            if seen % _ENTRIES_BEFORE_YIELD == 0:
                yield None
            name = (*parts, entry.name)
            if _is_folder(entry):
                if _may_hold(name, matchers):
                    waiting.append((name, above | {identity}))
            elif _matches(name, matchers):
                yield "/".join(name)


def matches(name: str, pattern: str) -> bool:
    """Tell whether the file *name*, relative to a folder, is one that `walk_files` would find there."""
    return _matches(tuple(name.split("/")), _matchers(pattern))


def _matchers(pattern: str) -> list[re.Pattern[str] | None]:
    segments = [part for part in pattern.split("/") if part not in ("", ".")]
    return [None if part == _ANY else re.compile(fnmatch.translate(part)) for part in segments]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _may_hold(parts: Parts, matchers: Sequence[re.Pattern[str] | None]) -> bool:
    """Whether a file below the folder *parts* can match."""
    for part, matcher in zip(parts, matchers, strict=False):
        if matcher is None:
            return True
        if not matcher.match(part):
            return False
    return len(parts) < len(matchers)


def _matches(parts: Parts, matchers: Sequence[re.Pattern[str] | None]) -> bool:
    """Match names against matchers, one each; None takes any number of folders, and at the end of a pattern any file."""
    if matchers and matchers[-1] is None:
        matchers = [*matchers, re.compile("")]
    place = at = 0
    retry: tuple[int, int] | None = None
    while place < len(parts):
        matcher = matchers[at] if at < len(matchers) else None
        if at < len(matchers) and matcher is None:
            retry = (place, at)
            at += 1
        elif matcher is not None and matcher.match(parts[place]):
            place, at = place + 1, at + 1
        elif retry is not None:
            # The last `**` takes one folder more.
            retry = (retry[0] + 1, retry[1])
            place, at = retry[0], retry[1] + 1
        else:
            return False
    return at == len(matchers)
