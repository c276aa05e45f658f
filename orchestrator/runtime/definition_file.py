"""From the file `pipeline.toml` to a checked pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

from orchestrator.core.errors import DefinitionError
from orchestrator.core.parse import Parsed, parse_pipeline, placed
from orchestrator.core.problems import Problem
from orchestrator.core.toml_text import FILE_BYTES_MAX
from orchestrator.runtime.files import UnreadableFileError, read_bounded
from orchestrator.schemas import load_schema


def read_definition(path: Path, *, shown: str | None = None) -> Parsed:
    """
    Read and check the definition at *path*.

    Args:
        shown: Its name in messages; by default *path* as it is.

    Raises:
        DefinitionError: With every problem: the file cannot be read, is no TOML, or is wrong.
    """
    file = shown or str(path)
    try:
        content = read_bounded(path, most=FILE_BYTES_MAX)
    except UnreadableFileError as error:
        hint = "name it with --pipeline FILE, or write one with `orchestrate init`" if error.kind == "missing" else None
        problem = Problem(f"definition_{error.kind}", f"the definition: {error}", file=file, suggestion=hint)
        raise DefinitionError([problem]) from None
    parsed = parse_pipeline(content, file=file, schema=load_schema("pipeline"), knows_zone=_knows_zone)
    return attrs.evolve(parsed, content=content)


def place_problems(path: Path, problems: Sequence[Problem], *, shown: str) -> list[Problem]:
    """Give the *problems* that point into the definition at *path* their lines and columns; those of other files stay as they are."""
    own = [problem for problem in problems if problem.path and problem.file is None]
    try:
        text = read_bounded(path, most=FILE_BYTES_MAX).decode("utf-8") if own else ""
    except (UnreadableFileError, UnicodeDecodeError):
        text = ""  # It has changed since it was checked: the problems stand without a place.
    found = iter(placed(own, text, shown))
    return [next(found) if problem.path and problem.file is None else problem for problem in problems]


def _knows_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
