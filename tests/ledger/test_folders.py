"""Tests of private folders."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ledger import folders
from ledger.folders import SHARED_FOLDER, is_shared, make_private, write_private


class TestPrivateFolder:
    """A folder and its parents are their owner's alone."""

    def test_all_that_is_made_is_private(self, tmp_path: Path) -> None:
        """Whatever the umask; what was there keeps its mode."""
        tmp_path.chmod(0o755)
        former = os.umask(0)
        try:
            make_private(tmp_path / "a/b/c")
            make_private(tmp_path / "a/b/c")
        finally:
            os.umask(former)

        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("", "a", "a/b", "a/b/c")]
        assert modes == [0o755, 0o700, 0o700, 0o700]

    def test_a_file_in_the_way_is_an_error(self, tmp_path: Path) -> None:
        """Nothing is made beyond it."""
        (tmp_path / "file").write_text("")

        with pytest.raises(FileExistsError):
            make_private(tmp_path / "file/below")


class TestSharedFolder:
    """In a folder that is shared with a group, what is to be inherits that."""

    @pytest.fixture
    def shared(self, tmp_path: Path) -> Path:
        """Give a folder that its group may read."""
        folder = tmp_path / "shared"
        folder.mkdir()
        folder.chmod(SHARED_FOLDER)
        return folder

    def test_folders(self, shared: Path) -> None:
        """Given a mask that takes everything away, then what inherits is shared, with its group, at any depth; the rest is private."""
        former = os.umask(0o077)
        try:
            make_private(shared / "a/b", inherit=True)
            make_private(shared / "c")
        finally:
            os.umask(former)

        assert [is_shared(shared / name) for name in ("a", "a/b", "c", "none")] == [True, True, False, False]
        assert (shared / "a/b").stat().st_gid == shared.stat().st_gid

    @pytest.mark.parametrize("nameless", [True, False])
    def test_files(self, shared: Path, monkeypatch: pytest.MonkeyPatch, *, nameless: bool) -> None:
        """Given a file system with nameless files or without, then what inherits may be read by the group, and the rest not, new or replaced."""
        if not nameless:
            monkeypatch.setattr(folders, "write_new", lambda *_, **__: False)
        former = os.umask(0o077)
        try:
            for _ in range(2):
                write_private(shared / "x", "1", inherit=True)
                write_private(shared / "y", "1")
        finally:
            os.umask(former)

        assert [stat.S_IMODE((shared / name).stat().st_mode) for name in "xy"] == [0o640, 0o600]

    def test_private_folder(self, tmp_path: Path) -> None:
        """Given a folder that is not shared, also one that others may read, then nothing is."""
        for mode in (0o700, 0o750, 0o755, 0o2755, 0o2770):
            tmp_path.chmod(mode)
            write_private(tmp_path / "x", "1", inherit=True)
            make_private(tmp_path / str(mode), inherit=True)
            assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600
            assert stat.S_IMODE((tmp_path / str(mode)).stat().st_mode) & 0o777 == 0o700
