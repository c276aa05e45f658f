"""Tests of removing what steps have left, however deep it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.runtime.trees import clear_away, remove_tree
from orchestrator.runtime.usage import tree_bytes

DEEP = """
import os, sys
os.chdir(sys.argv[1])
for number in range(3000):
    os.mkdir("0")
    os.chdir("0")
open("file", "w").close()
"""
"""Deeper than calls may go into each other, than there are descriptors, and than a path may be long."""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder that is deep in one place and wide in another."""
    root = tmp_path / "tree"
    for name in ("a/b", "a/c/d", "1/2"):
        (root / name).mkdir(parents=True)
        (root / name / "file").touch()
    subprocess.run([sys.executable, "-c", DEEP, root / "a"], check=True)
    return root


class TestRemoveTree:
    """Removing."""

    def test_deep(self, tree: Path, tmp_path: Path) -> None:
        """Given a tree of 3,000 levels, then it is measured and removed, and what its links name stays."""
        (tmp_path / "precious").mkdir()
        (tree / "link").symlink_to(tmp_path / "precious")
        (tree / "a" / "link").symlink_to(tmp_path / "precious")
        assert tree_bytes(tree) > 0
        remove_tree(tree)
        assert [path.name for path in tmp_path.iterdir()] == ["precious"]

    def test_no_folder(self, tmp_path: Path) -> None:
        """Given a link in its place, then it is an error that says so, and nothing is removed."""
        (tmp_path / "there" / "in").mkdir(parents=True)
        (tmp_path / "link").symlink_to(tmp_path / "there")
        with pytest.raises(NotADirectoryError):
            remove_tree(tmp_path / "link")
        clear_away(tmp_path / "link")
        assert (tmp_path / "there" / "in").exists()

    def test_what_stays(self, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a file that cannot be removed, then the rest goes, and that is told."""
        unlink = os.unlink

        def refusing(path: str, *, dir_fd: int) -> None:
            if Path(f"/proc/self/fd/{dir_fd}").readlink().name == "1":
                raise PermissionError(13, "refused")
            unlink(path, dir_fd=dir_fd)

        (tree / "1" / "stays").touch()
        with monkeypatch.context() as patch:
            patch.setattr("orchestrator.runtime.trees.os.unlink", refusing)
            with pytest.raises(OSError, match="not empty"):
                remove_tree(tree)
        assert [path.name for path in tree.rglob("*")] == ["1", "stays"]


class TestClearAway:
    """Removing, while told to end."""

    def test_signal(self, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given Ctrl-C in the middle, then all of it is removed before that counts."""
        rmdir = os.rmdir
        told: list[str] = []

        def interrupted(path: str, *, dir_fd: int | None = None) -> None:
            rmdir(path, dir_fd=dir_fd)
            if not told:
                told.append(path)
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr("orchestrator.runtime.trees.os.rmdir", interrupted)
        with pytest.raises(KeyboardInterrupt):
            clear_away(tree)
        assert not tree.exists()
