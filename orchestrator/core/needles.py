"""One form of a secret in a stream: where it stands, and whether the stream ends within it."""

from __future__ import annotations

import re

import attrs

from orchestrator.core.secret_forms import FORM_BYTES_MIN, Form

SPACE_BYTES_MAX = 4096
"""A longer run of white space is no line break of a secret: what is held back has an end."""

_ANCHOR_BYTES_MAX = 24
_SPACE = re.compile(rb"\s{1,%d}" % SPACE_BYTES_MAX)


@attrs.frozen
class Needle:
    """One form, and the names of the secrets that have it."""

    parts: Form = attrs.field(repr=False)
    owners: tuple[str, ...]
    at: int = attrs.field(init=False)
    """The number of the longest part, which is searched for."""
    bytes_max: int = attrs.field(init=False)

    @at.default
    def _longest(self) -> int:
        return max(range(len(self.parts)), key=lambda number: len(self.parts[number]))

    @bytes_max.default
    def _sum(self) -> int:
        return sum(map(len, self.parts)) + SPACE_BYTES_MAX * (len(self.parts) - 1)

    @property
    def anchor(self) -> bytes:
        """What is searched for, of the longest part."""
        return self.parts[self.at][:_ANCHOR_BYTES_MAX]

    @property
    def head(self) -> bytes:
        """What tells that the form begins."""
        return self.parts[0][:FORM_BYTES_MIN]

    def around(self, buffer: bytes, place: int) -> tuple[int, int] | None:
        """Return where the form begins and ends if its anchor stands at *place*. Parts begin and end without space, so there is one way."""
        end = place + len(self.parts[self.at])
        if not buffer.startswith(self.parts[self.at], place):
            return None
        for part in self.parts[self.at + 1 :]:
            space = _SPACE.match(buffer, end)
            if space is None or not buffer.startswith(part, space.end()):
                return None
            end = space.end() + len(part)
        start = place
        for part in reversed(self.parts[: self.at]):
            before = max(0, start - SPACE_BYTES_MAX)
            stop = before + len(buffer[before:start].rstrip())
            if stop == start or not buffer.endswith(part, 0, stop):
                return None
            start = stop - len(part)
        return start, end

    def could_begin(self, buffer: bytes, place: int) -> bool:
        """Whether *buffer* ends within the form if that begins at *place*."""
        for number, part in enumerate(self.parts):
            if number:
                space = _SPACE.match(buffer, place)
                place = space.end() if space else place
                if space is None and place < len(buffer):
                    return False
            left = len(buffer) - place
            if left < len(part):
                return buffer.startswith(part[:left], place)
            if not buffer.startswith(part, place):
                return False
            place += len(part)
        return False
