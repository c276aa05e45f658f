"""Tests of having a night of the flights again: everything is identical, but for the one step that draws by lot."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.examples.flights import KEY, PATH, STEPS, Pipeline, files_in
from tests.programs import ledger_of, program, value_of

pytestmark = pytest.mark.system

NIGHTS = (date(2013, 2, 6), date(2013, 2, 7))
BY_LOT = "spot_check"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pipeline, list[str]]:
    """Give two nights, each with its own delivery, and the ids of their runs."""
    made = Pipeline(tmp_path_factory.mktemp("reproduce"))
    runs = []
    for night in NIGHTS:
        made.deliver(night)
        runs.append(str(made.run(night).result["run_id"]))
    return made, runs


def test_last_night(pipeline: tuple[Pipeline, list[str]]) -> None:
    """Given the last night, then the step by lot is named with its columns, and every other one is identical; the data is as it was."""
    made, runs = pipeline
    before = files_in(made.data)
    done = program("reproduce", "latest", "--json", cwd=made.folder, env=PATH, timeout=200)
    value = value_of(done, "reproduce", code=1)
    assert (value["run_id"], value["verdict"]) == (runs[-1], "different")
    assert {step["step"] for step in value["steps"] if step["verdict"] == "identical"} == set(STEPS) - {
        BY_LOT,
        "dimensions",
    }
    assert (value["first"]["step"], value["first"]["dataset"]) == (BY_LOT, BY_LOT)
    assert "flight" in value["first"]["columns"]
    assert files_in(made.data) == before
    assert KEY not in done.stdout + done.stderr
    compared = program("diff", "latest", value["reproduction"], "--json", cwd=made.folder, env=PATH, timeout=200)
    found = value_of(compared, "diff")
    assert (found["first_divergence"]["step"], found["first_divergence"]["part"]) == (BY_LOT, "outputs")
    assert [step["step"] for step in found["steps"]] == [BY_LOT]


def test_first_night(pipeline: tuple[Pipeline, list[str]]) -> None:
    """Given a night whose outputs were built upon since, then its own deliveries alone are read, and it is had again; the ledger verifies."""
    made, runs = pipeline
    done = program("reproduce", runs[0], "--json", cwd=made.folder, env=PATH, timeout=200)
    value = value_of(done, "reproduce", code=1)
    assert {step["step"]: step["verdict"] for step in value["steps"]} == dict.fromkeys(STEPS, "identical") | {
        BY_LOT: "different"
    }
    verified = value_of(program("audit", "verify", "--skips", "--json", cwd=made.folder), "audit-verify")
    assert (verified["ok"], verified["skips"]["wrong"], verified["projections"]) == (True, 0, "held")
    assert not (Path(ledger_of(made.folder)).parent / "reproductions").exists()
