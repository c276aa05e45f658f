"""
Processes: watched by pidfd and pipe in one selector, and ended with everything that they have started.

The exit of a process and the end of its output are two things: a grandchild may hold the pipe open. Once the process has ended, the rest of
its output gets a bounded time, then what is left of its group, and what has escaped from that, is killed before its end is told. The
group is signalled while the process is still unreaped, so that its number cannot belong to somebody else.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable

import attrs

from orchestrator.runtime.output import AttemptOutput, RedactingStream
from orchestrator.runtime.ports import Clock, Exited, Launch, Survivor
from orchestrator.runtime.spawning import Spawner, start_error
from orchestrator.runtime.strays import Owner, are_all_ours, strays_of

_READ_BYTES = 1 << 16
_READS_A_TURN = 16
_READ_TURN_US = 5_000
_DRAIN_IDLE_US = 500_000
_DRAIN_TOTAL_US = 5_000_000
_STRAYS_GRACE_US = 50_000
_STRAYS_TOTAL_US = 2_000_000
_STRAYS_LOOK_US = 2_000


@attrs.define(eq=False)
class _Process:
    launch: Launch
    pid: int
    pidfd: int
    pipe: int
    output: AttemptOutput
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
    killed: list[str] = attrs.field(factory=list)
    survivors: dict[int, Survivor] = attrs.field(factory=dict)
    over_us: int | None = None
    look_at_us: int | None = None


class ProcessExecutor:
    """
    Start, watch and end the processes of one run.

    Args:
        new_stream: Makes the redacting stream of an attempt.
        wakeup_fd: A descriptor that becomes readable when the orchestrator got a signal, or None.
    """

    def __init__(
        self, *, clock: Clock, new_stream: Callable[[], RedactingStream], wakeup_fd: int | None = None
    ) -> None:
        self._clock = clock
        self._new_stream = new_stream
        self._poller = select.epoll()
        self._watched: dict[int, tuple[_Process, bool]] = {}
        self._running: dict[str, _Process] = {}
        self._failed_starts: list[Exited] = []
        self._spawner = Spawner()
        self._all_ours = are_all_ours()
        self._wakeup_fd = wakeup_fd
        if wakeup_fd is not None:
            self._poller.register(wakeup_fd, select.EPOLLIN)

    def start(self, launch: Launch) -> None:
        """Start an attempt; what keeps it from starting comes back from `poll` as `Exited.not_started`."""
        try:
            self._start(launch)
        except (OSError, ValueError) as error:
            text = start_error(launch, error)
            self._failed_starts.append(Exited(launch.step, launch.attempt, not_started=text))

    def poll(self, timeout_us: int | None) -> list[Exited]:
        """Wait until something has ended or *timeout_us* has passed (None: for ever), and return what has ended."""
        if self._failed_starts:
            timeout_us = 0
        now_us = self._clock.monotonic_us()
        due_us = self._next_due_us()
        if due_us is not None:
            until_due = max(0, due_us - now_us)
            timeout_us = until_due if timeout_us is None else min(timeout_us, until_due)
        for descriptor, _ in self._poller.poll(None if timeout_us is None else timeout_us / 1e6):
            if descriptor == self._wakeup_fd:
                with contextlib.suppress(BlockingIOError):
                    os.read(descriptor, 512)
                # The engine must see the signal now; an empty answer lets it take its turn.
            elif descriptor in self._watched:  # or its exit and the end of its output came in one turn
                process, is_exit = self._watched[descriptor]
                if is_exit:
                    self._exited(process)
                else:
                    self._read(process)
        if due_us is not None:
            self._enforce(self._clock.monotonic_us())
        ended = self._failed_starts
        self._failed_starts = []
        for process in [process for process in self._running.values() if process.ended_us is not None]:
            if (process.over_us is not None or process.eof or self._drained(process)) and self._is_alone(process):
                ended.append(self._finish(process))
        return ended

    def stop(self, step: str, *, force: bool = False) -> None:
        """Ask the group of the running attempt of *step* to end: TERM, grace, KILL; *force* starts at KILL."""
        process = self._running.get(step)
        if process is None:
            return
        process.stopped = True
        if force:
            self._kill(process)
        elif process.kill_at_us is None:
            self._terminate(process, self._clock.monotonic_us())

    def last_line(self, step: str) -> str | None:
        """Return the last line that the running attempt of *step* has printed, redacted."""
        process = self._running.get(step)
        return None if process is None else process.output.last_line

    def close(self) -> None:
        """Kill what still runs, and let go of everything; for the way out after an error."""
        for process in list(self._running.values()):
            self._kill(process)
            with contextlib.suppress(ChildProcessError):
                # It has to be dead for what it leaves to be ours, and not be waited for while its group is still needed.
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
                self._end_strays(process)
                os.waitpid(process.pid, 0)
            process.output.finish()
            os.close(process.pidfd)
            os.close(process.pipe)
            del self._running[process.launch.step]
        self._poller.close()
        self._spawner.close()

    def _start(self, launch: Launch) -> None:
        started_us = self._clock.monotonic_us()
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            pid = self._spawner.spawn(launch, write_end)
        except (OSError, ValueError):
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        os.set_blocking(read_end, False)
        with contextlib.ExitStack() as undoing:
            # Nobody may run unwatched: where descriptors are used up it goes again.
            undoing.callback(_forget, pid, read_end)
            pidfd = os.pidfd_open(pid)
            undoing.callback(os.close, pidfd)
            process = _Process(
                launch=launch,
                pid=pid,
                pidfd=pidfd,
                pipe=read_end,
                output=AttemptOutput(
                    launch.log_path, self._new_stream(), launch.log_limit_bytes, private=launch.log_private
                ),
                owner=Owner.of(launch, pid),
                started_us=started_us,
                deadline_us=None if launch.timeout_us is None else started_us + launch.timeout_us,
            )
            self._watch(process.pidfd, process, is_exit=True)
            undoing.callback(self._unwatch, pidfd)
            self._watch(process.pipe, process, is_exit=False)
            self._running[launch.step] = process
            undoing.pop_all()

    def _watch(self, descriptor: int, process: _Process, *, is_exit: bool) -> None:
        # Without the module `selectors`, whose objects cost as much as the calls.
        self._poller.register(descriptor, select.EPOLLIN)
        self._watched[descriptor] = (process, is_exit)

    def _unwatch(self, descriptor: int) -> None:
        self._poller.unregister(descriptor)
        del self._watched[descriptor]

    def _next_due_us(self) -> int | None:
        due = [
            moment
            for process in self._running.values()
            for moment in (process.deadline_us, process.kill_at_us, process.drain_until_us, process.look_at_us)
            if moment is not None
        ]
        return min(due) if due else None

    def _enforce(self, now_us: int) -> None:
        for process in self._running.values():
            if process.ended_us is not None:
                continue
            if process.kill_at_us is not None and now_us >= process.kill_at_us:
                self._kill(process)
                process.kill_at_us = None
            if process.deadline_us is not None and now_us >= process.deadline_us:
                process.deadline_us = None
                if os.waitid(os.P_PIDFD, process.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                    # It had ended when we were busy with something else: that is no timeout.
                    self._exited(process)
                elif not process.stopped:
                    process.timed_out = True
                    self._terminate(process, now_us)

    def _terminate(self, process: _Process, now_us: int) -> None:
        self._signal(process, signal.SIGTERM)
        self._signal(process, signal.SIGCONT)  # A stopped group could not act on TERM.
        process.kill_at_us = now_us + process.launch.grace_us

    def _kill(self, process: _Process) -> None:
        self._signal(process, signal.SIGKILL)

    def _signal(self, process: _Process, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
            if number.name not in process.killed:
                process.killed.append(number.name)

    def _read(self, process: _Process) -> None:
        until_us = self._clock.monotonic_us() + _READ_TURN_US
        for _ in range(_READS_A_TURN):
            try:
                data = os.read(process.pipe, _READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                process.eof = True
                self._unwatch(process.pipe)
                return
            process.output.feed(data)
            if process.ended_us is not None:
                idle_us = self._clock.monotonic_us() + _DRAIN_IDLE_US
                process.drain_until_us = min(idle_us, process.drain_total_us)
            # Masking may take long; others have their turn, and the rest is told of again.
            if self._clock.monotonic_us() >= until_us:
                return

    def _exited(self, process: _Process) -> None:
        now_us = self._clock.monotonic_us()
        process.ended_us = now_us
        process.deadline_us = process.kill_at_us = None
        self._unwatch(process.pidfd)
        if not process.eof:
            self._read(process)
        if not process.eof:
            process.drain_total_us = now_us + _DRAIN_TOTAL_US
            process.drain_until_us = now_us + (0 if process.timed_out or process.stopped else _DRAIN_IDLE_US)

    def _drained(self, process: _Process) -> bool:
        """Whether the time for the rest of the output is over; kills who holds the pipe and reads what is left."""
        if process.drain_until_us is None or self._clock.monotonic_us() < process.drain_until_us:
            return False
        self._end(process, self._strays(process))
        for _ in range(_READS_A_TURN):
            with contextlib.suppress(BlockingIOError):
                data = os.read(process.pipe, _READ_BYTES)
                if data:
                    process.output.feed(data)
                    continue
            break
        self._unwatch(process.pipe)
        return True

    def _is_alone(self, process: _Process) -> bool:
        """
        Whether nothing of *process*, which has ended with its output, is left; else what is gets a moment to go, and is killed.

        Processes of a pipeline may be on their way out. What cannot be killed within two seconds waits for a disk, and nobody waits for it.
        """
        now_us = self._clock.monotonic_us()
        if process.over_us is None:
            process.over_us = now_us
            process.drain_until_us = None
        left = self._strays(process)
        if not left or now_us >= process.over_us + _STRAYS_TOTAL_US:
            return True
        process.look_at_us = now_us + _STRAYS_LOOK_US
        hurry = process.timed_out or process.stopped or process.killed
        if hurry or now_us >= process.over_us + _STRAYS_GRACE_US:
            self._end(process, left)
        return False

    def _end_strays(self, process: _Process) -> None:
        """Kill what is left of *process* until nothing is, for two seconds at most."""
        until_us = self._clock.monotonic_us() + _STRAYS_TOTAL_US
        while (left := self._strays(process)) and self._clock.monotonic_us() < until_us:
            self._end(process, left)
            select.select((), (), (), _STRAYS_LOOK_US / 1e6)

    def _strays(self, process: _Process) -> list[Survivor]:
        others = [other.owner for other in self._running.values() if other is not process]
        return strays_of(process.owner, others, all_ours=self._all_ours)

    def _end(self, process: _Process, left: list[Survivor]) -> None:
        self._kill(process)
        for survivor in left:
            process.survivors.setdefault(survivor.pid, survivor)
            # It is a child of ours that nobody has waited for: the number is its own.
            with contextlib.suppress(ProcessLookupError):
                os.kill(survivor.pid, signal.SIGKILL)

    def _finish(self, process: _Process) -> Exited:
        # Where the kernel has not given us what it left, this still reaches its group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        _, status = os.waitpid(process.pid, 0)
        os.close(process.pidfd)
        os.close(process.pipe)
        del self._running[process.launch.step]
        code = os.waitstatus_to_exitcode(status)
        log = process.output.finish()
        failure = process.output.failure
        assert process.ended_us is not None
        return Exited(
            step=process.launch.step,
            attempt=process.launch.attempt,
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            timed_out=process.timed_out,
            stopped=process.stopped,
            killed=tuple(process.killed),
            survivors=tuple(process.survivors.values()),
            pid=process.pid,
            duration_us=process.ended_us - process.started_us,
            log=log,
            last_line=process.output.last_line,
            log_failure=None if failure is None else failure.strerror,
        )


def _forget(pid: int, pipe: int) -> None:
    """End the process *pid* that cannot be watched, with its group, and let go of it and its *pipe*."""
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(pipe)
