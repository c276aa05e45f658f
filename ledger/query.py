"""
Questions in SQL from people who may ask anything: answered from a ledger that stays as it is, within limits.

SQLite opens the file for reading only; beside that, each statement passes an authorizer that lets it read tables and call known functions, and
nothing else: no other file, no setting, no extension. Time, rows, bytes and memory are bounded, and an answer that does not fit is none.
"""

from __future__ import annotations

import contextlib
import functools
import re
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ledger.errors import QueryLimitError, QueryRefusedError

Cell = int | float | str | bytes | None

_VALUE_BYTES_MAX = 16 << 20
STATEMENT_BYTES_MAX = 100_000
_STEPS_BETWEEN_LOOKS = 1_000
_CELL_BYTES = 8  # What a number counts, and what holding any cell costs at least.

_SETTINGS = (
    # Not trusted_schema = OFF: SQLite 3.40 then refuses json_extract in our own columns. The authorizer sees what views call, too.
    "PRAGMA cell_size_check = ON",
    "PRAGMA mmap_size = 0",
    "PRAGMA query_only = ON",
)
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: _VALUE_BYTES_MAX,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: STATEMENT_BYTES_MAX,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 100,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1_000,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
# fmt: off
_FUNCTIONS = frozenset({
    # Text, numbers and blobs.
        "abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "ceil", "ceiling", "char", "coalesce", "concat", "concat_ws", "cos", "cosh", "degrees", "exp", "floor", "format", "glob", "hex",
        "if", "ifnull", "iif", "instr", "length", "like", "likelihood", "likely", "ln", "log", "log10", "log2", "lower", "ltrim", "max", "min", "mod", "nullif", "octet_length", "pi", "pow", "power",
        "printf", "quote", "radians", "random", "randomblob", "replace", "round", "rtrim", "sign", "sin", "sinh", "soundex", "sqrt", "substr", "substring", "tan", "tanh", "trim", "trunc", "typeof",
        "unhex", "unicode", "unistr", "unistr_quote", "unlikely", "upper", "zeroblob", "sqlite_version",
    # Times.
        "current_date", "current_time", "current_timestamp", "date", "datetime", "julianday", "strftime", "time", "timediff", "unixepoch",
    # JSON.
        "->", "->>", "json", "json_array", "json_array_length", "json_each", "json_error_position", "json_extract", "json_group_array", "json_group_object", "json_insert",
        "json_object", "json_patch", "json_pretty", "json_quote", "json_remove", "json_replace", "json_set", "json_tree", "json_type", "json_valid",
    # Aggregates and windows.
        "avg", "count", "cume_dist", "dense_rank", "first_value", "group_concat", "lag", "last_value", "lead", "median", "nth_value", "ntile", "percent_rank", "percentile",
        "percentile_cont", "percentile_disc", "rank", "row_number", "string_agg", "sum", "total",
})
# fmt: on
"""What a statement may call; whatever else this SQLite or somebody's build of it offers is refused."""

_MAY = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_WORDS = {
    sqlite3.SQLITE_ATTACH: "open another file",
    sqlite3.SQLITE_DETACH: "close a file",
    sqlite3.SQLITE_PRAGMA: "look at or change a setting",
    sqlite3.SQLITE_TRANSACTION: "begin or end a transaction",
    sqlite3.SQLITE_SAVEPOINT: "begin or end a transaction",
    sqlite3.SQLITE_INSERT: "write",
    sqlite3.SQLITE_UPDATE: "write",
    sqlite3.SQLITE_DELETE: "write",
}


class Limits(NamedTuple):
    """What an answer may cost: seconds until it is complete, its rows, and the bytes of its cells."""

    seconds: float = 30.0
    rows: int = 100_000
    bytes: int = 64 << 20


class Answer(NamedTuple):
    """Names of the columns, and the rows; `complete` where these are all."""

    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    complete: bool = True


class QueryTimeError(QueryLimitError):
    """Raised when a statement takes longer than it may."""


def prepare(connection: sqlite3.Connection) -> None:
    """Make *connection*, which is open for reading, fit for statements from outside; done once, before a transaction begins."""
    for setting in _SETTINGS:
        connection.execute(setting).fetchall()
    if connection.execute("SELECT 1 FROM temp.sqlite_schema LIMIT 1").fetchone() is None:
        # What is sorted goes into no file; the limit of memory bounds it. Temporary tables that stand there would be lost.
        connection.execute("PRAGMA temp_store = MEMORY").fetchall()
    for category, most in _LIMITS.items():
        connection.setlimit(category, most)
    # They declare themselves when first met, in words that the authorizer takes for a change of the schema.
    connection.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')").fetchall()
    for name in ("printf", "format"):
        connection.create_function(name, -1, functools.partial(_formatted, name), deterministic=True)
    # A text that is none is shown as what it is: somebody may have made it on purpose.
    connection.text_factory = lambda text: text.decode("utf-8", "backslashreplace")


def limit_memory(connection: sqlite3.Connection, most_bytes: int) -> None:
    """Let SQLite have at most *most_bytes* in the whole process, for its remaining life: it cannot be raised again."""
    connection.execute(f"PRAGMA hard_heap_limit = {int(most_bytes)}").fetchall()


