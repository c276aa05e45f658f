"""Tests of the file that holds what an attempt prints."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import select
import signal
import stat
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from orchestrator.core.redaction import Redactor
from orchestrator.runtime.log_writer import LogWriter
from orchestrator.runtime.output import AttemptOutput, Listener
from orchestrator.runtime.ports import Log

SECRET = b"correct-horse-battery"


class Output(AttemptOutput):
    """The output of an attempt, with a writer of its own that is waited for."""

    def __init__(self, path: Path, limit: int = 1 << 20, listener: Listener | None = None) -> None:
        self.writer = LogWriter()
        super().__init__(path, Redactor({"TOKEN": SECRET}).stream(), limit, self.writer, listener=listener)

    def settle(self) -> None:
        """Wait until all that was fed is written."""
        while not self.is_kept:
            select.select([self.writer.fd], [], [])
            self.writer.heard()

    def finished(self) -> Log | None:
        """End it, and return what the file holds."""
        self.end()
        self.settle()
        log = self.finish()
        self.writer.close()
        return log


SMALL_DISK_BYTES = 1000


@contextlib.contextmanager
def small_disk() -> Iterator[None]:
    """Let no file of this process grow beyond 1000 bytes; not even the one that the tests' own output may go to, so be quick."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_DISK_BYTES, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
        signal.signal(signal.SIGXFSZ, handler)


class TestFile:
    """One private file, with what was printed and nothing else."""

    def test_created_with_its_first_byte(self, tmp_path: Path) -> None:
        """Neither file nor folder is there before."""
        path = tmp_path / "logs" / "run" / "a.1.log"
        log = Output(path)
        log.feed(b"")
        log.feed(SECRET[:5])
        assert not (tmp_path / "logs").exists()

        log.feed(b"!")
        log.settle()
        assert SECRET[:5] + b"!" == path.read_bytes()
        log.finished()

    def test_silence_leaves_nothing(self, tmp_path: Path) -> None:
        """And has no log."""
        log = Output(tmp_path / "logs" / "a.1.log")

        assert (None, None) == (log.finished(), log.last_line)
        assert [] == list(tmp_path.iterdir())

    def test_only_its_owner_can_read_it(self, tmp_path: Path) -> None:
        """Given a mask that takes nothing away, then file and folders are private all the same."""
        former = os.umask(0)
        try:
            log = Output(tmp_path / "logs" / "run" / "a.1.log")
            log.feed(b"x\n")
            log.finished()
        finally:
            os.umask(former)
        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("logs", "logs/run", "logs/run/a.1.log")]

        assert [0o700, 0o700, 0o600] == modes

    @pytest.mark.parametrize("kind", ["file", "link", "dead link", "FIFO", "folder"])
    def test_what_exists_is_never_opened(self, tmp_path: Path, kind: str) -> None:
        """The attempt goes on without a log, and says why."""
        path, victim = tmp_path / "a.1.log", tmp_path / "victim"
        match kind:
            case "file":
                path.write_text("precious")
            case "link":
                victim.write_text("precious")
                path.symlink_to(victim)
            case "dead link":
                path.symlink_to(victim)
            case "FIFO":
                os.mkfifo(path)
            case _:
                path.mkdir()
        log = Output(path)
        log.feed(b"hello\n")
        log.feed(b"again\n")

        assert log.finished() is None
        assert log.failure is not None
        assert errno.EEXIST == log.failure.errno
        assert kind not in ("file", "link") or "precious" == path.read_text()
        assert (kind == "link") == victim.exists()

    def test_what_is_recorded_is_what_the_file_holds(self, tmp_path: Path) -> None:
        """Bytes, lines, digest, and how often each secret was masked; half a secret at the end is shown."""
        path = tmp_path / "a.1.log"
        stream = Output(path)
        for piece in (b"one " + SECRET[:7], SECRET[7:] + b"\ntwo\n", b"three " + SECRET[:4]):
            stream.feed(piece)
        log = stream.finished()

        assert log is not None
        assert b"one ***\ntwo\nthree corr" == path.read_bytes()
        assert (len(path.read_bytes()), 2, {"TOKEN": 1}) == (log.bytes, log.lines, log.masked)
        assert sha256(path.read_bytes()).hexdigest() == log.sha256
        assert not log.truncated
        assert stream.failure is None


