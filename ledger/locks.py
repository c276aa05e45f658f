"""
Locks that die with their holder: `flock` on a file that says who holds it.

The kernel lets go when the process ends, however it ends, so that no stale lock can exist. The text in the file is for people;
only the lock itself decides. Descriptors are not inherited: a child that outlives its parent holds nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from ledger.folders import make_private

_TRIES, _PAUSE_SECONDS = 10, 0.005


class KernelLock:
    """
    Hold, or try to hold, the lock at *path*; the file stays when the lock is let go.

    Two objects exclude each other even within one process.

    Args:
        watched: Others look whether it is held, see `is_held`: what they keep busy is tried again for a moment.
    """

    def __init__(self, path: Path, *, watched: bool = False) -> None:
        self._path = path
        self._tries = _TRIES if watched else 1
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def acquire(self, *, wait: bool = False, shared: bool = False, holder: Mapping[str, object] | None = None) -> bool:
        """
        Take the lock and note *holder* in the file; return False where another one has it and *wait* is not set; those that share it do not exclude each other.

        Raises:
            OSError: The file cannot be made, opened or written; the lock is not held.
        """
        descriptor = self._open()
        try:
            self._take(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
            if holder is not None:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let go of the lock, if it is held."""
        # Forgotten first: where a signal leaves this, the number may belong to another file already.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def holder(self) -> dict[str, object]:
        """Return what the last holder has noted; empty where nothing can be read."""
        try:
            noted = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return noted if isinstance(noted, dict) else {}

    def __enter__(self) -> Self:
        self.acquire(wait=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _take(self, descriptor: int, how: int) -> None:
        for _ in range(self._tries - 1):
            try:
                fcntl.flock(descriptor, how)
            except BlockingIOError:
                time.sleep(_PAUSE_SECONDS)
            else:
                return
        fcntl.flock(descriptor, how)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            return os.open(self._path, flags, 0o600)
        except FileNotFoundError:
            make_private(self._path.parent)
            return os.open(self._path, flags, 0o600)


def is_held(path: Path) -> bool:
    """
    Return whether somebody has the lock at *path* for himself alone; False too where this user may not look.

    Nothing is made. To look is to share it for a moment, in which nobody can take it: whose lock is looked at makes it `watched`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
