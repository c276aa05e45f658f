"""
Counting the rows of a file whose form its name tells: CSV, JSON lines, Parquet; a little at a time.

CSV has a header and records, in which a quoted value may hold line breaks; JSON lines have a document in each line that is not blank; Parquet
says in its footer how many rows it has.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

from orchestrator.runtime.parquet_rows import NoParquetError, parquet_rows

_CHUNK_BYTES = 1 << 20
LINE_BYTES_MAX = 1 << 20
_FIELD_CHARS_MAX = 1 << 17
_CSV_BYTES_BEFORE_YIELD = 1 << 14


class UncountableError(Exception):
    """Raised when the rows of a file cannot be counted; says why."""


def count_rows(path: str) -> Iterator[int | None]:
    """
    Yield None to give way, at last how many rows the file at *path* has.

    Raises:
        UncountableError: Its form is not known, or it is not of the form that its name tells, or it cannot be read.
    """
    count = _COUNTERS.get(os.path.splitext(path)[1].lower())
    if count is None:
        raise UncountableError(
            "only files called .csv, .jsonl, .ndjson and .parquet are counted: the step can report rows"
        )
    try:
        with open(path, "rb") as file:
            yield from count(file)
    except OSError as error:
        raise UncountableError(f"a file cannot be read: {error.strerror}") from None
    except (csv.Error, NoParquetError) as error:
        raise UncountableError(f"a file is not what its name tells: {error}") from None


def _csv_rows(file: BinaryIO) -> Iterator[int | None]:
    csv.field_size_limit(_FIELD_CHARS_MAX)  # of the whole process: other libraries lift it
    rows, looked_at = 0, 0
    # What the lines mean does not matter, so that any encoding over ASCII will do.
    for record in csv.reader(line.decode("latin-1") for line in bounded_lines(file)):
        rows += bool(record)
        if file.tell() - looked_at >= _CSV_BYTES_BEFORE_YIELD:
            looked_at = file.tell()
            yield None
    yield max(0, rows - 1)


def bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    """
    Yield the lines of *file*, none of which is longer than a program that reads it whole can bear.

    Raises:
        csv.Error: One is.
    """
    while line := file.readline(LINE_BYTES_MAX):
        if len(line) == LINE_BYTES_MAX:
            raise csv.Error(f"it has a line of more than {LINE_BYTES_MAX} bytes")
        yield line


def _json_lines(file: BinaryIO) -> Iterator[int | None]:
    rows, filled = 0, False
    while chunk := file.read(_CHUNK_BYTES):
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            rows += filled or bool(line.strip())
            filled = False
        filled = filled or bool(rest.strip())
        yield None
    yield rows + filled


def _parquet(file: BinaryIO) -> Iterator[int | None]:
    yield parquet_rows(file)


_COUNTERS: dict[str, Callable[[BinaryIO], Iterator[int | None]]] = {
    ".csv": _csv_rows,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}
