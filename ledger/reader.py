"""
Reading a ledger without being able to change it, and without loading what only writing needs.

While a run writes, readers see whole transactions. Where the folder is not theirs to write and no write-ahead log stands, the
file is opened without locks, and whoever reads it so asks `check_unchanged` at the end.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from ledger.computing import load_schema, refuse_computing
from ledger.errors import (
    ChangedWhileReadingError,
    DamagedLedgerError,
    ForeignFileError,
    LedgerNotFoundError,
    StorageError,
)
from ledger.schema import ledger_format, looks_like_sqlite, own_objects

_CHANGE_COUNTER = slice(24, 28)
_SIDES = ("-journal", "-wal", "-shm")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFLNK: "a link",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class LedgerReader:
    """
    Open the ledger at *path* for reading.

    Args:
        tables: Names of tables of projections that will be read, without their views.

    Attributes:
        connection: For SELECT; every other statement is refused by SQLite.
        immutable: The file was opened without locks.
        format: Of the ledger.

    Raises:
        LedgerNotFoundError: There is no such file.
        ForeignFileError: It is no ledger.
        NewerLedgerError: A newer program made it.
        DamagedLedgerError: What stands beside it in the place of its log is no file, or its schema cannot be read.
        ComputingSchemaError: A table would compute what it shows, and not as this program made it.
        StorageError: It cannot be read.
    """

    def __init__(self, path: Path, tables: Iterable[str] = ()) -> None:
        self._path = path
        self.connection, self.immutable = _connect(path)
        try:
            self._identity = _identity(path) if self.immutable else None
            self._check(tables)
        except BaseException:
            self.connection.close()
            raise

    def check_unchanged(self) -> None:
        """
        Make sure that what was read belongs together.

        Raises:
            ChangedWhileReadingError: The file was read without locks and changed meanwhile.
        """
        if self._identity is None:
            return
        try:
            unchanged = self._identity == _identity(self._path)
        except OSError:
            unchanged = False
        if not unchanged:
            raise ChangedWhileReadingError(str(self._path))

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self, tables: Iterable[str]) -> None:
        try:
            # What is no ledger at all is said first.
            self.format = ledger_format(self.connection, str(self._path))
            load_schema(self.connection, self._path)
            own = own_objects(self.format)
            refuse_computing(self.connection, self._path, [*own, *tables], own)
        except sqlite3.Error as error:
            raise StorageError(str(self._path), str(error)) from error


def odd_kind(mode: int) -> str | None:
    """Return what a file with the *mode* is, or None where it is a regular one."""
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "a special file")


def check_sides(path: Path) -> None:
    """
    Make sure that what stands beside the file *path* under the names of its log are files: SQLite would wait for a FIFO without end.

    Raises:
        DamagedLedgerError: One of them is something else.
        OSError: That cannot be seen.
    """
    for side in _SIDES:
        place = Path(f"{path}{side}")
        try:
            kind = odd_kind(place.lstat().st_mode)
        except FileNotFoundError:
            continue
        if kind is not None:
            what = f"{place} is {kind}, expected a regular file or none: no program of ours made it, move it away"
            raise DamagedLedgerError(str(path), [what])


def _connect(path: Path) -> tuple[sqlite3.Connection, bool]:
    try:
        wrong = looks_like_sqlite(path)
    except (FileNotFoundError, NotADirectoryError):
        raise LedgerNotFoundError(str(path)) from None
    except OSError as error:
        raise StorageError(str(path), error.strerror or str(error)) from error
    if wrong is not None:
        raise ForeignFileError(str(path), wrong)
    # The log stands beside the file itself, wherever a link to it may stand.
    path = path.resolve()
    check_sides(path)
    immutable = not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists()
    mode = "immutable=1" if immutable else "mode=ro"
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True, timeout=30, isolation_level=None)
    except sqlite3.Error as error:
        raise StorageError(str(path), str(error)) from error
    return connection, immutable


def _identity(path: Path) -> tuple[int, int, int, int, bytes]:
    # The counter alone does not do: with a write-ahead log, it stands still while no page is added.
    status = path.stat()
    with path.open("rb") as file:
        counter = file.read(28)[_CHANGE_COUNTER]
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, counter


def kept_blob(connection: sqlite3.Connection, digest: str) -> bytes | None:
    """Return the bytes that the ledger of *connection* keeps under *digest*, or None."""
    row: tuple[bytes] | None = connection.execute("SELECT bytes FROM main.blobs WHERE digest = ?", (digest,)).fetchone()
    return None if row is None else row[0]


def read_rows(
    connection: sqlite3.Connection, sql: str, values: Sequence[object] | Mapping[str, object] = ()
) -> list[dict[str, Any]]:
    """Return what *sql* selects, each row by the names of its columns."""
    cursor = connection.execute(sql, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
