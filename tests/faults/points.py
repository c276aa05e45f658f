"""
The points at which a command of the real program is disturbed: each of its calls that changes something.

`FAULTS=full` (as `make faults` sets it) takes every point, otherwise of each call the first, the last and every few in between.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.injection import CALLS, counted

FULL = os.environ.get("FAULTS") == "full"
Point = tuple[str, int]
"""Name of a call, and which one of that name, from 1."""
Check = Callable[[Path, Point], list[str]]


def points_of(folder: Path, arguments: Sequence[str], trace: Path, calls: Sequence[str] = CALLS) -> list[Point]:
    """Run the program undisturbed and return its points."""
    counts = counted(folder, arguments, trace, calls)
    return [(call, number) for call in calls for number in range(1, counts[call] + 1)]


def chosen(points: list[Point], every: int) -> list[Point]:
    """Return all *points*, or of each call the first, the last and *every* few in between."""
    if FULL:
        return points
    last = dict(points)
    return [point for point in points if point[1] in (1, last[point[0]]) or point[1] % every == 0]


def found_at(points: list[Point], check: Check, make: Callable[[str], Path]) -> str:
    """Return what *check* finds at each of *points*, two at a time, each in a folder of its own that *make* gives by its name."""

    def checked(point: Point) -> tuple[Point, list[str]]:
        folder = make(f"{point[0]}-{point[1]}")
        found = check(folder, point)
        if not found:
            shutil.rmtree(folder)
        return point, found

    with ThreadPoolExecutor(2) as pool:
        return "\n".join(f"{point}: {what}" for point, found in pool.map(checked, points) for what in found)
