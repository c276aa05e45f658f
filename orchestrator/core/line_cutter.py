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
        is_cut: The line went on; more than `LINE_BYTES_MAX` is not kept.
    """

    data: bytes
    is_cut: bool = False


class LineCutter:
    r"""
    Cut one stream.

    >>> cutter = LineCutter()
    >>> [line.data for line in cutter.feed(b"one\r\ntw")], [line.data for line in cutter.feed(b"o\n")]
    ([b'one'], [b'two'])
    """

    def __init__(self) -> None:
        self._held = b""
        self._is_cut = False
        self._is_lost = False

    def feed(self, data: bytes) -> list[Line]:
        """Return the lines that end in *data*."""
        *whole, rest = data.split(b"\n")
        lines = []
        for piece in whole:
            line = self._ended(piece)
            if line is not None:
                lines.append(line)
        self._hold(rest)
        return lines

    def skip(self, *, ends_line: bool) -> None:
        """Take note that a piece is missing: the lines that it cuts are lost; *ends_line* says that a line begins after it."""
        self._held, self._is_cut, self._is_lost = b"", False, not ends_line

    def end(self) -> list[Line]:
        """Return the last line, where the stream does not end with the end of one."""
        if not self._held:
            return []
        line = self._ended(b"")
        return [] if line is None else [line]

    def _ended(self, piece: bytes) -> Line | None:
        self._hold(piece)
        line = None if self._is_lost else Line(self._held.removesuffix(b"\r"), self._is_cut)
        self._held, self._is_cut, self._is_lost = b"", False, False
        return line

    def _hold(self, piece: bytes) -> None:
        room = LINE_BYTES_MAX - len(self._held)
        self._is_cut = self._is_cut or len(piece) > room
        self._held += piece[:room]
