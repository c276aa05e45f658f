"""
The files that a run left beside the ledger, for whoever is about to remove them: listed, held against what was recorded of them, removed.

No link is followed below the folder of their kind, and nothing but regular files is ever taken away.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from hashlib import file_digest
from pathlib import Path
from typing import NamedTuple

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class Recorded(NamedTuple):
    """Hold what an event says of a file."""

    bytes: int
    sha256: str


class LeftFile(NamedTuple):
    """
    Hold a file that a run left, or one that an event names and that is not there.

    Attributes:
        path: From the ledger's folder on.
        sha256: Of what is there, or as recorded where it is absent; empty where nobody looked.
        problem: What keeps it from being removed, or None.
    """

    run_id: str
    path: str
    bytes: int
    sha256: str = ""
    absent: bool = False
    problem: str | None = None


def files_of_run(
    folder: Path, kind: str, run_id: str, recorded: Mapping[str, Recorded], *, read: bool
) -> Iterator[LeftFile]:
    """
    Yield the files in `kind/run_id` below *folder*, the ledger's, and those of *recorded* that are not there, by path.

    Args:
        recorded: What events say of files there, by path.
        read: Read each of them, and compare; else sizes alone are looked at.
    """
    place = f"{kind}/{run_id}"
    try:
        descriptor = os.open(folder / kind / run_id, _FOLDER)
    except OSError:
        descriptor = None
    try:
        names = [] if descriptor is None else sorted(os.listdir(descriptor))
        for name in names:
            assert descriptor is not None
            yield _looked_at(descriptor, name, run_id, f"{place}/{name}", recorded.get(f"{place}/{name}"), read=read)
    finally:
        if descriptor is not None:
            os.close(descriptor)
    for path, (size, digest) in sorted(recorded.items()):
        if path.startswith(f"{place}/") and path.removeprefix(f"{place}/") not in names:
            yield LeftFile(run_id, path, size, digest, absent=True)


def _looked_at(
    descriptor: int, name: str, run_id: str, path: str, expected: Recorded | None, *, read: bool
) -> LeftFile:
    status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        return LeftFile(run_id, path, 0, problem="it is no regular file")
    size, digest = status.st_size, ""
    if read:
        try:
            size, digest = _digest(descriptor, name)
        except OSError as error:
            return LeftFile(run_id, path, size, problem=f"it cannot be read: {error.strerror}")
    if expected is not None and (size != expected.bytes or (read and digest != expected.sha256)):
        return LeftFile(
            run_id, path, size, digest, problem="it is not what was recorded, see `orchestrate audit verify`"
        )
    return LeftFile(run_id, path, size, digest)


def _digest(folder: int, name: str) -> tuple[int, str]:
    with open(os.open(name, _FILE, dir_fd=folder), "rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def remove_file(folder: Path, path: str) -> None:
    """
    Remove the file at *path* below *folder*, the ledger's, and the run's folder with the last file in it; one that is gone is no error.

    Raises:
        OSError: It cannot be removed.
    """
    kind, run_id, name = path.split("/")
    try:
        descriptor = os.open(folder / kind / run_id, _FOLDER)
    except FileNotFoundError:
        return
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    # With something else in it, it stays.
    with contextlib.suppress(OSError):
        os.rmdir(folder / kind / run_id)
