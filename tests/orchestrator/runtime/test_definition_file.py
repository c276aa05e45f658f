"""Tests of reading `pipeline.toml` from the disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.core.errors import DefinitionError
from orchestrator.core.problems import Problem
from orchestrator.runtime.definition_file import place_problems, read_definition
from tests.orchestrator.runtime.test_files import as_nobody, sparse

TEXT = '[pipeline]\nname = "test"\n\n[steps.a]\ncommand = ["true"]\n'


def refusal(path: Path, **options: str) -> Problem:
    """Return the one problem of the definition at *path*."""
    with pytest.raises(DefinitionError) as caught:
        read_definition(path, **options)
    (problem,) = caught.value.problems
    return problem


class TestReadDefinition:
    """A file becomes a pipeline, or a problem that names it."""

    def test_right_definition(self, tmp_path: Path) -> None:
        """The pipeline has its steps."""
        path = tmp_path / "pipeline.toml"
        path.write_text(TEXT)

        assert ["a"] == list(read_definition(path).pipeline.steps)

    @pytest.mark.parametrize(
        ("make", "kind"),
        [
            (lambda path: None, "definition_missing"),
            (lambda path: path.mkdir(), "definition_not_a_file"),
            (os.mkfifo, "definition_not_a_file"),
            (lambda path: path.symlink_to("/dev/zero"), "definition_not_a_file"),
            (lambda path: sparse(path, 100 << 20), "definition_too_large"),
        ],
        ids=["missing", "folder", "FIFO", "device", "100 MB"],
    )  # fmt: skip
    def test_what_cannot_be_read(self, tmp_path: Path, make: Callable[[Path], object], kind: str) -> None:
        """Nothing hangs; the file is named as the user named it."""
        make(tmp_path / "pipeline.toml")
        problem = refusal(tmp_path / "pipeline.toml", shown="./pipeline.toml")

        assert (kind, "./pipeline.toml") == (problem.kind, problem.file)

    def test_missing_file_says_what_to_do(self, tmp_path: Path) -> None:
        """Who has no definition may have typed in the wrong folder."""
        assert "orchestrate init" in str(refusal(tmp_path / "pipeline.toml"))

    def test_file_of_another_user(self) -> None:
        """What is not ours to read says so."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            path = Path(folder, "pipeline.toml")
            path.touch(mode=0o600 if os.geteuid() == 0 else 0)
            with as_nobody():
                problem = refusal(path)

        assert "definition_unreadable" == problem.kind
        assert "Permission denied" in problem.message

    @pytest.mark.parametrize("zone", ["Europe/Berlinn", "../../etc/passwd", "Europe", "", "/etc/localtime", "É" * 9])
    def test_unknown_zone_is_a_problem_in_its_line(self, tmp_path: Path, zone: str) -> None:
        """A zone that this machine does not know, or no zone at all, is found before a run needs it."""
        path = tmp_path / "pipeline.toml"
        path.write_text(f'{TEXT}\n[schedule]\ncron = "0 2 * * *"\ntimezone = "{zone}"\n')
        problem = refusal(path)

        assert ("timezone" in problem.message, 9) == (True, problem.line)

    def test_unknown_zone_beside_other_mistakes(self, tmp_path: Path) -> None:
        """Given also a schedule that never fires, an unknown key and rules without a channel, then all are told in one pass."""
        path = tmp_path / "pipeline.toml"
        path.write_text(
            f'{TEXT}\nnope = 1\n[schedule]\ncron = "99 2 * * *"\ntimezone = "Mars/X"\n[[alerts.rules]]\non = ["failed"]\n'
        )
        with pytest.raises(DefinitionError) as caught:
            read_definition(path)
        told = " ".join(problem.message for problem in caught.value.problems)

        for part in (
            "unknown key 'nope'",
            "schedule.cron '99",
            "schedule.timezone is 'Mars/X'",
            "rules and no channel",
        ):
            assert part in told

    def test_known_zone(self, tmp_path: Path) -> None:
        """A zone of the machine is taken as it is."""
        path = tmp_path / "pipeline.toml"
        path.write_text(f'{TEXT}\n[schedule]\ncron = "0 2 * * *"\ntimezone = "Europe/Berlin"\n')

        assert "Europe/Berlin" == read_definition(path).pipeline.timezone


class TestPlaceProblems:
    """Problems found later point into the definition too."""

    OWN = Problem("missing_source", "own", ("steps", "a", "command"))
    OTHER = Problem("env_unused", "other", file=".env", line=7)

    def test_own_problems_get_their_lines(self, tmp_path: Path) -> None:
        """Those of another file stay as they are, and so does the order."""
        path = tmp_path / "pipeline.toml"
        path.write_text(TEXT)
        found = place_problems(path, [self.OTHER, self.OWN], shown="p.toml")

        assert [(".env", 7), ("p.toml", 5)] == [(problem.file, problem.line) for problem in found]

    @pytest.mark.parametrize("content", [None, b"\xff"])
    def test_definition_that_went_meanwhile(self, tmp_path: Path, content: bytes | None) -> None:
        """They stand without a line."""
        path = tmp_path / "pipeline.toml"
        if content is not None:
            path.write_bytes(content)

        (problem,) = place_problems(path, [self.OWN], shown="p.toml")
        assert ("p.toml", None) == (problem.file, problem.line)

    def test_nothing_is_read_for_nothing(self, tmp_path: Path) -> None:
        """Without problems of its own, the definition is not looked at."""
        assert [self.OTHER] == place_problems(tmp_path, [self.OTHER], shown="p.toml")
