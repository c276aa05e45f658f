"""
What a file would compute for whoever reads it, found in the text of its schema before anything of it runs.

A column, a rule, an index or a view of a hostile file may hold a computation that never ends, and one step of it alone may last for hours: nothing can
stop SQLite there. So what is not as this program made it is never computed; what else has to be looked at is looked at within limits.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from ledger.errors import ComputingSchemaError, DamagedLedgerError, StorageError

MALFORMED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR")
"""Beginnings of the names of errors that say something about the file, not about the machine."""

_SECONDS = 10.0
_VALUE_BYTES = 100_000  # Far more than any text of a schema has, and so little that a step cannot take long.
_STEPS_BETWEEN_LOOKS = 10
_FINDINGS_AT_MOST = 100
_STEPS_A_BYTE, _STEPS_AT_LEAST, _STEPS_COUNTED = 10, 50_000_000, 100_000
_COLUMN = re.compile(r"\bas\b", re.IGNORECASE | re.ASCII)
_RULE = re.compile(r"\bcheck\b", re.IGNORECASE | re.ASCII)
_TABLE = re.compile(r"\s*CREATE\s+TABLE\b", re.IGNORECASE)
_PLAIN_INDEX = re.compile(
    r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+[\w\"]+\s+ON\s+[\w\"]+\s*\((?:\s*[\w\"]+(?:\s+(?:ASC|DESC))?\s*,?)+\)\s*",
    re.IGNORECASE,
)
_ROWS = "SELECT type, name, tbl_name, CAST(sql AS TEXT) FROM main.sqlite_schema WHERE sql IS NOT NULL"

Row = tuple[str, str, str, str]
"""Kind, name, table and SQL of an object."""


def schema_rows(connection: sqlite3.Connection) -> list[Row]:
    """Return every object of the file that has a text, without computing anything of it."""
    return connection.execute(_ROWS).fetchall()


def load_schema(connection: sqlite3.Connection, path: Path) -> None:
    """
    Let SQLite read the schema of the ledger at *path*, within limits: it asks tables of the file, its statistics, on the way.

    Raises:
        DamagedLedgerError: It is malformed, or cannot be read within the limits.
        StorageError: The machine does not let it be read.
    """
    try:
        with _limited(connection, _until(_SECONDS)):
            connection.execute("SELECT 1 FROM main.sqlite_schema LIMIT 0").fetchall()
    except UnicodeDecodeError as error:
        # What SQLite says of a malformed schema has a name of it in it, byte by byte.
        what = error.object.decode("utf-8", "backslashreplace")
        raise DamagedLedgerError(str(path), [what]) from error
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_INTERRUPT" or isinstance(error, sqlite3.DataError):
            what = "SQLite is not done with reading its schema after 10 s, or meets a text of more than 100 kB in it"
            raise DamagedLedgerError(str(path), [what]) from error
        if name.startswith(MALFORMED):
            raise DamagedLedgerError(str(path), [str(error)]) from error
        raise StorageError(str(path), str(error)) from error


def refuse_computing(
    connection: sqlite3.Connection, path: Path, names: Collection[str], made: Mapping[str, str] | None = None
) -> None:
    """
    Make sure that whoever reads the tables *names* reads what is stored, and has nothing computed that this program did not make.

    Args:
        made: The normalised text of those that may compute something, by name; see `ledger.schema.schema_objects`.

    Raises:
        ComputingSchemaError: Names each of them that is a view, or has columns that are computed.
    """
    wanted = {name.lower() for name in names}
    found = [
        f"{name} is not as it was made"
        for kind, name, _, sql in schema_rows(connection)
        if kind.lower() in ("table", "view")
        and name.lower() in wanted
        and is_computed(sql)
        and normalised(sql) != (made or {}).get(name)
    ]
    if found:
        raise ComputingSchemaError(
            str(path), [*found, "what is shown there is computed, perhaps without end: nothing of it was read"]
        )


def is_computed(sql: str) -> bool:
    """Whether a table or view that is made by *sql* may compute what it shows; a table that has the word `AS` in its text for another reason counts."""
    return _TABLE.match(sql) is None or _COLUMN.search(sql) is not None


def normalised(sql: str) -> str:
    """Return *sql* without what does not matter to SQLite."""
    return re.sub(r"[ \t\r\n]+", " ", sql).strip(" ")  # no other blank is one to SQLite


def integrity_problems(
    connection: sqlite3.Connection, path: Path, made: Mapping[str, str], *, quick: bool = False
) -> Iterator[str]:
    """
    Yield what SQLite finds wrong with the structures of the file at *path*: at most a hundred.

    Rules, computed columns and indexes that are not as they were *made* are computed within limits, each table that has some by itself; that one cannot
    be looked at in this way is a finding.

    Args:
        quick: Without comparing indexes with their tables.
    """
    check = "main.quick_check" if quick else "main.integrity_check"
    rows = schema_rows(connection)
    strange = {
        table.lower()
        for kind, name, table, sql in rows
        if _may_compute(kind, sql) and normalised(sql) != made.get(name)
    }
    if not strange:
        with bounded(connection, path):
            yield from _found(connection, f"{check}({_FINDINGS_AT_MOST})")
        return
    look = _until(_SECONDS)
    for table in sorted(name for kind, name, _, _ in rows if kind.lower() == "table"):
        if not re.match(r"[A-Za-z_]", table):
            # SQLite takes a digit for how many findings are wanted, of all tables.
            yield f"{table}: with such a name it cannot be looked at by itself"
            continue
        pragma = f"""{check}("{table.replace('"', '""')}")"""
        if table.lower() not in strange:
            with bounded(connection, path):
                yield from _found(connection, pragma)
            continue
        try:
            with _limited(connection, look):
                found = list(_found(connection, pragma))
        except sqlite3.DatabaseError as error:
            name = getattr(error, "sqlite_errorname", "")
            what = "is not done after 10 s, or needs a value of more than 100 kB"
            if name == "SQLITE_ERROR":
                what = f"fails: {error}"
            elif name != "SQLITE_INTERRUPT" and not isinstance(error, sqlite3.DataError):
                raise
            found = [f"{table}: what the file computes for it {what}"]
        yield from found


def _may_compute(kind: str, sql: str) -> bool:
    if kind.lower() == "index":
        return _PLAIN_INDEX.fullmatch(sql) is None
    return kind.lower() == "table" and (is_computed(sql) or _RULE.search(sql) is not None)


def _found(connection: sqlite3.Connection, pragma: str) -> Iterator[str]:
    for (text,) in connection.execute(f"PRAGMA {pragma}"):
        if text != "ok":
            yield text


@contextlib.contextmanager
def bounded(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """
    Let the statements of the block take so many steps as a file of the size of *path* can need, and no more: ten a byte, where verifying takes one for four.

    Pages that lead to each other again and again would be read without end. Whoever takes more is interrupted by SQLite.
    """
    left = (_STEPS_AT_LEAST + _STEPS_A_BYTE * file_bytes(path)) // _STEPS_COUNTED
    # Without a step of Python, see `_until`.
    look = itertools.chain(itertools.repeat(False, left), itertools.repeat(True)).__next__
    connection.set_progress_handler(look, _STEPS_COUNTED)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


def file_bytes(path: Path) -> int:
    """Return how long the file at *path* and its log are together."""
    found = 0
    for place in (path, Path(f"{path}-wal")):
        with contextlib.suppress(OSError):
            found += place.stat().st_size
    return found


def _until(seconds: float) -> Callable[[], bool]:
    """
    Return what says whether *seconds* are over, without a step of Python.

    A signal is acted on between two such steps, and what that raises while SQLite asks is swallowed: Ctrl-C would be taken for damage. So it waits for the end of
    the statement.
    """
    deadline = time.monotonic() + seconds
    return map(deadline.__le__, iter(time.monotonic, None)).__next__


@contextlib.contextmanager
def _limited(connection: sqlite3.Connection, look: Callable[[], bool]) -> Iterator[None]:
    most = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _VALUE_BYTES)
    connection.set_progress_handler(look, _STEPS_BETWEEN_LOOKS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, most)
