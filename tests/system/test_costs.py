"""
What a run costs, as counts that do not drift: transactions, waits for the disk, SQL statements, modules.

Times are measured by `python -m benchmarks`. A bound here is what was counted, with room only for how two steps at a time happen to
share turns; whoever needs more of something has to say so by raising its bound.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

from benchmarks.contenders import write_pipeline
from benchmarks.shapes import layered
from tests.programs import PROGRAM

pytestmark = pytest.mark.system

STEPS = 200
MANY_STEPS = 2_000

# Its row when the run starts; three events, each announced once more by each of its two guards; the attempt, the step and the baseline
# at its start; the attempt, the step and the baseline at its end.
STATEMENTS_A_STEP = 1 + 3 * 3 + 3 + 3
# BEGIN, one question for the head, COMMIT.
STATEMENTS_A_TURN = 3
# Making the file with its tables and views, opening it, comparing the schema, the run itself, the cache of digests, sealing, the report.
STATEMENTS_A_RUN = 160
# Sealing keeps the root over each 256 events: is it kept, the leaves, the row; and a look for each whenever a root is made of them,
# which is when the run is sealed and when what came after it is.
STATEMENTS_A_SUBTREE = 5
EVENTS_A_STEP = 3
EVENTS_A_SUBTREE = 256

COMMITS_BESIDE_THE_STEPS = 8
# Making the file and its folder, the first events, folding the log back, closing; the digests' cache.
SYNCS_BESIDE_THE_STEPS = 16

OWN_MODULES_OF_STATUS = 36
# The standard library's own are not the same in every release: 144 with Python 3.11, 153 with 3.12, 157 with 3.13.
MODULES_OF_STATUS = 160

_COUNTING = """
import json, sqlite3, sys
from collections import Counter

counts = Counter()
connect = sqlite3.connect

def counted(statement):
    counts[statement.split(None, 1)[0].upper()] += 1

def traced(*arguments, **options):
    connection = connect(*arguments, **options)
    connection.set_trace_callback(counted)
    return connection

sqlite3.connect = traced

from ledger.store import Ledger
from orchestrator.cli.app import run_command
from orchestrator.runtime.executor import ProcessExecutor

def count_calls(owner, name):
    method = getattr(owner, name)
    def called(*arguments, **options):
        counts[name] += 1
        return method(*arguments, **options)
    setattr(owner, name, called)

count_calls(Ledger, "append")
count_calls(ProcessExecutor, "poll")
code = run_command(["run", "--quiet"])
json.dump(counts, open("counts.json", "w"))
sys.exit(code)
"""

_MODULES = """
import json, sys
from orchestrator.cli.app import run_command
code = run_command(["status"])
json.dump(sorted(sys.modules), open("modules.json", "w"))
sys.exit(code)
"""

Counts: TypeAlias = Mapping[str, int]


def _python(script: str, folder: Path) -> None:
    """Run *script*; whoever measures coverage of the tests would be counted as well, and stays out."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Counts]:
    """Give the counts of a layered run of so many steps, everything on; each size is run once."""
    known: dict[int, Counts] = {}

    def counts(steps: int) -> Counts:
        if steps not in known:
            folder = tmp_path_factory.mktemp(f"counted-{steps}")
            write_pipeline(folder, layered(steps))
            _python(_COUNTING, folder)
            known[steps] = json.loads((folder / "counts.json").read_text())
        return known[steps]

    return counts


def _statements(counts: Counts) -> int:
    """Count all statements but the pragmas, of which one asks for a checkpoint after 64 appends."""
    return sum(count for name, count in counts.items() if name.isupper() and name != "PRAGMA")


def _sealing(steps: int) -> int:
    """Return how many statements sealing the events of *steps* takes at most."""
    return -(-steps * EVENTS_A_STEP // EVENTS_A_SUBTREE) * STATEMENTS_A_SUBTREE


class TestTransactions:
    """One transaction a turn, one wait for the disk a transaction."""

    def test_a_turn_appends_once_at_most(self, counted: Callable[[int], Counts]) -> None:
        """Given a layered run, then there are no more appends than turns, but for the definition and the start of the run."""
        counts = counted(STEPS)
        assert counts["append"] <= counts["poll"] + 2

    def test_a_step_costs_one_commit_at_most(self, counted: Callable[[int], Counts]) -> None:
        """Given two steps at a time, then they share commits where they end together, and none has one of its own beside that."""
        assert STEPS / 2 <= counted(STEPS)["COMMIT"] <= STEPS + COMMITS_BESIDE_THE_STEPS

    @pytest.mark.needs("strace")
    def test_a_commit_costs_one_sync(self, tmp_path: Path) -> None:
        """Given a layered run under strace, then the orchestrator waits for the disk once a turn, and never less than for two steps once."""
        write_pipeline(tmp_path, layered(STEPS))
        trace = tmp_path / "trace.txt"
        command = ["strace", "-qq", "-e", "trace=fsync,fdatasync", "-o", str(trace), str(PROGRAM), "run", "--quiet"]
        subprocess.run(command, cwd=tmp_path, env=os.environ, check=True, timeout=100)
        syncs = [line for line in trace.read_text().splitlines() if line.startswith(("fsync(", "fdatasync("))]
        assert STEPS / 2 <= len(syncs) <= STEPS + SYNCS_BESIDE_THE_STEPS


class TestStatements:
    """What the tables cost."""

    @pytest.mark.parametrize("steps", [STEPS, MANY_STEPS])
    def test_a_step_and_a_turn_cost_so_many_statements(self, steps: int, counted: Callable[[int], Counts]) -> None:
        """Given a layered run, then its statements are those of its steps, of its turns, and a fixed number."""
        counts = counted(steps)
        least = steps * STATEMENTS_A_STEP + counts["append"] * STATEMENTS_A_TURN
        assert least <= _statements(counts) <= least + STATEMENTS_A_RUN + _sealing(steps)

    def test_a_step_of_a_large_graph_costs_what_one_of_a_small_graph_does(
        self, counted: Callable[[int], Counts]
    ) -> None:
        """Given ten times the steps, then there are ten times the statements, but for those of the run and of shared turns."""
        small, large = counted(STEPS), counted(MANY_STEPS)
        beside_turns = [_statements(counts) - counts["append"] * STATEMENTS_A_TURN for counts in (small, large)]
        more = beside_turns[1] - beside_turns[0] - (MANY_STEPS - STEPS) * STATEMENTS_A_STEP
        assert 0 <= more <= _sealing(MANY_STEPS)


class TestModules:
    """What has to be loaded before anything is shown."""

    def test_status_loads_few_modules(self, tmp_path: Path) -> None:
        """Given a ledger, when `status` looks into it, then it has loaded no more modules than before."""
        write_pipeline(tmp_path, {"only": ()})
        subprocess.run([PROGRAM, "run", "--quiet"], cwd=tmp_path, check=True, timeout=60)
        _python(_MODULES, tmp_path)
        loaded = json.loads((tmp_path / "modules.json").read_text())
        own = [name for name in loaded if name.split(".")[0] in ("ledger", "orchestrator")]
        assert len(own) <= OWN_MODULES_OF_STATUS, own
        assert len(loaded) <= MODULES_OF_STATUS, loaded
