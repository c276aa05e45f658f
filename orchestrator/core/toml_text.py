"""
From the bytes of a TOML file to plain values that canonical JSON can hold, within limits.

The limits stand before the parser: `tomllib` recurses for nested arrays and takes quadratic time for a dotted key of
many parts. What it refuses comes back as problems with line and column, never as its exceptions.
"""

from __future__ import annotations

import datetime
import math
import re
import tomllib

import attrs

from orchestrator.core.names import shown
from orchestrator.core.problems import Problem

FILE_BYTES_MAX = 16 << 20
DEPTH_MAX = 32
KEY_PARTS_MAX = 32
INTEGER_MAX = (1 << 53) - 1
"""What canonical JSON (RFC 8785) can hold exactly."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_LONG_NUMBER = re.compile(r"[0-9_]{4301,}")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UTF8_MARK = b"\xef\xbb\xbf"

Path = tuple[str | int, ...]


@attrs.frozen
class TomlText:
    """
    Hold what was read of one file.

    Attributes:
        document: Plain values, datetimes as ISO text; None where the text is no TOML at all.
        text: The decoded text, for looking up lines; empty where it could not be decoded.
        problems: All problems found so far; those with a path have no line yet.
    """

    document: dict[str, object] | None
    text: str
    problems: tuple[Problem, ...] = ()


def read_toml(content: str | bytes, file: str) -> TomlText:
    """
    Parse *content*; linear in its size, which is limited to 16 MiB.

    Nothing is raised for any content: what is wrong is in the result's problems.
    """
    text = _decode(content, file)
    if isinstance(text, Problem):
        return TomlText(None, "", (text,))
    too_long = _long_key(text, file)
    if too_long is not None:
        return TomlText(None, text, (too_long,))
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return _recovered(text, file, str(error))
    except RecursionError:
        problem = Problem("too_deep", f"nested too deeply, at most {DEPTH_MAX} levels are allowed", file=file)
        return TomlText(None, text, (problem,))
    except ValueError:
        return TomlText(None, text, (_long_number(text, file),))
    problems: list[Problem] = []
    document = _plain_table(parsed, (), problems, file)
    return TomlText(document, text, tuple(problems))


def _decode(content: str | bytes, file: str) -> str | Problem:
    size = len(content)
    if size > FILE_BYTES_MAX:
        return Problem("too_large", f"the file has {size} bytes, at most {FILE_BYTES_MAX} are allowed", file=file)
    if isinstance(content, str):
        surrogate = re.search("[\ud800-\udfff]", content)
        if surrogate is None:
            return content
        return _encoding_problem(content[: surrogate.start()], file, "a lone surrogate stands")
    if content.startswith(_UTF16_MARKS):
        return Problem("not_utf8", "the file is UTF-16", file=file, line=1, column=1, suggestion="save it as UTF-8")
    if content.startswith(_UTF8_MARK):
        suggestion = "save it as UTF-8 without a byte order mark"
        message = "the file starts with a byte order mark"
        return Problem("not_utf8", message, file=file, line=1, column=1, suggestion=suggestion)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        return _encoding_problem(
            content[: error.start].decode("utf-8"), file, f"byte 0x{content[error.start]:02x} stands"
        )


def _encoding_problem(before: str, file: str, what: str) -> Problem:
    line, column = line_and_column(before, len(before))
    message = f"not UTF-8: {what} where no character can"
    return Problem("not_utf8", message, file=file, line=line, column=column, suggestion="save the file as UTF-8")


def line_and_column(text: str, index: int) -> tuple[int, int]:
    """Return the 1-based line and column of the character *index* of *text*; linear in *index*."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def _long_key(text: str, file: str) -> Problem | None:
    """Find a dotted key of too many parts; exact, and costs a parse only where a line has so many dots."""
    if not any(line.count(".") >= KEY_PARTS_MAX for line in text.split("\n")):
        return None
    from orchestrator.core.toml_lines import longest_key

    parts, line, column = longest_key(text)
    if parts <= KEY_PARTS_MAX:
        return None
    message = f"a key has {parts} parts, at most {KEY_PARTS_MAX} are allowed"
    return Problem("too_deep", message, file=file, line=line, column=column)