class TestLimit:
    """A log has a limit, and the attempt does not notice."""

    @pytest.mark.parametrize("step", [1, 7, 100, 300])
    def test_one_notice(self, tmp_path: Path, step: int) -> None:
        """What comes after the limit is dropped, however it comes."""
        path = tmp_path / "a.1.log"
        stream = Output(path, limit=100)
        for _ in range(300 // step):
            stream.feed(b"x" * step)
        log = stream.finished()

        assert b"x" * 100 + b"\n[orchestrate: log limit reached, the rest was dropped]\n" == path.read_bytes()
        assert log is not None
        assert (True, path.stat().st_size) == (log.truncated, log.bytes)

    def test_exactly_the_limit_is_all(self, tmp_path: Path) -> None:
        """There is nothing to notice."""
        stream = Output(tmp_path / "a.1.log", limit=100)
        stream.feed(b"x" * 100)
        log = stream.finished()

        assert log is not None
        assert (100, False) == (log.bytes, log.truncated)


class Ear:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.heard = b""
        self.has_ended = False

    def hear(self, data: bytes) -> None:
        """Keep *data*."""
        assert not self.has_ended
        self.heard += data

    def end(self) -> None:
        """Take note."""
        self.has_ended = True


class TestListener:
    """Somebody who hears what goes into the file."""

    def test_hears_the_bytes_of_the_file(self, tmp_path: Path) -> None:
        """Given secrets, pieces and a limit, then what is heard is what the file holds, its notice included, and then its end."""
        path, ear = tmp_path / "a.1.log", Ear()
        log = Output(path, limit=40, listener=ear)
        for piece in (b"one " + SECRET[:7], SECRET[7:] + b"\ntwo\n", b"x" * 100, b"dropped"):
            log.feed(piece)
        log.finished()

        assert ear.heard == path.read_bytes()
        assert b"one ***\ntwo\nxxx" in ear.heard
        assert ear.has_ended

    def test_hears_nothing_that_cannot_be_kept(self, tmp_path: Path) -> None:
        """Given a file that cannot be written, then what comes after that was found is not heard either."""
        ear = Ear()
        (tmp_path / "a.1.log").mkdir()
        log = Output(tmp_path / "a.1.log", listener=ear)
        log.feed(b"first\n")
        log.settle()
        log.feed(b"second\n")

        assert log.finished() is None
        assert ear.heard == b"first\n"


class TestFullDisk:
    """A log that cannot be written does not stop the step."""

    def test_what_is_recorded_is_what_got_through(self, tmp_path: Path) -> None:
        """Given a disk that is full in the middle of a piece, then the record is that of the file, and says that it is not all."""
        path = tmp_path / "a.1.log"
        stream = Output(path)
        with small_disk():
            stream.feed(b"first\n" * 100)
            stream.feed(b"second\n" * 100)
            stream.feed(b"third\n")
            log = stream.finished()

        assert log is not None
        assert stream.failure is not None
        assert errno.EFBIG == stream.failure.errno
        assert (SMALL_DISK_BYTES, path.read_bytes().count(b"\n"), True) == (log.bytes, log.lines, log.truncated)
        assert sha256(path.read_bytes()).hexdigest() == log.sha256
        assert "third" == stream.last_line

    def test_no_room_for_a_byte(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a full device, then an empty log."""
        monkeypatch.setattr(
            "orchestrator.runtime.log_writer._create", lambda _, **__: os.open("/dev/full", os.O_WRONLY)
        )
        stream = Output(tmp_path / "a.1.log")
        stream.feed(b"hello\n")
        log = stream.finished()

        assert log is not None
        assert (0, True, sha256().hexdigest()) == (log.bytes, log.truncated, log.sha256)

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        """Given a file where the folder should be, then there is no log."""
        (tmp_path / "logs").touch()
        stream = Output(tmp_path / "logs" / "run" / "a.1.log")
        stream.feed(b"hello\n")

        assert stream.finished() is None
        assert stream.failure is not None


class TestLastLine:
    """What is shown of a running step."""

    @pytest.mark.parametrize(
        ("fed", "line"),
        [
            (b"one\ntwo\n", "two"),
            (b"one\ntwo", "two"),
            (b"one\r\n\r\n", "one"),
            (b"\n\n", None),
            (b"x" * 5000, "x" * 4096),
            (b"caf\xc3", "caf\N{REPLACEMENT CHARACTER}"),
            (b"a " + SECRET + b" b\n", "a *** b"),
        ],
    )
    def test_last_line(self, tmp_path: Path, fed: bytes, line: str | None) -> None:
        """The last one that says something, redacted, without its end."""
        stream = Output(tmp_path / "a.1.log")
        stream.feed(fed)

        assert line == stream.last_line
        stream.finished()
