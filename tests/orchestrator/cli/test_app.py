"""Tests of the program as a whole: help, version, usage errors, bugs; and of how errors become messages and codes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from ledger.errors import DamagedLedgerError, LedgerNotFoundError, StorageError
from orchestrator import __version__
from orchestrator.cli import app, render
from orchestrator.cli.app import COMMANDS, run_command
from orchestrator.cli.errors import RefusedError, UsageRefusedError, exit_code_of, problems_of
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.lazy_group import LazyGroup
from orchestrator.core.errors import UnknownEventError
from orchestrator.core.problems import Problem
from tests.programs import follows, program, refused


class TestHelp:
    """Help without loading a command; every command has its own."""

    def test_overview_lists_every_command(self, tmp_path: Path) -> None:
        """Given --help, then every command stands there with its description."""
        done = program("--help", cwd=tmp_path)
        assert done.returncode == 0
        for name, text in COMMANDS.items():
            assert f"  {name} " in done.stdout
            assert text.split(".")[0][:40] in done.stdout

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_has_help_with_examples(self, capsys: pytest.CaptureFixture[str], command: str) -> None:
        """Given --help after a command, then usage and examples."""
        assert run_command([command, "--help"]) == 0
        text = capsys.readouterr().out
        assert text.startswith(f"Usage: orchestrate {command}")
        assert f"  orchestrate {command}" in text

    def test_overview_loads_no_command(self, tmp_path: Path) -> None:
        """Given --help, then no module of a command is imported."""
        script = (
            "import sys; from orchestrator.cli.app import run_command; run_command(['--help']);"
            " print([name for name in sys.modules if name.startswith('orchestrator.cli.commands.')])"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout.splitlines()[-1] == "[]"

    @pytest.mark.parametrize("arguments", [["--version"], ["-V"], ["--version", "runs"], ["-V", "nope"]])
    def test_version(self, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
        """Given --version, alone or before something, then the version."""
        assert run_command(arguments) == 0
        assert capsys.readouterr().out == f"orchestrate {__version__}\n"

    def test_module_is_the_program(self, tmp_path: Path) -> None:
        """Given `python -m orchestrator`, then it is the same program."""
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", "--version"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout == f"orchestrate {__version__}\n"


class TestUsage:
    """A call that cannot be is refused with exit code 2."""

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (("rum",), "No such command 'rum'. Did you mean 'run'?"),
            (("zzz",), "No such command 'zzz'. `orchestrate --help` lists them."),
            (("x\x1b" * 90,), "\\x1b"),
            (("show",), "Missing argument 'RUN'"),
            (("runs", "--limit", "0"), "0 is not in the range x>=1"),
            (("--frobnicate",), "No such option"),
        ],
    )
    def test_message(self, tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
        """Given a wrong call, then the message names it, on stderr; with --json also as a value on stdout."""
        done = program(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
        assert "\x1b" not in done.stderr
        (problem,) = refused(program(*arguments, "--json", cwd=tmp_path))
        assert problem["kind"] == "usage"
        assert told in problem["message"]

    def test_no_command_at_all(self, tmp_path: Path) -> None:
        """Given nothing, then the help, as a usage error."""
        done = program(cwd=tmp_path)
        assert done.returncode == 2
        assert "Commands:" in done.stdout + done.stderr


class TestBug:
    """What nobody has thought of is told as a bug, with a report in a private file."""

    def test_report_is_written(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Given an error that no table knows, then exit code 70, and the message names the file that has the traceback."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        monkeypatch.setattr(LazyGroup, "invoke", raising(ZeroDivisionError("x")))
        assert run_command(["runs", "--json"]) == 70
        shown = capsys.readouterr()
        value = json.loads(shown.out)
        follows(value, "refusal")
        (report,) = tmp_path.iterdir()
        message = f"this is a bug of orchestrate: ZeroDivisionError; the report is in {report}"
        assert (value["problems"][0]["message"], shown.err) == (message, f"error: {message}\n")
        assert report.stat().st_mode & 0o777 == 0o600
        assert "Traceback" in report.read_text()
        assert __version__ in report.read_text()

    def test_report_that_cannot_be_written(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Given no place for temporary files, then the message says that there is no report."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
        monkeypatch.setattr(LazyGroup, "invoke", raising(ZeroDivisionError("x")))
        assert run_command(["runs"]) == 70
        assert "the report is in nowhere: it could not be written" in capsys.readouterr().err

    def test_end_of_a_file(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Given a compiled module that is cut, then it is told, and is not the exit code of Ctrl-C, for which click takes it."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        monkeypatch.setattr(LazyGroup, "invoke", raising(EOFError("marshal data too short")))
        assert run_command(["runs"]) == 70
        assert "this is a bug of orchestrate: EOFError" in capsys.readouterr().err

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
    def test_interrupt_is_130(self, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
        """Given Ctrl-C in a command, then exit code 130."""
        monkeypatch.setattr(LazyGroup, "invoke", raising(error))
        assert run_command(["runs"]) == 130

    def test_exit_of_click_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a command that leaves by way of click, then its exit code counts."""
        monkeypatch.setattr(LazyGroup, "invoke", raising(click.exceptions.Exit(7)))
        assert run_command(["runs"]) == 7

    def test_main_exits(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """Given the process's arguments, then the process ends with the command's exit code."""
        monkeypatch.setattr(sys, "argv", ["orchestrate", "--version"])
        with pytest.raises(SystemExit) as ending:
            app.main()
        assert ending.value.code == 0
        assert capsys.readouterr().out


class TestExitCodes:
    """Each error has one code, the most derived class decides."""

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (LedgerNotFoundError("x"), 2),
            (DamagedLedgerError("x", ["y"]), 3),
            (UnknownEventError("x", 1), 3),
            (StorageError("x", "y"), 5),
            (sqlite3.OperationalError("x"), 5),
            (PermissionError(13, "Permission denied", "/x"), 5),
            (UsageRefusedError("usage", "x"), 2),
            (render.OutputError("x"), 5),
            (ZeroDivisionError("x"), None),
        ],
    )
    def test_table(self, error: Exception, code: int | None) -> None:
        """Given an error, then its code."""
        assert exit_code_of(error) == code

    def test_problems(self) -> None:
        """Given an error, then its problems, or itself as one, with a kind made of its class's name where it has none."""
        problem = Problem("active", "p is active")
        assert problems_of(RefusedError([problem], ExitCode.ACTIVE)) == [problem.as_json()]
        assert problems_of(UsageRefusedError("usage", "x")) == [{"kind": "usage", "message": "x", "severity": "error"}]
        assert problems_of(StorageError("x", "y"))[0]["kind"] == "storage"
        assert problems_of(PermissionError(13, "Permission denied", b"/x"))[0] == {
            "kind": "permission",
            "message": "/x cannot be used: Permission denied",
            "severity": "error",
        }

    def test_refusal_for_people(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a refusal without --json, then each problem on a line of stderr, control characters written out."""
        monkeypatch.setattr(LazyGroup, "invoke", raising(RefusedError([Problem("a", "b"), Problem("c", "d")])))
        assert run_command(["runs"]) == 2
        assert capsys.readouterr().err == "error: b\nerror: d\n"
        monkeypatch.setattr(LazyGroup, "invoke", raising(UsageRefusedError("a", "b\x1b[31m")))
        assert run_command(["runs"]) == 2
        assert capsys.readouterr().err == "error: b\\e[31m\n"


class TestRender:
    """What is written where."""

    def test_table_of_nothing(self) -> None:
        """Given no rows, then no header either."""
        assert render.table([], ("a", "b")) == []

    def test_stderr_that_is_closed_is_passed_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a stderr that takes nothing, then a message is lost without an error."""

        class Full:
            def write(self, _: str) -> int:
                raise OSError("full")

        monkeypatch.setattr(sys, "stderr", Full())
        render.err("lost")


def raising(error: BaseException) -> Callable[..., None]:
    """Return a function that raises *error* whatever it is given."""

    def function(*_: object, **__: object) -> None:
        raise error

    return function
