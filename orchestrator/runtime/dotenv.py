"""
Reading `.env` files: python-dotenv's grammar without its expansion, so that a `$` in a password stays a `$`.

Every line that cannot be understood is a problem with its number. No message ever holds a value, nor anything else of a line that
is no `NAME=value`: it may be the second line of a secret.
"""

from __future__ import annotations

import io
from pathlib import Path

import attrs

from orchestrator.core.names import check_variable_name
from orchestrator.core.problems import Problem
from orchestrator.runtime.files import UnreadableFileError, read_bounded

FILE_BYTES_MAX = 1 << 20


@attrs.frozen
class EnvFile:
    """
    Hold what one file says.

    Attributes:
        shown: Its name in messages.
        values: By name; where a name stands twice, the first one.
        lines: Where each name stands.
    """

    shown: str
    values: dict[str, str]
    lines: dict[str, int]
    problems: tuple[Problem, ...] = ()


def read_env_file(path: Path, *, shown: str) -> EnvFile:
    """Read the file at *path*; whatever is wrong with it is in the result's problems."""
    try:
        text = read_bounded(path, most=FILE_BYTES_MAX).decode("utf-8-sig")
    except UnreadableFileError as error:
        return _unusable(shown, f"env_{error.kind}", f"the environment file: {error}")
    except UnicodeDecodeError as error:
        return _unusable(shown, "not_utf8", f"the environment file is not UTF-8: byte {error.start} cannot be read")
    return parse_env(text, shown=shown)


def parse_env(text: str, *, shown: str) -> EnvFile:
    """Read *text* as an environment file; linear in its length."""
    from dotenv.parser import parse_stream

    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    problems: list[Problem] = []
    for binding in parse_stream(io.StringIO(text)):
        line = binding.original.line + _blank_lines_before(binding.original.string)
        wrong = None
        if binding.error:
            wrong = ("malformed", "this line is no NAME=value")
        elif binding.key is None:
            continue
        elif binding.value is None:
            wrong = ("malformed", "this line has no '=' and no value")
        elif check_variable_name(binding.key) is not None:
            wrong = ("malformed", "what stands before the '=' is no name of a variable: letters, digits and '_'")
        elif "\0" in binding.value:
            wrong = ("malformed", f"the value of {binding.key} holds a NUL byte, which no environment can")
        elif binding.key in values:
            wrong = ("duplicate", f"{binding.key} stands here a second time, first in line {lines[binding.key]}")
        else:
            values[binding.key], lines[binding.key] = binding.value, line
        if wrong is not None:
            problems.append(Problem(f"env_{wrong[0]}", wrong[1], file=shown, line=line))
    return EnvFile(shown, values, lines, tuple(problems))


def _blank_lines_before(text: str) -> int:
    """Count the line breaks before the first word: the parser takes empty lines as a part of what follows."""
    return text[: len(text) - len(text.lstrip())].count("\n")


def _unusable(shown: str, kind: str, message: str) -> EnvFile:
    return EnvFile(shown, {}, {}, (Problem(kind, message, file=shown),))
