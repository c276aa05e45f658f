"""Tests of `orchestrate demo` with a pipeline that only says how it ended."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from orchestrator.cli.commands.demo import DemoError, run_as_process, run_demo
from tests.programs import everything_in, program


def answers(*statuses: str) -> Callable[[Path, date, list[str]], dict[str, object]]:
    """Return a fake of the pipeline whose runs end in *statuses*, one after the other."""
    left = list(statuses)

    def run_night(directory: Path, night: date, options: list[str]) -> dict[str, object]:
        return {"run_id": f"R-{night}", "status": left.pop(0), "steps": [{"step": "a", "status": "succeeded"}]}

    return run_night


def done(directory: Path, nights: int, *statuses: str, fresh: bool = False) -> tuple[int, str]:
    """Run the demo; return its exit code and what it wrote: the error alone where there is one."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(err):
        code = run_demo(directory, nights, out=out, run_night=answers(*statuses), fresh=fresh)
    return code, err.getvalue() or out.getvalue()


class TestRunDemo:
    """It ends with 0 where every night ended as planned."""

    def test_nights_end_as_planned(self, tmp_path: Path) -> None:
        """Given four nights that end as planned, then exit code 0, a line for each run, deliveries, a private key."""
        code, text = done(tmp_path / "d", 4, "failed", "succeeded", "nothing_to_do", "succeeded", "succeeded")
        assert code == 0
        assert text.startswith(f"The flights pipeline in {tmp_path}/d, 4 nights from 2013-02-06.\n")
        assert "4 nights, 5 runs in " in text
        assert (tmp_path / "d" / ".env").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "d" / "pipeline.toml").is_file()
        delivered = sorted(path.name for path in (tmp_path / "d/data/raw/flights").iterdir())
        assert delivered == [f"2013-02-0{day}.csv" for day in (6, 7, 8, 9)]

    def test_night_that_ends_otherwise_is_exit_1(self, tmp_path: Path) -> None:
        """Given a night that fails and should not, then exit code 1 and what was expected."""
        code, text = done(tmp_path / "d", 1, "failed")
        assert code == 1
        assert "(expected: succeeded)" in text

    def test_fresh_replaces_an_earlier_demo(self, tmp_path: Path) -> None:
        """Given an earlier demo, then it is refused, and replaced with --fresh."""
        done(tmp_path / "d", 1, "succeeded")
        (tmp_path / "d" / "old").write_text("")
        code, text = done(tmp_path / "d", 1)
        assert (code, text) == (
            2,
            f"error: {tmp_path}/d holds an earlier demo: add --fresh to replace it, or name another folder\n",
        )
        assert done(tmp_path / "d", 1, "succeeded", fresh=True)[0] == 0
        assert not (tmp_path / "d" / "old").exists()


class TestRefused:
    """Exit code 2, and nothing is touched."""

    @pytest.mark.parametrize("nights", [0, 366])
    def test_number_of_nights(self, tmp_path: Path, nights: int) -> None:
        """Given a number that cannot be, then it is said."""
        code, text = done(tmp_path / "d", nights)
        assert (code, text) == (2, f"error: a demo has 1 to 365 nights, not {nights}: the data is that of one year\n")
        assert everything_in(tmp_path) == []

    def test_missing_extra(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given an environment without the extra, then the line that installs it."""
        found = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "polars" else found(name))
        code, text = done(tmp_path / "d", 1)
        assert (code, text) == (2, 'error: the demo needs the extra demo: pip install "orchestrate[demo]"\n')

    @pytest.mark.parametrize("fresh", [False, True])
    def test_folder_that_holds_something_else(self, tmp_path: Path, *, fresh: bool) -> None:
        """Given a file, or a folder with other files, then it stays, also with --fresh."""
        (tmp_path / "file").write_text("mine")
        assert done(tmp_path / "file", 1, fresh=fresh) == (
            2,
            f"error: {tmp_path}/file is a file: name a folder that is empty or not there\n",
        )
        code, text = done(tmp_path, 1, fresh=fresh)
        assert code == 2
        assert "is not empty and holds no demo" in text
        assert everything_in(tmp_path) == ["file"]

    def test_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        """Given a place below a file, then what the system says."""
        (tmp_path / "file").write_text("mine")
        code, text = done(tmp_path / "file" / "d", 1)
        assert code == 2
        assert text.startswith("error: the demo cannot be set up: ")

    def test_run_that_is_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Given a run that is refused, then its messages, and the demo ends."""
        out = io.StringIO()
        refusal: dict[str, object] = {"status": "refused", "problems": [{"message": "no luck"}, {"message": "none"}]}
        assert run_demo(tmp_path / "d", 1, out=out, run_night=lambda *_: refusal) == 2
        assert capsys.readouterr().err == "error: the run of 2013-02-09 was refused: no luck; none\n"
        assert run_demo(tmp_path / "d", 1, out=out, run_night=lambda *_: {"status": "refused"}, fresh=True) == 2
        assert "was refused: no reason was given" in capsys.readouterr().err

    def test_command(self, tmp_path: Path) -> None:
        """Given the command with a number that cannot be, then exit code 2."""
        finished = program("demo", "--nights", "0", cwd=tmp_path)
        assert finished.returncode == 2
        assert "a demo has 1 to 365 nights" in finished.stderr
        assert everything_in(tmp_path) == []


class TestRunAsProcess:
    """A night is run as a user would run it."""

    def test_answer(self, tmp_path: Path) -> None:
        """Given a folder with a pipeline, then the value that `run --json` prints; settings of the caller do not reach it."""
        (tmp_path / "pipeline.toml").write_text('[pipeline]\nname = "p"\n[steps.a]\ncommand = ["python", "-V"]\n')
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ORCHESTRATE_LEDGER", "/nowhere/ledger.db")
            answer = run_as_process(tmp_path, date(2013, 2, 1), ["--reason", "test"])
        assert (answer["status"], answer["night"]) == ("succeeded", "2013-02-01")

    def test_no_answer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a process that prints something else, then the end of what it said."""
        finished = subprocess.CompletedProcess([], 9, stdout="not JSON", stderr="")
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: finished)
        with pytest.raises(
            DemoError, match="the run of 2013-02-01 ended with exit code 9 and no answer:\nnot JSON"
        ) as error:
            run_as_process(tmp_path, date(2013, 2, 1), [])
        assert error.value.exit_code == 1
        finished.stdout = "[]"
        with pytest.raises(DemoError):
            run_as_process(tmp_path, date(2013, 2, 1), [])
