"""Tests of private folders."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ledger.folders import make_private


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
