"""Folders that steps have filled, removed however deep they are: the standard library goes as deep as its calls may, and takes a descriptor for each level."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(root: Path) -> None:
    """
    Remove the folder *root* with all that lies in it; no link is followed.

    Folders below those that lie in it are moved up before these are removed, so that nothing is ever deeper than two levels.

    Raises:
        OSError: Something stays, or *root* is no folder; the rest of it is gone.
    """
    top = os.open(root, _FOLDER)
    numbers = itertools.count()
    stuck: dict[str, OSError] = {}
    try:
        while names := [name for name in os.listdir(top) if name not in stuck]:
            for name in names:
                try:
                    _remove(name, top, numbers)
                except OSError as reason:
                    stuck[name] = reason
    finally:
        os.close(top)
    for error in stuck.values():
        raise error
    root.rmdir()


def clear_away(root: Path) -> None:
    """Remove the folder *root* as far as that can be done; an exception of a signal waits for it, unless a second one comes."""
    with contextlib.suppress(OSError):
        try:
            remove_tree(root)
        except (KeyboardInterrupt, SystemExit):
            with contextlib.suppress(OSError):
                remove_tree(root)
            raise


def tree_paths(root: Path) -> Iterator[str]:
    """Yield *root* and every folder below it that can be reached by its path; no link is followed."""
    waiting = [os.fspath(root)]
    while waiting:
        path = waiting.pop()
        yield path
        with contextlib.suppress(OSError), os.scandir(path) as entries:
            waiting += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _remove(name: str, top: int, numbers: Iterator[int]) -> None:
    if not _is_folder(name, top):
        os.unlink(name, dir_fd=top)
        return
    folder = os.open(name, _FOLDER, dir_fd=top)
    try:
        for inner in os.listdir(folder):
            # What cannot be moved or removed makes the folder itself stay, whose error is told.
            with contextlib.suppress(OSError):
                if _is_folder(inner, folder):
                    os.rename(inner, _free_name(top, numbers), src_dir_fd=folder, dst_dir_fd=top)
                else:
                    os.unlink(inner, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)


def _free_name(top: int, numbers: Iterator[int]) -> str:
    while True:
        name = str(next(numbers))
        try:
            os.stat(name, dir_fd=top, follow_symlinks=False)
        except FileNotFoundError:
            return name


def _is_folder(name: str, folder: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
