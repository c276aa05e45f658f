"""Evidence on its way to where it is handed out from: made in a folder of its own, checked, and then put there."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ledger.evidence import BundleWriter
from ledger.verifier import check_bundle
from orchestrator.cli.audit.new_files import refuse_existing
from orchestrator.cli.errors import UsageRefusedError

_STORAGE_FAILED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def output_path(out: str) -> Path:
    """
    Return the path that *out* means.

    Raises:
        UsageRefusedError: It has no name of its own, such as the present folder.
    """
    path = Path(out)
    if path.name in ("", ".."):
        raise UsageRefusedError("output", f"{out!a} is no name for something new")
    return path


@contextlib.contextmanager
def new_bundle(path: Path, *, force: bool) -> Iterator[BundleWriter]:
    """
    Give what writes a bundle to *path*, a zip file or a new folder; it is there when it is whole and was checked.

    Raises:
        UsageRefusedError: Something is there that is not to be written anew, or it cannot be written.
        ProofError: What was written does not hold.
        OSError: The disk is full.
    """
    with staged(path) as folder:
        if path.suffix == ".zip":
            refuse_existing([path], force=force)
        elif path.is_dir():
            if any(path.iterdir()):
                raise UsageRefusedError("file_exists", f"{path} is a folder with something in it: give another name")
        elif os.path.lexists(path):
            message = f"{path} is there and no folder; without .zip at the end the name is that of a new folder"
            raise UsageRefusedError("file_exists", message)
        made = folder / path.name
        with BundleWriter(made) as bundle:
            yield bundle
        check_bundle(made)
        made.replace(path)


@contextlib.contextmanager
def staged(path: Path) -> Iterator[Path]:
    """
    Give a folder beside *path* for what is put there when it is whole; nothing of it stays, whatever goes wrong.

    Raises:
        UsageRefusedError: It cannot be written where it is to be.
        OSError: The disk is full.
    """
    try:
        _remove_abandoned(path.parent)
        with tempfile.TemporaryDirectory(prefix=f".orchestrate-{os.getpid()}-", dir=path.parent) as folder:
            yield Path(folder)
    except OSError as error:
        if error.errno in _STORAGE_FAILED:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise UsageRefusedError("output", f"{path} cannot be written: {error.strerror}") from None


def _remove_abandoned(folder: Path) -> None:
    """Remove what calls that were killed have left in *folder*."""
    for left in folder.glob(".orchestrate-*-*"):
        pid = left.name.split("-")[1]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)
