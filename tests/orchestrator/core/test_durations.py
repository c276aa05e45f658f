"""Tests of durations as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.durations import DURATION_US_MAX, InvalidDurationError, format_duration, parse_duration


class TestParseDuration:
    """One spelling for each duration."""

    @pytest.mark.parametrize(
        ("text", "microseconds"),
        [
            ("500ms", 500_000),
            ("90s", 90_000_000),
            ("10m", 600_000_000),
            ("2h", 7_200_000_000),
            ("400d", 34_560_000_000_000),
            ("1h30m", 5_400_000_000),
            ("1d2h3m4s5ms", 93_784_005_000),
            ("1m5ms", 60_005_000),
            ("36500d", DURATION_US_MAX),
        ],
    )
    def test_right(self, text: str, microseconds: int) -> None:
        """Given whole numbers with units, then their sum."""
        assert microseconds == parse_duration(text)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "5",
            "s",
            "1.5h",
            "-1s",
            "+1s",
            " 1s",
            "1s ",
            "1s\n",
            "1 s",
            "1m1h",
            "1s1s",
            "1S",
            "1us",
            "inf",
            "1w",
            "٣s",
            "1234567890s",
        ],
    )
    def test_wrong(self, text: str) -> None:
        """Given anything else, then the form is told."""
        with pytest.raises(
            InvalidDurationError, match=r"^not a duration: .*; a duration is whole numbers with units"
        ) as caught:
            parse_duration(text)

        assert text == caught.value.text

    @pytest.mark.parametrize("text", ["36500d1ms", "999999999d"])
    def test_too_long(self, text: str) -> None:
        """Given more than a hundred years, then it is a typo."""
        with pytest.raises(InvalidDurationError, match=f"^too long a duration: '{text}', at most 36500d are allowed$"):
            parse_duration(text)

    def test_zero(self) -> None:
        """Zero is refused unless it is allowed."""
        assert parse_duration("0s", zero_allowed=True) == 0
        with pytest.raises(InvalidDurationError, match=r"^the duration is zero: '0s'; it must be longer$"):
            parse_duration("0s")


class TestFormatDuration:
    """Durations as people read them."""

    @pytest.mark.parametrize(
        ("microseconds", "text"),
        [
            (0, "0s"),
            (1, "0.001ms"),
            (950, "0.95ms"),
            (999_999, "999.999ms"),
            (1_000_000, "1s"),
            (1_000_001, "1.000001s"),
            (59_999_999, "59.999999s"),
            (60_000_000, "1m"),
            (65_500_000, "1m5s"),
            (3_600_000_000, "1h"),
            (3_605_000_000, "1h"),
            (5_400_000_000, "1h30m"),
            (90_000_000_000, "1d1h"),
            (86_400_000_000 + 300_000_000, "1d"),
            (-1_500_000, "-1.5s"),
            (-5_400_000_000, "-1h30m"),
        ],
    )
    def test_text(self, microseconds: int, text: str) -> None:
        """Given microseconds, then exact below a minute, else the two largest units."""
        assert text == format_duration(microseconds)

    @given(st.integers(1, 36_500), st.integers(0, 23))
    def test_round_trip(self, days: int, hours: int) -> None:
        """What has two units is read back as it was."""
        if (days, hours) <= (36_500, 0):
            microseconds = (days * 24 + hours) * 3_600_000_000
            assert microseconds == parse_duration(format_duration(microseconds))
