"""Tests of locks that die with their holder, between real processes."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.locks import KernelLock, is_held

HOLD = """
import sys
from pathlib import Path
from ledger.locks import KernelLock
lock = KernelLock(Path(sys.argv[1]))
print(lock.acquire(holder={"who": "child"}), flush=True)
sys.stdin.read()
"""

WAIT = """
import sys
from pathlib import Path
from ledger.locks import KernelLock
with KernelLock(Path(sys.argv[1])):
    print(Path(sys.argv[2]).read_text(), flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the place of a lock whose folder is not there yet."""
    return tmp_path / "locks" / "a.lock"


@pytest.fixture
def child(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Give a process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "True\n" == process.stdout.readline()
        yield process
        process.kill()


def until_it_waits(process: subprocess.Popen[str]) -> None:
    """Return when the kernel lists *process* among those that wait for a lock, or it has ended."""
    deadline = time.monotonic() + 60
    while process.poll() is None and not any(
        "->" in line and str(process.pid) in line.split() for line in Path("/proc/locks").read_text().splitlines()
    ):
        assert time.monotonic() < deadline, "it neither waits nor ends"
        time.sleep(0.005)


class TestExclusion:
    """One holder at a time."""

    def test_second_object_is_refused_until_the_first_lets_go(self, path: Path) -> None:
        """Given a held lock, then another object of the same process does not get it, and gets it afterwards."""
        first, second = KernelLock(path), KernelLock(path)

        assert (True, False) == (first.acquire(), second.acquire())
        assert (True, False) == (first.held, second.held)
        first.release()
        assert (False, True) == (first.held, second.acquire())
        second.release()

    def test_other_process_is_refused(self, path: Path, child: subprocess.Popen[str]) -> None:
        """Given a lock that another process holds, then it is not to be had."""
        assert not KernelLock(path).acquire()
        assert child.poll() is None

    def test_waiting_ends_when_the_holder_lets_go(self, path: Path, tmp_path: Path) -> None:
        """Given a process that waits, then it goes on after the release and not before."""
        note = tmp_path / "note"
        note.write_text("held")
        with KernelLock(path) as lock:
            assert lock.held
            waiting = subprocess.Popen(
                [sys.executable, "-c", WAIT, str(path), str(note)], stdout=subprocess.PIPE, text=True
            )
            until_it_waits(waiting)
            note.write_text("about to be released")

        out, _ = waiting.communicate(timeout=60)
        assert ("about to be released\n", 0) == (out, waiting.returncode)

    def test_those_that_share_keep_out_who_does_not(self, path: Path) -> None:
        """Given two that share, then a third has to wait for both; while one has it alone, nobody shares it."""
        first, second, alone = KernelLock(path), KernelLock(path), KernelLock(path)

        assert (True, True, False) == (first.acquire(shared=True), second.acquire(shared=True), alone.acquire())
        first.release()
        assert not alone.acquire()
        second.release()
        assert (True, False) == (alone.acquire(), first.acquire(shared=True))
        alone.release()

    def test_looking_whether_it_is_held(self, path: Path, child: subprocess.Popen[str], tmp_path: Path) -> None:
        """Given a lock that another process has, then that is told; nothing is made where there is none, and what is shared, free or no file is not held."""
        assert is_held(path)
        child.kill()
        child.wait()
        assert not is_held(path)
        shared = KernelLock(path)
        assert shared.acquire(shared=True)
        assert not is_held(path)
        shared.release()
        assert not is_held(tmp_path / "nothing")
        assert not (tmp_path / "nothing").exists()
        os.mkfifo(tmp_path / "pipe")
        assert not is_held(tmp_path / "pipe")

    def test_lock_at_which_somebody_looks(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given somebody who looks at the moment, then whoever takes a lock that is watched gets it all the same; one that stays held is not waited for."""
        looking, pauses = KernelLock(path), []
        assert looking.acquire(shared=True)

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            looking.release()

        monkeypatch.setattr("ledger.locks.time.sleep", pause)
        taken = KernelLock(path, watched=True)
        assert (taken.acquire(), len(pauses)) == (True, 1)
        assert not KernelLock(path, watched=True).acquire()
        assert len(pauses) == 1 + 9
        assert sum(pauses) < 0.1
        assert not KernelLock(path).acquire()
        assert len(pauses) == 10
        taken.release()

    def test_letting_go_twice_does_nothing(self, path: Path) -> None:
        """Given a lock that is not held, then letting go of it does nothing."""
        lock = KernelLock(path)
        lock.acquire()
        lock.release()
        lock.release()

        assert not lock.held

    def test_letting_go_that_is_interrupted(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given Ctrl-C when the lock has just been let go, then letting go once more, on the way out, closes nothing of others."""
        lock = KernelLock(path)
        assert lock.acquire()
        close = os.close

        def interrupted(descriptor: int) -> None:
            close(descriptor)
            signal.raise_signal(signal.SIGINT)

        with monkeypatch.context() as patch:
            patch.setattr("ledger.locks.os.close", interrupted)
            with pytest.raises(KeyboardInterrupt):
                lock.release()
        lock.release()
        assert not lock.held


class TestDeath:
    """The lock goes with its holder, however that ends."""

    def test_dies_with_its_holder(self, path: Path, child: subprocess.Popen[str]) -> None:
        """Given a holder that is killed, then the lock is free at once, and the note still says who it was."""
        lock = KernelLock(path)
        assert not lock.acquire()
        child.send_signal(signal.SIGKILL)
        assert -signal.SIGKILL == child.wait(60)

        assert lock.acquire()
        assert {"who": "child"} == lock.holder()
        lock.release()

    def test_is_not_inherited_by_a_spawned_process(self, path: Path) -> None:
        """Given a process that was started while the lock was held, with all descriptors, then it holds nothing."""
        lock = KernelLock(path)
        lock.acquire()
        with subprocess.Popen(
            [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
            close_fds=False,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            lock.release()

            assert KernelLock(path).acquire()
            assert child.poll() is None
            child.kill()


class TestHolder:
    """The note is for people."""

    def test_note_is_read_by_others(self, path: Path) -> None:
        """Given a holder that notes who it is, then another object reads it, also after the release."""
        with KernelLock(path):
            assert KernelLock(path).holder() == {}
        lock = KernelLock(path)
        lock.acquire(holder={"pid": 7, "host": "here", "long": "x" * 1000})
        assert {"pid": 7, "host": "here", "long": "x" * 1000} == KernelLock(path).holder()
        lock.release()
        assert lock.acquire(holder={"pid": 8})
        lock.release()

        assert {"pid": 8} == KernelLock(path).holder()

    def test_lock_without_a_note_keeps_the_last_one(self, path: Path) -> None:
        """Given a holder that notes nothing, then what stood there stays."""
        lock = KernelLock(path)
        lock.acquire(holder={"pid": 7})
        lock.release()
        with lock:
            assert {"pid": 7} == lock.holder()

    @pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"7"])
    def test_note_that_is_none_is_empty(self, path: Path, content: bytes) -> None:
        """Given a file with something else in it, then nobody is named, and the lock still works."""
        path.parent.mkdir()
        path.write_bytes(content)

        assert KernelLock(path).holder() == {}
        with KernelLock(path) as lock:
            assert lock.held

    def test_no_file_is_empty(self, path: Path) -> None:
        """Given no file, then nobody is named, and none is made."""
        assert KernelLock(path).holder() == {}
        assert not path.exists()

    def test_note_without_a_form_leaves_the_lock_free(self, path: Path) -> None:
        """Given a note that is no JSON, then the error comes through, and the lock is free."""
        lock = KernelLock(path)
        with pytest.raises(TypeError):
            lock.acquire(holder={"pid": object()})

        assert (False, True) == (lock.held, KernelLock(path).acquire())

    def test_disk_that_refuses_the_note_leaves_the_lock_free(self, path: Path) -> None:
        """Given a file that may not grow, then the error comes through, and the lock is free."""
        lock = KernelLock(path)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                lock.acquire(holder={"pid": 7})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

        assert (False, True) == (lock.held, KernelLock(path).acquire())


class TestFile:
    """The file of a lock."""

    def test_file_and_folder_are_the_owners(self, path: Path) -> None:
        """Given no folder, then it and the file are made, for their owner alone; the file stays."""
        with KernelLock(path):
            pass

        assert (0o700, 0o600) == (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777)

    def test_link_is_not_followed(self, path: Path, tmp_path: Path) -> None:
        """Given a link in the lock's place, then it is refused and what it points at is not touched."""
        path.parent.mkdir()
        path.symlink_to(tmp_path / "elsewhere")

        with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
            KernelLock(path).acquire()

        assert not (tmp_path / "elsewhere").exists()

    def test_place_that_cannot_be_is_an_error(self, tmp_path: Path) -> None:
        """Given a file where the folder should be, then an error and no lock."""
        (tmp_path / "locks").write_text("")
        lock = KernelLock(tmp_path / "locks" / "a.lock")

        with pytest.raises(NotADirectoryError):
            lock.acquire()

        assert not lock.held
