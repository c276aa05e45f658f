"""Tests of reading files that a user names, and of folders for the owner alone."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ledger.folders import make_private
from orchestrator.runtime.files import UnreadableFileError, read_bounded

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be somebody who may read little, where root runs the tests; else stay who one is."""
    root = os.geteuid() == 0
    if root:
        os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        if root:
            os.setresuid(0, 0, 0)


def sparse(path: Path, size: int) -> None:
    """Make a file of *size* bytes that takes no room."""
    path.touch()
    os.truncate(path, size)


def refusal(path: Path) -> UnreadableFileError:
    """Return why *path* cannot be read."""
    with pytest.raises(UnreadableFileError) as caught:
        read_bounded(path, most=1000)
    return caught.value


class TestReadBounded:
    """A small regular file is read, everything else is named."""

    @pytest.mark.parametrize("size", [0, 1, 1000])
    def test_content(self, tmp_path: Path, size: int) -> None:
        """Up to the limit, through a link too."""
        (tmp_path / "file").write_bytes(b"x" * size)
        (tmp_path / "link").symlink_to("file")

        assert b"x" * size == read_bounded(tmp_path / "link", most=1000)

    @pytest.mark.parametrize("size", [1001, 1 << 31])
    def test_too_large(self, tmp_path: Path, size: int) -> None:
        """One byte more than the limit is read, whatever the size."""
        sparse(tmp_path / "file", size)

        assert "too_large" == refusal(tmp_path / "file").kind

    @pytest.mark.parametrize(
        ("make", "kind", "text"),
        [
            (lambda path: None, "missing", "no such file"),
            (lambda path: path.mkdir(), "not_a_file", "a folder"),
            (os.mkfifo, "not_a_file", "a FIFO"),
            (lambda path: path.symlink_to("/dev/zero"), "not_a_file", "a device"),
            (lambda path: path.symlink_to("/dev/null"), "not_a_file", "a device"),
            (lambda path: path.symlink_to(path), "unreadable", "symbolic links"),
            (lambda path: path.symlink_to("/proc/self/mem"), "unreadable", "cannot be read"),
        ],
    )  # fmt: skip
    def test_what_is_no_file(self, tmp_path: Path, make: Callable[[Path], object], kind: str, text: str) -> None:
        """Nothing hangs and nothing is read for ever."""
        make(tmp_path / "thing")
        error = refusal(tmp_path / "thing")

        assert kind == error.kind
        assert text in str(error)

    def test_file_as_a_folder(self, tmp_path: Path) -> None:
        """What lies below a file is missing."""
        (tmp_path / "file").touch()

        assert "missing" == refusal(tmp_path / "file" / "below").kind

    @pytest.mark.parametrize(("name", "text"), [("a\0b", "NUL"), ("x" * 300, "too long")])
    def test_impossible_names(self, name: str, text: str) -> None:
        """A name that no file can have is a message, not a crash."""
        error = refusal(Path(name))

        assert "unreadable" == error.kind
        assert text in str(error)

    def test_file_of_another_user(self) -> None:
        """What is not ours to read says so."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            path = Path(folder, "private")
            path.touch(mode=0o600 if os.geteuid() == 0 else 0)
            with as_nobody():
                error = refusal(path)

        assert ("unreadable", True) == (error.kind, "Permission denied" in str(error))

    def test_no_descriptor_is_left(self, tmp_path: Path) -> None:
        """Neither after a read nor after a refusal."""
        (tmp_path / "file").touch()
        before = len(list(Path("/proc/self/fd").iterdir()))
        read_bounded(tmp_path / "file", most=1)
        refusal(tmp_path)

        assert before == len(list(Path("/proc/self/fd").iterdir()))


class TestMakePrivate:
    """Folders of ours can be entered by their owner alone."""

    def test_every_new_folder_is_private(self, tmp_path: Path) -> None:
        """Given a mask that takes nothing away, then the folders in between are private too; one that was there stays."""
        tmp_path.chmod(0o755)
        former = os.umask(0)
        try:
            make_private(tmp_path / "logs" / "run-1")
            make_private(tmp_path / "logs" / "run-1")
        finally:
            os.umask(former)

        modes = [
            stat.S_IMODE(folder.stat().st_mode) for folder in (tmp_path, tmp_path / "logs", tmp_path / "logs/run-1")
        ]
        assert [0o755, 0o700, 0o700] == modes
