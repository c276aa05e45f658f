"""Tests of `orchestrate completion`, and of what it completes."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli.app import COMMANDS
from tests.nights import Nights
from tests.programs import program


def completed(folder: Path, *words: str) -> list[str]:
    """Return what bash would be offered for the last of *words*."""
    done = program(
        cwd=folder,
        env={
            "_ORCHESTRATE_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["orchestrate", *words]),
            "COMP_CWORD": str(len(words)),
        },
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


class TestCompletion:
    """A script for each shell, and its questions answered."""

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_script(self, tmp_path: Path, shell: str) -> None:
        """Given a shell, then its script asks the program."""
        done = program("completion", shell, cwd=tmp_path)
        assert done.returncode == 0
        assert "_ORCHESTRATE_COMPLETE" in done.stdout

    def test_other_shell(self, tmp_path: Path) -> None:
        """Given a shell that is not known, then exit code 2 and those that are."""
        done = program("completion", "tcsh", cwd=tmp_path)
        assert done.returncode == 2
        assert "'bash', 'zsh', 'fish'" in done.stderr

    def test_commands_and_options(self, tmp_path: Path) -> None:
        """Given the beginning of a command or an option, then both are completed."""
        assert "run" in completed(tmp_path, "ru")
        assert "--until" in completed(tmp_path, "run", "--un")

    def test_runs_and_steps(self, nights: Nights) -> None:
        """Given a ledger, then runs are offered, newest first, and the steps of the run that was typed."""
        runs = [nights.other, nights.failed, nights.idle, nights.good]
        assert completed(nights.shop, "show", "") == ["latest", *runs]
        assert completed(nights.shop, "show", nights.good[:-1]) == [nights.good]
        assert completed(nights.shop, "explain", nights.failed, "t") == ["totals"]
        assert completed(nights.shop, "explain", "latest", "") == ["only"]

    def test_silent_where_there_is_nothing(self, nights: Nights, tmp_path: Path) -> None:
        """Given no ledger, or no such run, then nothing is offered and nothing is said."""
        assert completed(tmp_path, "show", "") == []
        assert completed(tmp_path, "explain", "latest", "") == []
        assert completed(nights.shop, "explain", "nope", "") == []

    def test_command_that_is_not_known(self, tmp_path: Path) -> None:
        """Given a command that does not exist, then nothing is complained about while somebody types; commands are offered."""
        assert completed(tmp_path, "nope", "") == list(COMMANDS)

    def test_steps_of_the_definition(self, nights: Nights) -> None:
        """Given an option that chooses steps, then those of the definition are offered; none where it is wrong."""
        assert completed(nights.shop, "run", "--only", "in") == ["ingest"]
        assert completed(nights.shop, "plan", "--pipeline", "raw", "--from", "") == []

    def test_optional_words(self, nights: Nights) -> None:
        """Given a command whose word may be left out, then it is completed all the same."""
        assert completed(nights.shop, "logs", nights.good, "to") == ["totals"]
        assert nights.good in completed(nights.shop, "graph", nights.good[:12])
