"""Tests of what is recorded when the clock goes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger import NewEvent, open_ledger
from ledger.audit.verify import verify
from ledger.clock import CLOCK_SET_BACK, settled_time

EVENT = NewEvent("thing.happened", 1, {})


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = "2026-03-01T02:00:00.000000Z"

    def __call__(self) -> str:
        """Return the time."""
        return self.now


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


class TestSettledTime:
    """Which time counts."""

    def test_first_event(self) -> None:
        """Given no event yet, then it is the clock's."""
        assert settled_time("2026-01-01T00:00:00.000000Z", None) == ("2026-01-01T00:00:00.000000Z", None)

    def test_later(self) -> None:
        """Given a clock that went on, then it is the clock's."""
        assert settled_time("2026-01-01T00:00:01.000000Z", "2026-01-01T00:00:00.000000Z") == (
            "2026-01-01T00:00:01.000000Z",
            None,
        )


class TestLedger:
    """What is recorded."""

    def test_small_step_is_waited_out(self, tmp_path: Path, clock: Clock) -> None:
        """Given a clock that was set back by half a minute, then events carry the last time until it has caught up."""
        path = tmp_path / "ledger.db"
        with open_ledger(path, now=clock) as ledger:
            clock.now = "2026-03-01T01:59:30.000000Z"
            (held,) = ledger.append("run/1", [EVENT], expected_version=-1)
            clock.now = "2026-03-01T02:00:01.000000Z"
            (after,) = ledger.append("run/1", [EVENT], expected_version=0)
        assert (held.recorded_at, after.recorded_at) == ("2026-03-01T02:00:00.000000Z", "2026-03-01T02:00:01.000000Z")
        assert verify(path).ok

    @pytest.mark.parametrize("stream", ["run/1", "ledger"])
    def test_large_step_is_an_event(self, tmp_path: Path, clock: Clock, stream: str) -> None:
        """Given a clock that had run ahead for years, then an event says so before the next one, and the history verifies."""
        path = tmp_path / "ledger.db"
        clock.now = "2036-01-01T00:00:00.000000Z"
        with open_ledger(path, now=clock) as ledger:
            clock.now = "2026-03-01T02:00:00.000000Z"
            (event,) = ledger.append(stream, [EVENT], expected_version=ledger.stream_version(stream))
            told = ledger.read_stream("ledger", from_version=1)[0]
            assert (event.seq, event.recorded_at) == (2, "2026-03-01T02:00:00.000000Z")
            assert (told.seq, told.type) == (1, CLOCK_SET_BACK)
            assert told.data == {"before": "2036-01-01T00:00:00.000000Z", "after": "2026-03-01T02:00:00.000000Z"}
        assert [item.kind for item in verify(path).problems] == ["post_dated"]
