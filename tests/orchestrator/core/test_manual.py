"""Tests of what a manual action has to say for itself."""

from __future__ import annotations

import pytest

from orchestrator.core.manual import TEXT_LENGTH_MAX, manual_signs, missing_reason, text_problem
from orchestrator.core.selection import Selection


class TestManualSigns:
    """What makes the start of a run a manual action."""

    @pytest.mark.parametrize(
        ("selection", "settings", "moved", "trigger", "signs"),
        [
            (Selection(), (), False, "unattended", []),
            (Selection(), (), False, "systemd", []),
            (Selection(), (), False, "terminal", ["a terminal"]),
            (Selection(only=("a",), force=True), (), False, "unattended", ["--force", "--only"]),
            (Selection(from_=("a",), until=("b",), omit=("c",)), (), False, "systemd", ["--from", "--until", "--omit"]),
            (Selection(), ("A=1",), True, "terminal", ["--set", "--moved", "a terminal"]),
        ],
    )
    def test_signs(
        self, selection: Selection, settings: tuple[str, ...], trigger: str, signs: list[str], *, moved: bool
    ) -> None:
        """Given how a run is started, then every option of a person and the terminal; none for an unattended plain run."""
        assert signs == manual_signs(selection, settings=settings, moved=moved, trigger=trigger)


class TestTexts:
    """Reasons and notes."""

    def test_the_option_is_named(self) -> None:
        """Given a missing reason, then the problem names action and option."""
        problem = missing_reason("accept")

        assert problem.kind == "missing_reason"
        assert problem.message.startswith("accept needs --reason: ")

    @pytest.mark.parametrize(
        ("text", "wrong"),
        [
            ("x", None),
            ("x" * TEXT_LENGTH_MAX, None),
            ("", "the note is empty"),
            (" \n\t", "the note is empty"),
            ("x" * (TEXT_LENGTH_MAX + 1), "the note has 4001 characters, at most 4000 are allowed"),
            ("\udcff" * 1000, "the note has 6000 characters, at most 4000 are allowed"),
        ],
    )
    def test_what_can_be_recorded(self, text: str, wrong: str | None) -> None:
        """Given a text, then its length as the ledger would hold it is what counts; white space alone says nothing."""
        assert wrong == text_problem(text, "the note")
