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

from orchestrator.runtime.attempt import READS_A_TURN, Attempt, Told
from orchestrator.runtime.liveness import process_name
from orchestrator.runtime.log_writer import LogWriter
from orchestrator.runtime.output import AttemptOutput, Listen, NewStream, Output, nobody
from orchestrator.runtime.ports import Clock, Exited, Launch, Survivor
from orchestrator.runtime.spawning import Spawner, start_error
from orchestrator.runtime.strays import Owner, are_all_ours, strays_of

_READ_TURN_US = 5_000
_DRAIN_IDLE_US = 500_000
_DRAIN_TOTAL_US = 5_000_000
_STRAYS_GRACE_US = 50_000
_STRAYS_TOTAL_US = 2_000_000
_STRAYS_LOOK_US = 2_000
_HURRIED_LOG_US = 2_000_000
_UNKILLABLE_US = 30_000_000
"""How long a process that was sent KILL may take to end: to give back hundreds of gigabytes takes a while."""
_WAY_OUT_SECONDS = 5.0


class ProcessExecutor:
    """
    Start, watch and end the processes of one run.

    Args:
        new_stream: Makes the redacting stream of an attempt.
        wakeup_fd: A descriptor that becomes readable when the orchestrator got a signal, or None.
        listen: Makes who hears the output of an attempt besides its log, or returns None.
    """

    def __init__(
        self, *, clock: Clock, new_stream: NewStream, wakeup_fd: int | None = None, listen: Listen = nobody
    ) -> None:
        self._clock = clock
        self._new_stream = new_stream
        self._listen = listen
        self._poller = select.epoll()
        self._watched: dict[int, tuple[Attempt, bool]] = {}
        self._running: dict[str, Attempt] = {}
        self._unkillable: dict[str, Attempt] = {}
        self._failed_starts: list[tuple[Exited, Told | None]] = []
        self._spawner = Spawner()
        self._all_ours = are_all_ours()
        self._logs = LogWriter()
        self._poller.register(self._logs.fd, select.EPOLLIN)
        self._wakeup_fd = wakeup_fd
        if wakeup_fd is not None:
            self._poller.register(wakeup_fd, select.EPOLLIN)

    def start(self, launch: Launch) -> None:
        """
        Start an attempt; what keeps it from starting comes back from `poll` as `Exited.not_started`.

        So does a process of an earlier attempt of the step that could not be killed and still lives.
        """
        before = self._living_before(launch.step)
        if before is not None:
            self._failed_starts.append((Exited(launch.step, launch.attempt, not_started=before), None))
            return
        stream, listener = self._new_stream(), self._listen(launch)
        output = AttemptOutput(
            launch.log_path, stream, launch.log_limit_bytes, self._logs, private=launch.log_private, listener=listener
        )
        self._start_or_tell(launch, output, None)

    def start_aside(self, launch: Launch, output: Output, told: Told) -> None:
        """Start what is no attempt: it prints into *output*, and `poll` hands its end to *told* instead of returning it."""
        self._start_or_tell(launch, output, told)

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
            self._happened(descriptor)
        if due_us is not None:
            self._enforce(self._clock.monotonic_us())
        ended, self._failed_starts = self._failed_starts, []
        for attempt in [attempt for attempt in self._running.values() if attempt.ended_us is not None]:
            if self._is_over(attempt):
                del self._running[attempt.launch.step]
                ended.append((attempt.finish(), attempt.told))
        for exited, told in ended:
            if told is not None:
                told(exited)
        return [exited for exited, told in ended if told is None]

    def _happened(self, descriptor: int) -> None:
        if descriptor == self._wakeup_fd:
            with contextlib.suppress(BlockingIOError):
                os.read(descriptor, 512)
            # The engine must see the signal now; an empty answer lets it take its turn.
        elif descriptor == self._logs.fd:
            self._logs.heard()
            self._resume()
        elif descriptor in self._watched:  # or its exit and the end of its output came in one turn
            attempt, is_exit = self._watched[descriptor]
            if is_exit:
                self._exited(attempt)
            else:
                self._read(attempt)

    def stop(self, step: str, *, force: bool = False) -> None:
        """
        Ask the group of the running attempt of *step* to end: TERM, grace, KILL; *force* starts at KILL.

        Its log is then waited for no longer than its grace, with *force* than a moment.
        """
        attempt = self._running.get(step)
        if attempt is None:
            return
        attempt.hurry_log(_HURRIED_LOG_US if force else attempt.launch.grace_us, self._clock.monotonic_us())
        if attempt.ended_us is not None:
            return  # It has ended by itself; what is left of it is over soon, or is hurried now.
        attempt.stopped = True
        if force:
            self._kill(attempt)
        elif attempt.kill_at_us is None:
            self._terminate(attempt, self._clock.monotonic_us())

    def last_line(self, step: str) -> str | None:
        """Return the last line that the running attempt of *step* has printed, redacted."""
        attempt = self._running.get(step)
        return None if attempt is None else attempt.output.last_line

    def close(self) -> None:
        """Kill what still runs, and let go of everything; for the way out after an error, which nothing may hold up for long."""
        for attempt in self._running.values():
            self._kill(attempt)
        for attempt in list(self._running.values()):
            # It has to be dead for what it leaves to be ours, and not be waited for while its group is still needed.
            if not attempt.is_unkillable and attempt.has_ended(_WAY_OUT_SECONDS):
                self._end_strays(attempt)
                attempt.reap()
            attempt.output.end()
            attempt.output.finish()
            os.close(attempt.pipe)
            del self._running[attempt.launch.step]
        for step in list(self._unkillable):
            self._living_before(step)
        self._logs.close()
        self._poller.close()
        self._spawner.close()

    def _living_before(self, step: str) -> str | None:
        """Say which process of an earlier attempt of *step* could not be killed and lives, if one does; one that has ended meanwhile is waited for."""
        before = self._unkillable.get(step)
        if before is None:
            return None
        if before.has_ended():
            del self._unkillable[step]
            before.reap()
            return None
        name = process_name(before.pid)
        return f"not started: process {before.pid} ({name}) of attempt {before.launch.attempt} could not be killed, and lives"

    def _start_or_tell(self, launch: Launch, output: Output, told: Told | None) -> None:
        try:
            self._start(launch, output, told)
        except (OSError, ValueError) as error:
            text = start_error(launch, error)
            self._failed_starts.append((Exited(launch.step, launch.attempt, not_started=text), told))

    def _start(self, launch: Launch, output: Output, told: Told | None) -> None:
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
            attempt = Attempt(
                launch=launch,
                pid=pid,
                pidfd=pidfd,
                pipe=read_end,
                output=output,
                told=told,
                owner=Owner.of(launch, pid),
                started_us=started_us,
                deadline_us=None if launch.timeout_us is None else started_us + launch.timeout_us,
            )
            self._watch(pidfd, attempt, is_exit=True)
            undoing.callback(self._unwatch, pidfd)
            self._watch(read_end, attempt, is_exit=False)
            self._running[launch.step] = attempt
            undoing.pop_all()

    def _watch(self, descriptor: int, attempt: Attempt, *, is_exit: bool) -> None:
        # Without the module `selectors`, whose objects cost as much as the calls.
        self._poller.register(descriptor, select.EPOLLIN)
        self._watched[descriptor] = (attempt, is_exit)

    def _unwatch(self, descriptor: int) -> None:
        self._poller.unregister(descriptor)
        del self._watched[descriptor]

    def _next_due_us(self) -> int | None:
        return min((due for attempt in self._running.values() if (due := attempt.due_us) is not None), default=None)

    # Ending

    def _enforce(self, now_us: int) -> None:
        for attempt in self._running.values():
            if attempt.ended_us is not None:
                continue
            if attempt.give_up_at_us is not None and now_us >= attempt.give_up_at_us:
                self._give_up(attempt, now_us)
                continue
            if attempt.kill_at_us is not None and now_us >= attempt.kill_at_us:
                self._kill(attempt)
                attempt.kill_at_us = None
            if attempt.deadline_us is not None and now_us >= attempt.deadline_us:
                attempt.deadline_us = None
                if attempt.has_ended():
                    # It had ended when we were busy with something else: that is no timeout.
                    self._exited(attempt)
                elif not attempt.stopped:
                    attempt.timed_out = True
                    self._terminate(attempt, now_us)

    def _terminate(self, attempt: Attempt, now_us: int) -> None:
        attempt.signal(signal.SIGTERM, now_us)
        attempt.signal(signal.SIGCONT, now_us)  # A stopped group could not act on TERM.
        attempt.kill_at_us = now_us + attempt.launch.grace_us

    def _kill(self, attempt: Attempt) -> None:
        now_us = self._clock.monotonic_us()
        attempt.signal(signal.SIGKILL, now_us)
        if attempt.give_up_at_us is None:
            attempt.give_up_at_us = now_us + _UNKILLABLE_US

    def _give_up(self, attempt: Attempt, now_us: int) -> None:
        """Wait no longer for the process of *attempt*, which KILL has not ended: it waits for a disk, or runs as somebody else."""
        if attempt.has_ended():
            self._exited(attempt)
            return
        attempt.is_unkillable = True
        attempt.name_living([Survivor(attempt.pid, process_name(attempt.pid))])
        self._unkillable[attempt.launch.step] = attempt
        self._exited(attempt)
        attempt.drain_until_us = None if attempt.eof else now_us

    # Output

    def _read(self, attempt: Attempt) -> None:
        until_us = self._clock.monotonic_us() + _READ_TURN_US
        for _ in range(READS_A_TURN):
            if not attempt.output.has_room:
                self._pause(attempt)
                return
            if not attempt.read():
                if attempt.eof:
                    self._unwatch(attempt.pipe)
                return
            if attempt.ended_us is not None:
                idle_us = self._clock.monotonic_us() + _DRAIN_IDLE_US
                attempt.drain_until_us = min(idle_us, attempt.drain_total_us)
            # Masking may take long; others have their turn, and the rest is told of again.
            if self._clock.monotonic_us() >= until_us:
                return

    def _pause(self, attempt: Attempt) -> None:
        """Read nothing more of *attempt* until there is room for it; its process waits then, once its pipe is full."""
        self._unwatch(attempt.pipe)
        attempt.is_paused = True
        if attempt.drain_until_us is not None:
            # What is silent for that long now is the disk.
            attempt.drain_until_us = attempt.drain_total_us

    def _resume(self) -> None:
        for attempt in self._running.values():
            if attempt.is_paused and attempt.output.has_room:
                attempt.is_paused = False
                self._watch(attempt.pipe, attempt, is_exit=False)

    def _exited(self, attempt: Attempt) -> None:
        now_us = self._clock.monotonic_us()
        attempt.ended_us = now_us
        attempt.deadline_us = attempt.kill_at_us = attempt.give_up_at_us = None
        self._unwatch(attempt.pidfd)
        if not attempt.eof and not attempt.is_paused:
            self._read(attempt)
        if not attempt.eof:
            attempt.drain_total_us = now_us + _DRAIN_TOTAL_US
            if attempt.timed_out or attempt.stopped:
                attempt.drain_until_us = now_us
            else:
                attempt.drain_until_us = attempt.drain_total_us if attempt.is_paused else now_us + _DRAIN_IDLE_US

    def _drained(self, attempt: Attempt) -> bool:
        """Whether the time for the rest of the output is over; kills who holds the pipe and reads what is left."""
        now_us = self._clock.monotonic_us()
        if attempt.drain_until_us is None or now_us < attempt.drain_until_us:
            return False
        was_paused, attempt.is_paused = attempt.is_paused, False
        if was_paused:
            attempt.read_rest()
        if not attempt.eof:  # Else nobody held it but we, who did not read.
            attempt.kill(self._strays(attempt), now_us)
            attempt.read_rest()
        if not was_paused:
            self._unwatch(attempt.pipe)
        return True

    # What is left

    def _is_over(self, attempt: Attempt) -> bool:
        """Whether *attempt*, whose process has ended, is over in every respect: its output, what it has left behind, its log."""
        if not attempt.is_alone:
            if attempt.over_us is None and not attempt.eof and not self._drained(attempt):
                return False
            if not self._is_alone(attempt):
                return False
            attempt.is_alone = True
            attempt.look_at_us = None
            attempt.output.end()
        return self._is_kept(attempt)

    def _is_alone(self, attempt: Attempt) -> bool:
        """
        Whether nothing of *attempt*, which has ended with its output, is left; else what is gets a moment to go, and is killed.

        Processes of a pipeline may be on their way out. What cannot be killed within two seconds waits for a disk, and nobody waits for it.
        """
        now_us = self._clock.monotonic_us()
        if attempt.over_us is None:
            attempt.over_us = now_us
            attempt.drain_until_us = None
        left = self._strays(attempt)
        if not left or now_us >= attempt.over_us + _STRAYS_TOTAL_US:
            attempt.name_living(left)
            return True
        attempt.look_at_us = now_us + _STRAYS_LOOK_US
        hurry = attempt.timed_out or attempt.stopped or attempt.killed
        if hurry or now_us >= attempt.over_us + _STRAYS_GRACE_US:
            attempt.kill(left, now_us)
        return False

    def _is_kept(self, attempt: Attempt) -> bool:
        """Whether the log of *attempt* is written. That may take as long as the disk takes, unless somebody has asked for the end."""
        if attempt.output.is_kept:
            return True
        now_us = self._clock.monotonic_us()
        attempt.begin_log_wait(now_us)
        if attempt.log_until_us is None or now_us < attempt.log_until_us:
            return False
        attempt.output.give_up()
        return True

    def _end_strays(self, attempt: Attempt) -> None:
        """Kill what is left of *attempt* until nothing is, for two seconds at most."""
        until_us = self._clock.monotonic_us() + _STRAYS_TOTAL_US
        while (left := self._strays(attempt)) and (now_us := self._clock.monotonic_us()) < until_us:
            attempt.kill(left, now_us)
            select.select((), (), (), _STRAYS_LOOK_US / 1e6)

    def _strays(self, attempt: Attempt) -> list[Survivor]:
        living = (*self._running.values(), *self._unkillable.values())
        others = [other.owner for other in living if other is not attempt]
        return strays_of(attempt.owner, others, all_ours=self._all_ours)


def _forget(pid: int, pipe: int) -> None:
    """End the process *pid* that cannot be watched, with its group, and let go of it and its *pipe*."""
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(pipe)
