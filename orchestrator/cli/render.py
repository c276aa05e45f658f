"""The one place that writes to the terminal: results to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence

from orchestrator.core.printable import printable


class ReaderLeftError(Exception):
    """Raised when whoever read stdout has seen enough and left."""


class OutputError(Exception):
    """Raised when stdout takes nothing more, such as a file on a full disk."""

    kind = "output"

    def __init__(self, what: str) -> None:
        super().__init__(f"the output could not be written: {what}")


def out(text: str = "") -> None:
    """Write a line to stdout."""
    with _writing():
        print(_encodable(text))


def out_lines(lines: Iterable[str]) -> None:
    """Write *lines* to stdout."""
    for line in lines:
        out(line)


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """Go on where stdout takes nothing more: what was done counts, not who watched."""
    try:
        yield
        flush()
    except ReaderLeftError:
        return
    except OutputError as error:
        err(f"warning: {error}")


def flush() -> None:
    """Hand what was written to stdout on to its reader."""
    with _writing():
        if sys.stdout is not None:
            sys.stdout.flush()


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Turn what stdout refuses into an error of ours; nothing is tried again when the interpreter ends."""
    try:
        yield
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            raise ReaderLeftError from None
        raise OutputError(error.strerror or str(error)) from None


def _encodable(text: str) -> str:
    """Return *text* with what stdout cannot encode, such as bytes of a file's name, written out."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def err(text: str = "") -> None:
    """Write a line to stderr; nothing is lost where stderr is closed, since nobody reads it."""
    try:
        print(text, file=sys.stderr)
    except (OSError, ValueError):
        return


def out_json(value: object) -> None:
    """Write *value* to stdout as one JSON value on one line; what stdout cannot encode stands as JSON escapes."""
    import json

    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if _encodable(text) != text:
        text = json.dumps(value, allow_nan=False)
    out(text)


def out_raw(data: bytes) -> None:
    """Write *data* to stdout as it is."""
    with _writing():
        if sys.stdout is not None:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


def on_terminal() -> bool:
    """Whether stdout is a terminal, which acts on what it is sent."""
    return sys.stdout is not None and sys.stdout.isatty()


def out_part(text: str) -> None:
    """Write *text* to stdout without a line break after it, at once."""
    with _writing():
        print(_encodable(text), end="", flush=True)


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> list[str]:
    """Return *rows* under *header* as lines of aligned columns, two blanks apart; nothing for no rows."""
    if not rows:
        return []
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]
