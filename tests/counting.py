"""
What the long campaigns have counted: how many points, seeds, kills, bad inputs and so on a session has tried.

A test calls `count`; `tests/conftest.py` carries the figures from whichever process ran it to the end of the session, where they are printed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

MARK = "counted"
COUNTS: Counter[str] = Counter()
"""Of the test that is running."""


def count(what: str, number: int = 1) -> None:
    """Count *number* of *what*."""
    COUNTS[what] += number


def taken() -> list[tuple[str, object]]:
    """Return what the test has counted, as properties of its report, and begin anew."""
    properties: list[tuple[str, object]] = [(f"{MARK} {what}", number) for what, number in COUNTS.items()]
    COUNTS.clear()
    return properties


def lines(reports: Iterable[object]) -> list[str]:
    """Return a line for each thing that the tests of *reports* have counted."""
    total: Counter[str] = Counter()
    for report in reports:
        for name, number in getattr(report, "user_properties", ()):
            mark, _, what = str(name).partition(" ")
            if mark == MARK:
                total[what] += number
    return [f"{number:>13,} {what}" for what, number in sorted(total.items())]
