"""Files that are handed out: private, complete or not there, with the digest of what is in them."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

from ledger.folders import make_private
from ledger.new_file import appearing
from orchestrator.cli.errors import UsageRefusedError


def refuse_existing(paths: list[Path], *, force: bool) -> None:
    """
    Make sure that *paths* may be written.

    Raises:
        UsageRefusedError: One of them is there and *force* is not set, or two of them are the same.
    """
    names = [path.absolute() for path in paths]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageRefusedError("file_twice", f"{twice[0]} would be written twice: give each form a place of its own")
    for path in paths:
        if not force and os.path.lexists(path):
            raise UsageRefusedError("file_exists", f"{path} exists already; --force writes it anew")


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


def refuse_odd(paths: Iterable[Path]) -> None:
    """
    Make sure that what stands at *paths* is nothing but files, whose place others can take.

    Raises:
        UsageRefusedError: A folder, a device or a pipe stands there.
    """
    for path in paths:
        # What cannot be looked at cannot be written either, and is told then.
        with contextlib.suppress(OSError):
            mode = path.lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
                raise UsageRefusedError("no_plain_file", f"{path} is no plain file and stays: give another name")


class NewFile:
    """
    Write a file that appears under its name when the block ends well; mode 0600, its folder 0700 where that is made.

    Attributes:
        path: Where it will be.
        size: How many bytes were written.

    Raises:
        OSError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._digest = sha256()
        self._stack = contextlib.ExitStack()

    @property
    def sha256(self) -> str:
        """Of what was written, in hexadecimal."""
        return self._digest.hexdigest()

    def write(self, content: bytes) -> None:
        """Write *content*."""
        self._file.write(content)
        self._digest.update(content)
        self.size += len(content)

    def __enter__(self) -> Self:
        make_private(self.path.parent)
        with contextlib.ExitStack() as stack:
            unfinished = stack.enter_context(appearing(self.path, force=True, durable=False))
            self._file = stack.enter_context(unfinished.open("wb"))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
