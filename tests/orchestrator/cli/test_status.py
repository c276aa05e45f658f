"""Tests of `orchestrate status`: the morning after."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli.app import run_command
from orchestrator.cli.commands import status
from tests.nights import Nights
from tests.programs import Json, data_of, ended, kill, ledger_of, pid_in, program, started, value_of


def entries(nights: Nights, *options: str) -> dict[str, Json]:
    """Return the entries by pipeline."""
    value = value_of(program("status", "--json", *options, cwd=nights.shop), "status")
    return {entry["pipeline"]: entry for entry in value}


class TestStatus:
    """Each pipeline: its last run, what needs attention, what to type next."""

    def test_failure_names_cause_missing_nights_refusals_and_remedy(self, nights: Nights) -> None:
        """Given a failed night after a missing one, and a refusal, then all of it is named, the failure first."""
        shop = entries(nights)["shop"]
        assert shop["last_run"]["run_id"] == nights.failed
        assert shop["last_success"]["run_id"] == nights.idle
        assert shop["missing_nights"] == ["2026-01-03"]
        assert shop["root_cause"] == {"step": "totals", "reason": "exit", "error_class": "permanent", "message": None}
        assert shop["attention"] == [
            "the last run failed",
            "first failure: totals (exit)",
            "a failure that nobody has acknowledged: 2026-01-04",
            "a start was refused since; `orchestrate runs --refused` tells why",
            "nights without a run: 2026-01-03",
        ]
        assert shop["next"][0] == f"orchestrate logs {nights.failed} totals"
        assert shop["next"][-1] == f"orchestrate ack {nights.failed}"
        assert (shop["unacknowledged_count"], shop["acknowledged"]) == (1, None)
        assert [(run["run_id"], run["night"]) for run in shop["unacknowledged"]] == [(nights.failed, "2026-01-04")]

    def test_all_is_well(self, nights: Nights) -> None:
        """Given a pipeline whose last run succeeded, then nothing needs attention."""
        mart = entries(nights)["mart"]
        assert (mart["attention"], mart["next"], mart["alive"]) == ([], [], None)

    def test_text(self, nights: Nights) -> None:
        """Given two pipelines, then a headline each, what needs attention below it, and an empty line between them."""
        text = program("status", cwd=nights.shop).stdout
        first, second = text.split("\n\n")
        assert first.startswith("mart: succeeded in ")
        assert second.startswith("shop: failed in ")
        assert (
            f"  last success: night 2026-01-02, {second.partition('last success: night 2026-01-02, ')[2][:20]}"
            in second
        )
        assert f"\n  next: orchestrate logs {nights.failed} totals\n        orchestrate explain" in second

    def test_one_pipeline(self, nights: Nights) -> None:
        """Given --pipeline, then it alone is shown."""
        assert list(entries(nights, "--pipeline", "pipeline.toml")) == ["shop"]

    def test_local_times(self, nights: Nights) -> None:
        """Given --local, then times carry the zone's offset."""
        done = program("status", "--local", cwd=nights.shop, env={"TZ": "Asia/Kolkata"})
        assert "+0530, run" in done.stdout

    def test_killed_orchestrator_is_said(self, tmp_path: Path) -> None:
        """Given a run whose orchestrator was killed, then status says so and how it goes on; the next run closes it."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[steps.a]\nshell = "echo $$ > p; mv p pid; exec sleep 60"\n', encoding="utf-8"
        )
        with started("run", "--for", "2026-01-31", cwd=tmp_path) as process:
            step = pid_in(tmp_path / "pid")
            process.kill()
            ended(process)
        try:
            run_id = data_of(ledger_of(tmp_path), "run.started")[0]["run_id"]
            (entry,) = value_of(program("status", "--json", cwd=tmp_path), "status")
            assert (entry["last_run"]["status"], entry["alive"]) == ("running", False)
            assert entry["attention"] == [f"run {run_id} lost its orchestrator; the next run closes it"]
            assert entry["next"] == ["orchestrate run --for 2026-01-31"]
            assert program("status", cwd=tmp_path).stdout.startswith("p: interrupted, night 2026-01-31, ")
            assert "running" in program("show", "latest", cwd=tmp_path).stdout
            (tmp_path / "pipeline.toml").write_text('[pipeline]\nname = "p"\n[steps.a]\ncommand = ["true"]\n')
            assert (
                f"run {run_id} had lost its orchestrator; it is interrupted now" in program("run", cwd=tmp_path).stderr
            )
            runs = value_of(program("runs", "--json", cwd=tmp_path), "runs")
            assert [run["status"] for run in runs] == ["succeeded", "interrupted"]
        finally:
            kill(step)


ONE = '[pipeline]\nname = "p"\n[steps.a]\nshell = "test ! -e broken"\n'


class TestNights:
    """Which nights a person should look at."""

    def test_a_failed_night_that_was_not_run_again_is_named(self, tmp_path: Path) -> None:
        """Given a failed night, a repaired one and a good one, then the first alone is named, until it is run again."""
        (tmp_path / "pipeline.toml").write_text(ONE)
        for night, broken in (("01", False), ("02", True), ("03", True), ("03", False), ("04", False)):
            (tmp_path / "broken").touch() if broken else (tmp_path / "broken").unlink(missing_ok=True)
            program("run", "-q", "--for", f"2026-01-{night}", cwd=tmp_path)
        (entry,) = value_of(program("status", "--json", cwd=tmp_path), "status")
        assert entry["failed_nights"] == ["2026-01-02"]
        assert entry["attention"] == [
            "2 failures that nobody has acknowledged: 2026-01-03, 2026-01-02",
            "nights that did not end well and were not run again: 2026-01-02",
        ]

        program("run", "-q", "--for", "2026-01-02", cwd=tmp_path)
        (entry,) = value_of(program("status", "--json", cwd=tmp_path), "status")
        assert entry["failed_nights"] == []
        assert entry["attention"] == ["2 failures that nobody has acknowledged: 2026-01-03, 2026-01-02"]

    def test_nights_to_come_are_not_missing(self, tmp_path: Path) -> None:
        """Given a night that was typed wrong and lies in the future, then a warning, and no hundred missing nights."""
        (tmp_path / "pipeline.toml").write_text(ONE)
        program("run", "-q", cwd=tmp_path)
        done = program("run", "--for", "2999-01-01", cwd=tmp_path)
        assert "warning: the night 2999-01-01 has not come yet: today is " in done.stderr
        (entry,) = value_of(program("status", "--json", cwd=tmp_path), "status")
        assert entry["missing_nights"] == []

    def test_commands_find_their_pipeline(self, tmp_path: Path) -> None:
        """Given a failed run of another folder's pipeline on a shared ledger, then what to type next works from here."""
        (tmp_path / "broken").touch()
        (tmp_path / "other.toml").write_text(ONE)
        (tmp_path / "here").mkdir()
        ledger = {"ORCHESTRATE_LEDGER": str(tmp_path / "shared.db")}
        program("run", "-q", "--pipeline", "other.toml", cwd=tmp_path, env=ledger)
        (entry,) = value_of(program("status", "--json", cwd=tmp_path / "here", env=ledger), "status")
        assert [line.partition(" --pipeline ")[2] for line in entry["next"]] == ["../other.toml"] * 4
        (entry,) = value_of(program("status", "--json", "--ledger", "shared.db", cwd=tmp_path), "status")
        assert entry["next"][2].endswith(" --pipeline other.toml --ledger shared.db")


class TestRoom:
    """One line where the disk will soon be full."""

    def warned(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
        """Return the warnings of `status`, which succeeds."""
        assert run_command(["status", *arguments]) == 0
        return [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]

    def test_few_days_are_left(
        self, nights: Nights, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Given little room, then a line says how much is free, where, and for how many days; given much, then none."""
        monkeypatch.chdir(nights.shop)
        assert self.warned(capsys) == []
        monkeypatch.setattr(status, "free_bytes", lambda _: 1000)
        folder = ledger_of(nights.shop).parent
        told = f"warning: 1000 B are free where {folder} lies, about 0 days of runs like the latest; `orchestrate doctor` shows what grows"
        assert self.warned(capsys) == self.warned(capsys, "--json") == [told]

    def test_file_system_that_does_not_answer(
        self, nights: Nights, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Given a file system that cannot be asked, then status shows what it has."""

        def fail(_: Path) -> int:
            raise OSError

        monkeypatch.chdir(nights.shop)
        monkeypatch.setattr(status, "free_bytes", fail)
        assert self.warned(capsys) == []
