"""`prune`, ended at every system call that changes something: what is gone is recorded, and the next call takes the rest."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.counting import count
from tests.faults.injection import CALLS, killed_at
from tests.faults.oracle import broken_promises
from tests.faults.points import Point, chosen, found_at, points_of
from tests.nights import live_through
from tests.programs import no_traceback, program, value_of

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("strace"), pytest.mark.timeout(3600)]

PRUNE = ("prune", "--older-than", "0s", "--apply", "--vacuum")


class TestPrune:
    """The power of whoever removes files ends in between."""

    def test_killed(self, tmp_path: Path) -> None:
        """Given a prune that is killed at any point, then nothing is missing that no event speaks of, and a second one leaves what one alone had left."""
        template = live_through(tmp_path / "template").shop
        points = points_of(
            shutil.copytree(template, tmp_path / "counted"), PRUNE, tmp_path / "trace", (*CALLS, "unlinkat", "rmdir")
        )
        taken = chosen(points, every=29)

        def check(folder: Path, point: Point) -> list[str]:
            killed_at(folder, PRUNE, *point)
            wrong = broken_promises(folder, finished=False)
            wrong += _unverified(folder)
            done = program(*PRUNE, cwd=folder)
            no_traceback(done)
            wrong += [] if done.returncode == 0 else [f"exit code {done.returncode}: {done.stderr}"]
            wrong += _unverified(folder)
            left = [len(list((folder / ".orchestrate" / kind).glob("*/*"))) for kind in ("logs", "reports")]
            # Of the newest run of each of the two pipelines.
            return wrong + ([] if left == [3, 6] else [f"left: {left}"])

        assert found_at(taken, check, lambda name: shutil.copytree(template, tmp_path / name)) == ""
        count("crash points of prune", len(taken))


def _unverified(folder: Path) -> list[str]:
    verdict = value_of(program("audit", "verify", "--skips", "--json", cwd=folder), "audit-verify", code=None)
    return [f"verify: {problem}" for problem in verdict["problems"]]
