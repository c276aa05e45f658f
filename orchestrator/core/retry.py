"""
Whether a failed attempt is tried again, and when: exponential delays with a cap, and jitter that is a function of the attempt.

The random part of a delay comes from a digest of run, step and attempt, so that whoever plays a run again gets the same times.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256

from orchestrator.core.definition import RetryPolicy
from orchestrator.core.durations import DURATION_US_MAX

_RANDOM_BITS = 53


def is_retried(policy: RetryPolicy, *, error_class: str | None, tried: int) -> bool:
    """
    Say whether another attempt follows one that failed.

    Args:
        error_class: Of the attempt that failed; it alone decides.
        tried: How many attempts there were since the step was decided, the failed one included.
    """
    return tried < policy.attempts and error_class in policy.on


def delay_us(policy: RetryPolicy, *, run_id: str, step: str, attempt: int, tried: int) -> int:
    """
    Return the microseconds between the end of *attempt*, the one of number *tried* since the step was decided, and the next one.

    The same for the same arguments on every machine. At most `max_delay_us`, and never more than a hundred years.

    >>> policy = RetryPolicy(attempts=4, delay_us=1_000_000, factor=2.0, max_delay_us=3_000_000)
    >>> [delay_us(policy, run_id="r", step="s", attempt=n, tried=n) for n in (1, 2, 3)]
    [1000000, 2000000, 3000000]
    """
    longest = DURATION_US_MAX if policy.max_delay_us is None else policy.max_delay_us
    try:
        delay = min(policy.delay_us * float(policy.factor) ** (tried - 1), longest)
    except OverflowError:
        delay = longest if policy.delay_us else 0
    digest = sha256(f"{run_id}/{step}/{attempt}".encode()).digest()
    random = int.from_bytes(digest[:8]) >> (64 - _RANDOM_BITS)
    fixed = delay * (1 - policy.jitter)
    return int(fixed + (delay - fixed) * random / 2**_RANDOM_BITS)


def time_after(now: str, microseconds: int) -> str:
    """
    Return the time *microseconds* after *now*, both as the ledger writes them; the last one there is where that would be beyond the calendar.

    >>> time_after("2026-01-01T00:00:00.000000Z", 90_000_000)
    '2026-01-01T00:01:30.000000Z'
    """
    try:
        later = datetime.fromisoformat(now) + timedelta(microseconds=microseconds)
    except OverflowError:
        return "9999-12-31T23:59:59.999999Z"
    return later.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def wait_us(now: str, until: str, longest: int) -> int:
    """
    Return the microseconds from *now* to *until*; none where that is over, and *longest* at most, for a clock that was set back meanwhile.

    >>> wait_us("2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:01.500000Z", 60_000_000)
    1500000
    """
    left = datetime.fromisoformat(until) - datetime.fromisoformat(now)
    return max(0, min(longest, left // timedelta(microseconds=1)))
