"""Tests of reasons in words, and of what to type next."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core import decide, explain, outcome, output_contract
from orchestrator.core.explain import next_command, overwritten_text, reason_text, short_digest

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SHORT_A, SHORT_B = "sha256:" + "a" * 12 + "…", "sha256:" + "b" * 12 + "…"


def first_words(file: str, name: str) -> set[str]:
    """Return the reasons that calls of *name* in *file* give as literals; a conditional one gives both."""
    found = set[str]()
    for call in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == name:
            reason = call.args[1 if name == "Outcome" and len(call.args) > 1 else 0]
            values = [reason.body, reason.orelse] if isinstance(reason, ast.IfExp) else [reason]
            found |= {str(value.value) for value in values if isinstance(value, ast.Constant)}
    return found


class TestEveryReason:
    """No reason that can be recorded is without words."""

    @pytest.mark.parametrize(
        ("status", "table", "reasons"),
        [
            (
                "run",
                explain._STARTED,
                (first_words(decide.__file__, "Run") | {"last_attempt_lost", "last_attempt_failed"})
                | {f"{kind}_changed" for kind in ("recipe", "command", "code", "variables", "input", "needs")},
            ),
            ("skipped", explain._SKIPPED, first_words(decide.__file__, "Skip")),
            (
                "failed",
                explain._FAILED,
                first_words(decide.__file__, "Fail")
                | (first_words(outcome.__file__, "Outcome") - {"no_new_data", "succeeded"})
                | first_words(output_contract.__file__, "Outcome"),
            ),
        ],
    )
    def test_has_words(self, status: str, table: dict[str, object], reasons: set[str]) -> None:
        """Each reason that the decision and the outcome can give is in the table, and can be said without evidence."""
        assert reasons
        assert reasons <= table.keys()
        for reason in table:
            assert reason_text(status, reason, {})

    @given(
        st.sampled_from(["run", "skipped", "failed", "cancelled"]),
        st.sampled_from(sorted({**explain._STARTED, **explain._SKIPPED, **explain._FAILED})),
        st.dictionaries(
            st.sampled_from(
                ["root", "step", "dataset", "expected", "actual", "attempt", "component", "before", "after", "upstream"]
            ),
            st.none() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=2),
        ),
    )
    def test_any_evidence(self, status: str, reason: str, evidence: dict[str, object]) -> None:
        """For any evidence, also of another program, there are words."""
        assert reason_text(status, reason, evidence)


class TestReasonText:
    """The evidence is in the words."""

    @pytest.mark.parametrize(
        ("status", "reason", "evidence", "words"),
        [
            ("skipped", "not_selected", {}, "not selected"),
            ("skipped", "upstream_failed", {"root": "a"}, "upstream a failed"),
            ("skipped", "run_ended", {"cause": "cancelled"}, "the run was ending (cancelled)"),
            ("skipped", "no_new_data", {"since": "run-1/1"}, "no new data since run-1/1"),
            ("skipped", "up_to_date", {"since": None}, "up to date"),
            (
                "skipped",
                "upstream_skipped",
                {"dataset": "d"},
                "dataset d does not exist, since its writer was skipped",
            ),
            ("skipped", "upstream_skipped", {"step": "s"}, "s, which it needs, never succeeded"),
            ("skipped", "upstream_skipped", {}, "nothing upstream was attempted"),
            (
                "skipped",
                "input_untrusted",
                {"dataset": "d", "expected": A, "actual": None},
                f"input d is nothing, but its writer, which is not part of this run, left {SHORT_A}",
            ),
            ("failed", "timeout", {"timeout_us": 3_000_000}, "its time was up (3s)"),
            ("run", "never_succeeded", {"per_night": True}, "it never succeeded for this night"),
            ("failed", "exit", {"exit_code": 3}, "exit code 3"),
            ("failed", "exit", {}, "exit code"),
            ("failed", "signal", {"name": "SIGKILL"}, "ended by SIGKILL"),
            ("failed", "signal", {}, "ended by a signal"),
            ("failed", "lost", {"attempt": "run-1/1"}, 'attempt run-1/1 was lost, and rerun = "never" forbids another'),
            ("failed", "lost", {}, "the orchestrator died while it ran"),
            ("cancelled", "cancelled", {}, "cancelled"),
            (
                "run",
                "last_attempt_failed",
                {"attempt": "run-1/1", "status": "failed"},
                "its last attempt (run-1/1) did not succeed: failed",
            ),
            ("run", "last_attempt_lost", {"attempt": "run-1/1"}, "its last attempt (run-1/1) was lost"),
            ("run", "upstream_failed", {"step": "a"}, "upstream a failed"),
            ("run", "upstream_runs", {"upstream": ["a", "b"]}, "depends on a, b"),
            ("run", "upstream_runs", {}, "depends on its upstreams"),
            (
                "run",
                "recipe_changed",
                {"component": "recipe", "before": 9, "after": 1},
                "its key was made by recipe 9, which this program does not know",
            ),
            ("run", "command_changed", {"component": "command"}, "its command changed"),
            ("run", "code_changed", {"component": "code:a.py", "after": A}, "code file a.py is new"),
            ("run", "code_changed", {"component": "code:a.py", "before": A}, "code file a.py is gone"),
            ("run", "code_changed", {"component": "code:a.py", "before": A, "after": B}, "code file a.py changed"),
            ("run", "variables_changed", {"component": "variable:V"}, "variable V changed"),
            ("run", "input_changed", {"component": "input:raw"}, "input raw changed"),
            (
                "run",
                "input_changed",
                {"component": "input:raw", "added": 2, "changed": 0, "removed": 1},
                "input raw changed (2 added, 1 removed)",
            ),
            ("run", "needs_changed", {"component": "needs:a"}, "a ran again"),
            (
                "run",
                "output_changed",
                {"dataset": "d", "expected": A, "actual": B},
                f"output d was changed by hand: {SHORT_B}, the step had left {SHORT_A}",
            ),
            (
                "run",
                "output_missing",
                {"dataset": "d", "expected": A, "actual": None},
                f"output d is gone, it was {SHORT_A}",
            ),
            ("run", "output_new", {"dataset": "d", "actual": B}, "it writes d now, which its last success did not"),
            (
                "skipped",
                "no_new_data",
                {"since": "r/1", "strength": {"db": "probe", "big": "listing"}},
                "no new data since r/1 (db by its probe, big by its names, sizes and times)",
            ),
            (
                "skipped",
                "up_to_date",
                {"since": "r/1", "strength": {"d": "smell"}},
                "up to date since r/1 (d by its smell)",
            ),
            ("run", "input_changed", {"component": "input:db", "strength": "probe"}, "input db changed, by its probe"),
            (
                "run",
                "output_changed",
                {"dataset": "d", "expected": A, "actual": B, "strength": "listing"},
                f"output d was changed by hand: {SHORT_B}, the step had left {SHORT_A}, by its names, sizes and times",
            ),
            ("failed", "from_the_future", {}, "from the future"),
        ],
    )
    def test_words(self, status: str, reason: str, evidence: dict[str, object], words: str) -> None:
        """Given a reason and what it rests on, then a sentence."""
        assert words == reason_text(status, reason, evidence)

    def test_overwritten_output(self) -> None:
        """Given an output that was changed by hand, as the reason or besides another one, then it is named; a missing one is not."""
        touched = {"dataset": "d", "expected": A, "actual": B}
        words = f"output d was changed by hand: {SHORT_B}, the step had left {SHORT_A}; it is overwritten"

        assert words == overwritten_text("forced", {"output": touched})
        assert words == overwritten_text("output_changed", touched)
        assert overwritten_text("forced", {}) is None
        assert overwritten_text("forced", {"output": {**touched, "actual": None}}) is None

    @pytest.mark.parametrize(("value", "text"), [(None, "nothing"), (A, SHORT_A), ("x", "x"), (5, "5")])
    def test_short_digest(self, value: object, text: str) -> None:
        """Given a digest, then what people compare."""
        assert text == short_digest(value)


def detail(status: str, *steps: tuple[str, str, str | None, int], **more: object) -> dict[str, object]:
    """Return a run as the queries give it; steps are name, status, reason, attempts."""
    names = ("step", "status", "reason", "attempts")
    evidence = {"dataset": "out", "attempt": "R0/1"}
    listed = [{**dict(zip(names, step, strict=True)), "evidence": evidence} for step in steps]
    return {"run_id": "R", "night": "2026-01-01", "status": status, "steps": listed, **more}


AGAIN = "orchestrate run --for 2026-01-01"


class TestNextCommand:
    """The most useful command comes first."""

    @pytest.mark.parametrize(
        ("run", "commands"),
        [
            (detail("running"), ["orchestrate logs R --follow"]),
            (detail("running", where=" --ledger l.db"), ["orchestrate logs R --follow --ledger l.db"]),
            (detail("succeeded", ("a", "succeeded", None, 1)), []),
            (detail("nothing_to_do", ("a", "skipped", "no_new_data", 0)), []),
            (detail("cancelled", ("a", "cancelled", "cancelled", 1)), [AGAIN]),
            (detail("interrupted", where=" --pipeline p.toml"), [AGAIN + " --pipeline p.toml"]),
            (detail("timed_out"), [AGAIN]),
            (
                detail("cancelled", ("a", "failed", "exit", 1), root_cause={"step": "a"}),
                ["orchestrate logs R a", "orchestrate explain R a", AGAIN],
            ),
            (
                detail("failed", ("b", "skipped", "upstream_failed", 0), ("a", "failed", "exit", 2)),
                ["orchestrate logs R a", "orchestrate explain R a", AGAIN],
            ),
            (
                detail("failed", ("a", "failed", "lost", 0)),
                ['orchestrate accept R a --reason "…"', f"{AGAIN} --force --only a"],
            ),
            (
                detail("failed", ("a", "failed", "lost", 1)),
                ['orchestrate accept R a --reason "…"', f"{AGAIN} --force --only a"],
            ),
            (
                detail("failed", ("a", "failed", "lost", 1), accepted_since=["a"], is_newest=True),
                ["orchestrate resume R"],
            ),
            (detail("failed", ("a", "failed", "lost", 1), accepted_since=["a"], is_newest=False), [AGAIN]),
            (
                detail(
                    "failed",
                    ("a", "skipped", "input_untrusted", 0),
                    graph={"steps": [{"step": "w", "writes": ["out"]}]},
                    accepted_since=["w"],
                    is_newest=True,
                ),
                ["orchestrate resume R"],
            ),
            (detail("failed", ("a", "skipped", "input_untrusted", 0)), ["orchestrate explain R a", AGAIN]),
            (
                detail(
                    "failed",
                    ("a", "skipped", "input_untrusted", 0),
                    graph={"steps": [{"step": "a"}, {"step": "w", "writes": ["out"]}]},
                ),
                ["orchestrate explain R a", 'orchestrate accept R w --reason "…"', AGAIN],
            ),
            (
                detail("failed", ("a", "failed", "exit", 1), ("b", "failed", "exit", 1), root_cause={"step": "b"}),
                ["orchestrate logs R b", "orchestrate explain R b", AGAIN],
            ),
            (detail("failed", ("a", "failed", "exit", 1), repaired_by="R2"), []),
            (
                detail(
                    "nothing_to_do",
                    selection={"only": ["a"], "from": [], "until": ["b", "c"], "omit": None, "force": False},
                ),
                [f"{AGAIN} --only a --until b --until c --force"],
            ),
            (detail("nothing_to_do", selection={"only": ["a"], "force": True}), []),
            (detail("nothing_to_do", selection={"only": [], "force": False}), []),
        ],
    )
    def test_commands(self, run: dict[str, object], commands: list[str]) -> None:
        """Given a run, then what to type next."""
        assert commands == next_command(run)

    def test_a_run_with_settings(self) -> None:
        """Given a run that was started with --set, then it is to be resumed, which keeps that, as long as it is the newest."""
        more = {"has_settings": True, "is_newest": True}
        assert next_command(detail("interrupted", **more)) == ["orchestrate resume R"]
        assert next_command(detail("interrupted", **more | {"is_newest": False})) == [AGAIN]
        lost = detail("failed", ("a", "failed", "lost", 0), **more)
        assert next_command(lost)[1] == f"{AGAIN} --force --only a"

    def test_lost_with_its_orchestrator(self) -> None:
        """Given a step that was lost with the orchestrator, and not left alone since, then nobody is asked to accept it."""
        step = {"step": "a", "status": "failed", "reason": "lost", "attempts": 1, "evidence": {"survivors": []}}
        assert next_command(detail("failed") | {"steps": [step]})[0] == "orchestrate logs R a"
