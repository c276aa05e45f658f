"""Tests of the thread that writes logs, with a disk that takes nothing: a pipe that is full, in which a write really waits."""

from __future__ import annotations

import fcntl
import os
import select
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import attrs
import pytest

from orchestrator.core.redaction import Redactor
from orchestrator.runtime import executor as executors
from orchestrator.runtime import log_writer
from orchestrator.runtime.clock import SystemClock
from orchestrator.runtime.executor import ProcessExecutor
from orchestrator.runtime.log_writer import ALL_BYTES_MAX, FILE_BYTES_MAX, LogFile, LogWriter
from orchestrator.runtime.ports import Exited, Launch
from orchestrator.runtime.signals import prepare_process
from tests.programs import wait_until

PATIENCE_US = 20_000_000
READ_BYTES = 1 << 14


class Disk:
    """A disk on which every write waits until `run` is called; what it took then is in `taken`."""

    def __init__(self) -> None:
        self.taken = b""
        self._out, self._into = os.pipe2(os.O_CLOEXEC)
        size = fcntl.fcntl(self._into, fcntl.F_SETPIPE_SZ, 4096)
        os.write(self._into, bytes(size))
        self._left = size

    def create(self, _: Path, *, private: bool) -> int:
        """Stand in for what makes the file of a log."""
        return os.dup(self._into)

    def run(self) -> None:
        """Take what there is, without waiting for more."""
        while select.select([self._out], [], [], 0)[0]:
            data = os.read(self._out, READ_BYTES)
            skipped = min(self._left, len(data))
            self._left -= skipped
            self.taken += data[skipped:]

    def close(self) -> None:
        """Let whoever still waits go on, into an error."""
        os.close(self._out)
        os.close(self._into)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """Put a disk that takes nothing in the place of the real one."""
    disk = Disk()
    monkeypatch.setattr(log_writer, "_create", disk.create)
    yield disk
    disk.close()


@pytest.fixture
def writer() -> Iterator[LogWriter]:
    """Give a writer."""
    writer = LogWriter()
    yield writer
    writer.close()


@pytest.fixture
def executor() -> Iterator[ProcessExecutor]:
    """Give what starts processes."""
    prepare_process()
    executor = ProcessExecutor(clock=SystemClock(), new_stream=Redactor([]).stream)
    yield executor
    executor.close()


def launch(folder: Path, script: str, *, step: str = "a", timeout_us: int | None = None) -> Launch:
    """Return the start of a shell that runs *script*."""
    return Launch(
        step=step,
        attempt=1,
        argv=("sh", "-c", script),
        env={"PATH": os.environ["PATH"]},
        cwd=str(folder),
        log_path=folder / "logs" / f"{step}.1.log",
        log_limit_bytes=1 << 30,
        timeout_us=timeout_us,
        grace_us=PATIENCE_US,
    )


def ended(executor: ProcessExecutor, disk: Disk | None = None) -> Exited:
    """Wait for the next end, with *disk* taking what it is given meanwhile."""
    while True:
        if disk is not None:
            disk.run()
        for exited in executor.poll(1000 if disk else PATIENCE_US):
            if disk is not None:
                disk.run()
            return exited


def wait_for(writer: LogWriter, file: LogFile) -> None:
    """Wait until *file* is kept."""
    while not writer.is_kept(file):
        select.select([writer.fd], [], [])
        writer.heard()


def paused(executor: ProcessExecutor) -> list[str]:
    """Return the steps whose output is not read at present."""
    return [name for name, process in executor._running.items() if process.is_paused]


