"""A new key recipe makes no step run again: whole runs by a program that has a second recipe, and by one that does not know it yet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.nights import write_shop
from tests.programs import Json, data_of, ledger_of, no_traceback, program, value_of

pytestmark = pytest.mark.system

WITH_A_SECOND_RECIPE = """
from orchestrator.core import fingerprint
first = fingerprint.RECIPES[1]
fingerprint.RECIPES[2] = lambda of: {**first(of), "recipe": 2, "tools": {"python": "3.12"}}
from orchestrator.cli.app import main
main()
"""


def newer(*arguments: str, cwd: Path) -> Json:
    """Run the program that has a second recipe and return what it printed as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", WITH_A_SECOND_RECIPE, *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    no_traceback(done)
    value: Json = value_of(done, "run")
    return value


def reasons(run: Json) -> list[str | None]:
    """Return why each step was skipped, in order; None for one that succeeded."""
    return [step["reason"] for step in run["steps"]]


def recipes(folder: Path) -> list[object]:
    """Return the recipe of each key that was recorded, in order."""
    return [data["components"]["recipe"] for data in data_of(ledger_of(folder), "attempt.started")]


class TestKeyRecipes:
    """A skip decided under an older recipe is evaluated under that recipe."""

    def test_from_one_recipe_to_the_next_and_back(self, tmp_path: Path) -> None:
        """Given a history of recipe 1, then the next program skips under it, records new successes under its own, and an older one runs what it cannot compare."""
        folder = write_shop(tmp_path / "shop")
        assert program("run", "-q", "--for", "2026-01-01", cwd=folder).returncode == 0
        assert recipes(folder) == [1, 1, 1]

        assert reasons(newer("run", "--json", "--for", "2026-01-02", cwd=folder)) == [
            "no_new_data", "up_to_date", "up_to_date",
        ]  # fmt: skip
        (folder / "raw" / "1.csv").write_text("2\n", encoding="utf-8")
        assert reasons(newer("run", "--json", "--for", "2026-01-03", cwd=folder)) == [None, None, None]
        assert [data["reason"] for data in data_of(ledger_of(folder), "attempt.started")[3:]] == ["input_changed"] * 3
        assert recipes(folder)[3:] == [2, 2, 2]
        assert newer("run", "--json", "--for", "2026-01-04", cwd=folder)["status"] == "nothing_to_do"

        assert reasons(value_of(program("run", "--json", cwd=folder), "run")) == [None, None, None]
        started = data_of(ledger_of(folder), "attempt.started")[6:]
        assert [data["reason"] for data in started] == ["recipe_changed"] * 3
        assert started[0]["evidence"] == {"component": "recipe", "before": 2, "after": 1}
        told = "it ran because: its key was made by recipe 2, which this program does not know\n"
        assert told in program("explain", "latest", "totals", cwd=folder).stdout
