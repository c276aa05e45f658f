"""
Writing logs beside the loop: one thread for all files of a run, so that a slow disk stops neither timeouts nor other steps.

The loop hands over bytes that are redacted already. What waits for the disk is bounded, for each file and for all together; at a bound the loop stops
reading one pipe, whose step then waits as for any slow reader, until `fd` tells that there is room. The thread starts with the first byte of the run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue

from ledger.folders import SHARED_FILE, is_shared, make_private

FILE_BYTES_MAX = 1 << 20
ALL_BYTES_MAX = 4 << 20
"""What may wait for the disk, of one file and of all; one read more of each pipe comes on top."""

_CLOSING_SECONDS = 2.0
_FINISHED_MAX = 8


class LogFile:
    """
    One log on its way to the disk.

    Attributes:
        path: Created with mode 0600 by its first byte, its folder with mode 0700. A file that exists is never opened.
        private: Not for the group that the ledger is shared with.
        failure: Why not all of it could be written, or None.
        bytes: What stands in the file, like *lines* and *digest*; settled once nothing is held.
        held: Bytes that were handed over and do not stand in the file yet.
    """

    def __init__(self, path: Path, *, private: bool = False) -> None:
        self.path = path
        self.private = private
        self.failure: OSError | None = None
        self.is_there = False
        self.bytes = 0
        self.lines = 0
        self.digest = sha256()
        self.held = 0
        self.waiting = bytearray()
        self.in_line = False
        self.is_awaited = False
        self._descriptor = -1

    def write(self, data: bytes | bytearray) -> None:
        """Write *data*, however long that takes; after a failure nothing is written."""
        if self.failure is not None:
            return
        written = 0
        try:
            if not self.is_there:
                self._descriptor = _create(self.path, private=self.private)
                self.is_there = True
            while written < len(data):
                written += os.write(self._descriptor, memoryview(data)[written:])
        except Exception as error:  # noqa: BLE001 -- whatever it is, somebody waits for this thread
            self.failure = (
                error if isinstance(error, OSError) else OSError(errno.EIO, f"{type(error).__name__}: {error}")
            )
            data = data[:written]
        self.bytes += len(data)
        self.lines += data.count(b"\n")
        self.digest.update(data)

    def close(self) -> None:
        """Let go of the file, which may have been done."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1


class LogWriter:
    """
    Write the logs of a run, each in the order in which its bytes were handed over, one file in turn after the other.

    Everything but the thread's own work is called by the loop.

    Attributes:
        fd: Becomes readable when there is room for a file that had none, and when a file that was waited for is kept; see `heard`.
    """

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._line: SimpleQueue[LogFile | None] = SimpleQueue()
        self._held = 0
        self._room_is_awaited = False
        self._finished: list[LogFile] = []
        self._thread: threading.Thread | None = None

    def put(self, file: LogFile, data: bytes) -> None:
        """Hand over *data*, which comes next in *file*."""
        with self._lock:
            file.waiting += data
            file.held += len(data)
            self._held += len(data)
        self._serve_later(file)

    def has_room(self, file: LogFile) -> bool:
        """Whether more may be handed over for *file*; if not, `fd` tells when to ask again."""
        with self._lock:
            if file.held < FILE_BYTES_MAX and self._held < ALL_BYTES_MAX:
                return True
            self._room_is_awaited = True
            return False

    def is_kept(self, file: LogFile) -> bool:
        """Whether everything that was handed over for *file* stands in it, or it has failed; if not, `fd` tells when to ask again."""
        with self._lock:
            file.is_awaited = file.held > 0
            return not file.is_awaited

    def give_up(self, file: LogFile, why: OSError) -> None:
        """Write nothing more to *file*, for which a write may be under way without an end."""
        with self._lock:
            file.failure = why
            self._forget(file)

    def close_file(self, file: LogFile) -> None:
        """
        Close *file*, to which nothing more is handed over, some time later: closing can take as long as writing.

        That is when the next bytes are written, so that the thread need not be woken for it, or when several are to be closed.
        """
        with self._lock:
            self._finished.append(file)
            is_enough = len(self._finished) >= _FINISHED_MAX
        if is_enough:
            self._serve_later(file)

    def heard(self) -> None:
        """Take note of what `fd` told."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)

    def close(self) -> None:
        """Write what is left, within two seconds: a disk that takes nothing holds up no way out."""
        if self.fd < 0:
            return
        if self._thread is not None:
            self._line.put(None)
            self._thread.join(_CLOSING_SECONDS)
            if self._thread.is_alive():
                return  # It will tell of what it writes, if it ever does, by this descriptor, which must not become another one's.
        self._close_finished()
        os.close(self.fd)
        self.fd = -1

    def _serve_later(self, file: LogFile) -> None:
        if not self._is_started():
            self._serve(file)
            return
        with self._lock:
            is_new, file.in_line = not file.in_line, True
        if is_new:
            self._line.put(file)

    def _is_started(self) -> bool:
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="logs", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False  # No thread is to be had: the loop writes, and waits for the disk.
            self._thread = thread
        return True

    def _work(self) -> None:
        while (file := self._line.get()) is not None:
            with self._lock:
                file.in_line = False
            self._serve(file)

    def _serve(self, file: LogFile) -> None:
        """Write what waits for *file*."""
        with self._lock:
            piece, file.waiting = file.waiting, bytearray()
        if piece:
            file.write(piece)
        self._close_finished()
        with self._lock:
            file.held -= len(piece)
            self._held -= len(piece)
            if file.failure is not None:
                self._forget(file)
            tells = file.is_awaited and file.held == 0
            if self._room_is_awaited and file.held < FILE_BYTES_MAX:
                tells, self._room_is_awaited = True, False
        if tells:
            os.eventfd_write(self.fd, 1)

    def _close_finished(self) -> None:
        with self._lock:
            finished, self._finished = self._finished, []
        for file in finished:
            file.close()

    def _forget(self, file: LogFile) -> None:
        """Drop what waits for *file*; the lock is held."""
        file.held -= len(file.waiting)
        self._held -= len(file.waiting)
        file.waiting.clear()


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
