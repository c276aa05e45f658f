"""Tests of the errors of the core: each keeps what it is about."""

from __future__ import annotations

from orchestrator.core.errors import DefinitionError, InternalError, OrchestratorError, UnknownEventError
from orchestrator.core.problems import Problem


class TestErrors:
    """What is caught can be looked into."""

    def test_definition_error_carries_all_problems(self) -> None:
        """Given problems, then the error has them, and its text is theirs."""
        found = [Problem("a", "first", file="f", line=1, column=2, suggestion="do x"), Problem("b", "second")]

        error = DefinitionError(found)

        assert (tuple(found), "f:1:2: first (do x); second") == (error.problems, str(error))

    def test_unknown_event_says_that_a_newer_program_wrote_it(self) -> None:
        """Given a stored name and version, then both are in the error."""
        error = UnknownEventError("run.x", 7)

        assert ("run.x", 7) == (error.name, error.version)
        assert "unknown event: type run.x version 7; it was written by a newer program" == str(error)

    def test_a_bug_is_no_mistake_of_the_user(self) -> None:
        """An internal error is not caught with the others."""
        assert not issubclass(InternalError, OrchestratorError)
        assert "x (this is a bug)" == str(InternalError("x"))
