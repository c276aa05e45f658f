"""Tests of how old data may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.freshness import Age, Limits, freshness_text, limits_of, state_of

HOUR = 3_600_000_000
LIMITS = Limits(26 * HOUR, 50 * HOUR)


class TestState:
    """One of four words."""

    @pytest.mark.parametrize(
        ("age", "limits", "state", "text"),
        [
            (Age("files", 0), LIMITS, "fresh", "dataset d is fresh: its newest file is 0s old"),
            (Age("files", 26 * HOUR), LIMITS, "fresh", "dataset d is fresh: its newest file is 1d2h old"),
            (Age("files", 27 * HOUR), LIMITS, "warn", "dataset d is late: its newest file is 1d3h old, warn after 1d2h"),
            (Age("files", 51 * HOUR), LIMITS, "error", "dataset d is stale: its newest file is 2d3h old, error after 2d2h"),
            (
                Age("writer", 51 * HOUR),
                LIMITS,
                "error",
                "dataset d is stale: its files are not within reach, its last writing is 2d3h old, error after 2d2h",
            ),
            (Age("files", None), LIMITS, "error", "dataset d is stale: there is no file"),
            (Age("files", None), Limits(HOUR, None), "warn", "dataset d is stale: there is no file"),
            (Age("files", 2 * HOUR), Limits(None, HOUR), "error", "dataset d is stale: its newest file is 2h old, error after 1h"),
            (Age("files", 2 * HOUR), Limits(None, 3 * HOUR), "fresh", "dataset d is fresh: its newest file is 2h old"),
            (
                Age("none", None),
                LIMITS,
                "unknown",
                "dataset d: its files are not within reach, and no step of the pipeline has written it",
            ),
        ],
    )  # fmt: skip
    def test_table(self, age: Age, limits: Limits, state: str, text: str) -> None:
        """Given an age and limits, then the word, and a sentence with what was expected and what is."""
        assert (state_of(age, limits), freshness_text("d", age, limits)) == (state, text)

    def test_limits_are_durations(self) -> None:
        """Given the table of a definition, then its durations; what is not given is no limit."""
        assert limits_of({"warn": "26h", "error": "50h", "refuse": True}) == LIMITS
        assert limits_of({"error": "1h"}) == Limits(None, HOUR)

    @given(st.integers(0, 10**15), st.integers(0, 10**15), st.integers(1, 10**15), st.integers(1, 10**15))
    def test_older_is_never_fresher(self, age: int, more: int, warn: int, error: int) -> None:
        """Given any limits, then what is older is in no better state."""
        order = ["fresh", "warn", "error"]
        limits = Limits(warn, error)
        younger, older = (state_of(Age("files", value), limits) for value in (age, age + more))
        assert order.index(younger) <= order.index(older)
