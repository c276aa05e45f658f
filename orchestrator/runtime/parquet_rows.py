"""
How many rows a Parquet file has, as its footer says: one number, for which no library has to be there.

The footer is a struct in Thrift's compact protocol; all fields but the third, `num_rows`, are passed over.
"""

from __future__ import annotations

import os
from typing import BinaryIO

_MAGIC = b"PAR1"
_TAIL_BYTES = 8
_FOOTER_BYTES_MAX = 64 << 20
_NESTED_MAX = 64
_NUM_ROWS = 3
_BOOLEANS, _INTEGERS, _BINARY, _LISTS, _STRUCT, _I64 = (1, 2), (4, 5, 6), 8, (9, 10), 12, 6
_SIZES = {1: 0, 2: 0, 3: 1, 7: 8}
"""Kinds of a size that is known: true and false, which stand in the header, a byte, a double."""
_LONG_LIST = 15
_VARINT_BYTES_MAX = 10


class NoParquetError(Exception):
    """Raised when a file is no Parquet file; says in which way."""


def parquet_rows(file: BinaryIO) -> int:
    """
    Return the number of rows of *file*.

    Raises:
        NoParquetError: It is none.
        OSError: It cannot be read.
    """
    size = file.seek(0, os.SEEK_END)
    if size < _TAIL_BYTES + len(_MAGIC):
        raise NoParquetError("it is too short")
    file.seek(size - _TAIL_BYTES)
    tail = file.read(_TAIL_BYTES)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or length > min(size - _TAIL_BYTES, _FOOTER_BYTES_MAX):
        raise NoParquetError("it does not end in a footer")
    file.seek(size - _TAIL_BYTES - length)
    footer = _Footer(file.read(length))
    try:
        rows = footer.num_rows()
    except IndexError:
        raise NoParquetError("its footer is cut off") from None
    if rows < 0:
        raise NoParquetError("its footer names a negative number of rows")
    return rows


class _Footer:
    """Walk through a struct in the compact protocol."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def num_rows(self) -> int:
        field = 0
        while header := self._byte():
            delta, kind = header >> 4, header & 15
            field = field + delta if delta else self._signed()
            if field == _NUM_ROWS and kind == _I64:
                return self._signed()
            self._skip(kind, 0)
        raise NoParquetError("its footer names no number of rows")

    def _byte(self) -> int:
        byte = self._data[self._at]
        self._at += 1
        return byte

    def _varint(self) -> int:
        value = 0
        for place in range(_VARINT_BYTES_MAX):
            byte = self._byte()
            value |= (byte & 127) << (7 * place)
            if byte < 128:  # noqa: PLR2004 -- the bit that says that more follows
                return value
        raise NoParquetError("its footer holds a number without an end")

    def _signed(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, kind: int, depth: int) -> None:
        if depth > _NESTED_MAX:
            raise NoParquetError("its footer is nested without end")
        if kind in _INTEGERS:
            self._varint()
        elif kind == _BINARY:
            size = self._varint()
            self._at += size
        elif kind in _LISTS:
            self._skip_list(depth)
        elif kind == _STRUCT:
            while header := self._byte():
                if not header >> 4:
                    self._varint()
                self._skip(header & 15, depth + 1)
        elif kind in _SIZES:
            self._at += _SIZES[kind]
        else:
            raise NoParquetError(f"its footer holds a value of the unknown kind {kind}")

    def _skip_list(self, depth: int) -> None:
        header = self._byte()
        size = header >> 4
        if size == _LONG_LIST:
            size = self._varint()
        if size > len(self._data):
            raise NoParquetError("its footer holds a list that is longer than itself")
        for _ in range(size):
            if header & 15 in _BOOLEANS:
                self._at += 1
            else:
                self._skip(header & 15, depth + 1)
