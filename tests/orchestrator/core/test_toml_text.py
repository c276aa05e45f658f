"""Tests of reading TOML within limits: whatever the bytes are, problems come back and nothing is raised."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.canonical import canonical_bytes
from orchestrator.core.toml_text import (
    DEPTH_MAX,
    FILE_BYTES_MAX,
    INTEGER_MAX,
    KEY_PARTS_MAX,
    TomlText,
    line_and_column,
    read_toml,
)


def read(content: str | bytes) -> TomlText:
    """Read *content* as the file `f`."""
    return read_toml(content, "f")


def told(content: str | bytes) -> list[tuple[str, str]]:
    """Return kind and message of what is wrong with *content*; places that are paths stand before the message."""
    found = []
    for problem in read(content).problems:
        path = ".".join(map(str, problem.path))
        found.append((problem.kind, f"{path}: {problem}" if problem.line is None and path else str(problem)))
    return found


class TestRight:
    """A right text becomes plain values."""

    def test_values(self) -> None:
        """Given every type of value, then each is one that JSON can hold; times are ISO text."""
        text = (
            'text = "x\\ty"\nwhole = 1\nreal = 1.5\nyes = true\nday = 2026-01-31\ntime = 12:00:00\n'
            "moment = 2026-01-31T12:00:00Z\nlist = [1, [true, 'x', {a = 1}]]\ntable.inner.x = -1\n[[many]]\nx = 1\n"
        )

        found = read(text)

        assert () == found.problems
        assert text == found.text
        assert {
            "text": "x\ty",
            "whole": 1,
            "real": 1.5,
            "yes": True,
            "day": "2026-01-31",
            "time": "12:00:00",
            "moment": "2026-01-31T12:00:00+00:00",
            "list": [1, [True, "x", {"a": 1}]],
            "table": {"inner": {"x": -1}},
            "many": [{"x": 1}],
        } == found.document

    @pytest.mark.parametrize("content", ["", b"", "# nothing\n", "\r\n"])
    def test_nothing(self, content: str | bytes) -> None:
        """A file without keys is an empty table."""
        assert ({}, ()) == (read(content).document, read(content).problems)

    def test_text_and_bytes_are_the_same(self) -> None:
        """Given a text beyond ASCII, then its UTF-8 bytes read the same."""
        assert read("'ä' = 'ö'") == read("'ä' = 'ö'".encode())


class TestBytes:
    """What is no UTF-8 text is told by what it is."""

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"\xff\xfea\x00", "f:1:1: the file is UTF-16 (save it as UTF-8)"),
            (b"\xfe\xff\x00a", "f:1:1: the file is UTF-16 (save it as UTF-8)"),
            (
                b"\xef\xbb\xbfa = 1",
                "f:1:1: the file starts with a byte order mark (save it as UTF-8 without a byte order mark)",
            ),
            (
                b"a = 1\n\xc3\xa4\xff",
                "f:2:2: not UTF-8: byte 0xff stands where no character can (save the file as UTF-8)",
            ),
            (b"\x80", "f:1:1: not UTF-8: byte 0x80 stands where no character can (save the file as UTF-8)"),
            (
                "a\n b\ud800",
                "f:2:3: not UTF-8: a lone surrogate stands where no character can (save the file as UTF-8)",
            ),
        ],
    )
    def test_encoding(self, content: str | bytes, message: str) -> None:
        """Given bytes that are no UTF-8, then the place of the first wrong one."""
        assert [("not_utf8", message)] == told(content)
        assert (None, "") == (read(content).document, read(content).text)

    def test_too_large_is_not_parsed(self) -> None:
        """Given 100 MB, then the size refuses it before anything looks inside."""

        class Unread(bytes):
            """Bytes that nobody may look into."""

            def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
                """Fail."""
                raise AssertionError((encoding, errors))

        content = Unread(b"a" * 100_000_000)

        assert [("too_large", f"f: the file has 100000000 bytes, at most {FILE_BYTES_MAX} are allowed")] == told(
            content
        )

    def test_the_largest_is_read(self) -> None:
        """Given a file of exactly the limit, then it is parsed; one byte more is not."""
        largest = "#" * FILE_BYTES_MAX

        assert [] == told(largest)
        assert ["too_large"] == [kind for kind, _ in told(largest + "#")]


class TestSyntax:
    """What is no TOML is told with its place."""

    @pytest.mark.parametrize(
        ("content", "line", "column"),
        [
            ("\x00", 1, 1),
            ("a = 1\nb = '\x00'", 2, 6),
            ("a = '\x1b[31m'", 1, 6),
            ("a = '\x7f'", 1, 6),
            ("not toml at all", 1, 5),
            ("{}", 1, 1),
            ("[]", 1, 2),
            ("a = ", 1, 5),
            ("a = [1,\n2", 2, 2),
            ('a = """x\n', 2, 1),
            ("a = 2026-13-01", 1, 9),
            ("a = 01", 1, 6),
            ("[[a]]\n[a]", 2, 3),
        ],
    )
    def test_place(self, content: str, line: int, column: int) -> None:
        """Given a text that is no TOML, then the first place where it breaks, in words that show no control character."""
        (problem,) = read(content).problems

        assert ("syntax", line, column) == (problem.kind, problem.line, problem.column)
        assert problem.message.startswith("not TOML: ")
        assert problem.message.isprintable()
        assert read(content).document is None

    @given(st.text() | st.text("[]{}=.,#'\"\\\n aé1-:T"))
    def test_any_text(self, content: str) -> None:
        """For any text either a document with canonical values comes back, or problems with what to look at."""
        found = read(content)

        if found.document is None:
            assert found.problems
        elif not found.problems:
            canonical_bytes(found.document)
            assert found.document.keys() == tomllib.loads(content).keys()

    @given(st.binary())
    def test_any_bytes(self, content: bytes) -> None:
        """For any bytes nothing is raised."""
        assert all(problem.file == "f" for problem in read(content).problems)