def _long_number(text: str, file: str) -> Problem:
    match = _LONG_NUMBER.search(text)
    line, column = line_and_column(text, match.start()) if match else (None, None)
    message = f"a number is too long, at most {INTEGER_MAX} is allowed"
    return Problem("out_of_range", message, file=file, line=line, column=column)


def _recovered(text: str, file: str, error: str) -> TomlText:
    """Report a syntax error; where it is a key that stands twice, read on without the second one."""
    from orchestrator.core.toml_lines import find_duplicates, without

    duplicates = find_duplicates(text)
    if duplicates:
        problems = tuple(
            Problem(
                "duplicate_key",
                f"{'.'.join(str(part) for part in duplicate.path)} is defined twice, first in line {duplicate.first_line}",
                path=duplicate.path,
                file=file,
                line=duplicate.line,
                column=duplicate.column,
                suggestion="remove or rename one of them",
            )
            for duplicate in duplicates
        )
        try:
            parsed = tomllib.loads(without(text, duplicates))
        except tomllib.TOMLDecodeError as other:
            return TomlText(None, text, (*problems, _syntax_problem(text, file, str(other))))
        except (ValueError, RecursionError):
            return TomlText(None, text, problems)
        found: list[Problem] = list(problems)
        document = _plain_table(parsed, (), found, file)
        return TomlText(document, text, tuple(found))
    return TomlText(None, text, (_syntax_problem(text, file, error),))


def _syntax_problem(text: str, file: str, error: str) -> Problem:
    match = _PLACE.search(error)
    message = error[: match.start()] if match else error
    line, column = (int(match[1]), int(match[2])) if match and match[1] else line_and_column(text, len(text))
    return Problem("syntax", f"not TOML: {message[:1].lower()}{message[1:]}", file=file, line=line, column=column)


def _plain_table(table: dict[str, object], path: Path, problems: list[Problem], file: str) -> dict[str, object]:
    """Return *table* with each value plain; what canonical JSON cannot hold becomes a problem and None."""
    for key, value in table.items():
        if _CONTROL.search(key):
            message = f"a key holds a control character: {shown(key)}"
            problems.append(Problem("control_character", message, path=(*path, key), file=file))
        if type(value) is str:
            if _CONTROL.search(value):
                problems.append(_control_problem(value, (*path, key), file))
        elif type(value) is not bool:
            table[key] = _plain(value, (*path, key), problems, file)
    return table


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path)


def _control_problem(value: str, path: Path, file: str) -> Problem:
    message = f"{_dotted(path)} holds a control character: {shown(value)}"
    return Problem("control_character", message, path=path, file=file)


def _plain(value: object, path: Path, problems: list[Problem], file: str) -> object:
    problem: Problem | None = None
    if isinstance(value, str):
        if _CONTROL.search(value):
            problem = _control_problem(value, path, file)
    elif isinstance(value, dict | list) and len(path) >= DEPTH_MAX:
        message = f"nested too deeply, at most {DEPTH_MAX} levels are allowed"
        problems.append(Problem("too_deep", message, path=path, file=file))
        return None
    elif isinstance(value, dict):
        return _plain_table(value, path, problems, file)
    elif isinstance(value, list):
        return [_plain(item, (*path, index), problems, file) for index, item in enumerate(value)]
    elif isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    elif isinstance(value, int) and not -INTEGER_MAX <= value <= INTEGER_MAX:
        message = f"{_dotted(path)} is too large a number, at most {INTEGER_MAX} is allowed"
        problem = Problem("out_of_range", message, path=path, file=file)
        value = None
    elif isinstance(value, float) and not math.isfinite(value):
        problem = Problem("not_finite", f"{_dotted(path)} is {value}, expected a finite number", path=path, file=file)
        value = None
    if problem is not None:
        problems.append(problem)
    return value
