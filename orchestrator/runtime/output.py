"""
What an attempt prints: redacted as it comes, handed over to be written to one file, measured.

The file appears with its first byte, so that a silent step costs nothing. Its size is limited: what comes after the limit is
read, so that the step does not block, and dropped, with one notice in the file.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias

from orchestrator.runtime.log_writer import LogFile, LogWriter
from orchestrator.runtime.ports import Launch, Log

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


NewStream: TypeAlias = Callable[[], RedactingStream]
"""Makes the stream of an attempt."""


class Listener(Protocol):
    """Somebody who hears what is written to the log of one attempt, and holds up nothing."""

    def hear(self, data: bytes) -> None:
        """Take *data*, the bytes that are handed over for the file, and return at once."""
        ...

    def end(self) -> None:
        """Take note that nothing more comes; called once or more."""
        ...


Listen: TypeAlias = Callable[[Launch], Listener | None]
"""Makes who hears the output of an attempt besides its log, or returns None."""


def nobody(_: Launch, /) -> None:
    """Hear nothing."""


class Output(Protocol):
    """Where what a process prints goes."""

    @property
    def last_line(self) -> str | None:
        """The last line so far, redacted; None before there is one."""
        ...

    @property
    def failure(self) -> OSError | None:
        """Why it could not be kept, or None."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether to read on."""
        ...

    @property
    def is_kept(self) -> bool:
        """Whether all that was fed is where it belongs, or cannot be."""
        ...

    def feed(self, data: bytes) -> None:
        """Take what the process has printed."""
        ...

    def end(self) -> None:
        """Take note that nothing more comes."""
        ...

    def give_up(self) -> None:
        """Wait no longer for what is not kept yet."""
        ...

    def finish(self) -> Log | None:
        """Let go of it, and return what is kept of it, or None."""
        ...


class AttemptOutput:
    """
    Keep the output of one attempt in *path* through *stream*.

    Args:
        path: Created with mode 0600 at the first byte; its folder with mode 0700. A file that exists is never opened.
        limit_bytes: More than this is dropped.
        writer: Writes it, beside what others print.
        private: Not for the group that the ledger is shared with.
        listener: Hears what goes into the file, or None.
    """

    def __init__(
        self,
        path: Path,
        stream: RedactingStream,
        limit_bytes: int,
        writer: LogWriter,
        *,
        private: bool = False,
        listener: Listener | None = None,
    ) -> None:
        self._path = path
        self._private = private
        self._stream = stream
        self._left = limit_bytes
        self._writer = writer
        self._listener = listener
        self._file: LogFile | None = None
        self._tail = b""
        self._truncated = False
        self._is_given_up = False

    @property
    def last_line(self) -> str | None:
        """The last line so far, redacted; None before there is one."""
        lines = self._tail.rstrip(b"\r\n").rsplit(b"\n", 1)
        text = lines[-1].decode("utf-8", "replace").strip()
        return text or None

    @property
    def failure(self) -> OSError | None:
        """Why the log could not be written, or None; the attempt goes on without it."""
        return None if self._file is None else self._file.failure

    @property
    def has_room(self) -> bool:
        """Whether to read on: what waits for the disk is bounded, and `LogWriter.fd` tells when there is room again."""
        return self._file is None or self._writer.has_room(self._file)

    @property
    def is_kept(self) -> bool:
        """Whether all that was fed is written, or cannot be; if not, `LogWriter.fd` tells when to ask again."""
        return self._file is None or self._is_given_up or self._writer.is_kept(self._file)

    def feed(self, data: bytes) -> None:
        """Take what the process has printed."""
        shown = self._stream.feed(data)
        if shown:
            self._write(shown)

    def end(self) -> None:
        """Take note that nothing more comes: what was held back is written."""
        rest = self._stream.flush()
        if rest:
            self._write(rest)
        if self._listener is not None:
            self._listener.end()

    def give_up(self) -> None:
        """Wait no longer for what is not written yet: whether it will be is not known, so that there is no log to be told of."""
        if self._file is not None:
            self._is_given_up = True
            self._writer.give_up(self._file, OSError(errno.ETIMEDOUT, "the disk did not take it in time"))

    def finish(self) -> Log | None:
        """Close the file, which is kept, and return what it holds; None where nothing was printed."""
        file = self._file
        if file is None:
            return None
        self._writer.close_file(file)
        if self._is_given_up or not file.is_there:
            return None
        return Log(
            bytes=file.bytes,
            lines=file.lines,
            sha256=file.digest.hexdigest(),
            truncated=self._truncated or file.failure is not None,
            masked={name: count for name, count in self._stream.counts.items() if count},
        )

    def _write(self, data: bytes) -> None:
        self._tail = (self._tail + data[-_LAST_LINE_BYTES:])[-_LAST_LINE_BYTES:]
        if self._truncated or self.failure is not None:
            return
        if len(data) > self._left:
            data = data[: self._left] + b"\n[orchestrate: log limit reached, the rest was dropped]\n"
            self._truncated = True
        self._left -= len(data)
        if self._file is None:
            self._file = LogFile(self._path, private=self._private)
        self._writer.put(self._file, data)
        if self._listener is not None:
            self._listener.hear(data)
