"""Tests of sizes as people write them."""

from __future__ import annotations

import pytest

from orchestrator.core.sizes import SIZE_BYTES_MAX, InvalidSizeError, parse_size


class TestParseSize:
    """A whole number with one unit."""

    @pytest.mark.parametrize(
        ("text", "size"),
        [("1B", 1), ("64KiB", 65_536), ("10MiB", 10_485_760), ("1GiB", 1 << 30), ("1024TiB", SIZE_BYTES_MAX)],
    )
    def test_right(self, text: str, size: int) -> None:
        """Given a size, then its bytes."""
        assert size == parse_size(text)

    @pytest.mark.parametrize("text", ["", "1", "KiB", "1KB", "1kib", "1.5MiB", "-1B", "1 B", "1B\n", "٣B", "1GiB1MiB"])
    def test_wrong(self, text: str) -> None:
        """Given anything else, then the form is told."""
        with pytest.raises(
            InvalidSizeError, match=r"^not a size: .*; a size is a whole number with one unit"
        ) as caught:
            parse_size(text)

        assert text == caught.value.text

    @pytest.mark.parametrize("text", ["0B", "1025TiB", "999999999999999TiB"])
    def test_out_of_range(self, text: str) -> None:
        """Given nothing, or more than a pebibyte, then the range is told."""
        with pytest.raises(InvalidSizeError, match=f"^the size is out of range: '{text}', allowed is 1B to 1024TiB$"):
            parse_size(text)
