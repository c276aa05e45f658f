"""Folders and files that only their owner can look into."""

from __future__ import annotations

from pathlib import Path

from ledger.new_file import appearing, sync, write_new


def make_private(folder: Path, *, durable: bool = False) -> None:
    """
    Make *folder* and every folder above it that is missing, with mode 0700; what exists stays as it is.

    Args:
        durable: Return only when the names of those that were made are on the disk: what lies in them is lost with them.

    Raises:
        OSError: One cannot be made, or is no folder.
    """
    if not folder.is_dir():
        make_private(folder.parent, durable=durable)
        folder.mkdir(mode=0o700, exist_ok=True)
        if durable:
            sync(folder.parent)


def write_private(path: Path, *texts: str, durable: bool = False) -> None:
    """
    Write *texts* to *path*, readable by its owner alone; whoever looks sees the old file or the new one, whole.

    Args:
        durable: Return only when it is on the disk.

    Raises:
        OSError: It cannot be written.
    """
    data = "".join(texts).encode()
    if not write_new(path, data, durable=durable):
        with appearing(path, force=True, durable=durable) as unfinished:
            unfinished.write_bytes(data)


def sync_folder(folder: Path) -> None:
    """
    Make the names in *folder* durable.

    Raises:
        OSError: It cannot be opened or synced.
    """
    sync(folder)
