"""Tests of matching files against globs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtime.walking import walk_files

TREE = ("a.csv", "b.txt", ".hidden.csv", "sub/c.csv", "sub/deep/d.csv", "sub/deep/e.txt", "other/deep/f.csv")
NAMES = st.sampled_from(["*", "**", "*.csv", "sub", "deep", "?.csv", "[ab].*", "s*", "a.csv"])


def walked(root: Path, pattern: str) -> list[str]:
    """Return the matches in order."""
    return sorted(name for name in walk_files(str(root), pattern) if name is not None)


@pytest.fixture(name="tree", scope="module")
def _tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name in TREE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "empty").mkdir()
    return root


class TestPatterns:
    """The same matches as the standard library's, for files."""

    @pytest.mark.parametrize(
        ("pattern", "found"),
        [
            ("**/*", sorted(TREE)),
            ("**", sorted(TREE)),
            ("*.csv", [".hidden.csv", "a.csv"]),
            ("./sub//*.csv", ["sub/c.csv"]),
            ("**/*.csv", sorted(name for name in TREE if name.endswith(".csv"))),
            ("sub/**", ["sub/c.csv", "sub/deep/d.csv", "sub/deep/e.txt"]),
            ("*/deep/*.csv", ["other/deep/f.csv", "sub/deep/d.csv"]),
            ("**/deep/**/*.txt", ["sub/deep/e.txt"]),
            ("sub", []),
            ("gone/*", []),
            (".", []),
        ],
    )
    def test_files(self, tree: Path, pattern: str, found: list[str]) -> None:
        """Given a tree, then exactly the files that a pattern means."""
        assert found == walked(tree, pattern)

    @given(segments=st.lists(NAMES, min_size=1, max_size=5))
    def test_as_the_standard_library(self, tree: Path, segments: list[str]) -> None:
        """Given any pattern, then the files that `Path.glob` finds; there a last `**` means folders alone."""
        pattern = "/".join(segments)
        expected = {str(found.relative_to(tree)) for found in tree.glob(pattern) if found.is_file()}
        if segments[-1] != "**":
            assert sorted(expected) == walked(tree, pattern)


class TestOddFolders:
    """Whatever a folder is like."""

    def test_linked_folders_are_looked_into(self, tmp_path: Path) -> None:
        """Given a link to a folder elsewhere, then its files are found under the link's name."""
        (tmp_path / "real").mkdir()
        (tmp_path / "real" / "f.csv").write_text("1")
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "sub").symlink_to("../real")

        assert ["sub/f.csv"] == walked(tmp_path / "data", "**/*.csv")

    def test_a_link_to_a_folder_above_ends(self, tmp_path: Path) -> None:
        """Given a link to a folder that it lies in, and one to itself, then nothing is found twice."""
        (tmp_path / "a.csv").write_text("1")
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "up").symlink_to("..")
        (tmp_path / "loop").symlink_to("loop")

        assert ["a.csv", "loop"] == walked(tmp_path, "**/*")

    def test_it_gives_way_while_nothing_matches(self, tmp_path: Path) -> None:
        """Given many files of another kind, then None comes between."""
        for number in range(600):
            (tmp_path / f"{number}.txt").touch()

        assert [None, None] == list(walk_files(str(tmp_path), "*.csv"))

    def test_a_folder_that_has_gone_is_left_out(self, tmp_path: Path) -> None:
        """Given a folder that is removed after it was listed, then the others are found."""
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "f").touch()
        walk = walk_files(str(tmp_path), "*/f")

        first = next(walk)
        assert first is not None
        other = {"one/f": "two", "two/f": "one"}[first]
        (tmp_path / other / "f").unlink()
        (tmp_path / other).rmdir()

        assert [] == list(walk)

    def test_nothing_at_all(self, tmp_path: Path) -> None:
        """Given no folder, then nothing."""
        assert [] == walked(tmp_path / "gone", "**/*")
