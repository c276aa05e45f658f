"""The one place that writes to the terminal: results to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence


def out(text: str = "") -> None:
    """Write a line to stdout."""
    print(text)


def out_lines(lines: Iterable[str]) -> None:
    """Write *lines* to stdout."""
    for line in lines:
        print(line)


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """Go on where the reader of stdout has seen enough and left: what was done counts, not who watched."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def err(text: str = "") -> None:
    """Write a line to stderr; nothing is lost where stderr is closed, since nobody reads it."""
    try:
        print(text, file=sys.stderr)
    except (OSError, ValueError):
        return


def out_json(value: object) -> None:
    """Write *value* to stdout as one JSON value on one line."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))


def out_raw(data: bytes) -> None:
    """Write *data* to stdout as it is."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> list[str]:
    """Return *rows* under *header* as lines of aligned columns, two blanks apart; nothing for no rows."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]
