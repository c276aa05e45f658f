"""Reading files that a user names, or that lay there once, without ever hanging on what is no file; and folders that only their owner can enter."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path


class UnreadableFileError(Exception):
    """
    Raised when a file cannot be read.

    Attributes:
        kind: `missing`, `not_a_file`, `too_large` or `unreadable`.
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


def read_bounded(path: Path, *, most: int) -> bytes:
    """
    Return the content of the regular file *path*.

    Raises:
        UnreadableFileError: It is missing, something else than a file, larger than *most* bytes, or not ours to read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise UnreadableFileError("missing", "there is no such file") from None
    except (OSError, ValueError) as error:
        what = os.strerror(error.errno or 0) if isinstance(error, OSError) else "its name holds a NUL byte"
        raise UnreadableFileError("unreadable", f"it cannot be read: {what}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableFileError("not_a_file", f"it is {_kind(status.st_mode)}, expected a file")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise UnreadableFileError("unreadable", f"it cannot be read: {os.strerror(error.errno or 0)}") from None
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise UnreadableFileError("too_large", f"it has more than {most} bytes")
    return content


class NotAFileError(OSError):
    """Raised when what is to be read is a folder, a FIFO, a device or a socket."""


def open_file(path: str | Path) -> io.FileIO:
    """
    Return the regular file *path*, opened for reading; where a FIFO lies by now, nobody who writes into it is waited for.

    Raises:
        NotAFileError: It is something else than a file.
        OSError: It cannot be opened.
    """
    try:
        file = io.FileIO(path, "rb", opener=_at_once)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.EISDIR):  # A socket, a device that is not there, a folder.
            raise NotAFileError(error.errno, "it is no file") from None
        raise
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise NotAFileError(errno.EINVAL, "it is no file")


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a FIFO" if stat.S_ISFIFO(mode) else "a device or socket"
