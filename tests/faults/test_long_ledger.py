"""
Row 68: a ledger with a million events costs what a small one costs, but for what goes through all of it, and that takes no more memory.

Counted are steps of SQLite, which neither the machine nor its load changes. `FAULTS=full` makes the million; otherwise it is a tenth of that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ledger.checkpoints import seal
from ledger.store import open_ledger
from orchestrator.projections.read_models import ReadModels
from tests.long_history import EVENTS_OF_A_RUN, long_history

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(1200)]

EVENTS = 1_000_000 if os.environ.get("FAULTS") == "full" else 100_000
FEW = 10_000

STEPS_A_NIGHT = 100
"""What `status` may take for each night more: it looks for nights without a run from the first one on."""
MORE_KIB = 16 << 10

COMMANDS = {
    "status": ("status",),
    "runs": ("runs",),
    "show": ("show", "latest"),
    "as an auditor": ("audit", "query", "SELECT count(*) FROM audit_steps WHERE run_id = 'none'"),
    "prove the first": ("audit", "prove", "--seq", "0", "--force", "--out", "first.tlog-proof"),
    "prove a late one": ("audit", "prove", "--seq", "9000", "--force", "--out", "late.tlog-proof"),
    "append": ("note", "latest", "seen"),
    "seal": ("audit", "checkpoint"),
}

_COUNTING = """
import json, sqlite3, sys
steps = 0

def count():
    global steps
    steps += 10

class Counting(sqlite3.Connection):
    def set_progress_handler(self, handler, number):
        def both():
            global steps
            steps += number
            return handler()
        if handler is None:
            super().set_progress_handler(count, 10)
        else:
            super().set_progress_handler(both, number)

connect = sqlite3.connect

def counted(*arguments, **options):
    connection = connect(*arguments, factory=Counting, **options)
    connection.set_progress_handler(None, 0)
    return connection

sqlite3.connect = counted
from orchestrator.cli.app import run_command
found = {}
for name, words in json.loads(sys.argv[1]).items():
    steps = 0
    code = run_command(words)
    found[name] = [code, steps]
json.dump(found, open("found.json", "w"))
"""

_VERIFYING = """
import json, resource, sys
from orchestrator.cli.app import run_command
code = run_command(["audit", "verify", "--quiet", "--ledger", "ledger.db"])
json.dump([code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss], open("found.json", "w"))
"""


@pytest.fixture(name="ledgers", scope="module")
def _ledgers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give the folders of a short and of a long ledger, both sealed."""
    folders = (tmp_path_factory.mktemp("short"), tmp_path_factory.mktemp("long"))
    for folder, events in zip(folders, (FEW, EVENTS), strict=True):
        long_history(folder / "ledger.db", events)
        with open_ledger(folder / "ledger.db", projections=[ReadModels()]) as ledger:
            seal(ledger)
    return folders


def found(folder: Path, script: str, *arguments: str) -> object:
    """Run *script* in *folder*, and return what it wrote."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1000,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "found.json").read_text(encoding="utf-8"))


def counted(folder: Path) -> Mapping[str, Sequence[int]]:
    """Return exit code and steps of SQLite for each of `COMMANDS`."""
    words = {name: [*command, "--ledger", "ledger.db"] for name, command in COMMANDS.items()}
    counts = found(folder, _COUNTING, json.dumps(words))
    assert isinstance(counts, dict)
    return counts


def test_68_costs_do_not_depend_on_the_length(ledgers: tuple[Path, Path]) -> None:
    """Given a short and a long ledger, then each command takes the same steps in both; `status` some more for each night."""
    short, long = map(counted, ledgers)
    assert {name: code for name, (code, _) in (*short.items(), *long.items()) if code} == {}
    nights = (EVENTS - FEW) // EVENTS_OF_A_RUN
    for name, (_, steps) in long.items():
        allowed = short[name][1] * 3 // 2 + 2000 + (STEPS_A_NIGHT * nights if name == "status" else 0)
        assert steps <= allowed, (name, short[name][1], steps)


def test_68_verifying_takes_no_more_memory(ledgers: tuple[Path, Path]) -> None:
    """Given the same two, then both verify, and the long one takes no more memory than the short one."""
    short, long = (found(folder, _VERIFYING) for folder in ledgers)
    assert isinstance(short, list)
    assert isinstance(long, list)
    assert (short[0], long[0]) == (0, 0)
    assert long[1] <= short[1] + MORE_KIB
