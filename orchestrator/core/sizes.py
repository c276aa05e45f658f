"""Sizes as people write them (`64KiB`, `10MiB`, `1GiB`), and as integer bytes: powers of 1024 only, one spelling each."""

from __future__ import annotations

import re

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.names import shown

SIZE_BYTES_MAX = 1 << 50
"""A pebibyte: what is larger is a typo."""

SIZE_FORM = 'a size is a whole number with one unit: "64KiB", "10MiB", "1GiB"'

_UNITS_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB|TiB)")


class InvalidSizeError(OrchestratorError):
    """Raised when a text is no size."""

    def __init__(self, text: str, message: str) -> None:
        self.text = text
        super().__init__(message)


def parse_size(text: str) -> int:
    """
    Return *text* as bytes.

    Raises:
        InvalidSizeError: It is not of this form, is zero, or larger than 1024TiB.

    >>> parse_size("64KiB")
    65536
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidSizeError(text, f"not a size: {shown(text)}; {SIZE_FORM}")
    size = int(match[1]) * _UNITS_BYTES[match[2]]
    if not 0 < size <= SIZE_BYTES_MAX:
        raise InvalidSizeError(text, f"the size is out of range: {shown(text)}, allowed is 1B to 1024TiB")
    return size
