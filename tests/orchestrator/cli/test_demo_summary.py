"""Tests of what the demo says: of each run, and at the end."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from orchestrator.cli.demo_nights import DemoNight
from orchestrator.cli.demo_summary import REPORT, NightRun, delivery_text, progress_line, summary

NIGHT = DemoNight(2, date(2013, 2, 8))
BROKEN = DemoNight(3, date(2013, 2, 9), kind="broken", morning="repair")
RESENT = DemoNight(4, date(2013, 2, 10), morning="resend")


def step(name: str, status: str = "succeeded", reason: str | None = None) -> Mapping[str, object]:
    """Return a step as `run --json` prints it."""
    return {"step": name, "status": status, "reason": reason}


def run(
    *steps: Mapping[str, object],
    night: DemoNight = NIGHT,
    morning: bool = False,
    status: str = "succeeded",
    run_id: str = "R",
) -> NightRun:
    """Return a run of the demo."""
    return NightRun(night, morning, {"run_id": run_id, "status": status, "steps": list(steps)}, 1.25)


class TestDeliveryText:
    """What arrived, in a few words."""

    @pytest.mark.parametrize(
        ("night", "morning", "text"),
        [
            (NIGHT, False, "flights, weather"),
            (BROKEN, False, "flights, cut off and garbled"),
            (BROKEN, True, "flights delivered again, whole"),
            (RESENT, True, "same flights in another order"),
            (DemoNight(1, date(2013, 2, 7), kind="none"), False, "nothing"),
            (
                DemoNight(1, date(2013, 2, 7), late=(date(2013, 2, 6),), registry="first"),
                False,
                "flights, weather + the day before + registry",
            ),
        ],
    )
    def test_text(self, night: DemoNight, text: str, *, morning: bool) -> None:
        """Given a night, then what it brings."""
        assert delivery_text(night, morning=morning) == text


class TestProgressLine:
    """One line for each run."""

    def test_all_ran(self) -> None:
        """Given a run in which every step ran, then their number."""
        line = progress_line(run(step("a"), step("b"), step("c")), 14)
        assert line.startswith("night  2/14  2013-02-08  flights, weather ")
        assert "succeeded     3 ran, 0 skipped" in line
        assert line.endswith("  1.2 s")

    def test_few_ran_are_named(self) -> None:
        """Given few steps that ran among others, then their names."""
        skipped = step("b", "skipped", "up_to_date")
        assert "ran a; 1 skipped" in progress_line(run(step("a"), skipped), 2)

    def test_failure_names_where_it_stopped(self) -> None:
        """Given a failed run as planned, then the step that failed; not as planned, then also what was expected."""
        steps = (step("a"), step("gate", "failed", "reported"), step("c", "skipped", "upstream_failed"))
        line = progress_line(run(*steps, night=BROKEN, status="failed"), 5)
        assert "stopped at gate, 1 skipped" in line
        assert "expected" not in line
        assert progress_line(run(*steps, status="failed"), 5).endswith("(expected: succeeded)")

    def test_morning(self) -> None:
        """Given a second run for a night, then it stands below the first."""
        line = progress_line(run(step("a"), night=BROKEN, morning=True), 5)
        assert line.startswith("           the morning ")

    def test_answer_without_steps(self) -> None:
        """Given an answer that holds less than it should, then a line all the same."""
        assert "unknown" in progress_line(NightRun(NIGHT, morning=False, answer={"steps": 3}, seconds=0), 5)


class TestSummary:
    """What was done, and what to look at next."""

    def test_counts_and_commands(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given several runs, then their number, how they ended, why steps were skipped, and commands with their ids."""
        monkeypatch.setattr(shutil, "which", lambda _: "/bin/orchestrate")
        runs = [
            run(step("a"), step("b", "skipped", "up_to_date"), run_id="R1"),
            run(step("a", "failed", "exit"), night=BROKEN, status="failed", run_id="R2"),
            run(step("a"), night=BROKEN, morning=True, run_id="R3"),
            run(step("a"), night=RESENT, run_id="R4"),
            run(step("a", "skipped", "up_to_date"), night=RESENT, morning=True, run_id="R5"),
        ]
        lines = list(summary(tmp_path, runs))
        assert lines[0] == "3 nights, 5 runs in 6 s: 4 succeeded, 1 failed."
        assert lines[1] == "Steps: 4 ran, 2 were skipped (2 up_to_date)."
        commands = [
            line.strip().split("  ")[0].removesuffix(" every night and how it ended")
            for line in lines[lines.index("What to look at next:") + 1 :]
        ]
        assert commands == [
            f"cd {tmp_path}",
            "orchestrate runs",
            "orchestrate explain R2 quality",
            "orchestrate show R5",
            "orchestrate logs R1 bronze_flights",
            "orchestrate report R5 --html report.html",
            "orchestrate status",
        ]

    def test_nothing_was_skipped_and_program_is_not_on_the_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given a program that the shell would not find, then its place is put on the PATH first; no run, no command about it."""
        monkeypatch.setattr(shutil, "which", lambda _: None)
        lines = list(summary(tmp_path, [run(step("a"), run_id="")]))
        assert lines[1] == "Steps: 1 ran, 0 were skipped."
        place = Path(sys.executable).parent
        assert [f'  export PATH={place}:"$PATH"'] == [line for line in lines if "export" in line]
        assert not [line for line in lines if " explain " in line or " report " in line]

    def test_figures_come_from_what_the_pipeline_wrote(self, tmp_path: Path) -> None:
        """Given gold, quality and report files, then the storm, the quarantine and the page are named."""
        import polars as pl

        gold = tmp_path / "data/gold/airports/origin_nights.parquet"
        gold.parent.mkdir(parents=True)
        nights = [date(2013, 2, 8), date(2013, 2, 8), date(2013, 2, 9), date(2013, 2, 7)]
        pl.DataFrame({"night": nights, "flights": [100, 100, 50, 9], "cancelled": [40, 60, 45, 9]}).write_parquet(gold)
        quality = tmp_path / "data/quality/flights/2013-02-08.json"
        quality.parent.mkdir(parents=True)
        quality.write_text(json.dumps({"reasons": {"no_tail": 3}}))
        (tmp_path / REPORT).parent.mkdir(parents=True)
        (tmp_path / REPORT).write_text("x")
        lines = list(summary(tmp_path, [run(step("a"))]))
        assert lines[2].startswith(
            "The blizzard, as cancelled flights: 2013-02-08: 100 of 200 (50%), 2013-02-09: 45 of 50 (90%)."
        )
        assert lines[3] == f"Quarantined rows: 3 no_tail in flights of 2013-02-08; see {tmp_path}/data/quarantine"
        assert f"  the report of the last night: {(tmp_path / REPORT).as_uri()}" in lines

    def test_gold_without_the_storm(self, tmp_path: Path) -> None:
        """Given gold of other nights, then nothing is said of the storm."""
        import polars as pl

        gold = tmp_path / "data/gold/airports/origin_nights.parquet"
        gold.parent.mkdir(parents=True)
        pl.DataFrame({"night": [date(2013, 2, 1)], "flights": [1], "cancelled": [0]}).write_parquet(gold)
        assert not [line for line in summary(tmp_path, [run(step("a"))]) if "blizzard" in line]
