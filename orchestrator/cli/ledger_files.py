"""Keeping what a command hands out from taking the place of what the ledger consists of."""

from __future__ import annotations

import os
import re
from pathlib import Path

from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.locate import definition_path, ledger_path

_SIDES = ("", "-journal", "-wal", "-shm", ".restoring")
_FOLDERS = ("cache", "checkpoints", "exchange", "locks", "logs")


def keep_off_ledger(pipeline: str | None, ledger: str | None, *targets: str | os.PathLike[str] | None) -> None:
    """
    Make sure that none of *targets*, which are about to be written, is a file of the ledger that the options name.

    Raises:
        UsageRefusedError: One is the ledger, its log, a former ledger, or lies in a folder of its logs, checkpoints or locks.
    """
    path = Path(os.path.realpath(ledger_path(ledger, definition_path(pipeline))))
    for target in targets:
        if target is not None and is_of_ledger(path, Path(target)):
            message = f"{os.fspath(target)} is a file of the ledger {path}, or in a folder of it: give another name"
            raise UsageRefusedError("ledger_file", message)


def is_of_ledger(ledger: Path, target: Path) -> bool:
    """Whether *target*, or what it leads to, is a file of *ledger*, or lies in a folder of its logs, checkpoints or locks."""
    path, given = Path(os.path.realpath(ledger)), Path(os.path.abspath(target))
    # A link may be replaced, or what it leads to be written.
    places = (Path(os.path.realpath(given)), Path(os.path.realpath(given.parent), given.name))
    return any(_is_of(path, place) for place in places)


def _is_of(ledger: Path, place: Path) -> bool:
    if place.parent == ledger.parent:
        former = rf"{re.escape(ledger.stem)}\.[0-9a-f]{{8}}{re.escape(ledger.suffix)}"
        return place.name in {f"{ledger.name}{side}" for side in _SIDES} or re.fullmatch(former, place.name) is not None
    # The ledger's folder itself is for whoever writes to refuse, as any folder.
    return ledger.parent in place.parents and place.relative_to(ledger.parent).parts[0] in _FOLDERS
