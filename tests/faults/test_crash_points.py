"""
The program, ended or failed at every system call that changes something: what was acknowledged is there, once, and the next night goes on.

`FAULTS=full` (as `make faults` sets it) takes every point, otherwise every few.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.injection import CALLS, counted, failing_at, killed_at
from tests.faults.oracle import DOCUMENTED, broken_promises, make_project, recovered

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("strace"), pytest.mark.timeout(1800)]

FULL = os.environ.get("FAULTS") == "full"
RUN = ("run", "--quiet")
KILLED = -9
ERRORS = ("EIO", "ENOSPC")
Point = tuple[str, int]
Check = Callable[[Path, Point], list[str]]


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> list[Point]:
    """Return every call of a run that changes something, by name and number."""
    folder = tmp_path_factory.mktemp("counted")
    counts = counted(make_project(folder / "p"), RUN, folder / "trace")
    assert counts["pwrite64"] > 50
    assert counts["fdatasync"] > 5
    return [(call, number) for call in CALLS for number in range(1, counts[call] + 1)]


def chosen(points: list[Point], every: int) -> list[Point]:
    """Return all *points*, or of each call the first, the last and *every* few in between."""
    if FULL:
        return points
    last = dict(points)
    return [point for point in points if point[1] in (1, last[point[0]]) or point[1] % every == 0]


def all_of(tmp_path: Path, points: list[Point], check: Check) -> str:
    """Return what *check* finds at each of *points*, two at a time, each in a folder of its own."""

    def checked(point: Point) -> tuple[Point, list[str]]:
        folder = make_project(tmp_path / f"{point[0]}-{point[1]}")
        found = check(folder, point)
        if not found:
            shutil.rmtree(folder)
        return point, found

    with ThreadPoolExecutor(2) as pool:
        return "\n".join(f"{point}: {what}" for point, found in pool.map(checked, points) for what in found)


class TestKilled:
    """`kill -9` at the n-th call."""

    def test_run(self, tmp_path: Path, points: list[Point]) -> None:
        """Given a run that is killed at any point, then all that it has recorded is sound, and the next run does what is left, once."""

        def check(folder: Path, point: Point) -> list[str]:
            done = killed_at(folder, RUN, *point)
            return [*_ended(done.returncode, done.stderr), *broken_promises(folder, finished=False), *recovered(folder)]

        taken = chosen(points, every=7)
        assert all_of(tmp_path, taken, check) == ""
        print(f"killed at {len(taken)} of {len(points)} points")  # noqa: T201 - the report of the long run

    def test_recovery(self, tmp_path: Path, points: list[Point]) -> None:
        """Given a run that is killed, and the next one too, in the middle of clearing up, then the one after that goes on."""

        def check(folder: Path, point: Point) -> list[str]:
            killed_at(folder, RUN, "vfork,clone3", 1)
            killed_at(folder, RUN, *point)
            return [*broken_promises(folder, finished=False), *recovered(folder)]

        taken = chosen(points, every=23)
        assert all_of(tmp_path, taken, check) == ""
        print(f"killed twice at {len(taken)} of {len(points)} points")  # noqa: T201


class TestFailing:
    """The n-th call fails, once or from there on."""

    @pytest.mark.parametrize("error", ERRORS)
    @pytest.mark.parametrize("for_ever", [False, True])
    def test_run(self, tmp_path: Path, points: list[Point], error: str, *, for_ever: bool) -> None:
        """Given a disk that refuses, then the exit code is documented, nothing is shown but a message, and the next run goes on."""

        def check(folder: Path, point: Point) -> list[str]:
            done = failing_at(folder, RUN, *point, error, for_ever=for_ever)
            wrong = [*_ended(done.returncode, done.stderr), *broken_promises(folder, finished=False)]
            return wrong + recovered(folder)

        storage = [point for point in points if point[0] not in ("vfork", "clone3")]
        taken = chosen(storage, every=29)
        assert all_of(tmp_path, taken, check) == ""
        print(f"{error} at {len(taken)} of {len(storage)} points")  # noqa: T201


def _ended(code: int, stderr: str) -> Iterator[str]:
    if code != KILLED and code not in DOCUMENTED:
        yield f"exit code {code}: {stderr}"
    if "Traceback" in stderr:
        yield f"a traceback: {stderr}"
