"""One attempt that runs: its process, its output, what is due when, and what was done to end it. The loop that watches them all is `executor`."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import TypeAlias

import attrs

from orchestrator.runtime.liveness import has_ended
from orchestrator.runtime.output import Output
from orchestrator.runtime.ports import Exited, Launch, Survivor
from orchestrator.runtime.strays import Owner

Told: TypeAlias = Callable[[Exited], None]
"""Who is told of the end of a process that is no attempt."""

READ_BYTES = 1 << 14
"""What is masked at once: text that is made to be hard takes three microseconds a byte, and nothing else is done meanwhile."""
READS_A_TURN = 64


@attrs.define(eq=False)
class Attempt:
    """
    Hold an attempt from the start of its process until its end is told.

    Attributes:
        told: Who is told of its end where it is a process of another kind, or None.
        drain_until_us: When the rest of the output is waited for no longer, once the process has ended.
        eof: The output has come to its end.
        is_paused: Its output is not read, since there is no room for it.
        over_us: Since when process and output are over, so that only what was left behind may still live.
        is_alone: Nothing of it is left but its log, which may still have to be written.
        log_patience_us: How long its log is waited for once nothing else is left of it; None for as long as the disk takes.
        log_until_us: When its log is waited for no longer.
        give_up_at_us: When its process, which was sent KILL, is waited for no longer.
        is_unkillable: Its process did not end by KILL, and nobody waits for it any more.
    """

    launch: Launch
    pid: int
    pidfd: int
    pipe: int
    output: Output
    told: Told | None
    owner: Owner
    started_us: int
    deadline_us: int | None
    kill_at_us: int | None = None
    drain_until_us: int | None = None
    drain_total_us: int = 0
    ended_us: int | None = None
    timed_out: bool = False
    stopped: bool = False
    eof: bool = False
    is_paused: bool = False
    killed: dict[str, int] = attrs.field(factory=dict)
    """The signals that were sent to its group, each with the moment of the first time."""
    survivors: dict[int, Survivor] = attrs.field(factory=dict)
    over_us: int | None = None
    look_at_us: int | None = None
    is_alone: bool = False
    log_patience_us: int | None = None
    log_until_us: int | None = None
    give_up_at_us: int | None = None
    is_unkillable: bool = False

    @property
    def due_us(self) -> int | None:
        """When something has to be done about it, whatever happens; None for never."""
        moments = (
            self.deadline_us, self.kill_at_us, self.drain_until_us, self.look_at_us, self.log_until_us, self.give_up_at_us
        )  # fmt: skip
        return min((moment for moment in moments if moment is not None), default=None)

    def signal(self, number: signal.Signals, now_us: int) -> None:
        """Send *number* to its group, if there is one left that may be signalled: what runs as another user may not."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
            self.killed.setdefault(number.name, now_us)

    def hurry_log(self, patience_us: int, now_us: int) -> None:
        """Wait for its log *patience_us* at most, from now on or from when nothing else is left of it."""
        known = self.log_patience_us
        self.log_patience_us = patience_us if known is None else min(known, patience_us)
        if self.is_alone:
            until_us = now_us + patience_us
            self.log_until_us = until_us if self.log_until_us is None else min(self.log_until_us, until_us)

    def begin_log_wait(self, now_us: int) -> None:
        """Take note that only its log is left, since *now_us* at the latest."""
        if self.log_until_us is None and self.log_patience_us is not None:
            self.log_until_us = now_us + self.log_patience_us

    def kill(self, left: list[Survivor], now_us: int) -> None:
        """Kill its group, and what is *left* of it wherever that is."""
        self.signal(signal.SIGKILL, now_us)
        for survivor in left:
            self.survivors.setdefault(survivor.pid, survivor)
            # It is a child of ours that nobody has waited for: the number is its own.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(survivor.pid, signal.SIGKILL)

    def name_living(self, left: list[Survivor]) -> None:
        """Take note of what is *left* and could not be killed."""
        for survivor in left:
            self.survivors[survivor.pid] = attrs.evolve(survivor, is_alive=True)

    def has_ended(self, seconds: float = 0) -> bool:
        """Whether its process has ended, or does so within *seconds*; nobody has waited for it."""
        return has_ended(self.pidfd, seconds)

    def read(self) -> bool:
        """Take a piece of its output, or note its end; return whether there may be more."""
        try:
            data = os.read(self.pipe, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self.eof = True
            return False
        self.output.feed(data)
        return True

    def read_rest(self) -> None:
        """Read what lies in its pipe, whether or not there is room for it."""
        for _ in range(READS_A_TURN):
            if not self.read():
                return

    def reap(self) -> int:
        """Wait for its process, which has ended, and return its status."""
        # Where the kernel has not given us what it left, this still reaches its group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        os.close(self.pidfd)
        return os.waitpid(self.pid, 0)[1]

    def finish(self) -> Exited:
        """Let go of everything, but of a process that could not be killed, and return how it ended."""
        code = None if self.is_unkillable else os.waitstatus_to_exitcode(self.reap())
        os.close(self.pipe)
        log = self.output.finish()
        failure = self.output.failure
        assert self.ended_us is not None
        return Exited(
            step=self.launch.step,
            attempt=self.launch.attempt,
            exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            timed_out=self.timed_out,
            stopped=self.stopped,
            unkillable=self.is_unkillable,
            killed=tuple(self.killed),
            killed_us=tuple(moment - self.started_us for moment in self.killed.values()),
            survivors=tuple(self.survivors.values()),
            pid=self.pid,
            duration_us=self.ended_us - self.started_us,
            log=log,
            last_line=self.output.last_line,
            log_failure=None if failure is None else failure.strerror,
        )
