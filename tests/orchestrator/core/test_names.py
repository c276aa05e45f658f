"""Tests of the one rule for names."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.names import (
    case_twins,
    check_name,
    check_variable_name,
    shown,
    suggest,
)

LETTERS = string.ascii_letters + string.digits


class TestCheckName:
    """Letters, digits, `_` and `-`, starting with a letter or digit, at most 128."""

    @given(st.sampled_from(LETTERS), st.text(LETTERS + "_-", max_size=127))
    def test_right(self, first: str, rest: str) -> None:
        """For any word of the alphabet nothing is wrong."""
        assert check_name("step", first + rest) is None

    @given(st.text())
    def test_nothing_else_is_right(self, name: str) -> None:
        """For any text, a right one has no other character, is not empty, and could not leave its folder."""
        if check_name("step", name) is None:
            assert 1 <= len(name) <= 128
            assert name[0] in LETTERS
            assert set(name) <= set(LETTERS + "_-")

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("", "the name of a run is empty"),
            ("x" * 129, f"the name of a run has 129 characters, at most 128 are allowed: '{'x' * 60}…'"),
            (
                "a\n",
                r"not a name of a run: 'a\n'; names are letters, digits, '_' and '-', starting with a letter or digit",
            ),
            (
                "../x",
                "not a name of a run: '../x'; names are letters, digits, '_' and '-', starting with a letter or digit",
            ),
            (
                "-x",
                "not a name of a run: '-x'; names are letters, digits, '_' and '-', starting with a letter or digit",
            ),
            ("ä", "not a name of a run: 'ä'; names are letters, digits, '_' and '-', starting with a letter or digit"),
            ("٣", "not a name of a run: '٣'; names are letters, digits, '_' and '-', starting with a letter or digit"),
        ],
    )
    def test_wrong(self, name: str, message: str) -> None:
        """Given a text that is no name, then what is wrong with it."""
        assert message == check_name("run", name)


class TestCheckVariableName:
    """The shell's rule for variables."""

    @pytest.mark.parametrize("name", ["A", "_x1", "a" * 128])
    def test_right(self, name: str) -> None:
        """Given such a name, then nothing is wrong."""
        assert check_variable_name(name) is None

    @pytest.mark.parametrize("name", ["", "1A", "A-B", "A\n", "a" * 129, "Ä"])
    def test_wrong(self, name: str) -> None:
        """Given any other, then what is wrong is told."""
        assert check_variable_name(name) == (
            f"not a name of a variable: {shown(name)}; it takes letters, digits and '_', not starting with a digit"
        )


class TestShown:
    """Values in messages are quoted, cut and harmless."""

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("a b", "'a b'"),
            ("\x1b[2J", r"'\x1b[2J'"),
            ("x" * 61, "'" + "x" * 60 + "…'"),
            (5, "5"),
            ([1], "[1]"),
            (None, "None"),
        ],
    )
    def test_shown(self, value: object, text: str) -> None:
        """Given a value, then its text."""
        assert text == shown(value)

    def test_length(self) -> None:
        """Given a length, then what is longer is cut there, also of what is no text."""
        assert ("'ab…'", "[1, …") == (shown("abc", length_max=2), shown([1, 2], length_max=4))

    @given(st.text())
    def test_no_control_character_survives(self, text: str) -> None:
        """For any text what is shown can be printed."""
        assert shown(text).isprintable()


class TestCaseTwins:
    """Names that differ only in case are found."""

    def test_pairs(self) -> None:
        """Given three spellings of one name, then each later one is paired with the first."""
        assert [("ab", "AB"), ("ab", "Ab"), ("x", "X")] == case_twins(["ab", "x", "AB", "y", "Ab", "X"])

    def test_equal_names(self) -> None:
        """Given the same name again, then it is a twin as well."""
        assert [("ab", "ab")] == case_twins(["ab", "ab"])


class TestSuggest:
    """A near miss is recognised."""

    @pytest.mark.parametrize(
        ("word", "expected"),
        [("BRONZE", "bronze"), ("bronce", "bronze"), ("silwer", "silver"), ("xyz", None), ("b" * 10_000, None)],
    )
    def test_suggest(self, word: str, expected: str | None) -> None:
        """Given a word, then the name that was probably meant, or none."""
        assert expected == suggest(word, ["silver", "bronze", "gold"])
