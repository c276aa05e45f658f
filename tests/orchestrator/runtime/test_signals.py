"""Tests of signals to the orchestrator, and of making a process fit to start others."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.runtime.signals import SignalInbox, parallel_limit, prepare_process


def descriptors() -> list[str]:
    """Return the descriptors that this process has open."""
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def readable(descriptor: int) -> bool:
    """Whether something can be read from *descriptor* now."""
    return bool(select.select([descriptor], [], [], 0)[0])


class TestSignalInbox:
    """A signal waits until the loop takes it."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_signal_is_taken_once(self, number: signal.Signals) -> None:
        """The descriptor becomes readable, and nothing else happens."""
        with SignalInbox() as inbox:
            assert (None, False) == (inbox.take(), readable(inbox.fd))
            signal.raise_signal(number)

            assert readable(inbox.fd)
            assert [number, None] == [inbox.take(), inbox.take()]

    def test_one_that_waits_is_known_and_stays(self) -> None:
        """Looking for one does not take it."""
        with SignalInbox() as inbox:
            assert not inbox.is_waiting
            signal.raise_signal(signal.SIGTERM)

            assert (True, True, signal.SIGTERM) == (inbox.is_waiting, inbox.is_waiting, inbox.take())
            assert not inbox.is_waiting

    def test_order_is_kept(self) -> None:
        """Two are two."""
        with SignalInbox() as inbox:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
                signal.raise_signal(number)

            assert [signal.SIGTERM, signal.SIGINT, signal.SIGTERM, None] == [inbox.take() for _ in range(4)]

    def test_everything_is_as_before_afterwards(self) -> None:
        """Handlers, wake-up descriptor and pipe."""
        former = signal.getsignal(signal.SIGTERM)
        before = descriptors()
        with SignalInbox():
            assert former != signal.getsignal(signal.SIGTERM)

        assert former == signal.getsignal(signal.SIGTERM)
        assert before == descriptors()
        wakeup = signal.set_wakeup_fd(-1)
        assert wakeup == -1

    def test_what_was_ignored_stays_ignored(self) -> None:
        """`nohup` means it."""
        former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with SignalInbox() as inbox:
                signal.raise_signal(signal.SIGHUP)
                assert inbox.take() is None
            assert signal.SIG_IGN == signal.getsignal(signal.SIGHUP)
        finally:
            signal.signal(signal.SIGHUP, former)

    def test_flood_is_no_error(self) -> None:
        """Given more signals than the pipe holds, then all are there and nothing blocks or complains."""
        with SignalInbox() as inbox:
            for _ in range(70_000):
                signal.raise_signal(signal.SIGTERM)

            assert 70_000 == sum(1 for _ in iter(inbox.take, None))


class TestPrepareProcess:
    """What is started later gets no descriptor and leaves no core dump."""

    def test_no_core_dumps(self) -> None:
        """A dump of a step would hold its secrets."""
        code = (
            "from orchestrator.runtime.signals import prepare_process; import resource\n"
            "prepare_process(); print(resource.getrlimit(resource.RLIMIT_CORE)[0])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

        assert "0\n" == done.stdout

    def test_descriptors_are_not_inherited(self) -> None:
        """Given one that somebody left inheritable, then it is not any more; the standard ones are."""
        former = resource.getrlimit(resource.RLIMIT_CORE)
        descriptor = os.open(os.devnull, os.O_RDONLY)
        os.set_inheritable(descriptor, True)
        try:
            prepare_process()
            prepare_process()
            assert not os.get_inheritable(descriptor)
        finally:
            os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_CORE, former)

    def test_closed_standard_descriptors_are_opened(self) -> None:
        """Given a start without standard output, then no file of ours gets its number."""
        code = (
            "import os; from orchestrator.runtime.signals import prepare_process\n"
            "os.close(0); os.close(1); prepare_process()\n"
            "names = [os.readlink(f'/proc/self/fd/{number}') for number in (0, 1)]\n"
            "os.write(2, ' '.join(names).encode())"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

        assert "/dev/null /dev/null" == done.stderr


class TestParallelLimit:
    """No more steps at once than there are descriptors for."""

    def test_it_follows_the_limit_of_open_files(self) -> None:
        """Three for each step, some for the program, and one step at least; no more than are wanted, or than there are cores."""
        former = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (340, former[1]))
            assert [parallel_limit(wanted) for wanted in (7, 1000)] == [7, 100]
            assert parallel_limit(None) == min(100, len(os.sched_getaffinity(0)))
            resource.setrlimit(resource.RLIMIT_NOFILE, (30, former[1]))
            assert parallel_limit(7) == 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, former)
