"""
Ledgers that this user has signed and that are not where they were: the folder beside the definition may be lost, what was signed is not.

Beside the key of a ledger stands the path at which it was sealed last. A run that finds nothing there, or another ledger that does not continue it, would begin
a new history in its place without a word; it is refused as one that was turned back.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from ledger.chain import former_ledgers
from ledger.errors import InconsistentHistoryError, LedgerError
from ledger.folders import write_private
from ledger.outside import outside_files, read_note
from ledger.schema import ledger_identity
from ledger.signer import memory_of
from orchestrator.cli import render
from orchestrator.cli.keyring import config_folder, operator_folder
from orchestrator.core.printable import printable

PLACE = "place"


def note_place(ledger_id: str, path: Path) -> None:
    """Keep beside the key of the ledger *ledger_id* that it was sealed at *path*; where that cannot be written, its loss is not noticed, and nothing else."""
    file, text = operator_folder(ledger_id) / PLACE, f"{path.resolve()}\n"
    with contextlib.suppress(OSError):
        if not file.exists() or read_note(file) != text:
            for other in _signed_at(path.resolve()):
                (other / PLACE).unlink()  # A former ledger: what is there now was held to it.
            write_private(file, text)


def refuse_lost(path: Path, connection: sqlite3.Connection | None = None) -> None:
    """
    Make sure that no other ledger that this user has signed belongs at *path*.

    Args:
        connection: To the ledger that is there now, or None where there is none.

    Raises:
        InconsistentHistoryError: One does, and what is there now does not continue it.
        KeyFileError: What was signed of it cannot be read.
    """
    lost = _signed_at(path.resolve())
    if connection is not None and lost:
        known = {ledger_identity(connection, str(path))}
        known |= {former.continues.ledger for former in former_ledgers(path, connection)}
        lost = [folder for folder in lost if folder.name not in known]
    for folder in lost:
        memory = memory_of(folder)
        if memory is not None:
            what = f"{memory.size} events of the ledger {folder.name} were signed here, and it is gone"
            hint = "put it back, or go on from a backup with `orchestrate audit restore`; to begin a new history on purpose, remove"
            raise InconsistentHistoryError(str(path), f"{what}: {hint} {folder / PLACE}")


def loss_at(path: Path) -> str | None:
    """Return what there is to say of the ledger at *path*, which is not there, where this user has signed one at this place; else None."""
    try:
        refuse_lost(path)
    except LedgerError as error:
        return str(error)
    return None


def warn_of_remains(path: Path) -> None:
    """Say that checkpoints lie where the ledger at *path*, which is not there, would begin: nobody has signed them here, so that they stop nothing."""
    folders: list[Path] = []
    with contextlib.suppress(OSError):
        folders = [folder for folder in (path.parent / "checkpoints").iterdir() if outside_files(folder)]
    if folders:
        what = f"{path} is not there, but {folders[0]} holds checkpoints of a ledger: a new history begins here"
        hint = "to go on with the former one, put it back, or `orchestrate audit restore` a backup"
        render.err(printable(f"warning: {what}; {hint}"))


def _signed_at(path: Path) -> list[Path]:
    """Return the folders of the ledgers that were sealed at *path*."""
    found = []
    with contextlib.suppress(OSError):
        for folder in sorted((config_folder() / "ledgers").iterdir()):
            with contextlib.suppress(OSError):
                if read_note(folder / PLACE) == f"{path}\n":
                    found.append(folder)
    return found