class TestTwice:
    """A key that stands twice is told, and the rest of the file is read all the same."""

    def test_every_one_is_found(self) -> None:
        """Given several keys and headers that stand twice, then each is told with the line of the first one."""
        text = "a = 1\na = 2\n[t]\nx = 1\n[t]\ny = 1\n[u]\nb.c = 1\nb.c = 2\nz = { k = 1, k = 2, k = 3 }\n"

        assert [
            ("duplicate_key", "f:2:1: a is defined twice, first in line 1 (remove or rename one of them)"),
            ("duplicate_key", "f:5:2: t is defined twice, first in line 3 (remove or rename one of them)"),
            ("duplicate_key", "f:9:3: u.b.c is defined twice, first in line 8 (remove or rename one of them)"),
            ("duplicate_key", "f:10:14: u.z.k is defined twice, first in line 10 (remove or rename one of them)"),
            ("duplicate_key", "f:10:21: u.z.k is defined twice, first in line 10 (remove or rename one of them)"),
        ] == told(text)
        assert {"a": 1, "t": {"x": 1}, "u": {"b": {"c": 1}, "z": {"k": 1}}} == read(text).document

    def test_values_of_the_rest_are_checked(self) -> None:
        """Given a second mistake elsewhere, then both are told."""
        assert ["duplicate_key", "not_finite"] == [kind for kind, _ in told("a = 1\na = 2\nb = nan\n")]

    def test_a_syntax_error_beside_it(self) -> None:
        """Given a key that stands twice and a broken line, then both are told in one pass."""
        assert [
            ("duplicate_key", "f:2:1: a is defined twice, first in line 1 (remove or rename one of them)"),
            ("syntax", "f:3:8: not TOML: illegal character '\\n'"),
        ] == told('a = 1\na = 2\nfoo = "\n')

    @pytest.mark.parametrize("more", ["b = " + "[" * 5_000, "b = " + "1" * 5_000])
    def test_a_bomb_beside_it(self, more: str) -> None:
        """Given a key that stands twice and a text that the parser gives up on, then the key is told."""
        assert ["duplicate_key"] == [kind for kind, _ in told(f"a = 1\na = 2\n{more}\n")]

    @pytest.mark.parametrize("text", ["a = 1\n" * 30_000, "".join(f"k{n} = 1\nk{n} = 2\n" for n in range(15_000))])
    def test_very_many(self, text: str) -> None:
        """Given thousands of them, then finding them stays quick."""
        assert {"duplicate_key"} == {kind for kind, _ in told(text)}


