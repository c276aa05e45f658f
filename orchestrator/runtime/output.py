"""
What an attempt prints: redacted as it comes, written to one file, measured.

The file appears with its first byte, so that a silent step costs nothing. Its size is limited: what comes after the limit is
read, so that the step does not block, and dropped, with one notice in the file.
"""

from __future__ import annotations

import contextlib
import os
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from ledger.folders import SHARED_FILE, is_shared, make_private
from orchestrator.runtime.ports import Log

_LAST_LINE_BYTES = 4096


class RedactingStream(Protocol):
    """One stream through the redactor."""

    @property
    def counts(self) -> dict[str, int]:
        """How often each secret was masked."""
        ...

    def feed(self, data: bytes, /) -> bytes:
        """Take *data* and return what can be shown."""
        ...

    def flush(self) -> bytes:
        """Return what was held back."""
        ...


class AttemptOutput:
    """
    Write the output of one attempt to *path* through *stream*.

    Args:
        path: Created with mode 0600 at the first byte; its folder with mode 0700. A file that exists is never opened.
        limit_bytes: More than this is dropped.
        private: Not for the group that the ledger is shared with.
    """

    def __init__(self, path: Path, stream: RedactingStream, limit_bytes: int, *, private: bool = False) -> None:
        self._path = path
        self._private = private
        self._stream = stream
        self._left = limit_bytes
        self._file: int | None = None
        self._written = 0
        self._lines = 0
        self._digest = sha256()
        self._tail = b""
        self._truncated = False
        self._failure: OSError | None = None

    @property
    def last_line(self) -> str | None:
        """The last line so far, redacted; None before there is one."""
        lines = self._tail.rstrip(b"\r\n").rsplit(b"\n", 1)
        text = lines[-1].decode("utf-8", "replace").strip()
        return text or None

    @property
    def failure(self) -> OSError | None:
        """Why the log could not be written, or None; the attempt goes on without it."""
        return self._failure

    def feed(self, data: bytes) -> None:
        """Take what the process has printed."""
        shown = self._stream.feed(data)
        if shown:
            self._write(shown)

    def finish(self) -> Log | None:
        """Write what was held back, close the file, and return what it holds; None where nothing was printed."""
        rest = self._stream.flush()
        if rest:
            self._write(rest)
        if self._file is None:
            return None
        with contextlib.suppress(OSError):
            os.close(self._file)
        self._file = None
        return Log(
            bytes=self._written,
            lines=self._lines,
            sha256=self._digest.hexdigest(),
            truncated=self._truncated or self._failure is not None,
            masked={name: count for name, count in self._stream.counts.items() if count},
        )

    def _write(self, data: bytes) -> None:
        if self._truncated or self._failure is not None:
            return
        if len(data) > self._left:
            data = data[: self._left] + b"\n[orchestrate: log limit reached, the rest was dropped]\n"
            self._truncated = True
        self._left -= len(data)
        view = memoryview(data)
        try:
            if self._file is None:
                self._file = _create(self._path, private=self._private)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            self._failure = error
            data = data[: len(data) - len(view)]
        self._written += len(data)
        self._lines += data.count(b"\n")
        self._digest.update(data)
        self._tail = (self._tail + data)[-_LAST_LINE_BYTES:]


def _create(path: Path, *, private: bool) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        file = os.open(path, flags, 0o600)
    except FileNotFoundError:
        make_private(path.parent, inherit=True)
        file = os.open(path, flags, 0o600)
    if not private and is_shared(path.parent):
        os.fchmod(file, SHARED_FILE)
    return file
