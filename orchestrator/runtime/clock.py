"""The clock of the machine: wall time for people, monotonic time for durations and timeouts."""

from __future__ import annotations

import time


class SystemClock:
    """Tell the time of this machine."""

    def now(self) -> str:
        """Return the wall time: UTC, ISO 8601, six decimals and `Z`."""
        return format_utc(time.time_ns() // 1000)

    def monotonic_us(self) -> int:
        """Return microseconds of `CLOCK_MONOTONIC`."""
        return time.monotonic_ns() // 1000


def format_utc(microseconds: int) -> str:
    """Format *microseconds* since the epoch as UTC, ISO 8601, six decimals and `Z`."""
    seconds, micros = divmod(microseconds, 1_000_000)
    parts = time.gmtime(seconds)
    return (
        f"{parts.tm_year:04d}-{parts.tm_mon:02d}-{parts.tm_mday:02d}"
        f"T{parts.tm_hour:02d}:{parts.tm_min:02d}:{parts.tm_sec:02d}.{micros:06d}Z"
    )
