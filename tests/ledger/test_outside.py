"""Tests of reading the files beside a ledger and those that somebody gives: nothing waits, nothing is read without end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.outside import named_size, outside_files, read_note, write_outside
from ledger.verifier import Checkpoint


def sparse(path: Path) -> None:
    """Make a file that says that it has a terabyte."""
    with path.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize(
    ("put", "what"),
    [
        (os.mkfifo, "a FIFO, expected a regular file"),
        (Path.mkdir, "a folder, expected a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "a device, expected a regular file"),
        (sparse, "more than 1048576 bytes"),
    ],
    ids=["fifo", "folder", "device", "sparse"],
)
def test_no_note(tmp_path: Path, put: Callable[[Path], object], what: str) -> None:
    """Given what is no file, or larger than any note, then the error says so at once, and names it."""
    path = tmp_path / "x"
    put(path)
    with pytest.raises(OSError, match=what) as caught:
        read_note(path)
    assert caught.value.filename == str(path)


def test_largest(tmp_path: Path) -> None:
    """Given a file of just a megabyte, then it is read."""
    (tmp_path / "x").write_bytes(b"x" * (1 << 20))
    assert len(read_note(tmp_path / "x")) == 1 << 20


def test_names(tmp_path: Path) -> None:
    """Given files with checkpoints, then each name says how many events it covers, also beyond twelve digits."""
    for size in (5, 10**15):
        write_outside(tmp_path, Checkpoint("x", size, bytes(32)), "note", witness="anna")
    assert [named_size(path) for path in outside_files(tmp_path)] == [5, 10**15]
