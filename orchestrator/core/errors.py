"""The errors of the orchestrator's core; each keeps the offending values as attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.core.problems import Problem


class OrchestratorError(Exception):
    """Root of the errors that this package raises for a caller's or a user's mistake."""


class InternalError(Exception):
    """Raised for a state that cannot be; this is a bug of the program, not a mistake of its user."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} (this is a bug)")


class DefinitionError(OrchestratorError):
    """Raised when a definition has at least one problem; carries all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class UnknownEventError(OrchestratorError):
    """Raised when a stored event has a type or a version that this program does not know."""

    def __init__(self, name: str, version: int) -> None:
        self.name = name
        self.version = version
        super().__init__(f"unknown event: type {name} version {version}; it was written by a newer program")
