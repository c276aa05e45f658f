"""
CSV that no spreadsheet takes for formulas, and that can be read back to the same cells.

RFC 4180: commas, CRLF, quotes doubled. Text is always quoted, numbers never, NULL is nothing at all, so that `""` is an empty text. A text that
begins with a sign which spreadsheets act upon, or with an apostrophe, gets one apostrophe in front: whoever reads it back takes one away.
"""

from __future__ import annotations

from collections.abc import Iterable

_ACTED_UPON = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")


def csv_line(cells: Iterable[object]) -> str:
    r"""
    Return *cells* as one record with its line end; bytes stand in hexadecimal.

    >>> csv_line([-5, None, 0.5, b"!"])
    '-5,,0.5,"21"\r\n'
    >>> print(csv_line(["=1+1", "", "-5", "it's"]).rstrip())
    "'=1+1","","'-5","it's"
    """
    return ",".join(map(_cell, cells)) + "\r\n"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float):
        return _number(value)
    text = value.hex() if isinstance(value, bytes) else str(value)
    if text.startswith(_ACTED_UPON):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"'


def _number(value: float) -> str:
    text = repr(value)
    return text if text[-1].isdigit() else f'"{text}"'
