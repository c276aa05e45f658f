"""Tests of a verdict as people read it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from orchestrator.cli.verdict_text import file_text, verdict_lines
from orchestrator.core.events import RunReproduced
from orchestrator.core.problems import Problem

ME = {"user": "anna"}


def told(verdict: str, *steps: Mapping[str, object], **changes: object) -> list[str]:
    """Return the lines of a verdict."""
    values: dict[str, object] = {"steps": steps, "causes": (), "left_out": {}, "actor": ME, **changes}
    return list(verdict_lines(RunReproduced("shop", "r1", None, verdict, **values)))  # type: ignore[arg-type]


def test_not_reproducible() -> None:
    """Given causes, then each is told with what to do, and what was left out with why."""
    cause = Problem("variable_differs", "the secret KEY is not what the run had", suggestion="take it")
    lines = told(
        "not_reproducible",
        causes=(cause.as_json(), Problem("x", "plain").as_json()),
        left_out={"mail": "no data"},
        trusted=("KEY",),
    )
    assert lines == [
        "run r1 of shop: not reproducible",
        "  the secret KEY is not what the run had (take it)",
        "  plain",
        "  not run again: mail: no data",
        "  taken as it is today: the secret KEY",
    ]


def test_the_worst_first() -> None:
    """Given steps of every verdict, then those that differ come first, each with its files, those that are equivalent are not told among them."""
    files = [
        {"path": "a.csv", "verdict": "different", "only": "then"},
        {"path": "b.csv", "verdict": "equivalent", "rows": [1, 1]},
    ]
    different = {"dataset": "d", "verdict": "different", "files": files, "more_files": 3}
    equivalent = {
        "dataset": "e",
        "verdict": "equivalent",
        "files": [{"path": "", "verdict": "equivalent", "rows": [1, 1]}],
    }
    lines = told(
        "different",
        {"step": "same", "verdict": "identical"},
        {"step": "like", "verdict": "equivalent", "datasets": [equivalent]},
        {"step": "other", "verdict": "different", "datasets": [different], "behind": ["up"]},
        {
            "step": "unknown",
            "verdict": "different",
            "datasets": [{"dataset": "u", "verdict": "different", "files": []}],
        },
        {
            "step": "ended",
            "verdict": "different",
            "outcome": {"expected": "failed (exit)", "actual": "failed (signal)"},
        },
    )
    assert lines == [
        "run r1 of shop: different",
        "  different: other, behind up",
        "    d/a.csv: it was there then, and is not now",
        "    d: and 3 more files",
        "  different: unknown",
        "    u: another digest; a manifest is not kept, so that it cannot be said where",
        "  different: ended",
        "    it ended as failed (exit) then, as failed (signal) now",
        "  equivalent: like",
        "    e: other bytes, the same rows",
        "  identical: same",
    ]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ({"only": "now"}, "it was not there then"),
        ({"reordered": True}, "the same rows in another order"),
        ({"rows_removed": None, "rows_added": 2}, "rows: an unknown number gone, 2 new"),
        (
            {"rows_removed": 1, "rows_added": 1, "columns": ["a", "b"], "more_columns": 4},
            "rows: 1 gone, 1 new; columns: a, b and 4 more",
        ),
        (
            {"rows_removed": 1, "rows_added": 1, "columns_withheld": 2},
            "rows: 1 gone, 1 new; 2 columns, whose names are withheld",
        ),
    ],
)
def test_a_file(file: Mapping[str, object], text: str) -> None:
    """Given how a file differs, then that is said in one line."""
    assert file_text({"path": "x", "verdict": "different", **file}) == text
