"""
Checkpoints outside of the ledger's file: what a ledger that was turned back, or put in another's place, is held to.

They lie in `checkpoints/<id>/` beside the ledger, one folder for each ledger (the first digits of its id), so that one which takes the place of
another overwrites nothing: `<size>.checkpoint` for what was sealed here, `<size>.<witness>.cosigned` for what somebody witnessed.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from ledger.folders import make_private, write_private
from ledger.reader import odd_kind
from ledger.verifier import Checkpoint

_ID_DIGITS = 8
_NAME = re.compile(r"([0-9]{12,19})\.(?:checkpoint|[A-Za-z0-9_.-]+\.cosigned)")
_BYTES_MAX = 1 << 20


def checkpoint_folder(ledger: Path, ledger_id: str) -> Path:
    """Return where checkpoints of the ledger at the path *ledger* lie."""
    return ledger.parent / "checkpoints" / ledger_id[:_ID_DIGITS]


def write_outside(folder: Path, checkpoint: Checkpoint, note: str, *, witness: str | None = None) -> Path:
    """
    Write *note* into *folder* and return the path; it is on the disk then.

    Args:
        witness: Name of the key that has cosigned it.

    Raises:
        OSError: It cannot be written.
    """
    make_private(folder, durable=True, inherit=True)
    kind = "checkpoint" if witness is None else f"{re.sub('[^A-Za-z0-9_.-]', '_', witness)}.cosigned"
    path = folder / f"{checkpoint.size:012d}.{kind}"
    if not _holds(path, note):
        write_private(path, note, durable=True, inherit=True)
    return path


def _holds(path: Path, note: str) -> bool:
    try:
        return read_note(path) == note
    except OSError:
        return False


def outside_files(folder: Path) -> list[Path]:
    """Return the files with checkpoints in *folder*, the smallest first; none where there is no such folder."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return []
    found = sorted((int(match[1]), name) for name in names if (match := _NAME.fullmatch(name)))
    return [folder / name for _, name in found]


def named_size(path: Path) -> int:
    """Return how many events the name of *path*, one of `outside_files`, says that its checkpoint covers."""
    return int(path.name.partition(".")[0])


def read_note(path: Path) -> str:
    """
    Return the text of the note or key in the file *path*; bytes that are no UTF-8 become U+FFFD, which no note holds.

    Raises:
        OSError: It cannot be read, is no regular file, or has more than one megabyte.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        kind = odd_kind(os.fstat(descriptor).st_mode)
        if kind is not None:
            raise OSError(errno.EINVAL, f"it is {kind}, expected a regular file", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(_BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    if len(data) > _BYTES_MAX:
        raise OSError(errno.EFBIG, f"it has more than {_BYTES_MAX} bytes, which no note or key has", str(path))
    return data.decode("utf-8", "replace")
