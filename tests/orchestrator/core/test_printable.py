"""Tests of making text from outside safe for a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.printable import printable, printable_line


class TestPrintable:
    """What a terminal would act on is written out."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("plain äöü 日本 🙂", "plain äöü 日本 🙂"),
            ("a\nb\rc\td", r"a\nb\rc\td"),
            ("\x1b]0;title\x07", r"\e]0;title\x07"),
            ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
            ("\u202egnp.exe", r"\u202egnp.exe"),
            ("\u2028\u2066\ufeff\u200f\u061c", r"\u2028\u2066\ufeff\u200f\u061c"),
            ("\udc80", r"\udc80"),
        ],
    )
    def test_text(self, text: str, expected: str) -> None:
        """Given a text, then its safe form."""
        assert expected == printable(text)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """For any text the result is one line of UTF-8 without a control, and safe text stays as it is."""
        safe = printable(text)

        assert len(safe.encode()) >= len(safe)
        assert len(safe.splitlines()) <= 1
        assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in safe)
        assert safe == printable(safe)

    def test_a_line_keeps_its_tabs(self) -> None:
        """Given a line of a log, then tabs stay and everything else is written out."""
        assert "a\tb\\e" == printable_line("a\tb\x1b")
