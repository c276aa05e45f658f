"""Tests of reading environment files: the grammar, the problems, and that no message holds a value."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtime.dotenv import FILE_BYTES_MAX, EnvFile, parse_env, read_env_file
from tests.orchestrator.runtime.test_files import sparse

PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0B/AQEF\nAASCBKcw==\n-----END KEY-----"


def parsed(text: str) -> EnvFile:
    """Read *text* as the file `.env`."""
    return parse_env(text, shown=".env")


def problems(file: EnvFile) -> list[tuple[str, int | None]]:
    """Return kind and line of each problem of *file*."""
    return [(problem.kind, problem.line) for problem in file.problems]


class TestGrammar:
    """What a line means is what python-dotenv says, without its expansion."""

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("A=1", "1"),
            ("export A=1\n", "1"),
            ("A = 1 \n", "1"),
            ("A=", ""),
            ("A=a=b=c", "a=b=c"),
            ("A=a b # note", "a b"),
            ("A=a#b", "a#b"),
            ("A='a # b'", "a # b"),
            ('A="a\\nb"', "a\nb"),
            ("A='a\\nb'", "a\\nb"),
            ("A='two\nlines'", "two\nlines"),
            ("A=1\r\nB=2\r\n", "1"),
            ("\ufeffA=1".removeprefix("\ufeff"), "1"),
            ("A=pa$$w0rd", "pa$$w0rd"),
            ("A=${HOME}$(id)`id`", "${HOME}$(id)`id`"),
            ("A=ünï", "ünï"),
        ],
    )
    def test_value(self, text: str, value: str) -> None:
        """Quotes, comments and ends of lines are no part of it; nothing is expanded and nothing is executed."""
        file = parsed(text)

        assert ("A", value) == next(iter(file.values.items()))
        assert file.problems == ()

    def test_lines_are_counted_from_one(self) -> None:
        """Empty lines, comments and values of several lines count."""
        file = parsed("\n\n# note\nA=1\n\n\nB='x\ny'\nC=3\n")

        assert {"A": 4, "B": 7, "C": 9} == file.lines

    def test_nothing_says_nothing(self) -> None:
        """An empty file, and one of comments, is no problem."""
        assert ({}, ()) == (parsed("").values, parsed("# A=1\n\n").problems)


class TestProblems:
    """What is wrong is told with its line."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("A=1\nB", [("env_malformed", 2)]),
            ("A=1\n=2", [("env_malformed", 2)]),
            ("A='open", [("env_malformed", 1)]),
            ("a-b=1", [("env_malformed", 1)]),
            ("1A=1\n\n\nä=2", [("env_malformed", 1), ("env_malformed", 4)]),
            ("A=a\0b", [("env_malformed", 1)]),
            ("A=1\nB=2\nA=3", [("env_duplicate", 3)]),
        ],
    )
    def test_kind_and_line(self, text: str, expected: list[tuple[str, int]]) -> None:
        """Every wrong line is found in one pass."""
        assert expected == problems(parsed(text))

    def test_first_of_two_counts(self) -> None:
        """The message tells where the first one stands."""
        file = parsed("A=1\n\nA=2\n")

        assert {"A": "1"} == file.values
        assert "first in line 1" in file.problems[0].message

    @pytest.mark.parametrize("text", [f"KEY={PEM}", PEM, f'KEY="{PEM}', "correct horse battery staple", "hunter2-long"])
    def test_pieces_of_a_secret_are_not_shown(self, text: str) -> None:
        """Given a key without quotes, then its lines are malformed, and no message repeats one."""
        file = parsed(text)
        told = " ".join(str(problem) for problem in file.problems)

        assert file.problems
        for piece in text.removeprefix("KEY=").split():
            assert piece not in told

    @given(st.lists(st.text(alphabet="sx=-'\"\\ \n#$", max_size=20).map("Zq9{}Zq9".format), max_size=6))
    def test_no_message_holds_a_value(self, values: list[str]) -> None:
        """Whatever stands in the file."""
        file = parsed("\n".join(f"A{number}={value}" for number, value in enumerate(values)))

        assert not any("Zq9" in str(problem) for problem in file.problems)


class TestFile:
    """The file may be anything that a path can lead to."""

    def test_byte_order_mark_is_skipped(self, tmp_path: Path) -> None:
        """Some editors write one."""
        (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfA=1\n")

        assert {"A": "1"} == read_env_file(tmp_path / ".env", shown=".env").values

    @pytest.mark.parametrize(
        ("make", "kind"),
        [
            (lambda path: None, "env_missing"),
            (lambda path: path.mkdir(), "env_not_a_file"),
            (os.mkfifo, "env_not_a_file"),
            (lambda path: path.write_bytes(b"A=secret\xff"), "not_utf8"),
            (lambda path: path.symlink_to(path), "env_unreadable"),
            (lambda path: sparse(path, FILE_BYTES_MAX + 1), "env_too_large"),
        ],
    )  # fmt: skip
    def test_unusable_file_is_a_problem(self, tmp_path: Path, make: object, kind: str) -> None:
        """It holds nothing, and nothing hangs."""
        path = tmp_path / "my.env"
        make(path)  # type: ignore[operator]
        file = read_env_file(path, shown="my.env")

        assert [(kind, "my.env")] == [(problem.kind, problem.file) for problem in file.problems]
        assert "secret" not in str(file.problems)
        assert {} == file.values
