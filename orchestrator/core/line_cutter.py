"""
Cutting a stream of bytes into lines, also where pieces of it are missing: what stands on two sides of a gap is never joined.

It holds a bounded part of one line, however long that is.
"""

from __future__ import annotations

from typing import NamedTuple

LINE_BYTES_MAX = 16_384


class Line(NamedTuple):
    """
    Hold a line without its end.

    Attributes:
        number: Its place in the stream, from 1 on; those that were lost count.
        is_cut: The line went on; more than `LINE_BYTES_MAX` is not kept.
    """

    number: int
    data: bytes
    is_cut: bool = False


class LineCutter:
    r"""
    Cut one stream. Each of its lines is either returned or counted as lost.

    Attributes:
        lost: How many lines lay in a gap, wholly or in part.

    >>> cutter = LineCutter()
    >>> [line.data for line in cutter.feed(b"one\r\ntw")], [line.data for line in cutter.feed(b"o\n")]
    ([b'one'], [b'two'])
    """

    def __init__(self) -> None:
        self.lost = 0
        self._ended = 0
        self._held = b""
        self._is_cut = False
        self._is_lost = False

    def feed(self, data: bytes) -> list[Line]:
        """Return the lines that end in *data*."""
        *whole, rest = data.split(b"\n")
        lines = [line for piece in whole if (line := self._end_line(piece)) is not None]
        self._hold(rest)
        return lines

    def skip(self, data: bytes) -> None:
        """Lose *data*, which comes next in the stream, and whatever line it cuts."""
        if not data:
            return
        missing = data.count(b"\n")
        self.lost += missing
        self._ended += missing
        self._held, self._is_cut, self._is_lost = b"", False, not data.endswith(b"\n")

    def end(self) -> list[Line]:
        """Return the last line, where the stream does not end with the end of one."""
        line = self._end_line(b"") if self._held or self._is_lost else None
        return [] if line is None else [line]

    def _end_line(self, piece: bytes) -> Line | None:
        self._hold(piece)
        self._ended += 1
        line = None
        if self._is_lost:
            self.lost += 1
        else:
            line = Line(self._ended, self._held.removesuffix(b"\r"), self._is_cut)
        self._held, self._is_cut, self._is_lost = b"", False, False
        return line

    def _hold(self, piece: bytes) -> None:
        room = LINE_BYTES_MAX - len(self._held)
        self._is_cut = self._is_cut or len(piece) > room
        self._held += piece[:room]
