"""Tests of `orchestrate logs`: what steps have printed, also while they still do."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import tty
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.steps import write
from tests.nights import Nights
from tests.programs import PROGRAM, ended, pid_in, program, refused, started, value_of, wait_until


class TestLogs:
    """The files of a run, each under its title."""

    def test_all_steps(self, nights: Nights) -> None:
        """Given no step, then each log stands under its title, secrets masked; a step that printed nothing has none."""
        assert program("logs", nights.good, cwd=nights.shop).stdout == "==> ingest, attempt 1 <==\nkey *** for nyc\n"

    def test_one_step(self, nights: Nights) -> None:
        """Given a step, then its log alone, without a title."""
        assert program("logs", nights.failed, "totals", cwd=nights.shop).stdout == "no good\n"
        assert program("logs", nights.failed, "totals", "--follow", cwd=nights.shop).stdout == "no good\n"

    def test_json(self, nights: Nights) -> None:
        """Given --json, then each attempt with its path, its length and its text."""
        value = value_of(program("logs", nights.failed, "totals", "--json", cwd=nights.shop), "logs")
        assert value == [
            {
                "step": "totals",
                "attempt": 1,
                "class": None,
                "path": f"logs/{nights.failed}/totals.1.log",
                "bytes": 8,
                "text": "no good\n",
            }
        ]

    def test_nothing_was_printed(self, nights: Nights) -> None:
        """Given a run that started nothing, then stderr says that nothing was printed."""
        done = program("logs", nights.idle, cwd=nights.shop)
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == f"nothing was printed in run {nights.idle}\n"
        done = program("logs", nights.good, "totals", "--attempt", "1", cwd=nights.shop)
        assert (done.returncode, done.stdout) == (0, "")

    def test_mistakes(self, nights: Nights) -> None:
        """Given an attempt that was not, or two ways at once, then exit code 2 and a message."""
        (problem,) = refused(program("logs", nights.failed, "totals", "--attempt", "9", "--json", cwd=nights.shop))
        assert problem["message"] == (
            f"there is no attempt 9 of step totals in run {nights.failed}; `orchestrate show {nights.failed}` lists them"
        )
        (problem,) = refused(program("logs", nights.failed, "--attempt", "9", "--json", cwd=nights.shop))
        assert problem["message"].startswith(f"there is no attempt 9 of run {nights.failed};")
        (problem,) = refused(program("logs", nights.failed, "--follow", "--json", cwd=nights.shop))
        assert problem["kind"] == "usage"


class TestTerminal:
    """A step's output cannot act on the terminal of whoever reads it."""

    SHELL = r"printf '\033[2J\033]0;owned\007one\ttwo\r\nred\302\23331m\n'"
    SHOWN = "\\e[2J\\e]0;owned\\x07one\ttwo\nred\\x9b31m\n"
    BYTES = b"\x1b[2J\x1b]0;owned\x07one\ttwo\r\nred\xc2\x9b31m\n"

    def shown(self, folder: Path, *arguments: str, then: Callable[[], object] = bool) -> bytes:
        """Return what `logs` writes to a terminal that changes nothing of it; *then* is called once there is something."""
        leader, follower = pty.openpty()
        tty.setraw(follower)
        with subprocess.Popen([PROGRAM, "logs", "latest", *arguments], cwd=folder, stdout=follower) as process:
            os.close(follower)
            seen = b""
            with contextlib.suppress(OSError):  # The terminal is gone with its last user.
                while piece := os.read(leader, 65536):
                    if not seen:
                        then()
                    seen += piece
            os.close(leader)
        assert process.returncode == 0
        return seen

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Give a run whose step has printed what a terminal acts on."""
        write(tmp_path, a=self.SHELL)
        assert program("run", "--quiet", cwd=tmp_path).returncode == 0
        return tmp_path

    def test_written_out(self, folder: Path) -> None:
        """On a terminal control sequences are text; lines and tabs stay."""
        assert self.shown(folder, "a").decode() == self.SHOWN
        assert self.shown(folder).decode() == f"==> a, attempt 1 <==\n{self.SHOWN}"

    def test_as_they_are(self, folder: Path) -> None:
        """With --raw, and into a pipe, it is the bytes of the file."""
        assert self.shown(folder, "a", "--raw") == self.BYTES
        done = subprocess.run([PROGRAM, "logs", "latest", "a"], cwd=folder, stdout=subprocess.PIPE, check=True)
        assert done.stdout == self.BYTES

    @pytest.mark.parametrize("raw", [True, False])
    def test_followed(self, tmp_path: Path, *, raw: bool) -> None:
        """Given a run that is on, then it is the same."""
        write(
            tmp_path,
            a=f"{self.SHELL}; echo $$ > p; mv p pid; while ! test -e go; do sleep 0.01; done; {self.SHELL}; printf '\\r'",
        )
        with started("run", "--quiet", cwd=tmp_path) as run:
            pid_in(tmp_path / "pid")
            seen = self.shown(tmp_path, "a", "--follow", *(["--raw"] if raw else []), then=(tmp_path / "go").touch)
            assert ended(run).returncode == 0
        assert seen == (2 * self.BYTES + b"\r" if raw else (2 * self.SHOWN + "\\r").encode())


class TestFollow:
    """Everything that is printed until the run has ended, then an end by itself."""

    def test_follows_a_run_to_its_end(self, tmp_path: Path) -> None:
        """Given a run that is on, then what was and what is printed comes, in order under titles, and then it ends."""
        wait = "while ! test -e go; do sleep 0.01; done"
        (tmp_path / "pipeline.toml").write_text(
            f'[pipeline]\nname = "p"\n[steps.a]\nshell = "echo one; echo $$ > p; mv p pid; {wait}; echo two"\n'
            '[steps.b]\nshell = "echo three"\nneeds = ["a"]\n[steps.c]\nneeds = ["b"]\ncommand = ["true"]\n',
            encoding="utf-8",
        )
        with started("run", "--quiet", cwd=tmp_path) as run:
            pid_in(tmp_path / "pid")
            with (
                started("logs", "latest", "--follow", cwd=tmp_path) as all_logs,
                started("logs", "latest", "a", "-f", "--attempt", "1", cwd=tmp_path) as one_log,
            ):
                assert all_logs.stdout is not None
                assert one_log.stdout is not None
                assert all_logs.stdout.readline() == "==> a, attempt 1 <==\n"
                assert all_logs.stdout.readline() == "one\n"
                assert one_log.stdout.readline() == "one\n"
                assert (all_logs.poll(), one_log.poll()) == (None, None)
                (tmp_path / "go").touch()
                assert ended(run).returncode == 0
                rest = ended(all_logs)
                assert (rest.returncode, rest.stdout) == (0, "two\n==> b, attempt 1 <==\nthree\n")
                assert ended(one_log).stdout == "two\n"

    def test_run_without_an_orchestrator_ends_it(self, tmp_path: Path) -> None:
        """Given an orchestrator that is killed meanwhile, then what was printed is shown and following ends."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[steps.a]\nshell = "echo one; echo $$ > p; mv p pid; exec sleep 60"\n',
            encoding="utf-8",
        )
        with started("run", "--quiet", cwd=tmp_path) as run:
            pid_in(tmp_path / "pid")
            wait_until(lambda: program("logs", "latest", cwd=tmp_path).stdout, "no log")
            with started("logs", "latest", "a", "--follow", cwd=tmp_path) as follower:
                assert follower.stdout is not None
                assert follower.stdout.readline() == "one\n"
                run.send_signal(signal.SIGKILL)
                ended(run)
                assert ended(follower).returncode == 0
        (tmp_path / "pipeline.toml").write_text('[pipeline]\nname = "p"\n[steps.a]\ncommand = ["true"]\n')
        assert program("run", "--quiet", cwd=tmp_path).returncode == 0

    def test_ctrl_c_ends_following(self, tmp_path: Path) -> None:
        """Given Ctrl-C while following, then exit code 130 and no traceback; the run goes on."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[steps.a]\nshell = "echo one; echo $$ > p; mv p pid; exec sleep 60"\n',
            encoding="utf-8",
        )
        with started("run", "--quiet", cwd=tmp_path) as run:
            pid_in(tmp_path / "pid")
            with started("logs", "latest", "a", "--follow", cwd=tmp_path) as follower:
                assert follower.stdout is not None
                follower.stdout.readline()
                follower.send_signal(signal.SIGINT)
                done = ended(follower)
                assert (done.returncode, done.stderr.strip()) == (130, "")
            assert run.poll() is None
            run.send_signal(signal.SIGTERM)
            ended(run)
