"""Telling a damaged ledger from a disk that failed, wherever its tables are asked directly."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ledger.errors import DamagedLedgerError, StorageError

_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR")
_NO_TEXT = "Could not decode to UTF-8"


@contextlib.contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """
    Turn what SQLite finds wrong with the file at *path* into an error that names the file.

    Raises:
        DamagedLedgerError: Its tables, or the texts in them, are not as this program made them.
        StorageError: It could not be read.
    """
    try:
        yield
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DamagedLedgerError(str(path), [f"a text in it is none: {error}"]) from None
    except sqlite3.DatabaseError as error:
        # Tables that are not as this program made them are a plain error to SQLite; a text that is none has no name at all.
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(_DAMAGE) or str(error).startswith(_NO_TEXT):
            raise DamagedLedgerError(str(path), [str(error)]) from None
        raise StorageError(str(path), str(error)) from None
