"""Which runs are past a retention."""

from __future__ import annotations

import pytest

from orchestrator.core.definition import Retention
from orchestrator.core.errors import DefinitionError
from orchestrator.core.parse import parse_pipeline
from orchestrator.core.retention import KINDS, EndedRun, Rule, past_runs, rules_of
from orchestrator.schemas import load_schema

DOCUMENT = {"retention": {"logs": "90d", "blobs": "400d"}}
DEFINITION = '[pipeline]\nname = "p"\n[steps.a]\ncommand = ["true"]\n[retention]\n'


class TestDefinition:
    """The table `[retention]`."""

    def test_stated(self) -> None:
        """Given some kinds, then those have a retention, and the others none."""
        parsed = parse_pipeline(
            f'{DEFINITION}logs = "90d"\nblobs = "1h30m"\n', file="p", schema=load_schema("pipeline")
        )
        assert parsed.pipeline.retention == Retention(logs="90d", blobs="1h30m")

    @pytest.mark.parametrize("line", ['logs = "0s"', 'logs = "soon"', "logs = 90", 'datasets = "1d"'])
    def test_wrong(self, line: str) -> None:
        """Given what is no duration, or no kind, then it is refused with its line."""
        with pytest.raises(DefinitionError) as error:
            parse_pipeline(DEFINITION + line, file="p", schema=load_schema("pipeline"))
        assert [problem.line for problem in error.value.problems] == [6]


class TestRules:
    """What is kept for how long."""

    def test_definition(self) -> None:
        """Given a definition, then what it names is kept for so long, and the rest for ever."""
        assert rules_of("p", DOCUMENT, KINDS, None) == [
            Rule("p", "logs", "90d", "definition"),
            Rule("p", "blobs", "400d", "definition"),
        ]
        assert rules_of("p", DOCUMENT, ["reports"], None) == []
        assert rules_of("p", {}, KINDS, None) == []

    def test_override(self) -> None:
        """Given another one, then it counts for each kind that is asked for."""
        assert rules_of("p", DOCUMENT, ["logs", "reports"], "1d") == [
            Rule("p", "logs", "1d", "--older-than"),
            Rule("p", "reports", "1d", "--older-than"),
        ]


class TestPast:
    """Which runs are past it."""

    def test_runs(self) -> None:
        """Given runs, then those that ended before are, but for the newest one, those of others, and those that are on."""
        runs = [
            EndedRun("1", "p", "2026-01-01"),
            EndedRun("2", "q", "2026-01-01"),
            EndedRun("3", "p", None),
            EndedRun("4", "p", "2026-01-02"),
            EndedRun("5", "p", "2026-01-01"),
            EndedRun("6", "p", "2026-01-01"),
        ]
        assert past_runs(runs, "p", "2026-01-02") == ["1", "5"]
        assert past_runs(runs, "q", "2026-01-02") == []
        assert past_runs([], "p", "2026-01-02") == []
