"""Signals sent to the orchestrator, as values that its loop takes when it is ready for them; outside of the loop, as an exception."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections import deque
from collections.abc import Iterator
from types import FrameType
from typing import Self

from orchestrator.runtime.strays import become_subreaper

_OWN_DESCRIPTORS = 40
_TAKEN = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ENDING = (signal.SIGTERM, signal.SIGHUP)
_STANDARD_MAX = 2
"""Descriptors up to here are standard input, output and error."""


class SignalInbox:
    """
    Catch INT, TERM and HUP while in a `with` block; `fd` becomes readable with each.

    A signal that was ignored when the program started (`nohup`) stays ignored.
    """

    def __init__(self) -> None:
        self._taken: deque[int] = deque()
        self._former: dict[int, object] = {}
        self.fd, self._write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def __enter__(self) -> Self:
        self._former_wakeup = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for number in _TAKEN:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._former[number] = signal.signal(number, self._catch)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._former_wakeup)
        os.close(self.fd)
        os.close(self._write_end)

    @property
    def is_waiting(self) -> bool:
        """Whether a signal has come in that nobody has taken."""
        return bool(self._taken)

    def take(self) -> int | None:
        """Return the number of a signal that has come in since the last call, or None."""
        return self._taken.popleft() if self._taken else None

    def _catch(self, number: int, _: FrameType | None) -> None:
        self._taken.append(number)


@contextlib.contextmanager
def left_by_signals() -> Iterator[None]:
    """
    Let TERM and HUP leave the block, as INT does, so that what was made in it is cleared up; one that was ignored stays so.

    Raises:
        SystemExit: With the code that a shell gives to a program that the signal ends.
    """

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    former = {number: signal.getsignal(number) for number in _ENDING}
    taken = [number for number in _ENDING if former[number] is not signal.SIG_IGN]
    for number in taken:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, former[number])


def prepare_process() -> None:
    """
    Make this process fit to start others: descriptors 0 to 2 open, no other inheritable, no core dumps, what they leave behind its own child.

    A core dump of a step would hold its secrets. The limit is inherited by every step.

    Raises:
        OSError: The kernel refuses.
    """
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        if descriptor > _STANDARD_MAX:
            os.close(descriptor)
            break
    for name in os.listdir("/proc/self/fd"):
        if int(name) > _STANDARD_MAX:
            try:
                os.set_inheritable(int(name), False)
            except OSError:
                continue  # The descriptor of the listing itself, closed by now.
    become_subreaper()
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def parallel_limit() -> int:
    """Return how many steps can be watched at once: each takes three descriptors, its process, a pipe and its log, besides those of the program."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, (soft - _OWN_DESCRIPTORS) // 3)
