"""Tests of `orchestrate plan`: what would run and why, without a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nights import BROKEN, SHOP, write_shop
from tests.programs import everything_in, ledger_of, program, refused, value_of


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Give the folder of a pipeline that has never run."""
    return write_shop(tmp_path / "shop")


class TestPlan:
    """The plan is what a run would do now."""

    def test_before_the_first_run_everything_runs_or_depends(self, shop: Path) -> None:
        """Given no ledger, then the first step runs, the others follow, and nothing is made."""
        before = everything_in(shop)
        value = value_of(program("plan", "--json", "--for", "2026-01-31", cwd=shop), "plan")
        assert [(step["step"], step["outlook"], step["reason"]) for step in value["steps"]] == [
            ("ingest", "run", "never_succeeded"),
            ("totals", "depends", "upstream_runs"),
            ("mail", "depends", "upstream_runs"),
        ]
        assert (value["night"], value["steps"][1]["evidence"]) == ("2026-01-31", {"upstream": ["ingest"]})
        assert everything_in(shop) == before

    def test_after_a_run_it_says_what_a_second_one_does(self, shop: Path) -> None:
        """Given a good run, then the plan is to skip all, with what each step usually takes; the next run agrees."""
        program("run", "--quiet", cwd=shop)
        value = value_of(program("plan", "--json", cwd=shop), "plan")
        run = value_of(program("run", "--json", cwd=shop), "run")
        assert [(step["step"], step["outlook"], step["reason"]) for step in value["steps"]] == [
            (step["step"], "skip", step["reason"]) for step in run["steps"]
        ]
        assert all(step["expected_seconds"] > 0 for step in value["steps"])

    def test_text_has_a_row_for_each_step_and_counts(self, shop: Path) -> None:
        """Given a changed command and a new file, then the rows say so and the last line counts."""
        program("run", "--quiet", cwd=shop)
        (shop / "pipeline.toml").write_text(BROKEN, encoding="utf-8")
        (shop / "raw" / "2.csv").write_text("2\n", encoding="utf-8")
        lines = program("plan", cwd=shop).stdout.splitlines()
        assert lines[0].split() == ["plan", "step", "usually", "why"]
        assert lines[1].startswith("run")
        assert lines[1].endswith("input raw changed (1 added)")
        assert lines[2].endswith("its command changed")
        assert lines[-1] == "2 run, 1 depends"

    def test_output_changed_by_hand_is_named(self, shop: Path) -> None:
        """Given an output that was changed by hand and another reason that goes first, then the row names both."""
        program("run", "--quiet", cwd=shop)
        (shop / "gold" / "all.csv").write_text("mended\n", encoding="utf-8")
        alone = program("plan", cwd=shop).stdout
        assert "output gold was changed by hand" in alone
        assert "it is overwritten" not in alone
        (shop / "pipeline.toml").write_text(BROKEN, encoding="utf-8")
        both = program("plan", cwd=shop).stdout
        assert "its command changed; output gold was changed by hand: sha256:" in both
        assert "it is overwritten" in both

    def test_selection_and_force_are_those_of_run(self, shop: Path) -> None:
        """Given a selection, then the plan is for it."""
        program("run", "--quiet", cwd=shop)
        value = value_of(program("plan", "--json", "--from", "totals", "--force", cwd=shop), "plan")
        assert [(step["outlook"], step["reason"]) for step in value["steps"]] == [
            ("skip", "not_selected"),
            ("run", "forced"),
            ("run", "forced"),
        ]

    def test_plan_writes_nothing(self, shop: Path) -> None:
        """Given a ledger, then a plan leaves every byte of the folder as it is."""
        program("run", "--quiet", cwd=shop)
        before = {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()}
        program("plan", cwd=shop)
        assert {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()} == before

    def test_what_would_be_refused_is_refused(self, shop: Path) -> None:
        """Given problems of environment and source, then all are listed with exit code 2, and nothing is made."""
        (shop / "raw" / "1.csv").unlink()
        (shop / ".env").unlink()
        problems = refused(program("plan", "--json", cwd=shop))
        assert [problem["kind"] for problem in problems] == ["missing_variable", "too_few_files"]
        assert not ledger_of(shop).exists()

    def test_unselected_source_without_a_place(self, shop: Path) -> None:
        """Given a source whose path needs a value that nothing gives, then only steps that read it are refused."""
        text = SHOP.replace("[env.vars]", "[env.vars]\nRAW = {}").replace('path = "raw"', 'path = "${RAW}"')
        (shop / "pipeline.toml").write_text(text, encoding="utf-8")
        problems = refused(program("plan", "--json", cwd=shop))
        assert [problem["kind"] for problem in problems] == ["missing_variable"]
        (shop / "gold").mkdir()
        value = value_of(program("plan", "--json", "--only", "mail", cwd=shop), "plan")
        assert [step["outlook"] for step in value["steps"]] == ["skip", "skip", "skip"]
        assert value["steps"][2]["reason"] == "input_untrusted"

    def test_foreign_file_in_place_of_the_ledger(self, shop: Path) -> None:
        """Given a text file in place of the ledger, then exit code 3."""
        (shop / "notes.txt").write_text("notes")
        (problem,) = refused(program("plan", "--json", "--ledger", "notes.txt", cwd=shop), 3)
        assert "notes.txt is not a ledger" in problem["message"]
