"""Handing a text out: to the file that the user names, or to stdout."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError


def deliver(target: str, text: str) -> None:
    """
    Write *text* to the file *target*, which appears whole, or to stdout where it is `-`; say so.

    Raises:
        UsageRefusedError: It cannot be written.
    """
    if target == "-":
        render.out_raw(text.encode("utf-8"))
        return
    from ledger.folders import write_private

    # A link means the file behind it; a device or a pipe is written to, never replaced.
    path = Path(os.path.realpath(target))
    try:
        if not target or path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
        else:
            write_private(path, text)
    except OSError as error:
        raise UsageRefusedError("unwritable", f"{target or repr(target)} cannot be written: {error.strerror}") from None
    render.err(f"written: {target}")
