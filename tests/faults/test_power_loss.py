"""The power goes, at any moment of a run: whatever was acted upon is in the ledger, which is sound, and the next night goes on."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.counting import count
from tests.faults.injection import traced
from tests.faults.oracle import broken_promises, make_project, recovered
from tests.faults.power_loss import CALLS, Call, Disk, calls_of

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("strace"), pytest.mark.timeout(7200)]

FULL = os.environ.get("FAULTS") == "full"
CHANGES = {
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "ftruncate",
    "mkdir",
    "rename",
    "renameat2",
    "link",
    "unlink",
    "vfork",
    "clone3",
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Call]]:
    """Return the folder of a run and its calls."""
    folder = tmp_path_factory.mktemp("recorded")
    project = make_project(folder / "p")
    trace = folder / "trace"
    done = traced(project, ("run", "--quiet"), "-xx", "-s", "1000000", "-e", f"trace={CALLS}", output=trace)
    assert done.returncode == 0, done.stderr
    return project, list(calls_of(trace))


def events_in(ledger: Path, kind: str | None = None) -> int:
    """Return how many events of *kind*, or of all kinds, are in *ledger*; opening it recovers what the log holds."""
    if not ledger.exists():
        return 0
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM events WHERE type = ? OR ? IS NULL", (kind, kind)
        ).fetchone()
    return int(count)


class TestModel:
    """The model tells what the run has left."""

    def test_everything_synced_is_what_is_there(self, recorded: tuple[Path, list[Call]], tmp_path: Path) -> None:
        """Given the whole run and every change on the disk, then the model holds the ledger byte by byte."""
        project, calls = recorded
        disk = Disk(project)
        for call in calls:
            disk.take(call)

        class Lucky(random.Random):
            def random(self) -> float:
                return 0.4 if self.sure else 0.9

            sure = True

        lucky = Lucky()
        for sure in (True, False):
            # A change of a name is kept above one half, a sector below it.
            lucky.sure = sure
            disk.write_out(tmp_path / str(sure), lucky)
        there = project / ".orchestrate" / "ledger.db"
        assert (tmp_path / "False" / ".orchestrate" / "ledger.db").read_bytes() == there.read_bytes()


class TestPowerLoss:
    """Only what was synced is sure."""

    def test_run(self, recorded: tuple[Path, list[Call]], tmp_path: Path) -> None:
        """Given the power gone after any call, then no attempt that was started is unknown, the ledger verifies, and the next run goes on."""
        project, calls = recorded
        points = [number for number, call in enumerate(calls) if call.name in CHANGES]
        taken = points if FULL else points[::9] + points[-1:]
        snapshots: list[tuple[int, int, Path]] = []
        disk = Disk(project)
        for number, call in enumerate(calls):
            disk.take(call)
            if number in set(taken):
                for seed in range(3 if FULL else 1):
                    folder = make_project(tmp_path / f"{number}-{seed}")
                    disk.write_out(folder, random.Random(f"{number} {seed}"))  # noqa: S311 - a seed, no secret
                    if disk.spawned:
                        shutil.copytree(project / "out", folder / "out")
                    snapshots.append((number, disk.spawned, folder))

        def checked(snapshot: tuple[int, int, Path]) -> list[str]:
            number, spawned, folder = snapshot
            wrong = broken_promises(folder, finished=False)
            known = events_in(folder / ".orchestrate" / "ledger.db", "attempt.started")
            if known < spawned:
                wrong.append(f"{spawned} attempts were started, {known} are known")
            wrong += recovered(folder)
            if not wrong:
                shutil.rmtree(folder)
            return [f"after {number} {calls[number].name}: {what}" for what in wrong]

        with ThreadPoolExecutor(2) as pool:
            wrong = [what for found in pool.map(checked, snapshots) for what in found]
        assert not wrong, "\n".join(wrong)
        count("states of the disk after a power loss", len(snapshots))

    def test_after_the_end(self, recorded: tuple[Path, list[Call]], tmp_path: Path) -> None:
        """Given the power gone when the exit code was told, then every event is there, whatever else is lost."""
        project, calls = recorded
        disk = Disk(project)
        for call in calls:
            disk.take(call)
        expected = events_in(project / ".orchestrate" / "ledger.db")
        for seed in range(20):
            disk.write_out(tmp_path / str(seed), random.Random(seed))  # noqa: S311
            assert events_in(tmp_path / str(seed) / ".orchestrate" / "ledger.db") == expected
            count("states of the disk after a power loss")
