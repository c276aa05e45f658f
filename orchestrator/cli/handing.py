"""Handing a text to a command of the user's on its standard input: it gets its time, and nothing of it goes on after that."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from orchestrator.runtime.signals import ENDING, caught_by, ending_by

_KEPT_BYTES = 1 << 16
_WORDS_MAX = 500
_BLOCK_BYTES = 1 << 16


def hand_over(
    command: Sequence[str],
    data: bytes,
    *,
    folder: Path,
    environment: Mapping[str, str],
    timeout_us: int,
    clean: Callable[[str], str] | None = None,
) -> str | None:
    """
    Hand *data* to *command* and return None where it ended well, else what went wrong.

    What has not ended in time, or when this program is told to end, is killed with its session.

    Args:
        clean: Masks secrets in what the command said last on its standard error; without it nothing of that is repeated.
    """
    with _no_survivor() as watch:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if clean is None else subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            return f"it could not be started: {error.strerror}"
        except ValueError:
            return "it could not be started: a word or a variable of it cannot be handed over"
        watch(process)
        said = _served(process, data, time.monotonic() + timeout_us / 1e6)
        if said is None:
            return f"it did not end within {timeout_us / 1e6:g} s"
        code = process.wait()
    words = _last_line(said)
    told = f": {clean(words)[:_WORDS_MAX]}" if clean is not None and words else ""
    return None if code == 0 else f"it ended with exit code {code}{told}"


def _last_line(said: bytes) -> str:
    """Return the last line of what was *said*; none where its beginning was not kept, which may be that of a secret."""
    lines = said.decode("utf-8", "replace").rstrip().splitlines()
    whole = len(said) < _KEPT_BYTES or len(lines) > 1
    return lines[-1] if lines and whole else ""


def _served(process: subprocess.Popen[bytes], data: bytes, deadline: float) -> bytes | None:
    """Write *data* to *process* and read what it says, until it has ended; return the end of that, or None where *deadline* came first."""
    assert process.stdin is not None
    said = b""
    with contextlib.closing(_Descriptor(os.pidfd_open(process.pid))) as ended, selectors.DefaultSelector() as selector:
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        selector.register(ended, selectors.EVENT_READ)
        if process.stderr is not None:
            os.set_blocking(process.stderr.fileno(), False)
            selector.register(process.stderr, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                if key.fileobj is process.stdin:
                    data = _write_some(process.stdin, data)
                    if not data:
                        selector.unregister(process.stdin)
                        _close(process.stdin)
                elif key.fileobj is ended:
                    # What it has left running may hold the pipe open; what is in it now is what it said itself.
                    return (said + _read_some(process.stderr))[-_KEPT_BYTES:]
                else:
                    block = _read_some(process.stderr)
                    said = (said + block)[-_KEPT_BYTES:]
                    if not block:
                        selector.unregister(key.fileobj)
    return None


class _Descriptor:
    """A descriptor as a selector takes it, and as `closing` closes it."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        """Return it."""
        return self._number

    def close(self) -> None:
        """Close it."""
        os.close(self._number)


def _write_some(pipe: IO[bytes], data: bytes) -> bytes:
    """Write what *pipe* takes and return the rest; nothing is left where nobody reads."""
    try:
        return data[os.write(pipe.fileno(), data) :]
    except BlockingIOError:
        return data
    except OSError:
        return b""


def _read_some(pipe: IO[bytes] | None) -> bytes:
    """Return what is in *pipe* now, a block of it at most; nothing at its end, and where there is none."""
    return b"" if pipe is None else pipe.read(_BLOCK_BYTES) or b""


def _close(pipe: IO[bytes]) -> None:
    with contextlib.suppress(OSError):
        pipe.close()


@contextlib.contextmanager
def _no_survivor() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """
    Give what watches a process: it is killed, with what it has started in its session, where it has not ended with the block, which INT, TERM and HUP end too.

    A signal that comes before there is a process to watch waits for it.
    """
    watched: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def leave(number: int, _: FrameType | None) -> None:
        if watched:
            raise ending_by(number)
        early.append(number)

    def watch(process: subprocess.Popen[bytes]) -> None:
        watched.append(process)
        if early:
            raise ending_by(early[0])

    try:
        with caught_by(leave, ENDING):
            yield watch
    finally:
        for process in watched:
            with process:
                # Only while its first process is not waited for is the id of the group certainly its own.
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        if early and not watched:
            os.kill(os.getpid(), early[0])