class TestSlowDisk:
    """What is printed waits; nothing else does."""

    def test_timeout_of_another_step(self, executor: ProcessExecutor, disk: Disk, tmp_path: Path) -> None:
        """Given a step that prints without end, then what waits is bounded, and the time of another one is up when it is up."""
        executor.start(launch(tmp_path, "yes"))
        while not paused(executor):
            executor.poll(10_000)
        executor.start(launch(tmp_path, "exec sleep 300", step="b", timeout_us=100_000))
        other = ended(executor)
        assert (other.step, other.timed_out, other.log) == ("b", True, None)
        assert FILE_BYTES_MAX <= executor._logs._held <= FILE_BYTES_MAX + READ_BYTES

        executor.stop("a")
        exited = ended(executor, disk)
        assert (exited.stopped, exited.log_failure) == (True, None)
        assert exited.log is not None
        assert (exited.log.bytes, exited.log.sha256) == (len(disk.taken), sha256(disk.taken).hexdigest())
        assert exited.log.bytes > FILE_BYTES_MAX

    def test_its_own_timeout(self, executor: ProcessExecutor, disk: Disk, tmp_path: Path) -> None:
        """Given a step that waits for its own output to be read, then its time is up all the same; its end is told with its log."""
        executor.start(launch(tmp_path, "exec yes", timeout_us=300_000))
        while executor._running["a"].ended_us is None:
            executor.poll(PATIENCE_US)
        assert executor.poll(10_000) == []
        exited = ended(executor, disk)
        assert (exited.timed_out, exited.killed) == (True, ("SIGTERM", "SIGCONT"))
        assert exited.log is not None
        assert exited.log.bytes == len(disk.taken)

    def test_end_is_told_when_the_log_is_kept(self, executor: ProcessExecutor, disk: Disk, tmp_path: Path) -> None:
        """Given a step that has printed a line and ended, then the loop waits for its log without turning round and round."""
        executor.start(launch(tmp_path, "echo hello; exit 3"))
        while not (executor._running["a"].is_alone):
            executor.poll(PATIENCE_US)
        assert executor.poll(1000) == []
        assert executor._next_due_us() is None
        exited = ended(executor, disk)
        assert (exited.exit_code, disk.taken) == (3, b"hello\n")
        assert exited.log is not None
        assert (exited.log.bytes, exited.log.lines) == (6, 1)

    def test_what_lies_in_the_pipe_is_kept(self, executor: ProcessExecutor, disk: Disk, tmp_path: Path) -> None:
        """Given a step that ends while its output waits, and leaves a child with it, then all that it had printed is kept, and the child is ended."""
        size = FILE_BYTES_MAX + READ_BYTES  # More than is read, and what is not read has room in its pipe.
        executor.start(launch(tmp_path, f"head -c {size} /dev/zero; sleep 300 & exit 4"))
        while executor._running["a"].ended_us is None or not paused(executor):
            executor.poll(10_000)
        exited = ended(executor, disk)
        assert (exited.exit_code, len(exited.survivors), len(disk.taken)) == (4, 1, size)

    def test_all_together_are_bounded(self, writer: LogWriter, disk: Disk, tmp_path: Path) -> None:
        """Given many files with little each, then there is no room for any of them when all have come to the bound."""
        files = [LogFile(tmp_path / str(number)) for number in range(9)]
        for file in files[:8]:
            assert writer.has_room(file)
            writer.put(file, bytes(ALL_BYTES_MAX // 8))
        assert not any(writer.has_room(file) for file in files)
        while not all(map(writer.has_room, files)):
            disk.run()
        for file in files[:8]:
            while not writer.is_kept(file):
                disk.run()
        assert len(disk.taken) == ALL_BYTES_MAX


class TestDeadDisk:
    """A write that never comes back."""

    def test_end_that_is_asked_for_twice(
        self, executor: ProcessExecutor, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given a run that is to end at once, then its attempts end without their logs, and say so."""
        monkeypatch.setattr(executors, "_HURRIED_LOG_US", 50_000)
        executor.start(launch(tmp_path, "echo hello; exec sleep 300"))
        while executor.last_line("a") is None:
            executor.poll(10_000)
        executor.stop("a")
        executor.stop("a", force=True)
        exited = ended(executor)
        assert (exited.stopped, exited.log, exited.log_failure) == (True, None, "the disk did not take it in time")
        disk.run()

    def test_end_that_is_asked_for(self, executor: ProcessExecutor, disk: Disk, tmp_path: Path) -> None:
        """Given a step that has ended and whose log is not taken, then an end that is asked for leaves that its grace; the step did end well."""
        executor.start(attrs.evolve(launch(tmp_path, "echo hello"), grace_us=50_000))
        while not executor._running["a"].is_alone:
            executor.poll(PATIENCE_US)
        assert executor._next_due_us() is None
        executor.stop("a")
        exited = ended(executor)
        assert (exited.stopped, exited.exit_code, exited.log) == (False, 0, None)
        assert exited.log_failure == "the disk did not take it in time"
        disk.run()

    def test_end_that_is_asked_for_again_while_it_waits(
        self, executor: ProcessExecutor, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given a log that has its grace, when the end is forced, then it has but a moment."""
        monkeypatch.setattr(executors, "_HURRIED_LOG_US", 50_000)
        executor.start(attrs.evolve(launch(tmp_path, "echo hello; exec sleep 300"), grace_us=10**12))
        while executor.last_line("a") is None:
            executor.poll(10_000)
        executor.stop("a")
        while not executor._running["a"].is_alone:
            executor.poll(PATIENCE_US)
        executor.stop("a", force=True)
        exited = ended(executor)
        assert (exited.stopped, exited.log_failure) == (True, "the disk did not take it in time")
        disk.run()

    def test_whatever_goes_wrong(
        self, executor: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given an error in the thread that nobody thought of, then the attempt ends without its log, and says what it was."""

        def fail(_: Path, *, private: bool) -> int:
            raise ValueError(private)

        monkeypatch.setattr(log_writer, "_create", fail)
        executor.start(launch(tmp_path, "echo hello"))
        exited = ended(executor)
        assert (exited.exit_code, exited.log, exited.log_failure) == (0, None, "ValueError: False")

    def test_way_out(self, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given an error of ours, then nobody waits for it longer than a moment."""
        monkeypatch.setattr(log_writer, "_CLOSING_SECONDS", 0.05)
        executor = ProcessExecutor(clock=SystemClock(), new_stream=Redactor([]).stream)
        executor.start(launch(tmp_path, "echo hello; exec sleep 300"))
        while executor.last_line("a") is None:
            executor.poll(10_000)
        executor.close()
        thread = executor._logs._thread
        assert thread is not None
        assert thread.is_alive()
        assert thread.daemon
        disk.run()
        thread.join()
        os.close(executor._logs.fd)

    def test_failure_drops_what_waits(self, writer: LogWriter, disk: Disk, tmp_path: Path) -> None:
        """Given a disk that fails in the end, then what waits for it is dropped, and room is made."""
        file = LogFile(tmp_path / "a")
        writer.put(file, b"x")
        while file.waiting:
            os.sched_yield()
        writer.put(file, bytes(FILE_BYTES_MAX))
        assert not writer.has_room(file)
        writer.give_up(file, OSError(5, "broken"))
        disk.run()
        wait_for(writer, file)
        assert (file.failure is not None, file.held, writer.has_room(file)) == (True, 0, True)


class TestThread:
    """There is one, from the first byte on."""

    def test_silence_starts_none(self, executor: ProcessExecutor, tmp_path: Path) -> None:
        """Given steps that print nothing, then nothing is started for them."""
        executor.start(launch(tmp_path, "true"))
        ended(executor)
        assert executor._logs._thread is None

    def test_one_for_all(self, executor: ProcessExecutor, tmp_path: Path) -> None:
        """Given many steps, then one thread writes, and few files stay open."""
        before, open_before = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
        for number in range(40):
            executor.start(launch(tmp_path, "echo hello", step=f"s{number}"))
        left = 40
        while left:
            left -= len(executor.poll(PATIENCE_US))
        assert threading.active_count() == before + 1
        most = open_before + log_writer._FINISHED_MAX
        wait_until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= most, "files stay open")
        assert {path.read_text() for path in (tmp_path / "logs").iterdir()} == {"hello\n"}

    def test_none_is_to_be_had(
        self, executor: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given a limit to the number of threads that is reached, then the loop writes."""

        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        executor.start(launch(tmp_path, f"head -c {3 * FILE_BYTES_MAX} /dev/zero; echo hello"))
        exited = ended(executor)
        assert exited.log is not None
        content = (tmp_path / "logs" / "a.1.log").read_bytes()
        assert (exited.log.bytes, exited.log.sha256) == (len(content), sha256(content).hexdigest())
        assert content.endswith(b"\0hello\n")
