"""
Starting a process: `posix_spawn`, in a session of its own, with nothing of ours but its environment, its folder and a pipe for its output.

`posix_spawn` resets signal dispositions and mask without running any of our code between fork and exec. It has no argument for the
working folder, so the orchestrator steps into it; and none for what the kernel thinks of a process when memory runs out, so the orchestrator
takes that upon itself while it spawns, since it is inherited.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping

from orchestrator.runtime.ports import Launch

_STDIN = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
_ALL_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
"""All that can be reset; the two that glibc keeps for its threads (32, 33) cannot, and it lets whatever it spawns ignore them."""


_OOM_SCORE = "/proc/self/oom_score_adj"
_OOM_SCORE_MAX = 1000
_OOM_SCORE_MORE = 200
"""As if a step had a fifth of the memory more than it has: enough to be chosen before the orchestrator, whatever small steps there are."""

_IS_UTF8 = sys.getfilesystemencoding() == "utf-8"


class Spawner:
    """Start processes, and remember where their commands were found."""

    def __init__(self) -> None:
        self._home = os.getcwd()
        self._oom_score = _OomScore()
        self._commands: dict[tuple[str, str, str], str] = {}

    def spawn(self, launch: Launch, output: int) -> int:
        """
        Start *launch* with the descriptor *output* as its standard output and error, and return its pid, which is also that of its group.

        Raises:
            OSError, ValueError: It cannot be started, see `start_error`.
        """
        argv: tuple[str | bytes, ...] = launch.argv
        env: Mapping[str, str] | Mapping[bytes, bytes] = launch.env
        if not _IS_UTF8:
            # In a locale without it the definition is in UTF-8 all the same.
            argv = tuple(_encoded(word) for word in launch.argv)
            env = {_encoded(name): _encoded(value) for name, value in launch.env.items()}
        os.chdir(launch.cwd)  # Also where the last process ran in it: a step may have put another folder in its place.
        command = self._command(launch)
        with self._oom_score:
            return os.posix_spawn(
                command,
                argv,
                env,
                file_actions=[_STDIN, (os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)],
                setsid=True,
                setsigmask=(),
                setsigdef=_ALL_SIGNALS,
            )

    def close(self) -> None:
        """Step back into the folder that the program was in."""
        self._oom_score.close()
        with contextlib.suppress(OSError):
            os.chdir(self._home)

    def _command(self, launch: Launch) -> str:
        """Look the command of *launch* up in the child's own PATH, as the child would; entries of it may be relative to its folder, which is ours now."""
        word = launch.argv[0]
        if "/" in word:
            return word
        place = (word, path := launch.env.get("PATH", os.defpath), launch.cwd)
        found = self._commands.get(place)
        if found is None:
            for folder in path.split(os.pathsep):
                candidate = os.path.join(folder or ".", word)
                if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
                    found = self._commands[place] = candidate
                    break
            else:
                raise FileNotFoundError(2, "command not found", word)
        return found


class _OomScore:
    """
    Be likelier to be killed for want of memory while in a `with` block, so that what is started in it is.

    To raise it needs no privilege, and neither does going back to where it was. A kernel that has no such thing, or shows it to nobody, changes nothing.
    """

    def __init__(self) -> None:
        self._file, self._own, self._steps = -1, b"", b""
        with contextlib.suppress(OSError):
            self._file = os.open(_OOM_SCORE, os.O_RDWR | os.O_CLOEXEC)
            self._own = os.read(self._file, 16)
            self._steps = b"%d" % min(int(self._own) + _OOM_SCORE_MORE, _OOM_SCORE_MAX)

    def __enter__(self) -> None:
        self._set(self._steps)

    def __exit__(self, *_: object) -> None:
        self._set(self._own)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _set(self, value: bytes) -> None:
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.pwrite(self._file, value, 0)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def start_error(launch: Launch, error: OSError | ValueError) -> str:
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
