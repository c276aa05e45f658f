"""Tests of handing a text to a command: it gets its time, and nothing of it goes on after that."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.handing import hand_over
from tests.programs import exists, pid_in, wait_until

SECOND = 1_000_000


def handed(
    folder: Path, script: str, data: bytes = b"hello\n", *, timeout_us: int = 20 * SECOND, quiet: bool = False
) -> str | None:
    """Hand *data* to a script of the shell in *folder*."""
    environment = {"PATH": os.environ["PATH"]}
    command = ["sh", "-c", script]
    clean = None if quiet else (lambda text: text.replace("secret", "***"))
    return hand_over(command, data, folder=folder, environment=environment, timeout_us=timeout_us, clean=clean)


class TestHanded:
    """What a command makes of it."""

    @pytest.mark.parametrize("size", [0, 10, 70_000, 1_000_000])
    def test_everything_arrives(self, size: int, tmp_path: Path) -> None:
        """Given a text of any size, also one that no pipe holds, then the command gets all of it."""
        data = os.urandom(size)
        assert handed(tmp_path, "cat > got", data) is None
        assert (tmp_path / "got").read_bytes() == data

    @pytest.mark.parametrize("script", ["exit 0", "exec 0<&-; sleep 0.05"])
    def test_a_command_that_does_not_read(self, script: str, tmp_path: Path) -> None:
        """Given a command that reads nothing of a long text, then it has ended well when it ends with 0."""
        assert handed(tmp_path, script, b"x" * 1_000_000) is None

    @pytest.mark.parametrize(
        ("script", "quiet", "problem"),
        [
            ("echo one >&2; echo the secret >&2; exit 4", False, "it ended with exit code 4: the ***"),
            ("echo one >&2; exit 4", True, "it ended with exit code 4"),
            ("exit 4", False, "it ended with exit code 4"),
            ("head -c 300000 /dev/zero >&2; echo >&2; echo last >&2; exit 4", False, "it ended with exit code 4: last"),
            ("head -c 70000 /dev/zero >&2; echo ecret >&2; exit 4", False, "it ended with exit code 4"),
            (
                "echo one >&2; head -c 700 /dev/zero | tr '\\0' x >&2; exit 4",
                False,
                f"it ended with exit code 4: {'x' * 500}",
            ),
            ("exec 2>&-; sleep 0.1; exit 4", False, "it ended with exit code 4"),
        ],
    )
    def test_what_it_says_last(self, script: str, quiet: bool, problem: str, tmp_path: Path) -> None:  # noqa: FBT001 - the table
        """Given a command that fails, then its last words are repeated, masked, where they are asked for."""
        assert handed(tmp_path, script, quiet=quiet) == problem

    def test_what_it_leaves_running_is_not_waited_for(self, tmp_path: Path) -> None:
        """Given a command that leaves a process with its error output, then its own end is what counts."""
        begun = time.monotonic()
        problem = handed(tmp_path, "sleep 30 & echo $! > p; mv p pid; echo said >&2; exit 3")
        assert problem == "it ended with exit code 3: said"
        assert time.monotonic() - begun < 20
        os.kill(pid_in(tmp_path / "pid"), signal.SIGKILL)

    def test_too_late(self, tmp_path: Path) -> None:
        """Given a command that does not end, then it is killed with what it has started."""
        problem = handed(tmp_path, "sleep 60 & echo $! > p; mv p pid; exec sleep 60", timeout_us=SECOND // 2)
        assert problem == "it did not end within 0.5 s"
        pid = pid_in(tmp_path / "pid")
        wait_until(lambda: not exists(pid), "its child goes on")

    def test_not_started(self, tmp_path: Path) -> None:
        """Given a command that cannot be, then it says so."""
        found = [
            hand_over([word], b"", folder=tmp_path, environment={}, timeout_us=SECOND) for word in ("./no", "a\0b")
        ]
        assert found == [
            "it could not be started: No such file or directory",
            "it could not be started: a word or a variable of it cannot be handed over",
        ]


class TestToldToEnd:
    """A signal that ends the program leaves nobody behind."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_while_the_command_is_being_started(
        self, number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given a command that runs and is not known yet, then it is killed before the program ends as by the signal."""
        started: list[subprocess.Popen[bytes]] = []

        class Told(subprocess.Popen[bytes]):
            def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - as it is there
                super().__init__(*arguments, **options)
                started.append(self)
                signal.raise_signal(number)

        monkeypatch.setattr("orchestrator.cli.handing.subprocess.Popen", Told)
        former = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit) as ended:
                handed(tmp_path, "exec sleep 300")
        finally:
            signal.signal(signal.SIGINT, former)
            (process,) = started
            code = process.poll()
            process.kill()
        assert code == -signal.SIGKILL
        assert ended.value.args == (() if number == signal.SIGINT else (128 + number,))