class TestLimits:
    """What would take the parser's time or stack is refused."""

    @pytest.mark.parametrize(
        ("text", "column"),
        [
            ("a" + ".a" * 100_000 + " = 1", 1),
            ("a" + ".a" * 100_000 + " = = 1", 1),
            ("[a" + ".a" * 100_000 + "]", 2),
            ("x = { y = 1, " + "a" + ".'a'" * 100_000 + " = 1 }", 14),
            ("a" + " . a" * KEY_PARTS_MAX + " = 1", 1),
        ],
    )
    def test_dotted_key(self, text: str, column: int) -> None:
        """Given a dotted key of too many parts, then its place, in a moment."""
        assert [("too_deep", 1, column)] == [(item.kind, item.line, item.column) for item in read(text).problems]

    def test_message_of_a_dotted_key(self) -> None:
        """The message says how many parts there are and how many may be."""
        assert [("too_deep", "f:2:1: a key has 33 parts, at most 32 are allowed")] == told(
            "x = 1\na" + ".a" * 32 + " = 1"
        )

    @pytest.mark.parametrize(
        "text", ["# " + "." * 100, f"a = '{'.' * 100}'", "a" + ".a" * (KEY_PARTS_MAX - 1) + " = '.'"]
    )
    def test_dots_elsewhere_are_fine(self, text: str) -> None:
        """Given many dots in a comment, a value, or a key of just the limit, then nothing is wrong."""
        assert [] == told(text)

    @pytest.mark.parametrize(
        "text",
        ["a = " + "[" * 100_000, "a = " + "[" * 5_000 + "]" * 5_000, "a = " + "{a = " * 5_000 + "1" + "}" * 5_000],
    )
    def test_nesting_that_the_parser_gives_up_on(self, text: str) -> None:
        """Given a nesting of thousands, then it is refused."""
        assert [("too_deep", "f: nested too deeply, at most 32 levels are allowed")] == told(text)

    @pytest.mark.parametrize(("start", "end"), [("[", "]"), ("{a = ", "}")])
    def test_nesting_that_is_too_deep(self, start: str, end: str) -> None:
        """Given one level more than the limit, then the path to it; the limit itself is fine."""

        def nested(levels: int) -> str:
            return "a = " + start * levels + "1" + end * levels

        (problem,) = read(nested(DEPTH_MAX)).problems

        assert ("too_deep", DEPTH_MAX) == (problem.kind, len(problem.path))
        assert [] == told(nested(DEPTH_MAX - 1))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a = 9007199254740992", f"a: f: a is too large a number, at most {INTEGER_MAX} is allowed"),
            ("a = -9007199254740992", f"a: f: a is too large a number, at most {INTEGER_MAX} is allowed"),
            ("a = [0x" + "f" * 5_000 + "]", f"a.0: f: a.0 is too large a number, at most {INTEGER_MAX} is allowed"),
            ("\na = " + "9" * 5_000, f"f:2:5: a number is too long, at most {INTEGER_MAX} is allowed"),
        ],
    )
    def test_huge_number(self, text: str, message: str) -> None:
        """Given a number that canonical JSON cannot hold, then it is refused."""
        assert [("out_of_range", message)] == told(text)

    def test_largest_numbers(self) -> None:
        """The limits themselves are fine."""
        assert {"a": INTEGER_MAX, "b": -INTEGER_MAX} == read(f"a = {INTEGER_MAX}\nb = -{INTEGER_MAX}").document

    @pytest.mark.parametrize(("number", "shown"), [("inf", "inf"), ("-inf", "-inf"), ("nan", "nan"), ("1e999", "inf")])
    def test_no_finite_number(self, number: str, shown: str) -> None:
        """Given a number that is none, then it is refused, and None stands for it."""
        assert [("not_finite", f"a: f: a is {shown}, expected a finite number")] == told(f"a = {number}")
        assert {"a": None} == read(f"a = {number}").document

    def test_control_characters(self) -> None:
        """Given escaped control characters in keys, values and items, then each is told, written out."""
        text = 'a = "\\u0000"\n"\\u001b" = 1\n[t]\nb = ["x", "\\u0085"]\nc = "tab\\tand\\nline\\r"\n'

        assert [
            ("control_character", "a: f: a holds a control character: '\\x00'"),
            ("control_character", "\x1b: f: a key holds a control character: '\\x1b'"),
            ("control_character", "t.b.1: f: t.b.1 holds a control character: '\\x85'"),
        ] == told(text)


class TestLineAndColumn:
    """Places are 1-based and count characters."""

    @pytest.mark.parametrize(("index", "place"), [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (5, (2, 3))])
    def test_place(self, index: int, place: tuple[int, int]) -> None:
        """Given an index into a text of two lines, then its place."""
        assert place == line_and_column("äb\ncde", index)
