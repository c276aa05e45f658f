"""Lines come out as they stand in the stream, wherever it is cut, and never across a gap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.line_cutter import LINE_BYTES_MAX, Line, LineCutter

PIECES = st.lists(st.lists(st.sampled_from([b"x", b"yz", b"\n"]), max_size=8).map(b"".join), max_size=20)


def lines_in(data: bytes) -> list[bytes]:
    """Return the lines of *data*, the last one where it holds something."""
    *whole, rest = data.split(b"\n")
    return [*whole, rest] if rest else whole


class TestCutting:
    """`LineCutter`, which gets a stream in pieces."""

    @given(PIECES)
    def test_pieces_do_not_matter(self, pieces: list[bytes]) -> None:
        """For any pieces: the lines are those of the whole, numbered on."""
        cutter = LineCutter()
        lines = [line for piece in pieces for line in cutter.feed(piece)] + cutter.end()

        expected = lines_in(b"".join(pieces))
        assert [(line.number, line.data) for line in lines] == list(enumerate(expected, 1))
        assert cutter.lost == 0

    @given(PIECES, st.sets(st.integers(0, 19)))
    def test_gaps(self, pieces: list[bytes], missing: set[int]) -> None:
        """For any pieces of which some are missing: just the lines come out no byte of which is missing, and all others are counted."""
        whole = b"".join(pieces)
        kept = b"".join(b"?" * len(piece) if place in missing else piece for place, piece in enumerate(pieces))
        cutter, lines = LineCutter(), list[Line]()
        for place, piece in enumerate(pieces):
            if place in missing:
                cutter.skip(piece)
            else:
                lines += cutter.feed(piece)
        lines += cutter.end()

        expected, start = [], 0
        for number, line in enumerate(lines_in(whole), 1):
            # With its end, where it has one.
            until = start + len(line) + 1
            if b"?" not in kept[start:until]:
                expected.append(Line(number, line))
            start = until
        assert lines == expected
        assert len(lines) + cutter.lost == len(lines_in(whole))

    def test_a_line_without_end(self) -> None:
        """Given a line of any length, then a bounded part of it is held, and told as cut; the next one is whole."""
        cutter = LineCutter()
        for _ in range(10):
            assert cutter.feed(b"x" * LINE_BYTES_MAX) == []
        assert cutter.feed(b"\nnext\n") == [Line(1, b"x" * LINE_BYTES_MAX, is_cut=True), Line(2, b"next")]
        assert cutter.end() == []

    def test_carriage_returns(self) -> None:
        """Given lines that end as elsewhere, then the end is no part of them."""
        assert LineCutter().feed(b"a\r\n\r\n") == [Line(1, b"a"), Line(2, b"")]
