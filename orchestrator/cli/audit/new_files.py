"""Files that are handed out: private, complete or not there, with the digest of what is in them."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

from ledger.folders import make_private
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
        self._unfinished = path.with_name(f".{path.name}.{os.getpid()}.new")
        self._digest = sha256()

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
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(self._unfinished, flags, 0o600), "wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
            if error is None:
                self._unfinished.replace(self.path)
        finally:
            self._unfinished.unlink(missing_ok=True)
