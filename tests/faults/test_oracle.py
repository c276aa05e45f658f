"""The oracle that every fault is held to finds what it has to find."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.oracle import broken_promises, make_project, recovered
from tests.programs import data_of, ledger_of, program

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the small pipeline once, undisturbed."""
    folder = make_project(tmp_path_factory.mktemp("oracle") / "template")
    assert program("run", "--quiet", cwd=folder).returncode == 0
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """Give a copy of it that can be disturbed."""
    return shutil.copytree(template, tmp_path / "project")


@contextlib.contextmanager
def living_step(of: Path) -> Iterator[int]:
    """Give the pid of a process that looks like a step of the last run in the folder *of*."""
    run_id = data_of(ledger_of(of), "run.started")[-1]["run_id"]
    result = of / ".orchestrate" / "exchange" / run_id / "a.1.result.json"
    env = {**os.environ, "ORCHESTRATE_RUN_ID": run_id, "ORCHESTRATE_RESULT": str(result)}
    process = subprocess.Popen(["sleep", "60"], env=env)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def test_undisturbed(folder: Path) -> None:
    """Given a run that nothing has happened to, then nothing is found, and the next run finds nothing to do."""
    assert broken_promises(folder, finished=True) == []
    assert recovered(folder) == []


def test_survivor(folder: Path, tmp_path: Path) -> None:
    """Given a process of the run that lives, then it is found in its folder, and not in a copy of that."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    with living_step(of=folder) as pid:
        assert [f"process {pid} of run " in what for what in broken_promises(folder, finished=True)] == [True]
        assert broken_promises(copy, finished=True) == []


def unrecorded(folder: Path) -> None:
    """Let a step have run once more than it was started."""
    with (folder / "effects").open("a", encoding="utf-8") as effects:
        effects.write("a\n")


def half_written(folder: Path) -> None:
    """Leave a file that was never put into its place."""
    (folder / ".orchestrate" / "reports" / "latest.html.new").touch()


def open_run(folder: Path) -> None:
    """Take the end from the run, in the tables."""
    with contextlib.closing(sqlite3.connect(ledger_of(folder))) as connection, connection:
        connection.execute("UPDATE runs SET status = 'running'")


def without_a_row(folder: Path) -> None:
    """Take an attempt out of the tables."""
    with contextlib.closing(sqlite3.connect(ledger_of(folder))) as connection, connection:
        connection.execute("DELETE FROM attempts WHERE step = 'b'")


@pytest.mark.parametrize(
    ("disturb", "told"),
    [
        (unrecorded, "step a ran 2 times, 1 attempts are recorded"),
        (half_written, "left behind: .orchestrate/reports/latest.html.new"),
        (open_run, "a run is still open: ['running']"),
        (without_a_row, "verify: "),
    ],
)
def test_broken(folder: Path, disturb: Callable[[Path], None], told: str) -> None:
    """Given a promise that is broken, then it is told which."""
    disturb(folder)
    assert [what for what in broken_promises(folder, finished=True) if what.startswith(told)]


def test_done_twice(folder: Path) -> None:
    """Given a step that succeeded and ran again, then the next run is no recovery."""
    (folder / "out" / "x").unlink()
    assert "step a had succeeded and ran again" in recovered(folder)
