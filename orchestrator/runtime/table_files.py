"""
Files of a known form as rows of named cells: CSV, JSON, JSON lines and Parquet, read as often as it takes and never held whole.

A cell is a text that says what stands there and nothing of how it was written: keys in any order, quotes, line endings and the parts that a file was written in do
not show. A JSON document has to fit into memory, and is limited for that.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, TypeAlias

import attrs

from ledger.errors import MissingExtraError
from orchestrator.runtime.parquet_rows import NoParquetError, parquet_rows
from orchestrator.runtime.rows import LINE_BYTES_MAX, bounded_lines

Row: TypeAlias = Mapping[str, str]

DOCUMENT = "(document)"
"""The column that tells a JSON document that is no list from a list with one element."""
VALUE = "(value)"
"""The column of what has no name: an element of a JSON list that is no object, a cell beyond the header."""

_DOCUMENT_BYTES_MAX = 64 << 20
_ROWS_AT_ONCE = 20_000
_INTEGERS = 2**53
_MARK = "\ufeff"


class UncomparableError(Exception):
    """Raised when the content of a file cannot be read as rows; says why."""


@attrs.frozen
class Table:
    """
    Hold what a file of a known form is.

    Attributes:
        types: Column to type, where the file says of itself what it has; None where only its rows do.
        rows: Gives the rows from the first one, each time that it is called.
    """

    types: Mapping[str, str] | None
    rows: Callable[[], Iterator[Row]]


def is_comparable(name: str) -> bool:
    """Whether the form of a file called *name* is known."""
    return os.path.splitext(name)[1].lower() in _READERS


def open_table(path: str, name: str) -> Table:
    """
    Return the file at *path* as a table of the form that its *name* tells.

    Raises:
        UncomparableError: It is not of that form, is too large for it, or cannot be read.
    """
    reader = _READERS.get(os.path.splitext(name)[1].lower())
    if reader is None:
        raise UncomparableError("only files called .csv, .json, .jsonl, .ndjson and .parquet are compared by content")
    table = _guarded(lambda: reader(path))
    return Table(table.types, lambda: _guarded_rows(table.rows))


def _guarded(work: Callable[[], Table]) -> Table:
    try:
        return work()
    except OSError as error:
        raise UncomparableError(f"it cannot be read: {error.strerror}") from None
    except (csv.Error, NoParquetError, ValueError, RecursionError) as error:
        raise UncomparableError(f"it is not what its name tells: {_short(error)}") from None


def _guarded_rows(rows: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    try:
        yield from rows()
    except OSError as error:
        raise UncomparableError(f"it cannot be read: {error.strerror}") from None
    except (csv.Error, ValueError, RecursionError) as error:
        raise UncomparableError(f"it is not what its name tells: {_short(error)}") from None


def _short(error: BaseException) -> str:
    """Return what kind of mistake *error* is, without the data that its own text may quote."""
    return str(error) if isinstance(error, csv.Error | NoParquetError) else type(error).__name__


# CSV


def _csv(path: str) -> Table:
    with open(path, "rb") as file:
        header = next(csv.reader(_lines(file)), [])
    names = _unique(header)
    return Table(dict.fromkeys(names, "text"), lambda: _csv_rows(path, names))


def _csv_rows(path: str, names: list[str]) -> Iterator[Row]:
    csv.field_size_limit(LINE_BYTES_MAX)  # of the whole process: other libraries set it too
    with open(path, "rb") as file:
        records = csv.reader(_lines(file))
        next(records, None)
        for record in records:
            if record:
                row = dict(zip(names, record, strict=False))
                if len(record) > len(names):
                    row[VALUE] = json.dumps(record[len(names) :])
                yield row


def _lines(file: BinaryIO) -> Iterator[str]:
    mark = _MARK
    for line in bounded_lines(file):
        yield line.decode("utf-8", "surrogateescape").removeprefix(mark)
        mark = ""


def _unique(names: list[str]) -> list[str]:
    """Return *names* with a number behind those that have stood there before."""
    found: dict[str, None] = {}
    for name in names:
        number, chosen = 1, name
        while chosen in found or chosen == VALUE:
            number += 1
            chosen = f"{name} ({number})"
        found[chosen] = None
    return list(found)


# JSON


def _json(path: str) -> Table:
    if os.path.getsize(path) > _DOCUMENT_BYTES_MAX:
        raise UncomparableError(f"a JSON document of more than {_DOCUMENT_BYTES_MAX >> 20} MiB is not compared")
    with open(path, "rb") as file:
        document = _parsed(file.read())
    if isinstance(document, list):
        return Table(None, lambda: map(_json_row, document))
    # One object is not a list of one.
    return Table(None, lambda: iter([{**_json_row(document), DOCUMENT: "true"}]))


def _json_lines(path: str) -> Table:
    return Table(None, lambda: _json_line_rows(path))


def _json_line_rows(path: str) -> Iterator[Row]:
    with open(path, "rb") as file:
        for line in _lines(file):
            if line.strip():
                yield _json_row(_parsed(line))


def _json_row(element: object) -> Row:
    if isinstance(element, dict):
        return {name: json.dumps(value, sort_keys=True) for name, value in element.items()}
    return {VALUE: json.dumps(element, sort_keys=True)}


def _parsed(text: str | bytes) -> object:
    return json.loads(text, object_pairs_hook=_object, parse_float=_number)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")  # which readers take differently
    return found


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _INTEGERS else value


# Parquet


def _parquet(path: str) -> Table:
    with open(path, "rb") as file:
        total = parquet_rows(file)
    polars = polars_module()
    try:
        frame = polars.scan_parquet(path, glob=False)
        schema = frame.collect_schema()
    except polars.exceptions.PolarsError as error:
        raise ValueError(type(error).__name__) from None
    types = {name: str(kind) for name, kind in schema.items()}
    return Table(types, lambda: _parquet_rows(polars, frame, schema, total))


def _parquet_rows(polars: Any, frame: Any, schema: Mapping[str, Any], total: int) -> Iterator[Row]:  # noqa: ANN401 - of an optional package
    counted = [(place, _counted(polars, kind)) for place, kind in enumerate(schema.values())]
    moments = [(place, kind) for place, kind in counted if kind is not None]
    for first in range(0, total, _ROWS_AT_ONCE):
        try:
            part = frame.slice(first, _ROWS_AT_ONCE).collect()
            for place, kind in moments:
                part.replace_column(place, part.to_series(place).cast(kind))
        except polars.exceptions.PolarsError as error:
            raise ValueError(type(error).__name__) from None
        for values in part.iter_rows():
            yield dict(zip(schema, map(repr, values), strict=True))


def _counted(polars: Any, kind: Any) -> Any:  # noqa: ANN401 - of an optional package
    """
    Return the type *kind* with times as the whole numbers that the file has, or None where there is no time in it.

    As objects of Python they would lose what is less than a microsecond, and those of far years could not be made.
    """
    if kind.is_temporal():
        return polars.Int64
    if isinstance(kind, polars.List | polars.Array):
        inner = _counted(polars, kind.inner)
        if inner is None:
            return None
        return polars.List(inner) if isinstance(kind, polars.List) else polars.Array(inner, kind.size)
    if isinstance(kind, polars.Struct):
        fields = {field.name: (field.dtype, _counted(polars, field.dtype)) for field in kind.fields}
        if any(inner is not None for _, inner in fields.values()):
            return polars.Struct({name: inner or own for name, (own, inner) in fields.items()})
    return None


def polars_module() -> Any:  # noqa: ANN401 - of an optional package
    """
    Return what reads Parquet.

    Raises:
        UncomparableError: It is not installed; says how it is.
    """
    try:
        import polars as pl
    except ImportError:
        raise UncomparableError(str(MissingExtraError("parquet", "comparing Parquet by content"))) from None
    return pl


_READERS: dict[str, Callable[[str], Table]] = {
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}
