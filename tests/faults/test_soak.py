"""
Nights that are killed again and again, held to what a scheduler owes (the oracle of Jepsen's test of Chronos): each night has been done, once.

`FAULTS=full` (as `make faults` sets it) kills 500 times, otherwise a few dozen times. The seed chooses when; where exactly the program is then, the machine
decides.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.counting import count
from tests.faults.clock import CLOCK, JUMPS
from tests.faults.oracle import broken_promises

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(3600)]

KILLS = 500 if os.environ.get("FAULTS") == "full" else 30
SEED = int(os.environ.get("FAULTS_SEED", "1"))
KILLS_A_NIGHT = 5
PIPELINE = """\
[pipeline]
name = "p"
[datasets.raw]
path = "raw"
[datasets.out]
path = "out"
[steps.a]
shell = "echo a:$ORCHESTRATE_NIGHT >> effects; mkdir -p out; cat raw/* > out/x"
reads = ["raw"]
writes = ["out"]
[steps.b]
shell = "echo b:$ORCHESTRATE_NIGHT >> effects; cat out/x"
reads = ["out"]
[steps.c]
shell = "echo c:$ORCHESTRATE_NIGHT >> effects"
reads = ["raw"]
"""


PROGRAM_WITH_A_CLOCK = (sys.executable, "-c", CLOCK)
LATER = "9000-01-01T00:00:00.000000Z"
"""When it is verified: some of the clocks were decades ahead."""


def interrupted(folder: Path, arguments: list[str], after_seconds: float, jump: str | None) -> int:
    """Run the program, let its wall clock *jump* half-way, and kill it *after_seconds*, if it has not ended by then; return how it ended."""
    process = subprocess.Popen(
        [*PROGRAM_WITH_A_CLOCK, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=after_seconds / 2)
    if jump is not None:
        set_clock(folder, JUMPS[jump])
        count("clock jumps of the soak")
    try:
        process.communicate(timeout=after_seconds / 2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    return process.returncode


def set_clock(folder: Path, seconds: int) -> None:
    """Set the clock of the program in *folder* ahead of the machine's by *seconds*."""
    (folder / "clock.new").write_text(str(seconds), encoding="ascii")
    (folder / "clock.new").replace(folder / "clock")


def test_nights(tmp_path: Path) -> None:
    """Given runs that are killed at any time, several a night, and a clock that jumps, then each step has succeeded once each night, and nothing is lost or open."""
    chance = random.Random(SEED)  # noqa: S311 - a seed, no secret
    (tmp_path / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    (tmp_path / "raw").mkdir()
    kills = nights = 0
    while kills < KILLS:
        night = date(2026, 1, 1) + timedelta(days=nights)
        nights += 1
        (tmp_path / "raw" / f"{night}").write_text(f"{night}\n", encoding="utf-8")
        arguments = ["run", "--quiet", "--for", str(night)]
        for _ in range(chance.randint(1, KILLS_A_NIGHT)):
            code = interrupted(tmp_path, arguments, chance.uniform(0.1, 0.45), chance.choice((None, None, *JUMPS)))
            if code != -signal.SIGKILL:
                assert code == 0, f"seed {SEED}, night {night}: exit code {code}"
                break
            kills += 1
            assert broken_promises(tmp_path, finished=False, now=lambda: LATER) == []
        done = subprocess.run(
            [*PROGRAM_WITH_A_CLOCK, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
    assert broken_promises(tmp_path, finished=True, now=lambda: LATER) == []
    succeeded, statuses = _history(tmp_path)
    expected = {(step, str(date(2026, 1, 1) + timedelta(days=n))): 1 for step in "abc" for n in range(nights)}
    assert succeeded == expected, f"seed {SEED}"
    assert statuses.keys() <= {"succeeded", "nothing_to_do", "interrupted"}
    count("nights of the soak", nights)
    count("kills of the soak", kills)


def _history(folder: Path) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    """Return how often each step has succeeded for each night, and how the runs ended."""
    with contextlib.closing(sqlite3.connect(folder / ".orchestrate" / "ledger.db")) as connection:
        nights = dict(connection.execute("SELECT 'run/' || run_id, night FROM runs"))
        statuses = Counter(status for (status,) in connection.execute("SELECT status FROM runs"))
        ended = connection.execute("SELECT stream, data FROM events WHERE type = 'step.finished'").fetchall()
    steps = [(json.loads(data), nights[stream]) for stream, data in ended]
    return Counter((data["step"], night) for data, night in steps if data["status"] == "succeeded"), statuses
