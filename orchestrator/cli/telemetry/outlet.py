"""
One signal on its way to one place: a bounded queue, and a daemon thread that sends.

Whoever offers items never waits. Whoever closes the outlet waits as long as he says and not a moment longer: the thread is given up then, which hangs up,
and what has not been taken counts as missed. What is missed is not lost: it stands in the ledger, and another run or `telemetry replay` sends it.

A place that does not answer is left alone for a while, longer each time; at the end it is asked once more. What other runs have missed is sent while there
is nothing of this run to send, and no more of it after the first failure.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import attrs

from orchestrator.cli.telemetry.places import NotTakenError, Place, RejectedError
from orchestrator.cli.telemetry.settings import Batching, Signal

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0

Backlog = Callable[[], Iterator[tuple[str, Sequence[object]]]]
"""What other runs have missed: run id and items of each. Called and gone through in the thread of the outlet."""


@attrs.define
class Outcome:
    """
    Say what became of the items of one run.

    Attributes:
        taken: How many were delivered.
        missed: How many were not.
        error: The word of what last went wrong, see `places`; None where nothing did.
    """

    signal: Signal
    run_id: str
    taken: int = 0
    missed: int = 0
    error: str | None = None


def no_backlog() -> Iterator[tuple[str, Sequence[object]]]:
    """Return nothing that was missed before."""
    return iter(())


class Outlet:
    """
    Send what is offered of the run *run_id* to *place*, and between that what *backlog* has.

    Args:
        signal: Whose items they are.
    """

    def __init__(
        self, signal: Signal, run_id: str, place: Place, batching: Batching, *, backlog: Backlog = no_backlog
    ) -> None:
        self.signal: Signal = signal
        self._own = Outcome(signal, run_id)
        self._place = place
        self._batching = batching
        self._backlog = backlog
        self._others: list[Outcome] = []
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()
        self._closing = self._given_up = False
        self._send_at: float | None = None
        self._pause_until = 0.0
        self._pause = _FIRST_PAUSE_SECONDS
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"telemetry-{signal}", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    @property
    def room(self) -> int:
        """How many items there is room for."""
        return max(self._batching.most - len(self._waiting), 0)

    def miss(self, count: int) -> None:
        """Take note that *count* items could not be offered, for want of room."""
        if count:
            with self._changed:
                self._own.missed += count
                self._own.error = "queue_full"

    def offer(self, items: Sequence[object]) -> None:
        """Take *items* to be sent; what there is no room for is missed. Never waits for the place."""
        if not items:
            return
        with self._changed:
            room = max(self._batching.most - len(self._waiting), 0)
            self._waiting.extend(items[:room])
            if len(items) > room:
                self._own.missed += len(items) - room
                self._own.error = "queue_full"
            if self._send_at is None:
                self._send_at = time.monotonic() + self._batching.delay_ms / 1000
            self._changed.notify()

    def close(self) -> None:
        """Let it send what is left, without any pause; `outcomes` waits for that."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def outcomes(self, until: float) -> list[Outcome]:
        """
        Return what became of the items, of this run first, then of each other run that something was delivered of or tried.

        Args:
            until: By the monotonic clock: what has not been taken then is missed.
        """
        in_time = self._done.wait(max(until - time.monotonic(), 0))
        with self._changed:
            # First of all: what comes of hanging up says nothing of the place.
            self._given_up = True
            self._changed.notify()
            if self._waiting:
                self._own.missed += len(self._waiting)
                self._own.error = self._own.error or "timeout"
                self._waiting.clear()
            found = [attrs.evolve(outcome) for outcome in (self._own, *self._others)]
        if not in_time:
            self._place.hang_up()
        return found

    def _work(self) -> None:
        try:
            backlog: Iterator[tuple[str, Sequence[object]]] | None = self._backlog()
            while (found := self._next(idle=backlog is None)) is not None:
                if found:
                    self._send_own(found)
                elif backlog is not None and (self._own.error is not None or not self._send_other(backlog)):
                    backlog = None
            self._place.close()
        except Exception as error:  # noqa: BLE001 - whatever it is, it may not reach a run
            with self._changed:
                self._own.error = f"bug_{type(error).__name__}"
        finally:
            self._done.set()

    def _next(self, *, idle: bool) -> list[object] | None:
        """
        Return the items of this run that are due, or none where there is time for others; None at the end.

        Args:
            idle: There are no others: wait until something is due.
        """
        with self._changed:
            while True:
                if self._given_up:
                    return None
                if self._closing and (idle or self._own.error is not None) and not self._waiting:
                    return None
                wait = self._seconds_until_due()
                if wait is not None and wait <= 0:
                    return list(islice(self._waiting, self._batching.size))
                if not idle:
                    return []
                self._changed.wait(wait)

    def _seconds_until_due(self) -> float | None:
        """Return after how long something is to be sent; None where there is nothing."""
        if not self._waiting or self._send_at is None:
            return None
        if self._closing:
            return 0
        now = time.monotonic()
        full = len(self._waiting) >= self._batching.size
        return max((now if full else self._send_at) - now, self._pause_until - now)

    def _send_own(self, items: Sequence[object]) -> None:
        error, rejected = self._tried(items)
        with self._changed:
            if self._given_up:
                return
            if error is None:
                for _ in items:
                    self._waiting.popleft()
                self._own.taken += len(items) - rejected
                self._own.missed += rejected
                self._own.error = "rejected" if rejected else self._own.error if self._own.missed else None
                self._send_at = time.monotonic() if self._waiting else None
                self._pause = _FIRST_PAUSE_SECONDS
                return
            self._own.error = error
            if self._closing:
                self._given_up = True
            self._pause_until = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)

    def _send_other(self, backlog: Iterator[tuple[str, Sequence[object]]]) -> bool:
        """Send what one other run has missed; return whether it goes on after that."""
        try:
            missed = next(backlog, None)
        except Exception:  # noqa: BLE001 - whatever it is, it keeps nothing of this run waiting; the next one tries again
            missed = None
        if missed is None:
            return False
        run_id, items = missed
        outcome = Outcome(self.signal, run_id)
        for first in range(0, len(items), self._batching.size):
            batch = items[first : first + self._batching.size]
            error, rejected = self._tried(batch)
            if error is not None:
                outcome.missed, outcome.error = len(items) - outcome.taken, error
                break
            outcome.taken += len(batch) - rejected
            if rejected:
                outcome.missed, outcome.error = outcome.missed + rejected, "rejected"
        with self._changed:
            if not self._given_up:
                self._others.append(outcome)
        return outcome.error in (None, "rejected")

    def _tried(self, items: Sequence[object]) -> tuple[str | None, int]:
        """Send *items*; return what went wrong, and how many were rejected."""
        try:
            self._place.send(items)
        except NotTakenError as error:
            return error.word, 0
        except RejectedError as error:
            return None, min(error.count, len(items))
        return None, 0
