"""Two texts compared line by line, within bounds: what is too large, or no text, is said to be so."""

from __future__ import annotations

import difflib
from typing import TypeAlias

LINES_MAX = 3000
"""A longer text is not compared: that would take the square of its length at worst."""
BYTES_MAX = 256 << 10
SHOWN_MAX = 200
"""So many lines of a difference are shown."""

TextDiff: TypeAlias = dict[str, object]


def text_diff(before: bytes | None, after: bytes | None) -> TextDiff:
    """
    Return `{"lines", "more", "why"}`: the lines that differ with three around them, how many more there are, and why there is none.

    `why` is `not_kept`, `not_text` or `too_large`; None where the texts were compared.
    """
    if before is None or after is None:
        return _without("not_kept")
    if max(len(before), len(after)) > BYTES_MAX:
        return _without("too_large")
    try:
        old, new = (text.decode("utf-8").splitlines() for text in (before, after))
    except UnicodeDecodeError:
        return _without("not_text")
    if max(len(old), len(new)) > LINES_MAX:
        return _without("too_large")
    lines = list(difflib.unified_diff(old, new, lineterm=""))[2:]
    return {"lines": lines[:SHOWN_MAX], "more": max(0, len(lines) - SHOWN_MAX), "why": None}


def _without(why: str) -> TextDiff:
    return {"lines": [], "more": 0, "why": why}
