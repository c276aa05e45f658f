"""
Files that appear under their name whole, or not at all: filled beside it, private, and then put there.

What a process leaves behind that is killed meanwhile is removed by whoever writes to the same name next.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

PRIVATE_FILE = 0o600
_SIDES = ("", "-wal", "-shm", "-journal")


@contextlib.contextmanager
def appearing(target: Path, *, force: bool, durable: bool) -> Iterator[Path]:
    """
    Give an empty file, mode 0600, to fill; it is at *target* when the block ends, or gone where the block raises.

    Args:
        force: Put it in the place of what is there.
        durable: Return only when content and name are on the disk.

    Raises:
        FileExistsError: Something is there, and *force* is not set.
        OSError: It cannot be made, synced or put there.
    """
    if not target.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    remove_abandoned(target)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        yield unfinished
        if durable:
            sync(unfinished)
        if force:
            unfinished.replace(target)
        else:
            target.hardlink_to(unfinished)
        if durable:
            sync(target.parent)
    finally:
        for side in _SIDES:
            with contextlib.suppress(OSError):
                Path(f"{unfinished}{side}").unlink()


def write_new(target: Path, data: bytes, *, durable: bool, mode: int = PRIVATE_FILE) -> bool:
    """
    Write *data* to *target*, with *mode* whatever the mask of the process, through a file that has no name before it is whole, so that nothing is ever left behind.

    Returns:
        False where there is something already, or the file system knows no such files (`O_TMPFILE`): nothing was written.

    Raises:
        OSError: It cannot be made, synced or put there.
    """
    if os.path.lexists(target):
        return False
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with os.fdopen(os.open(target.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
            if mode != PRIVATE_FILE:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
            # Given a folder's descriptor it calls linkat(2), which alone follows the link that names the file.
            os.link(f"/proc/self/fd/{file.fileno()}", target.name, dst_dir_fd=folder, follow_symlinks=True)
        if durable:
            os.fsync(folder)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EEXIST):
            return False
        raise
    finally:
        os.close(folder)
    return True


def sync(path: Path) -> None:
    """
    Put the content of the file *path*, or the names in the folder *path*, on the disk.

    Raises:
        OSError: It cannot be opened or synced.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_abandoned(target: Path) -> None:
    """
    Remove what this process, or one that is dead, has filled for *target*, with what SQLite has put beside it.

    Raises:
        OSError: Its folder cannot be read, or one of them not be removed.
    """
    name = re.compile(rf"\.{re.escape(target.name)}\.([1-9][0-9]{{0,18}})\.new(?:{'|'.join(_SIDES)})")
    with os.scandir(target.parent) as entries:
        found = [(entry.path, match[1]) for entry in entries if (match := name.fullmatch(entry.name))]
    for path, pid in found:
        if int(pid) == os.getpid() or not _is_alive(int(pid)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108 - as it was found


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
