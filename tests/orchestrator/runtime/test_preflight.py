"""Tests of looking at sources and disk before anything starts."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from ledger.reader import LedgerReader
from orchestrator.core.definition import Dataset
from orchestrator.core.problems import Problem
from orchestrator.runtime import preflight, room
from orchestrator.runtime.digests import DatasetPlace
from orchestrator.runtime.preflight import check_room, check_sources
from orchestrator.runtime.room import LEAST_FREE_BYTES
from tests.orchestrator.runtime.test_files import as_nobody
from tests.pipelines import data_pipeline
from tests.programs import ledger_of, program


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


class TestCheckRoom:
    """There is room on the disk for what a run leaves."""

    def found(self, ledger: Path, min_free: int | None = None) -> list[Problem]:
        """Return what is wrong where the pipeline wants *min_free* bytes."""
        return check_room(attrs.evolve(data_pipeline({"a": []}), min_free_bytes=min_free), ledger)

    def test_enough(self, tmp_path: Path) -> None:
        """Given what this machine has free, then neither the default nor a small demand is a problem."""
        ledger = tmp_path / ".orchestrate" / "ledger.db"
        assert self.found(ledger) == self.found(ledger, 1) == self.found(ledger, 0) == []

    def test_too_little_for_what_the_definition_demands(self, tmp_path: Path) -> None:
        """Given a demand that no disk meets, then what is free, what is needed, where, and what to do."""
        (problem,) = self.found(tmp_path / "new" / "ledger.db", 1 << 50)
        assert (problem.kind, problem.path, problem.severity) == ("disk_space", ("pipeline", "min_free"), "error")
        assert re.fullmatch(
            rf"too little room: [0-9.]+ [KMGT]?i?B are free where {tmp_path} lies, 1024\.0 TiB are needed by min_free",
            problem.message,
        )
        assert problem.suggestion is not None
        assert "min_free" in problem.suggestion

    @pytest.mark.parametrize("content", [None, b"", b"no ledger at all"])
    def test_without_a_history_the_least_is_needed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
    ) -> None:
        """Given no ledger, or a file that is none, then 64 MiB are needed; what is wrong with the file is not for this to say."""
        ledger = tmp_path / "ledger.db"
        if content is not None:
            ledger.write_bytes(content)
        monkeypatch.setattr(preflight, "free_bytes", lambda _: LEAST_FREE_BYTES)
        assert self.found(ledger) == []
        monkeypatch.setattr(preflight, "free_bytes", lambda _: LEAST_FREE_BYTES - 1)
        (problem,) = self.found(ledger)
        assert "64.0 MiB are needed as twice the largest of the latest runs, or 64 MiB" in problem.message

    def test_twice_the_largest_run_is_needed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a ledger with a run, then twice what it took is needed, where that is more than the least."""
        (tmp_path / "pipeline.toml").write_text('[pipeline]\nname = "p"\n[steps.a]\ncommand = ["true"]\n')
        assert program("run", "-q", cwd=tmp_path).returncode == 0
        monkeypatch.setattr(room, "LEAST_FREE_BYTES", 0)
        ledger = ledger_of(tmp_path)
        with LedgerReader(ledger) as reader:
            needed = 2 * room.recent_growth(reader.connection, ledger.parent).largest_bytes
        assert needed > 0
        monkeypatch.setattr(preflight, "free_bytes", lambda _: needed)
        assert self.found(ledger) == []
        monkeypatch.setattr(preflight, "free_bytes", lambda _: needed - 1)
        assert [problem.kind for problem in self.found(ledger)] == ["disk_space"]

    def test_place_that_cannot_be_looked_at(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a file system that does not answer, then that is for whoever opens the ledger to say."""

        def fail(_: Path) -> int:
            raise PermissionError

        monkeypatch.setattr(preflight, "free_bytes", fail)
        assert self.found(tmp_path / "ledger.db", 1 << 50) == []
