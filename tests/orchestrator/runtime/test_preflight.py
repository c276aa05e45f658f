"""Tests of looking at the sources before anything starts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from orchestrator.core.definition import Dataset
from orchestrator.core.problems import Problem
from orchestrator.runtime.digests import DatasetPlace
from orchestrator.runtime.preflight import check_sources
from tests.orchestrator.runtime.test_files import as_nobody
from tests.pipelines import data_pipeline


def checked(path: Path | None, *, min_files: int = 0, pattern: str = "*.csv") -> list[Problem]:
    """Return what is wrong with the source `raw` at *path*."""
    pipeline = data_pipeline({"a": ["raw"], "b": ["a"]})
    raw = Dataset("raw", path="raw", pattern=pattern, min_files=min_files)
    pipeline = attrs.evolve(pipeline, datasets={**pipeline.datasets, "raw": raw})
    places = {"raw": DatasetPlace(None if path is None else str(path), pattern, "content")}
    return check_sources(pipeline, places, selected=["a", "b"])


def kinds(problems: list[Problem]) -> list[str]:
    """Return the kinds of *problems*."""
    return [problem.kind for problem in problems]


class TestCheckSources:
    """A source is there, can be read, and holds enough."""

    @pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.touch()])
    def test_folder_or_file(self, tmp_path: Path, make: Callable[[Path], object]) -> None:
        """Either will do, an empty one too."""
        make(tmp_path / "raw")

        assert [] == checked(tmp_path / "raw")

    @pytest.mark.parametrize(
        ("make", "kind", "text"),
        [
            (lambda path: None, "missing_source", "does not exist"),
            (lambda path: path.symlink_to("gone"), "missing_source", "does not exist"),
            (os.mkfifo, "unreadable_source", "neither a file nor a folder"),
            (lambda path: path.symlink_to("/dev/zero"), "unreadable_source", "neither a file nor a folder"),
            (lambda path: path.symlink_to(path), "unreadable_source", "cannot be looked at"),
        ],
    )
    def test_what_cannot_be_a_source(
        self, tmp_path: Path, make: Callable[[Path], object], kind: str, text: str
    ) -> None:
        """The problem names the dataset and the path, and points to it."""
        make(tmp_path / "raw")
        (problem,) = checked(tmp_path / "raw")

        assert (kind, ("datasets", "raw", "path")) == (problem.kind, problem.path)
        assert str(tmp_path / "raw") in problem.message
        assert text in problem.message

    def test_name_with_a_nul(self) -> None:
        """A path that no file can have is a problem, not a crash."""
        assert ["unreadable_source"] == kinds(checked(Path("a\0b")))

    def test_below_a_file(self, tmp_path: Path) -> None:
        """What should lie in a file is missing."""
        (tmp_path / "file").touch()

        assert ["missing_source"] == kinds(checked(tmp_path / "file" / "raw"))

    @pytest.mark.parametrize(("count", "expected"), [(1, ["too_few_files"]), (2, []), (3, [])])
    def test_number_of_files(self, tmp_path: Path, count: int, expected: list[str]) -> None:
        """Only files that match count; folders and links to nothing do not."""
        for number in range(count):
            (tmp_path / f"{number}.csv").touch()
        (tmp_path / "folder.csv").mkdir()
        (tmp_path / "dead.csv").symlink_to("gone")
        (tmp_path / "loop.csv").symlink_to("loop.csv")
        (tmp_path / "notes.txt").touch()

        assert expected == kinds(checked(tmp_path, min_files=2))

    def test_message_tells_actual_and_expected(self, tmp_path: Path) -> None:
        """And which pattern was looked for."""
        (problem,) = checked(tmp_path, min_files=3)

        assert "has 0 files like *.csv, expected at least 3" in problem.message

    @pytest.mark.parametrize(("least", "expected"), [(1, []), (2, ["too_few_files"])])
    def test_one_file_counts_as_one(self, tmp_path: Path, least: int, expected: list[str]) -> None:
        """Where the source is a file itself."""
        (tmp_path / "raw").touch()

        assert expected == kinds(checked(tmp_path / "raw", min_files=least))

    def test_folder_of_another_user(self) -> None:
        """What is not ours to list says so."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            raw = Path(folder, "raw")
            raw.mkdir(mode=0o700 if os.geteuid() == 0 else 0)
            with as_nobody():
                problems = checked(raw)

        assert [("unreadable_source", True)] == [(item.kind, "cannot be read" in item.message) for item in problems]

    def test_what_is_not_read_or_no_file_is_not_looked_at(self, tmp_path: Path) -> None:
        """Neither a dataset without a path, nor one of a step that is not selected."""
        pipeline = data_pipeline({"a": ["raw"]})
        places = {"raw": DatasetPlace(str(tmp_path / "gone"), "*", "content")}

        assert [] == checked(None)
        assert [] == check_sources(pipeline, places, selected=[])
