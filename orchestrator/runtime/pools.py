"""
Shares of pools, counted over all pipelines of a ledger by kernel locks: nothing is left to be given back by hand, ever.

A pool is a file; a share is a byte of it that is locked (`F_OFD_SETLK`, Linux open file description locks), so that the kernel gives it back when its
holder ends, however it ends. Whoever waits for shares holds the file's `flock` meanwhile: the others wait behind him, and what is given back
stays for him until he has enough. Turns are asked for in the order of the pools' names, so that two who wait for two pools cannot wait for each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Mapping
from pathlib import Path

from ledger.errors import StorageError
from ledger.locks import KernelLock

_FLOCK = struct.Struct("@hhqqi4x")
"""`struct flock` of Linux on 64 bits: kind, whence, start, length, pid."""


class LedgerPools:
    """
    Take and give back shares for the steps of one run.

    Args:
        folder: Of the locks; one for all pipelines of a ledger.
        sizes: How many shares each pool has by this pipeline's definition; where another one says otherwise, each keeps to its own.
    """

    def __init__(self, folder: Path, sizes: Mapping[str, int]) -> None:
        self._folder = folder
        self._sizes = sizes
        self._held: dict[str, list[int]] = {}
        self._turns: dict[str, KernelLock] = {}
        self._turn_of: dict[str, str] = {}

    def take(self, step: str, shares: Mapping[str, int]) -> bool:
        """
        Take all of *shares* for *step*, or none; where not, *step* has its turn before the other pipelines.

        Raises:
            StorageError: The file of a pool cannot be made or locked.
        """
        taken: list[int] = []
        try:
            for pool in sorted(shares):
                descriptor = self._take(step, pool, shares[pool])
                if descriptor is None:
                    return False
                taken.append(descriptor)
        except OSError as error:
            raise StorageError(str(self._folder), f"a pool cannot be locked: {error.strerror}") from error
        else:
            self._held[step], taken = taken, []
            self._end_turns(step)
            return True
        finally:
            for descriptor in taken:
                os.close(descriptor)

    def give_back(self, step: str) -> None:
        """Give back what *step* holds, and its turns."""
        for descriptor in self._held.pop(step, ()):
            os.close(descriptor)
        self._end_turns(step)

    def close(self) -> None:
        """Give back everything."""
        for step in {*self._held, *self._turn_of.values()}:
            self.give_back(step)

    def _take(self, step: str, pool: str, count: int) -> int | None:
        """Return a descriptor that holds *count* shares of *pool*, or None."""
        path = self._folder / f"{pool.lower()}.pool"
        turn = self._turns.setdefault(pool, KernelLock(path))
        if not turn.held:
            if not turn.acquire():
                return None
            self._turn_of[pool] = step
        with contextlib.ExitStack() as undoing:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            undoing.callback(os.close, descriptor)
            if not _lock(descriptor, count, self._sizes[pool]):
                return None
            undoing.pop_all()
        return descriptor

    def _end_turns(self, step: str) -> None:
        for pool in [pool for pool, other in self._turn_of.items() if other == step]:
            self._turns[pool].release()
            del self._turn_of[pool]


def _lock(descriptor: int, count: int, size: int) -> bool:
    """Lock *count* of the first *size* bytes that nobody else has, and say whether there were so many; as it is our turn, nobody else takes any meanwhile."""
    place = 0
    while count and place < size:
        length, following = _gap(descriptor, place, size)
        length = min(length, count)
        if length:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, place, length, 0))
            count -= length
        place = following
    return count == 0


def _gap(descriptor: int, place: int, size: int) -> tuple[int, int]:
    """Return how many bytes from *place* on are free, and where to look next."""
    end = size
    while place < end:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, place, end - place, 0)
        kind, _, start, length, _ = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))
        if kind == fcntl.F_UNLCK:
            break
        if start <= place:
            return 0, start + length if length else size
        end = start  # The kernel names one lock, not the first: another may lie before it.
    return end - place, end
