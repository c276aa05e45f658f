"""The clock of the machine: wall time for people, monotonic time for durations and timeouts."""

from __future__ import annotations

import time

from ledger.times import utc_now


class SystemClock:
    """Tell the time of this machine."""

    def now(self) -> str:
        """Return the wall time: UTC, ISO 8601, six decimals and `Z`."""
        return utc_now()

    def monotonic_us(self) -> int:
        """Return microseconds of `CLOCK_MONOTONIC`."""
        return time.monotonic_ns() // 1000
