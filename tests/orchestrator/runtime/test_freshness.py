"""Tests of the age of data by its newest file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.core.freshness import Age
from orchestrator.runtime import freshness
from orchestrator.runtime.freshness import age_by_files

NOW_US = 1_000_000_000_000_000


def touch(path: Path, age_seconds: int) -> Path:
    """Make a file that is so old."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    changed = (NOW_US // 1_000_000 - age_seconds) * 10**9
    os.utime(path, ns=(changed, changed))
    return path


class TestAge:
    """The newest file counts."""

    def test_folder(self, tmp_path: Path) -> None:
        """Given files at any depth, then the newest that matches says how old the folder is, whatever the folder's own time."""
        touch(tmp_path / "old.csv", 300)
        touch(tmp_path / "deep" / "new.csv", 200)
        touch(tmp_path / "other.txt", 100)
        assert age_by_files(str(tmp_path), "**/*.csv", NOW_US) == Age("files", 200_000_000)
        assert age_by_files(str(tmp_path), "*.csv", NOW_US) == Age("files", 300_000_000)

    def test_file(self, tmp_path: Path) -> None:
        """Given a dataset that is a file, then its own time counts, and its pattern does not."""
        assert age_by_files(str(touch(tmp_path / "a", 300)), "*.csv", NOW_US) == Age("files", 300_000_000)

    def test_future(self, tmp_path: Path) -> None:
        """Given a file that is dated in the future, then its age is zero, never negative."""
        assert age_by_files(str(touch(tmp_path / "a", -300)), "**/*", NOW_US) == Age("files", 0)

    def test_nothing_there(self, tmp_path: Path) -> None:
        """Given no file that matches, or no folder, then there is none, which is not the same as not knowing."""
        touch(tmp_path / "a.txt", 300)
        assert age_by_files(str(tmp_path), "*.csv", NOW_US) == Age("files", None)
        assert age_by_files(str(tmp_path / "gone"), "*.csv", NOW_US) == Age("files", None)

    def test_what_cannot_be_looked_at(self, tmp_path: Path) -> None:
        """Given a path below a file, or one that is none, then nothing is known."""
        touch(tmp_path / "a", 300)
        assert age_by_files(str(tmp_path / "a" / "b"), "*", NOW_US) is None
        assert age_by_files("a\0b", "*", NOW_US) is None

    def test_folder_of_others(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a folder that this user may not read, then nothing is known: root may read all of them, so the kernel's answer is given."""
        monkeypatch.setattr(os, "access", lambda *_: False)
        assert age_by_files(str(tmp_path), "*", NOW_US) is None

    def test_file_that_goes_meanwhile(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a file that is listed and gone when it is looked at, then it does not count."""
        touch(tmp_path / "a", 300)
        monkeypatch.setattr(freshness, "walk_files", lambda *_: iter(["gone", "a", None]))
        assert age_by_files(str(tmp_path), "*", NOW_US) == Age("files", 300_000_000)
