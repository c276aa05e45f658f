"""
From rows of a ledger to a dataframe, column by column, with the types that the data dictionary gives them.

Rows are taken in pieces and turned into columns at once: a million tuples at a time cost more than the strings in them.
"""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

_ROWS_AT_ONCE = 20_000
_FLAGS = frozenset({"forced", "git_dirty", "final", "inherited"})
"""Columns whose integers are yes and no."""


def columns_of(connection: sqlite3.Connection, statement: str, values: Sequence[object] = ()) -> list[list[Any]]:
    """Return what *statement* selects as a list for each of its columns."""
    cursor = connection.execute(statement, values)
    found: list[list[Any]] = [[] for _ in cursor.description]
    with _without_collecting():
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            for column, piece in zip(found, zip(*rows, strict=True), strict=True):
                column.extend(piece)
    return found


def frame_of(types: Mapping[str, str], columns: Sequence[list[Any]], zone: str) -> pd.DataFrame:
    """
    Return a dataframe of *columns*.

    Args:
        types: Name to `text`, `integer` or `real`, as views have them, in the order of *columns*.
        zone: The time zone of what ends in `_at`.
    """
    series = {
        name: _series(name, kind, values, zone) for (name, kind), values in zip(types.items(), columns, strict=True)
    }
    return pd.DataFrame(series, copy=False)


def _series(name: str, kind: str, values: list[Any], zone: str) -> pd.Series[Any]:
    if name.endswith("_at"):
        return _times(values, zone)
    if name == "night":
        return pd.to_datetime(pd.Series(values, dtype="str"), format="%Y-%m-%d", errors="coerce").dt.as_unit("us")
    if name in _FLAGS:
        return pd.Series(values, dtype="Int64").astype("boolean")
    if kind == "real":
        return pd.Series(values, dtype="float64")
    if kind == "integer":
        return pd.Series(_integers(values), copy=False)
    return pd.Series(values, dtype="str")


def _integers(values: list[Any]) -> pd.api.extensions.ExtensionArray:
    # Always of the type that can be empty: whoever computes with a column should not find another one tomorrow.
    if None in values:
        return pd.array(values, dtype="Int64")
    return pd.arrays.IntegerArray(np.array(values, dtype="int64"), np.zeros(len(values), dtype="bool"))


def _times(values: list[Any], zone: str) -> pd.Series[Any]:
    # Texts of one form: twice as quick as one by one, and what is none of a time stays empty.
    found = pd.to_datetime(pd.Series(values, dtype="str"), format="ISO8601", utc=True, errors="coerce").dt.as_unit("us")
    return found if zone == "UTC" else found.dt.tz_convert(zone)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Look for no garbage meanwhile: there is none, and looking at each new row again and again is half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
