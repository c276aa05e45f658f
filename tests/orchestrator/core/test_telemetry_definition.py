"""Tests of `[telemetry]` in the definition."""

from __future__ import annotations

import pytest

from orchestrator.core.definition import Telemetry
from orchestrator.core.errors import DefinitionError
from orchestrator.core.parse import parse_pipeline
from orchestrator.schemas import load_schema

SCHEMA = load_schema("pipeline")
STEPS = '[pipeline]\nname = "p"\n[steps.a]\ncommand = ["true"]\n[telemetry]\n'


class TestTelemetry:
    """What it says, and what may be wrong with it."""

    def test_off_unless_asked_for(self) -> None:
        """Given nothing, then no output of steps is sent."""
        for text, step_output in (("", False), ("step_output = true\n", True), ("step_output = false\n", False)):
            pipeline = parse_pipeline(STEPS + text, file="p.toml", schema=SCHEMA).pipeline
            assert pipeline.telemetry == Telemetry(step_output=step_output)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('step_output = "yes"\n', "p.toml:6:1: telemetry.step_output"),
            ("step_outputs = true\n", "p.toml:6:1: unknown key 'step_outputs' in telemetry"),
        ],
    )
    def test_what_is_wrong(self, text: str, message: str) -> None:
        """Given another type or a near miss, then that is told with its line."""
        with pytest.raises(DefinitionError, match="telemetry") as caught:
            parse_pipeline(STEPS + text, file="p.toml", schema=SCHEMA)
        assert str(caught.value.problems[0]).startswith(message)
