"""What a manual action has to say for itself: its reason, and whether a run is one."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.core.printable import as_utf8
from orchestrator.core.problems import Problem
from orchestrator.core.selection import Selection

TEXT_LENGTH_MAX = 4000
"""Characters of a reason or a note; more belongs into a file or a ticket that it names."""


def manual_signs(selection: Selection, *, settings: Sequence[str], moved: bool, trigger: str) -> list[str]:
    """
    Return what makes the start of a run a manual action, as a person would name it; empty for an unattended plain run.

    Args:
        settings: Of `--set`.
        trigger: What kind of start it is, see `runtime.provenance.trigger`.
    """
    given = {
        "--force": selection.force,
        "--only": selection.only,
        "--from": selection.from_,
        "--until": selection.until,
        "--omit": selection.omit,
        "--set": settings,
        "--moved": moved,
    }
    signs = [option for option, value in given.items() if value]
    return [*signs, *(["a terminal"] if trigger == "terminal" else [])]


def missing_reason(action: str) -> Problem:
    """Return the problem of an *action*, such as `accept`, for which the pipeline requires a reason that was not given."""
    return Problem(
        "missing_reason",
        f"{action} needs --reason: the pipeline requires one for each manual action ([audit] require_reason)",
        suggestion='say why, such as --reason "ticket 4711"',
    )


def text_problem(text: str, name: str) -> str | None:
    """Say what is wrong with a reason or a note, *name* being how it was given; None where it can be recorded."""
    if not text.strip():
        return f"{name} is empty"
    if len(as_utf8(text)) > TEXT_LENGTH_MAX:
        return f"{name} has {len(as_utf8(text))} characters, at most {TEXT_LENGTH_MAX} are allowed"
    return None
