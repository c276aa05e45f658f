"""`resume`, `cancel` and `audit rotate-key`, ended at every system call that changes something: the next one goes on, and nothing is lost or done twice."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.counting import count
from tests.faults.injection import killed_at
from tests.faults.oracle import PIPELINE, broken_promises, make_project, recovered
from tests.faults.points import Point, chosen, found_at, points_of
from tests.programs import Done, data_of, ended, ledger_of, no_traceback, program, started, value_of, wait_until

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("strace"), pytest.mark.timeout(7200)]

RUN = ("run", "--quiet")
RESUME = ("resume", "latest", "--quiet")
CANCEL = ("cancel", "latest")
ROTATE = ("audit", "rotate-key")
SPAWN = "vfork,clone3"


def copies_of(template: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Return what makes a copy of the project *template* by its name."""
    return lambda name: shutil.copytree(template, tmp_path / name)


def expected(done: Done, *codes: int) -> list[str]:
    """Return what is wrong with how a command ended."""
    no_traceback(done)
    return [] if done.returncode in codes else [f"exit code {done.returncode}: {done.stdout}{done.stderr}"]


class TestResume:
    """A run whose orchestrator died goes on, and that one dies as well."""

    def test_killed(self, tmp_path: Path) -> None:
        """Given a resume that is killed at any point, then a second one goes on, or says that all is done; what had succeeded stays."""
        template = make_project(tmp_path / "template")
        assert killed_at(template, RUN, SPAWN, 2).returncode == -9
        copy = copies_of(template, tmp_path)
        points = points_of(copy("counted"), RESUME, tmp_path / "trace")
        taken = chosen(points, every=61)

        def check(folder: Path, point: Point) -> list[str]:
            killed_at(folder, RESUME, *point)
            wrong = broken_promises(folder, finished=False)
            # It was killed before, or after, the end of the run was recorded: then there is nothing left to resume.
            wrong += expected(program(*RESUME, cwd=folder), 0, 2)
            return wrong + recovered(folder)

        assert found_at(taken, check, copy) == ""
        count("crash points of resume", len(taken))


HOLDING = PIPELINE.replace('shell = "echo a', 'shell = "touch held; while test -e hold; do sleep 0.02; done; echo a')


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Let a run be on whose first step waits."""
    (folder / "pipeline.toml").write_text(HOLDING, encoding="utf-8")
    (folder / "hold").touch()
    with started("run", "--quiet", cwd=folder) as process:
        wait_until((folder / "held").exists, "its step has not begun")
        yield
        ended(process)


class TestCancel:
    """Whoever ends a run from another terminal is ended."""

    def test_killed(self, tmp_path: Path) -> None:
        """Given a run that is on, and a cancel that is killed at any point, then a second one ends it, and the next run goes on."""
        counted = make_project(tmp_path / "counted")
        with held(counted):
            points = points_of(counted, CANCEL, tmp_path / "trace")
        taken = chosen(points, every=13)

        def check(folder: Path, point: Point) -> list[str]:
            with held(folder):
                killed_at(folder, CANCEL, *point)
                wrong = broken_promises(folder, finished=False)
                # The first one may have told the run to end, which it then has.
                wrong += expected(program(*CANCEL, cwd=folder), 0, 2)
            wrong += expected(program(*CANCEL, cwd=folder), 2)
            statuses = [data["status"] for data in data_of(ledger_of(folder), "run.finished")]
            wrong += [] if statuses == ["cancelled"] else [f"the run is {statuses}"]
            (folder / "hold").unlink()
            return wrong + recovered(folder)

        assert found_at(taken, check, lambda name: make_project(tmp_path / name)) == ""
        count("crash points of cancel", len(taken))

    def test_killed_over_a_dead_run(self, tmp_path: Path) -> None:
        """Given a run whose orchestrator is dead, and a cancel that is killed at any point, then a second one closes it, or has nothing to do."""
        template = make_project(tmp_path / "template")
        assert killed_at(template, RUN, SPAWN, 1).returncode == -9
        copy = copies_of(template, tmp_path)
        points = points_of(copy("counted"), CANCEL, tmp_path / "trace")
        taken = chosen(points, every=41)

        def check(folder: Path, point: Point) -> list[str]:
            killed_at(folder, CANCEL, *point)
            wrong = broken_promises(folder, finished=False)
            wrong += expected(program(*CANCEL, cwd=folder), 0, 2)
            statuses = [data["status"] for data in data_of(ledger_of(folder), "run.finished")]
            wrong += [] if statuses == ["interrupted"] else [f"the run is {statuses}"]
            return wrong + recovered(folder)

        assert found_at(taken, check, copy) == ""
        count("crash points of cancel over a dead run", len(taken))


class TestRotateKey:
    """A ledger gets another key, and the power of whoever gives it ends in between."""

    def test_killed(self, tmp_path: Path) -> None:
        """Given a rotation that is killed at any point, then runs go on, a second one ends well, and whoever has the first key verifies everything."""
        points = points_of(_signed(tmp_path / "counted")[0], ROTATE, tmp_path / "trace")
        taken = chosen(points, every=41)
        keys: dict[Path, str] = {}

        def make(name: str) -> Path:
            folder, keys_of = _signed(tmp_path / name)
            keys[folder] = keys_of
            return folder

        def check(folder: Path, point: Point) -> list[str]:
            killed_at(folder, ROTATE, *point)
            wrong = broken_promises(folder, finished=False)
            if point[1] % 2:
                wrong += expected(program("run", "--quiet", "--force", cwd=folder), 0)
            wrong += expected(program(*ROTATE, cwd=folder), 0)
            done = program("audit", "verify", "--json", "--strict", "--key", keys[folder], cwd=folder)
            verdict = value_of(done, "audit-verify", code=None)
            if verdict["problems"] or verdict["level"] < 2:
                wrong.append(f"verify: {verdict}")
            rotated = len(data_of(ledger_of(folder), "ledger.key_rotated"))
            wrong += [] if rotated in (1, 2) else [f"the key was rotated {rotated} times"]
            return wrong + broken_promises(folder, finished=True)

        assert found_at(taken, check, make) == ""
        count("crash points of audit rotate-key", len(taken))


def _signed(folder: Path) -> tuple[Path, str]:
    """Return a project whose ledger has a run and a key, and that key."""
    make_project(folder)
    assert program("run", "--quiet", cwd=folder).returncode == 0
    return folder, str(value_of(program("audit", "keygen", "--json", cwd=folder))["key"])