def ask(
    connection: sqlite3.Connection,
    statement: str,
    parameters: Mapping[str, int | str] | Sequence[int | str] | None = None,
    limits: Limits | None = None,
    clock: Callable[[], float] = time.monotonic,
    *,
    cut: bool = False,
) -> Answer:
    """
    Return the whole answer to *statement*; *connection* was given to `prepare`, and is as it was afterwards.

    Args:
        cut: Return the first rows of an answer that has more of them than it may, instead of none.

    Raises:
        QueryRefusedError: It is not exactly one statement, does not compile, or would do something else than reading.
        QueryLimitError: It took longer or gave more than *limits*, or needs more memory than there is.
        KeyboardInterrupt: The user had enough.
    """
    limits = limits or Limits()
    deadline = clock() + limits.seconds
    denied: list[str] = []
    if "\0" in statement:
        raise QueryRefusedError("it holds a NUL character, at which SQL ends")
    connection.set_authorizer(_authorizer(denied))
    connection.set_progress_handler(lambda: clock() >= deadline, _STEPS_BETWEEN_LOOKS)
    try:
        cursor = connection.execute(statement, parameters or {})
        if cursor.description is None:
            raise QueryRefusedError("there is no statement in it")
        columns = tuple(column[0] for column in cursor.description)
        return Answer(columns, *_rows(cursor, limits, cut=cut))
    except MemoryError:
        raise QueryLimitError("it needs more memory than a query may have: ask for less at a time") from None
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        if _name(error) == "SQLITE_INTERRUPT" and clock() < deadline:
            # SQLite swallows what is raised while it works, Ctrl-C too.
            raise KeyboardInterrupt from None
        raise _error(error, denied, limits) from None
    finally:
        connection.set_progress_handler(None, 0)
        connection.set_authorizer(None)


def _rows(cursor: sqlite3.Cursor, limits: Limits, *, cut: bool) -> tuple[list[tuple[Cell, ...]], bool]:
    rows: list[tuple[Cell, ...]] = []
    size = 0
    for row in cursor:
        size += sum(_CELL_BYTES + (len(cell) if isinstance(cell, str | bytes) else 0) for cell in row)
        if cut and len(rows) >= limits.rows:
            return rows, False
        if len(rows) >= limits.rows:
            raise QueryLimitError(f"the answer has more than {limits.rows:,} rows: add a LIMIT, or raise --max-rows")
        if size > limits.bytes:
            raise QueryLimitError(
                f"the answer has more than {limits.bytes:,} bytes: ask for less, or raise --max-bytes"
            )
        rows.append(row)
    return rows, True


def _formatted(name: str, *values: Cell) -> str | None:
    """Return what SQLite's function *name* makes of *values*: of a text that it finds too long, older versions made NULL without a word."""
    made = None
    with contextlib.suppress(sqlite3.DataError):
        (made,) = _formatter().execute(f"SELECT {name}({', '.join('?' * len(values))})", values).fetchone()
    form = values[0] if values else None
    form = form.decode("latin-1") if isinstance(form, bytes) else form
    if made is None and form is not None and str(form).partition("\0")[0]:
        # What the sqlite3 module hands on as `string or blob too big`.
        raise OverflowError
    return made


@functools.cache
def _formatter() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _VALUE_BYTES_MAX)
    return connection


def _authorizer(denied: list[str]) -> Callable[[int, str | None, str | None, str | None, str | None], int]:
    def authorize(action: int, first: str | None, second: str | None, _database: str | None, _inner: str | None) -> int:
        if action in _MAY:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION:
            if (second or "").lower() in _FUNCTIONS:
                return sqlite3.SQLITE_OK
            denied.append(f"call {second}(), which is not a function that a query may call")
        else:
            other = "change the schema or the file"
            word = other if str(first).startswith("sqlite_") else _WORDS.get(action, other)
            denied.append(word + (f" ({first})" if first else ""))
        return sqlite3.SQLITE_DENY

    return authorize


def _error(error: Exception, denied: Sequence[str], limits: Limits) -> QueryRefusedError:
    if denied:
        return QueryRefusedError(f"a query only reads, and this one would {denied[0]}")
    name = _name(error)
    if name == "SQLITE_INTERRUPT":
        return QueryTimeError(f"it was not done after {limits.seconds:g} s: ask for less, or raise --timeout")
    if name == "SQLITE_TOOBIG" or isinstance(error, sqlite3.DataError):
        return QueryLimitError(f"it needs a value of more than {_VALUE_BYTES_MAX >> 20} MiB, or is itself too long")
    if isinstance(error, sqlite3.DatabaseError) and name.startswith(
        ("SQLITE_CORRUPT", "SQLITE_IOERR", "SQLITE_NOTADB")
    ):
        raise error
    return QueryRefusedError(_said(error))


def _said(error: Exception) -> str:
    """Say it in words that are the same with every version of SQLite and of Python; only what SQLite found in the statement is its own."""
    if "one statement" in str(error):
        return "it is more than one statement: ask one at a time"
    if isinstance(error, UnicodeEncodeError):
        return "it holds bytes that are no UTF-8"
    if "user-defined function" in str(error):
        return "printf() was given a text that is no UTF-8"
    missing = re.fullmatch(r"You did not supply a value for binding (?:parameter )?:(\w+)\.", str(error))
    if missing is not None:
        return f"it asks for :{missing[1]}, which was given no value"
    if str(error).startswith("Binding "):
        return "a value without a name cannot be given: write :NAME instead of ?"
    return f"SQLite does not take it: {error}"


def _name(error: Exception) -> str:
    return str(getattr(error, "sqlite_errorname", ""))
