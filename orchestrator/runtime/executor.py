"""
Processes: started in a session of their own, watched by pidfd and pipe in one selector, ended with their whole group.

A process is spawned with `posix_spawn`, which resets signal dispositions and mask without running any of our code between fork
and exec; it has no argument for the working folder, so the orchestrator steps into it. The exit of a process and the end of its
output are two things: a grandchild may hold the pipe open. Once the process has ended, the rest of its output gets a bounded time, then
what is left of its group is killed. The group is signalled while the process is still unreaped, so that its number cannot belong to
somebody else.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Mapping

import attrs

from orchestrator.runtime.output import AttemptOutput, RedactingStream
from orchestrator.runtime.ports import Clock, Exited, Launch

_READ_BYTES = 1 << 16
_READS_A_TURN = 16
_DRAIN_IDLE_US = 500_000
_DRAIN_TOTAL_US = 5_000_000
_SPAWN_ACTIONS_STDIN = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
_ALL_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})


@attrs.define(eq=False)
class _Process:
    launch: Launch
    pid: int
    pidfd: int
    pipe: int
    output: AttemptOutput
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
        self._home = os.getcwd()
        self._commands: dict[tuple[str, str], str] = {}
        self._wakeup_fd = wakeup_fd
        if wakeup_fd is not None:
            self._poller.register(wakeup_fd, select.EPOLLIN)

    def start(self, launch: Launch) -> None:
        """Start an attempt; what keeps it from starting comes back from `poll` as `Exited.not_started`."""
        try:
            self._start(launch)
        except (OSError, ValueError) as error:
            text = _start_error(launch, error)
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
            if process.eof or self._drained(process):
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
                os.waitpid(process.pid, 0)
            process.output.finish()
            os.close(process.pidfd)
            os.close(process.pipe)
        self._running.clear()
        self._poller.close()
        with contextlib.suppress(OSError):
            os.chdir(self._home)

    def _start(self, launch: Launch) -> None:
        started_us = self._clock.monotonic_us()
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            pid = self._spawn(launch, write_end)
        except (OSError, ValueError):
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        os.set_blocking(read_end, False)
        process = _Process(
            launch=launch,
            pid=pid,
            pidfd=os.pidfd_open(pid),
            pipe=read_end,
            output=AttemptOutput(launch.log_path, self._new_stream(), launch.log_limit_bytes),
            started_us=started_us,
            deadline_us=None if launch.timeout_us is None else started_us + launch.timeout_us,
        )
        self._running[launch.step] = process
        self._watch(process.pidfd, process, is_exit=True)
        self._watch(process.pipe, process, is_exit=False)

    def _watch(self, descriptor: int, process: _Process, *, is_exit: bool) -> None:
        # Without the module `selectors`, whose objects cost as much as the calls.
        self._poller.register(descriptor, select.EPOLLIN)
        self._watched[descriptor] = (process, is_exit)

    def _unwatch(self, descriptor: int) -> None:
        self._poller.unregister(descriptor)
        del self._watched[descriptor]

    def _spawn(self, launch: Launch, write_end: int) -> int:
        os.chdir(launch.cwd)  # Also where the last process ran in it: a step may have put another folder in its place.
        return os.posix_spawn(
            self._command(launch.argv[0], launch.env),
            launch.argv,
            launch.env,
            file_actions=[
                _SPAWN_ACTIONS_STDIN,
                (os.POSIX_SPAWN_DUP2, write_end, 1),
                (os.POSIX_SPAWN_DUP2, write_end, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_ALL_SIGNALS,
        )

    def _command(self, word: str, env: Mapping[str, str]) -> str:
        """Look *word* up in the child's own PATH, as the child would."""
        if "/" in word:
            return word
        path = env.get("PATH", os.defpath)
        found = self._commands.get((word, path))
        if found is None:
            for folder in path.split(os.pathsep):
                candidate = os.path.join(folder or ".", word)
                if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
                    found = self._commands[word, path] = candidate
                    break
            else:
                raise FileNotFoundError(2, "command not found", word)
        return found

    def _next_due_us(self) -> int | None:
        due = [
            moment
            for process in self._running.values()
            for moment in (process.deadline_us, process.kill_at_us, process.drain_until_us)
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
                if not process.stopped:
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
        self._kill(process)
        for _ in range(_READS_A_TURN):
            with contextlib.suppress(BlockingIOError):
                data = os.read(process.pipe, _READ_BYTES)
                if data:
                    process.output.feed(data)
                    continue
            break
        self._unwatch(process.pipe)
        return True

    def _finish(self, process: _Process) -> Exited:
        if process.eof:
            # Whoever is left of the group has closed our pipe; it is not asked what it still wants.
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
            pid=process.pid,
            duration_us=process.ended_us - process.started_us,
            log=log,
            last_line=process.output.last_line,
            log_failure=None if failure is None else failure.strerror,
        )


def _start_error(launch: Launch, error: OSError | ValueError) -> str:
    """Say why *launch* did not start, in words that name what to look at."""
    if isinstance(error, ValueError):
        return f"could not start: an argument holds a NUL byte ({error})"
    if not os.path.isdir(launch.cwd):
        what = "is no folder" if os.path.lexists(launch.cwd) else "does not exist"
        return f"could not start: working folder {launch.cwd} {what}"
    if isinstance(error, FileNotFoundError):
        if "/" not in launch.argv[0]:
            return f"could not start: command {launch.argv[0]} is not in PATH ({launch.env.get('PATH', os.defpath)})"
        return f"could not start: {launch.argv[0]} does not exist, or the interpreter of its first line does not"
    return f"could not start: {launch.argv[0]}: {os.strerror(error.errno or 0)}"
