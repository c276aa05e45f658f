"""Lines come out as they stand in the stream, wherever it is cut, and never across a gap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.line_cutter import LINE_BYTES_MAX, Line, LineCutter

PIECES = st.lists(st.binary(max_size=8).map(lambda data: data.replace(b"a", b"\n").replace(b"\r", b"b")), max_size=20)


def lines_in(data: bytes) -> list[bytes]:
    """Return the lines of *data*, the last one where it holds something."""
    *whole, rest = data.split(b"\n")
    return [*whole, rest] if rest else whole


class TestCutting:
    """`LineCutter`, which gets a stream in pieces."""

    @given(PIECES)
    def test_pieces_do_not_matter(self, pieces: list[bytes]) -> None:
        """For any pieces: the lines are those of the whole."""
        cutter = LineCutter()
        lines = [line for piece in pieces for line in cutter.feed(piece)] + cutter.end()
        assert [line.data for line in lines] == lines_in(b"".join(pieces))

    @given(st.lists(st.tuples(st.booleans(), st.lists(st.sampled_from([b"x", b"\n"]), min_size=1)), max_size=20))
    def test_gaps(self, told: list[tuple[bool, list[bytes]]]) -> None:
        """For any pieces of which some are missing: each line that comes out stands in the whole, at its place, and none that lay in what came is missing."""
        pieces, at = [], 0
        for is_there, parts in told:
            # Each byte says where it stands.
            text = b"".join(part if part == b"\n" else b"<%d>" % (at + place) for place, part in enumerate(parts))
            pieces.append((is_there, text))
            at += len(parts)
        whole = b"".join(text for _, text in pieces)
        cutter, lines = LineCutter(), list[Line]()
        for is_there, text in pieces:
            if is_there:
                lines += cutter.feed(text)
            else:
                cutter.skip(ends_line=text.endswith(b"\n"))
        lines += cutter.end()

        kept = b"".join(text if is_there else b"?" * len(text) for is_there, text in pieces)
        missing = {place for place, byte in enumerate(kept) if byte == ord("?")}
        expected, start = [], 0
        for line in whole.split(b"\n"):
            end = start + len(line)
            if not missing & set(range(start, end + 1)) and (line or end < len(whole)):
                expected.append(line)
            start = end + 1
        assert [line.data for line in lines] == expected

    def test_a_line_without_end(self) -> None:
        """Given a line of any length, then a bounded part of it is held, and told as cut; the next one is whole."""
        cutter = LineCutter()
        for _ in range(10):
            assert cutter.feed(b"x" * LINE_BYTES_MAX) == []
        assert cutter.feed(b"\nnext\n") == [Line(b"x" * LINE_BYTES_MAX, is_cut=True), Line(b"next")]
        assert cutter.end() == []

    def test_carriage_returns(self) -> None:
        """Given lines that end as elsewhere, then the end is no part of them."""
        assert LineCutter().feed(b"a\r\n\r\n") == [Line(b"a"), Line(b"")]
