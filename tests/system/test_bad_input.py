"""Bad input: a clear message, exit code 2, and nothing left behind."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli.app import run_command
from tests.programs import PROGRAM, Done, Json, everything_in, no_traceback, program, refused

pytestmark = pytest.mark.system

GOOD = '[pipeline]\nname = "p"\n'
STEP = '[steps.a]\ncommand = ["true"]\n'
LONG = "x" * 300


def with_name(kind: str, name: str) -> str:
    """Return a definition in which something of *kind* is called *name*, as TOML writes it."""
    return {
        "pipeline": f"[pipeline]\nname = {name}\n{STEP}",
        "step": f'{GOOD}[steps.{name}]\ncommand = ["true"]\n',
        "dataset": f'{GOOD}{STEP}[datasets.{name}]\npath = "d"\n',
    }[kind]


NAMES = {
    "parent": '"../x"',
    "absolute": '"/etc/passwd"',
    "NUL": '"a\\u0000b"',
    "control": '"a\\u001b[31mb"',
    "newline": '"a\\nb"',
    "long": f'"{LONG}"',
    "empty": '""',
    "dot": '"."',
    "letters of others": '"näme"',
}

TEXTS: dict[str, tuple[str, str]] = {
    "empty": ("", "pipeline"),
    "no TOML": ("{]", "TOML"),
    "JSON": ('{"pipeline": {"name": "p"}}', "TOML"),
    "cut off": (f'{GOOD}[steps.a]\ncommand = ["true"', "TOML"),
    "unknown key": (f"{GOOD}max_paralel = 2\n{STEP}", "max_parallel"),
    "unknown table": (f"{GOOD}{STEP}[step.b]\n", "steps"),
    "wrong type": (f"{GOOD}max_parallel = 'two'\n{STEP}", "max_parallel"),
    "wrong type of a table": (f"{GOOD}steps = 3\n", "steps"),
    "no command": (f"{GOOD}[steps.a]\n", "command"),
    "command and shell": (f"{GOOD}{STEP}shell = 'true'\n", "shell"),
    "duplicate key": (f'{GOOD}name = "q"\n{STEP}', "name"),
    "duplicate table": (f"{GOOD}{STEP}{STEP}", "a"),
    "names that differ in case": (f'{GOOD}{STEP}[steps.A]\ncommand = ["true"]\n', "A"),
    "cycle": (
        f"{GOOD}[steps.a]\ncommand = ['true']\nneeds = ['b']\n[steps.b]\ncommand = ['true']\nneeds = ['a']\n",
        " -> ",
    ),
    "cycle of one": (f"{GOOD}{STEP}needs = ['a']\n", "a"),
    "two writers": (
        f"{GOOD}[datasets.d]\npath = 'd'\n{STEP}writes = ['d']\n[steps.b]\ncommand = ['true']\nwrites = ['d']\n",
        "d",
    ),
    "reads what it writes": (f"{GOOD}[datasets.d]\npath = 'd'\n{STEP}reads = ['d']\nwrites = ['d']\n", "d"),
    "unknown dataset": (f"{GOOD}{STEP}reads = ['nope']\n", "nope"),
    "unknown step": (f"{GOOD}{STEP}needs = ['nope']\n", "nope"),
    "undeclared variable": (f"{GOOD}[steps.a]\ncommand = ['${{NOPE}}']\n", "NOPE"),
    "timeout inf": (f"{GOOD}{STEP}timeout = inf\n", "timeout is inf, expected a finite number"),
    "timeout nan": (f"{GOOD}{STEP}timeout = nan\n", "timeout is nan, expected a finite number"),
    "timeout as text inf": (f"{GOOD}{STEP}timeout = 'inf'\n", "timeout"),
    "timeout without a unit": (f"{GOOD}{STEP}timeout = '10'\n", "10"),
    "timeout below zero": (f"{GOOD}{STEP}timeout = '-1s'\n", "-1s"),
    "jitter nan": (f"{GOOD}{STEP}retry = {{ jitter = nan }}\n", "jitter is nan, expected a finite number"),
    "huge number": (f"{GOOD}max_parallel = 99999999999999999999\n{STEP}", "too large a number"),
    "number of a million digits": (f"{GOOD}max_parallel = {'9' * 1_000_000}\n{STEP}", ""),
    "nested arrays": (f"{GOOD}x = {'[' * 50_000}{']' * 50_000}\n", ""),
    "nested tables": (f"{GOOD}x = {'{a=' * 20_000}1{'}' * 20_000}\n", ""),
    "dotted keys": (f"{GOOD}{'.'.join(['a'] * 20_000)} = 1\n", ""),
    "NUL byte": (f"{GOOD}\0{STEP}", ""),
    "NUL in a command": (f"{GOOD}[steps.a]\ncommand = ['true', \"a\\u0000b\"]\n", ""),
}


Check = Callable[..., "list[Json]"]


@pytest.fixture
def validated(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Check:
    """Give what runs `validate` in this process and returns why it refuses; the folder is left as it is."""

    def validate(*arguments: str) -> list[Json]:
        before = everything_in(tmp_path)
        monkeypatch.chdir(tmp_path)
        code = run_command(["validate", "--json", *arguments])
        shown = capsys.readouterr()
        problems = refused(Done([], code, shown.out, shown.err))
        assert all(problem["severity"] == "error" for problem in problems)
        assert everything_in(tmp_path) == before
        return problems

    return validate


@pytest.fixture
def check(tmp_path: Path, validated: Check, capsys: pytest.CaptureFixture[str]) -> Check:
    """
    Give what asserts that `run` and `validate` refuse what is in the folder, and leave it as it is.

    `run` is called in this process, since what judges a bad definition takes a second to load; or as a *process* of its own.
    """

    def refuse(told: str = "", arguments: tuple[str, ...] = (), *, process: bool = False) -> list[Json]:
        problems = validated(*arguments)
        before = everything_in(tmp_path)
        if process:
            done = program("run", *arguments, cwd=tmp_path)
        else:
            code = run_command(["run", *arguments])
            done = Done([], code, *capsys.readouterr())
        assert (done.returncode, done.stdout) == (2, ""), done
        no_traceback(done)
        assert done.stderr.startswith("error: ")
        assert told in done.stderr
        assert "\x1b" not in done.stderr
        assert "\0" not in done.stderr
        assert max(len(line) for line in done.stderr.splitlines()) < 1000
        assert everything_in(tmp_path) == before
        return problems

    return refuse


AS_PROCESS = ("empty", "no TOML", "unknown key", "cycle", "number of a million digits", "nested arrays")


class TestDefinition:
    """Whatever stands in the file."""

    @pytest.mark.parametrize("case", TEXTS)
    def test_text(self, tmp_path: Path, check: Check, case: str) -> None:
        """Given a definition that is wrong, then it is refused with a message that names what is wrong."""
        text, told = TEXTS[case]
        (tmp_path / "pipeline.toml").write_bytes(text.encode())
        check(told, process=case in AS_PROCESS)

    @pytest.mark.parametrize("kind", ["pipeline", "step", "dataset"])
    def test_names(self, tmp_path: Path, validated: Check, check: Check, kind: str) -> None:
        """Given a name that is a path, a control character or too long, then each is refused where it stands."""
        for name in NAMES.values():
            (tmp_path / "pipeline.toml").write_text(with_name(kind, name), encoding="utf-8")
            assert validated(), name
        problems = check("name")
        assert problems[0]["line"]

    def test_every_problem_at_once(self, tmp_path: Path, check: Check) -> None:
        """Given many mistakes, then each has its own problem, with line and column."""
        (tmp_path / "pipeline.toml").write_text(
            "[pipeline]\nname = 'p'\nmax_parallel = 0\nfoo = 1\n[steps.a]\ncommand = 'true'\ntimeout = 'soon'\n"
            "[steps.b]\ncommand = ['true']\nwhen = 'never'\nreads = 3\n"
        )
        problems = check()
        assert {problem["line"] for problem in problems} >= {3, 4, 6, 7, 10, 11}
        assert all(problem["column"] for problem in problems)

    def test_bytes_that_are_no_text(self, tmp_path: Path, check: Check) -> None:
        """Given bytes that are no UTF-8, then the message says so."""
        (tmp_path / "pipeline.toml").write_bytes(b"[pipeline]\nname = 'caf\xe9'\n")
        check("UTF-8")


def a_large_file(path: Path) -> None:
    """Make a file of 100 MB that takes no room."""
    with path.open("wb") as file:
        file.truncate(100_000_000)


def a_socket(path: Path) -> None:
    """Make a socket; its path would be too long for one where the folder's is."""
    with socket.socket(socket.AF_UNIX) as made:
        here = os.open(path.parent, os.O_RDONLY)
        try:
            made.bind(f"/proc/self/fd/{here}/{path.name}")
        finally:
            os.close(here)


PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda _: None, "no such file"),
    "a FIFO": (os.mkfifo, "FIFO"),
    "a folder": (lambda path: path.mkdir(), "no such file"),
    "a socket": (a_socket, "cannot be read"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "device"),
    "a link to itself": (lambda path: path.symlink_to(path), "cannot be read"),
    "100 MB": (a_large_file, "bytes"),
}


class TestPlace:
    """Whatever stands in place of the file: it is never waited for, never read whole."""

    @pytest.mark.parametrize("case", PLACES)
    def test_definition(self, tmp_path: Path, check: Check, case: str) -> None:
        """Given something that is no small file, then it is refused for what it is."""
        make, told = PLACES[case]
        make(tmp_path / "pipeline.toml")
        check(told, process=True)

    @pytest.mark.parametrize("case", [case for case in PLACES if case != "a folder"])
    def test_environment_file(self, tmp_path: Path, case: str) -> None:
        """Given a listed .env file that is none, then it is refused for what it is; the refusal alone is recorded."""
        make, told = PLACES[case]
        (tmp_path / "pipeline.toml").write_text(f'{GOOD}[env]\nfiles = ["my.env"]\n{STEP}')
        make(tmp_path / "my.env")
        (problem,) = refused(program("run", "--json", cwd=tmp_path))
        assert told in problem["message"]
        assert problem["file"] == "my.env"
        assert not (tmp_path / ".orchestrate" / "logs").exists()

    @pytest.mark.parametrize("command", ["run", "status", "plan", "doctor", "note latest x"])
    def test_folder_that_is_gone(self, tmp_path: Path, command: str) -> None:
        """Given a shell whose folder was removed, then that is said."""
        (tmp_path / "gone").mkdir()
        line = f'cd gone && rmdir ../gone && exec "{PROGRAM}" {command} --json'
        done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
        (problem,) = refused(done)
        assert (problem["kind"], "is gone" in problem["message"]) == ("no_folder", True)

    @pytest.mark.parametrize("name", ["loop", "loop/ledger.db", f"{LONG}.db", f"{LONG}/ledger.db"])
    @pytest.mark.parametrize(
        "command", ["run", "status", "note latest x", "audit checkpoint", "prune --apply", "doctor"]
    )
    def test_ledger_option(self, tmp_path: Path, command: str, name: str) -> None:
        """Given a link to itself, or a name that is too long, in the place of the ledger, then it is refused for what it is, and nothing is left."""
        (tmp_path / "pipeline.toml").write_text(GOOD + STEP)
        (tmp_path / "loop").symlink_to("loop")
        before = everything_in(tmp_path)
        (problem,) = refused(program(*command.split(), "--json", "--ledger", name, cwd=tmp_path))
        assert problem["kind"] == "bad_path"
        assert problem["message"].startswith(f"{tmp_path / name} can be no ledger: ")
        assert everything_in(tmp_path) == before

    @pytest.mark.parametrize("name", [LONG, "/", "/dev/null", "/dev/null/x", "~", "-", "a/../../b"])
    def test_pipeline_option(self, check: Check, name: str) -> None:
        """Given an option that names no definition, then it is refused."""
        check(arguments=("--pipeline", name))
