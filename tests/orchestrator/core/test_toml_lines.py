"""Tests of finding keys and items in a TOML text."""

from __future__ import annotations

import tomllib

import pytest

from orchestrator.core.toml_lines import find_duplicates, find_places, longest_key, without

TEXT = """\
top = 1
dotted.'in ner'."x" = 2

[table] # comment
list = [ # first
  "a",
  "ä", { k = 1, l = [2, 3] },
]
"é" = { x = 1, y.z = { w = 2 } }

[table.sub]
x = 1
[[many]]
x = 1
[[many]]
x = 2
[many.deep]
y = [[1], [2,
3]]
[[many.more]]
z = 3
"""


class TestFindPlaces:
    """A path leads to the line and column of its key or item."""

    @pytest.mark.parametrize(
        ("path", "place"),
        [
            (("top",), (1, 1)),
            (("dotted",), (2, 1)),
            (("dotted", "in ner"), (2, 8)),
            (("dotted", "in ner", "x"), (2, 17)),
            (("table",), (4, 2)),
            (("table", "list"), (5, 1)),
            (("table", "list", 0), (6, 3)),
            (("table", "list", 1), (7, 3)),
            (("table", "list", 2), (7, 8)),
            (("table", "list", 2, "k"), (7, 10)),
            (("table", "list", 2, "l", 1), (7, 25)),
            (("table", "é"), (9, 1)),
            (("table", "é", "y"), (9, 16)),
            (("table", "é", "y", "z", "w"), (9, 24)),
            (("table", "sub"), (11, 8)),
            (("table", "sub", "x"), (12, 1)),
            (("many",), (13, 3)),
            (("many", 0), (13, 3)),
            (("many", 0, "x"), (14, 1)),
            (("many", 1), (15, 3)),
            (("many", 1, "x"), (16, 1)),
            (("many", 1, "deep"), (17, 7)),
            (("many", 1, "deep", "y", 1, 1), (19, 1)),
            (("many", 1, "more"), (20, 8)),
            (("many", 1, "more", 0, "z"), (21, 1)),
        ],
    )
    def test_place(self, path: tuple[str | int, ...], place: tuple[int, int]) -> None:
        """Given a path, then its place in the text; the parser's own value stands there as well."""
        value: object = tomllib.loads(TEXT)
        for part in path:
            value = value[part]  # type: ignore[index]

        assert place == find_places(TEXT, [path])[path]

    def test_what_is_not_there_has_no_place(self) -> None:
        """Given a path that only begins in the text, then the beginning is found and the rest is not."""
        places = find_places(TEXT, [("table", "sub", "nothing", "more")])

        assert (11, 8) == places["table", "sub"]
        assert ("table", "sub", "nothing") not in places

    def test_columns_count_characters(self) -> None:
        """Given letters of several bytes before it, then a place counts letters."""
        assert (1, 18) == find_places("a = { 'ö' = 'é', b = 1 }", [("a", "b")])["a", "b"]


class TestFindDuplicates:
    """What is defined again is found with its whole extent."""

    @pytest.mark.parametrize(
        ("text", "expected", "left"),
        [
            ("a = 1\na = 2\n", [(("a",), 2, 1, 1)], "a = 1\n     \n"),
            ("a.b = 1\n[x]\na.b = 1\n", [], "a.b = 1\n[x]\na.b = 1\n"),
            ("'a' = 1\n\"a\" = 2", [(("a",), 2, 1, 1)], "'a' = 1\n       "),
            ("a = { b = 1, b = 2 }", [(("a", "b"), 1, 14, 1)], "a = { b = 1        }"),
            ("[a]\nx = 1\n[a]\ny = 1\n", [(("a",), 3, 2, 1)], "[a]\nx = 1\n   \n     \n"),
            ("[[a]]\n[a.b]\n[[a]]\n[a.b]\n", [], "[[a]]\n[a.b]\n[[a]]\n[a.b]\n"),
            ("[[a]]\nx = 1\nx = 'ä'\n", [(("a", 0, "x"), 3, 1, 2)], "[[a]]\nx = 1\n        \n"),
            ("[]\nx = 1\nx = 2\n", [], "[]\nx = 1\nx = 2\n"),
        ],
    )
    def test_duplicates(self, text: str, expected: list[tuple[object, ...]], left: str) -> None:
        """Given a text, then each second definition, and the text without it with all places kept."""
        found = find_duplicates(text)

        assert expected == [(item.path, item.line, item.column, item.first_line) for item in found]
        assert left == without(text, found)


class TestLongestKey:
    """The longest dotted key is found wherever it stands."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("# a.b.c", (0, 1, 1)),
            ("x = 1", (1, 1, 1)),
            ("x = 1\n[a.b.c]\ny.z = 1", (3, 2, 2)),
            ("x = [{ a.b.'c.d'.e = 1 }]\ny.z = 1", (4, 1, 8)),
        ],
    )
    def test_longest(self, text: str, expected: tuple[int, int, int]) -> None:
        """Given a text, then the number of parts and the place."""
        assert expected == longest_key(text)
