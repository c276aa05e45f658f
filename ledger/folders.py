"""Folders and files that only their owner can look into, and where a folder is shared with a group, those that the group may read."""

from __future__ import annotations

import stat
from pathlib import Path

from ledger.new_file import PRIVATE_FILE, appearing, sync, write_new

SHARED_FOLDER, SHARED_FILE = 0o2750, 0o640


def is_shared(folder: Path) -> bool:
    """Return whether *folder* is one that its group may read, and that gives its group to what is made in it: mode 2750."""
    try:
        return stat.S_IMODE(folder.stat().st_mode) == SHARED_FOLDER
    except OSError:
        return False


def make_private(folder: Path, *, durable: bool = False, inherit: bool = False) -> None:
    """
    Make *folder* and every folder above it that is missing, with mode 0700; what exists stays as it is.

    Args:
        durable: Return only when the names of those that were made are on the disk: what lies in them is lost with them.
        inherit: In a folder that is shared with a group, make folders that are shared as well.

    Raises:
        OSError: One cannot be made, or is no folder.
    """
    if not folder.is_dir():
        make_private(folder.parent, durable=durable, inherit=inherit)
        folder.mkdir(mode=0o700, exist_ok=True)
        if inherit and is_shared(folder.parent):
            folder.chmod(SHARED_FOLDER)
        if durable:
            sync(folder.parent)


def write_private(path: Path, *texts: str, durable: bool = False, inherit: bool = False) -> None:
    """
    Write *texts* to *path*, readable by its owner alone; whoever looks sees the old file or the new one, whole.

    Args:
        durable: Return only when it is on the disk.
        inherit: In a folder that is shared with a group, the group may read it.

    Raises:
        OSError: It cannot be written.
    """
    data = "".join(texts).encode()
    mode = SHARED_FILE if inherit and is_shared(path.parent) else PRIVATE_FILE
    if not write_new(path, data, durable=durable, mode=mode):
        with appearing(path, force=True, durable=durable) as unfinished:
            unfinished.write_bytes(data)
            unfinished.chmod(mode)


def sync_folder(folder: Path) -> None:
    """
    Make the names in *folder* durable.

    Raises:
        OSError: It cannot be opened or synced.
    """
    sync(folder)
