"""Tests of whether and when a failed attempt is tried again."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core import retry
from orchestrator.core.definition import RetryPolicy
from orchestrator.core.durations import DURATION_US_MAX
from orchestrator.core.retry import delay_us, is_retried, time_after, wait_us

NOW = "2026-01-01T00:00:00.000000Z"
policies = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 1000),
    delay_us=st.integers(0, DURATION_US_MAX),
    factor=st.floats(1, 100),
    max_delay_us=st.none() | st.integers(1, DURATION_US_MAX),
    jitter=st.floats(0, 1),
)


def delay(policy: RetryPolicy, tried: int, run_id: str = "run") -> int:
    """Return the delay after one of the first attempts of a step."""
    return delay_us(policy, run_id=run_id, step="s", attempt=tried, tried=tried)


class TestIsRetried:
    """The class decides, and the number of attempts."""

    @pytest.mark.parametrize(
        ("error_class", "tried", "then"),
        [("transient", 1, True), ("transient", 2, False), ("permanent", 1, False), (None, 1, False)],
    )
    def test_case(self, error_class: str | None, tried: int, then: bool) -> None:  # noqa: FBT001 -- a column of the table
        """Given two attempts for transient failures."""
        assert then is is_retried(RetryPolicy(attempts=2, on=("transient",)), error_class=error_class, tried=tried)


class TestDelay:
    """Delays grow by a factor up to the longest, and their random part is a function of the attempt."""

    @given(policies, st.integers(1, 1000))
    def test_bounds(self, policy: RetryPolicy, tried: int) -> None:
        """For any policy and attempt: between nothing and the longest, and the part that is not random is there."""
        longest = DURATION_US_MAX if policy.max_delay_us is None else policy.max_delay_us
        found = delay(policy, tried)

        assert 0 <= found <= longest
        assert found + 1 >= min(policy.delay_us, longest) * (1 - policy.jitter)

    @given(policies, st.integers(1, 999))
    def test_never_shorter_than_the_one_before(self, policy: RetryPolicy, tried: int) -> None:
        """For any policy without jitter: the next delay is no shorter."""
        plain = RetryPolicy(policy.attempts, policy.delay_us, policy.factor, policy.max_delay_us)

        assert delay(plain, tried) <= delay(plain, tried + 1)

    def test_random_part_spreads(self) -> None:
        """Given full jitter and a thousand runs, then delays are all over the range, about as many in each tenth."""
        policy = RetryPolicy(2, 1000, jitter=1.0)
        tenths = [0] * 10
        for number in range(1000):
            tenths[delay(policy, 1, f"run-{number}") // 100] += 1

        assert min(tenths) > 60

    def test_beyond_all_numbers(self) -> None:
        """Given a factor that is beyond all numbers after so many attempts, then the delay is the longest; of nothing, nothing."""
        assert DURATION_US_MAX == delay(RetryPolicy(1000, 1, 100.0), 999)
        assert 0 == delay(RetryPolicy(1000, 0, 100.0), 999)


class TestTimes:
    """Times are those of the ledger."""

    def test_beyond_the_calendar(self) -> None:
        """Given a time after the last one that can be written, then that one."""
        assert "9999-12-31T23:59:59.999999Z" == time_after(NOW, 10_000 * 366 * 86_400_000_000)

    def test_clock_that_was_set_back(self) -> None:
        """Given a clock that says less than it did, then nobody waits longer than the delay was."""
        assert 5 == wait_us("2020-01-01T00:00:00.000000Z", NOW, 5)
        assert 0 == wait_us("2027-01-01T00:00:00.000000Z", NOW, 5)

    @given(st.integers(0, DURATION_US_MAX))
    def test_after_and_until(self, microseconds: int) -> None:
        """For any delay: who waits until the time after it waits as long as it is."""
        assert microseconds == wait_us(NOW, time_after(NOW, microseconds), DURATION_US_MAX)

    def test_examples(self) -> None:
        """The examples in the module hold."""
        assert 0 == doctest.testmod(retry).failed
