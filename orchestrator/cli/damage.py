"""Telling a damaged ledger from a disk that failed, wherever its tables are asked directly."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ledger.errors import DamagedLedgerError, LedgerError, StorageError
from orchestrator.core.errors import InternalError

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
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        InternalError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        # An event that was changed may say anything: it is no bug of the program that it makes no sense.
        changed = _changed_event(path)
        if changed is None:
            raise
        what = f"the text of event {changed} is not what its hash says, see `orchestrate audit verify`"
        raise DamagedLedgerError(str(path), [what]) from error


def _changed_event(path: Path) -> int | None:
    """Return the first event whose text is not what its hash says; None where there is none, or where nobody can tell."""
    # Whoever only looks has no use for hashes.
    from ledger.merkle import leaf_hash
    from ledger.reader import LedgerReader

    with contextlib.suppress(LedgerError, sqlite3.Error), LedgerReader(path) as reader:
        for seq, body, leaf in reader.connection.execute("SELECT seq, body, leaf_hash FROM events ORDER BY seq"):
            if leaf_hash(body.encode("utf-8", "surrogatepass")) != leaf:
                return int(seq)
    return None
