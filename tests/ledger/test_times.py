"""Tests of the one form of times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.times import format_utc, utc_now

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
US = timedelta(microseconds=1)
LAST = (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC) - EPOCH) // US
MOMENTS = st.integers((datetime(1000, 1, 1, tzinfo=UTC) - EPOCH) // US, LAST)


class TestFormat:
    """Microseconds as text."""

    @given(MOMENTS)
    def test_is_read_back_exactly(self, us: int) -> None:
        """Given any moment of four-digit years, then the standard library reads the same moment."""
        text = format_utc(us)

        assert EPOCH + us * US == datetime.fromisoformat(text)
        assert (27, "Z") == (len(text), text[-1])

    @given(MOMENTS, MOMENTS)
    def test_text_sorts_as_time(self, one: int, other: int) -> None:
        """Given two moments, then their texts are in their order."""
        assert (one < other) == (format_utc(one) < format_utc(other))

    @pytest.mark.parametrize(
        ("us", "text"),
        [
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_709_164_800_000_000, "2024-02-29T00:00:00.000000Z"),
            (LAST, "9999-12-31T23:59:59.999999Z"),
        ],
    )
    def test_edges(self, us: int, text: str) -> None:
        """Given moments at edges, then their texts."""
        assert text == format_utc(us)


class TestNow:
    """This machine's clock."""

    def test_lies_between_two_looks_at_another_clock(self) -> None:
        """Given looks before and after, then now lies between them."""
        before = datetime.now(UTC)
        now = datetime.fromisoformat(utc_now())
        after = datetime.now(UTC)

        assert before <= now <= after
