"""Tests of the lines that end a run: what is cut, what is grouped, what is named."""

from __future__ import annotations

from typing import Any

from orchestrator.core.events import EVENT_TYPES
from orchestrator.projections.read_models import _HANDLERS
from orchestrator.projections.summary import against_history, cause_text, summary_lines

Detail = dict[str, Any]


def step(name: str, status: str = "succeeded", **more: object) -> Detail:
    """Return a step as `run_detail` gives it."""
    attempts = [{"attempt": 1, "start_reason": "forced", "start_evidence": {}}] if status != "skipped" else []
    return {
        "step": name,
        "status": status,
        "reason": None,
        "evidence": {},
        "duration_seconds": None,
        "expected_seconds": None,
        "log": None,
        "attempts": attempts,
        **more,
    }


def run(*steps: Detail, **more: object) -> Detail:
    """Return a run as `run_detail` gives it."""
    return {
        "run_id": "R",
        "pipeline": "p",
        "night": "2026-01-31",
        "status": "succeeded",
        "duration_seconds": 1.5,
        "counts": {},
        "classes": {},
        "root_cause": None,
        "selection": {},
        "steps": list(steps),
        **more,
    }


class TestSummaryLines:
    """A screen's worth; the report holds the rest."""

    def test_many_steps_are_cut_failures_first(self) -> None:
        """Given fifty steps with one failure, then the failure stands first, forty rows in all, and the rest is counted."""
        steps = [step(f"s{number:02d}") for number in range(50)]
        steps[30]["status"] = "failed"
        lines = summary_lines(run(*steps), {})
        rows = [line for line in lines if line.startswith(("succeeded  ", "failed  "))]
        assert rows[0].startswith("failed     s30")
        assert len(rows) == 40
        assert "… and 10 more; `orchestrate show R` lists all" in lines

    def test_skipped_steps_are_grouped_by_reason(self) -> None:
        """Given many steps skipped for one reason, then one line names the first six and counts the others."""
        steps = [
            step(f"s{number}", "skipped", reason="up_to_date", evidence={"since": f"R{number}"}) for number in range(8)
        ]
        steps.append(step("other", "skipped", reason="not_selected"))
        lines = summary_lines(run(*steps), {})
        assert "skipped    s0, s1, s2, s3, s4, s5 and 2 more: up to date" in lines
        assert lines[-1] == "skipped    other: not selected"

    def test_run_without_anything(self) -> None:
        """Given a run without steps, then the headline and nothing to type."""
        assert summary_lines(run(), {}) == ["succeeded: p, night 2026-01-31, run R in 1.5s", ""]

    def test_tail_is_made_harmless(self) -> None:
        """Given a log that holds escape sequences, then its last lines show them as what they are, tabs kept."""
        failed = step("a", "failed", reason="exit", evidence={"exit_code": 3}, log="logs/R/a.1.log")
        lines = summary_lines(run(failed, status="failed"), {"a": ["x\x1b[2J\ty"]})
        assert lines[-2:] == ["last lines of logs/R/a.1.log:", "  x\\e[2J\ty"]

    def test_cause_of_a_step_that_is_not_known(self) -> None:
        """Given a cause without its step, then what is known of it."""
        cause = {"step": "gone", "reason": "exit", "error_class": None, "message": None}
        assert cause_text(run(root_cause=cause)) == "gone: exit code"

    def test_cause_whose_message_says_it_already(self) -> None:
        """Given a message that has the reason in it, then that is not said twice; another message follows it."""
        lacking = [{"dataset": "d", "rule": "exists", "expected": "d.csv", "found": None}]
        failed = step("a", "failed", reason="missing_output", evidence={"outputs": lacking})
        cause = {"step": "a", "reason": "missing_output", "error_class": "permanent"}
        said = cause | {"message": "it ended well, but d does not exist at d.csv"}
        assert cause_text(run(failed, root_cause=said)) == "a: it ended well, but d does not exist at d.csv (permanent)"
        other = cause | {"message": "the disk is full"}
        assert cause_text(run(failed, root_cause=other)) == "a: d does not exist at d.csv (permanent): the disk is full"


class TestAgainstHistory:
    """Compared with what is usual, where that is known."""

    def test_words(self) -> None:
        """Given durations, then slower is said only where a person would notice it."""
        assert against_history({"duration_seconds": 1.0}) == ""
        assert against_history({"duration_seconds": 1.0, "expected_seconds": 0.1}) == "usually 100ms"
        assert against_history({"duration_seconds": 9.0, "expected_seconds": 2.0}) == "usually 2s, slower"


class TestHandlers:
    """The tables take in every event that can be stored."""

    def test_every_event_has_one(self) -> None:
        """Given the table of events, then each class has its handler, and nothing else has."""
        assert set(_HANDLERS) == {cls for cls, _ in EVENT_TYPES.values()}
