"""Signals sent to the orchestrator, as values that its loop takes when it is ready for them; outside of the loop, as an exception."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Self, TypeAlias

from orchestrator.runtime.strays import become_subreaper

Handler: TypeAlias = Callable[[int, FrameType | None], object]

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What tells a program to end."""

_OWN_DESCRIPTORS = 40
_STANDARD_MAX = 2
"""Descriptors up to here are standard input, output and error."""


class SignalInbox:
    """Catch INT, TERM and HUP while in a `with` block, once; `fd` becomes readable with each."""

    def __init__(self) -> None:
        self._taken: deque[int] = deque()
        self._caught = caught_by(self._catch, ENDING)
        self.fd, self._write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def __enter__(self) -> Self:
        self._former_wakeup = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        self._caught.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._caught.__exit__(None, None, None)
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
def caught_by(handler: Handler, numbers: Iterable[int]) -> Iterator[None]:
    """Let *handler* take the signals *numbers* while the block lasts; one that was ignored (`nohup`) stays so."""
    former = {number: signal.getsignal(number) for number in numbers}
    taken = [number for number, before in former.items() if before is not signal.SIG_IGN]
    try:
        for number in taken:
            signal.signal(number, handler)
        yield
    finally:
        for number in taken:
            signal.signal(number, former[number])


def ending_by(number: int) -> BaseException:
    """Return what ends the program by the signal *number*: what Python has for INT, else the exit code that a shell gives to what it ends."""
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


@contextlib.contextmanager
def left_by_signals() -> Iterator[None]:
    """
    Let INT, TERM and HUP leave the block, so that what was made in it is cleared up.

    Raises:
        KeyboardInterrupt, SystemExit: See `ending_by`.
    """

    def leave(number: int, _: FrameType | None) -> None:
        raise ending_by(number)

    with caught_by(leave, ENDING):
        yield


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


def parallel_limit(wanted: int | None) -> int:
    """
    Return how many steps run side by side where *wanted* are asked for, or None for as many as there are cores: no more than can be watched.

    Each takes three descriptors, its process, a pipe and its log, besides those of the program.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(wanted or len(os.sched_getaffinity(0)), max(1, (soft - _OWN_DESCRIPTORS) // 3))
