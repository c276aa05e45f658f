"""Tests of making text from outside safe for a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.printable import PrintableStream, printable, printable_line


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

    @given(st.text(), st.binary(), st.integers(0, 40))
    def test_stream(self, text: str, noise: bytes, cut: int) -> None:
        """Given a log, cut anywhere, then the same lines and tabs, no other control, and no byte of text is lost."""
        log = text.encode("utf-8", "surrogatepass") + noise
        stream = PrintableStream()
        shown = stream.feed(log[:cut]) + stream.feed(log[cut:]) + stream.end()
        lines = log.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
        assert shown.split("\n") == [printable_line(line) for line in lines]

    @pytest.mark.parametrize(
        ("pieces", "shown"),
        [
            ((b"one\r", b"\ntwo\r\n"), "one\ntwo\n"),
            ((b"10 %\r", b"20 %\r"), "10 %\\r20 %\\r"),
            ((b"\r", b"\r\n"), "\\r\n"),
            ((b"\x1b", b"[31m\tred"), "\\e[31m\tred"),
            ((b"caf\xc3", b"\xa9 \xc2"), "caf\u00e9 \N{REPLACEMENT CHARACTER}"),
        ],
    )
    def test_pieces_of_a_log(self, pieces: tuple[bytes, ...], shown: str) -> None:
        """Given line breaks, progress bars, colours and letters that are cut, then what a reader should see."""
        stream = PrintableStream()
        assert "".join(map(stream.feed, pieces)) + stream.end() == shown

    def test_a_line_keeps_its_tabs(self) -> None:
        """Given a line of a log, then tabs stay and everything else is written out."""
        assert "a\tb\\e" == printable_line("a\tb\x1b")
