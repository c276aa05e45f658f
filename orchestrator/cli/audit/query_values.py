"""What `audit query` is given on the command line, read and checked."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from ledger.query import STATEMENT_BYTES_MAX, Limits
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.core.durations import parse_duration
from orchestrator.core.sizes import parse_size

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")


def statement_of(argument: str) -> str:
    """
    Return the statement that *argument* is, or the one that stands on stdin where it is `-`.

    Raises:
        UsageRefusedError: What stands there is no UTF-8, or too long.
    """
    if argument != "-":
        return argument
    content = sys.stdin.buffer.read(STATEMENT_BYTES_MAX + 1) if sys.stdin is not None else b""
    if len(content) > STATEMENT_BYTES_MAX:
        raise UsageRefusedError("long_statement", f"a statement has at most {STATEMENT_BYTES_MAX:,} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageRefusedError("bad_statement", f"what stands on stdin is no UTF-8: byte {error.start}") from None


def parameters_of(words: Sequence[str]) -> dict[str, int | str]:
    """
    Return the values that *words*, NAME=VALUE each, give; what is a whole number is one, all else is text.

    Raises:
        UsageRefusedError: A word is of another form, or names what was named before.
    """
    found: dict[str, int | str] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) is None:
            raise UsageRefusedError("bad_parameter", f"--params takes NAME=VALUE, not {word[:60]!a}")
        if name in found:
            raise UsageRefusedError("bad_parameter", f"--params gives {name} twice")
        found[name] = int(value) if _INTEGER.fullmatch(value) else value
    return found


def checked_limits(timeout: str, max_rows: int, max_bytes: str) -> Limits:
    """
    Return the limits of an answer.

    Raises:
        InvalidDurationError, InvalidSizeError: They are not of their form.
    """
    return Limits(parse_duration(timeout) / 1e6, max_rows, parse_size(max_bytes))
