"""Folders that only their owner can enter."""

from __future__ import annotations

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
