"""Tests of the clock of the machine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from orchestrator.runtime.clock import SystemClock


class TestSystemClock:
    """Wall time for people, monotonic time for durations."""

    def test_now_is_utc(self) -> None:
        """ISO 8601 with six decimals and `Z`."""
        now = SystemClock().now()
        moment = datetime.fromisoformat(now)

        assert (27, "Z") == (len(now), now[-1])
        assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)

    def test_monotonic_never_goes_back(self) -> None:
        """In whole microseconds."""
        clock = SystemClock()
        times = [clock.monotonic_us() for _ in range(100)]

        assert times == sorted(times)
