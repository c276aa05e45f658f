"""Folders and files that only their owner can look into."""

from __future__ import annotations

import os
from pathlib import Path


def make_private(folder: Path) -> None:
    """
    Make *folder* and every folder above it that is missing, with mode 0700; what exists stays as it is.

    Raises:
        OSError: One cannot be made, or is no folder.
    """
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def write_private(path: Path, *texts: str, durable: bool = False) -> None:
    """
    Write *texts* to *path*, readable by its owner alone; whoever looks sees the old file or the new one, whole.

    Args:
        durable: Return only when it is on the disk.

    Raises:
        OSError: It cannot be written.
    """
    unfinished = path.parent / f".{path.name}.{os.getpid()}"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(texts)
            if durable:
                file.flush()
                os.fsync(descriptor)
        unfinished.replace(path)
        if durable:
            sync_folder(path.parent)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """
    Make the names in *folder* durable.

    Raises:
        OSError: It cannot be opened or synced.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
