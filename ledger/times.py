"""The one form in which times are written: UTC, ISO 8601, six decimals and `Z`, so that text sorts as time does."""

from __future__ import annotations

import time


def format_utc(microseconds: int) -> str:
    """
    Format *microseconds* since the epoch.

    >>> format_utc(0)
    '1970-01-01T00:00:00.000000Z'
    """
    seconds, micros = divmod(microseconds, 1_000_000)
    parts = time.gmtime(seconds)
    return (
        f"{parts.tm_year:04d}-{parts.tm_mon:02d}-{parts.tm_mday:02d}"
        f"T{parts.tm_hour:02d}:{parts.tm_min:02d}:{parts.tm_sec:02d}.{micros:06d}Z"
    )


def utc_now() -> str:
    """Return the wall time of this machine."""
    return format_utc(time.time_ns() // 1000)
