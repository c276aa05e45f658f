"""
The program, ended or failed at every system call that changes something: what was acknowledged is there, once, and the next night goes on.

`FAULTS=full` (as `make faults` sets it) takes every point, otherwise every few.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.counting import count
from tests.faults.injection import failing_at, killed_at
from tests.faults.oracle import DOCUMENTED, broken_promises, make_project, recovered
from tests.faults.points import Point, chosen, found_at, points_of

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("strace"), pytest.mark.timeout(7200)]

RUN = ("run", "--quiet")
KILLED = -9
ERRORS = ("EIO", "ENOSPC")


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> list[Point]:
    """Return every call of a run that changes something, by name and number."""
    folder = tmp_path_factory.mktemp("counted")
    found = points_of(make_project(folder / "p"), RUN, folder / "trace")
    count_of = {call: sum(name == call for name, _ in found) for call in ("pwrite64", "fdatasync")}
    assert count_of["pwrite64"] > 50
    assert count_of["fdatasync"] > 5
    return found


class TestKilled:
    """`kill -9` at the n-th call."""

    def test_run(self, tmp_path: Path, points: list[Point]) -> None:
        """Given a run that is killed at any point, then all that it has recorded is sound, and the next run does what is left, once."""

        def check(folder: Path, point: Point) -> list[str]:
            done = killed_at(folder, RUN, *point)
            return [*_ended(done.returncode, done.stderr), *broken_promises(folder, finished=False), *recovered(folder)]

        taken = chosen(points, every=7)
        assert found_at(taken, check, lambda name: make_project(tmp_path / name)) == ""
        count("crash points of run", len(taken))

    def test_recovery(self, tmp_path: Path, points: list[Point]) -> None:
        """Given a run that is killed, and the next one too, in the middle of clearing up, then the one after that goes on."""

        def check(folder: Path, point: Point) -> list[str]:
            killed_at(folder, RUN, "vfork,clone3", 1)
            killed_at(folder, RUN, *point)
            return [*broken_promises(folder, finished=False), *recovered(folder)]

        taken = chosen(points, every=23)
        assert found_at(taken, check, lambda name: make_project(tmp_path / name)) == ""
        count("crash points of the run after a kill", len(taken))


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
        assert found_at(taken, check, lambda name: make_project(tmp_path / name)) == ""
        count("failing calls of run (EIO, ENOSPC, once or for ever)", len(taken))


def _ended(code: int, stderr: str) -> Iterator[str]:
    if code != KILLED and code not in DOCUMENTED:
        yield f"exit code {code}: {stderr}"
    if "Traceback" in stderr:
        yield f"a traceback: {stderr}"
