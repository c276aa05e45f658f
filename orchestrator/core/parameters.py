"""Values of parameters: what `--set NAME=VALUE` may say for each type."""

from __future__ import annotations

import re

from orchestrator.core.definition import Parameter
from orchestrator.core.names import shown
from orchestrator.core.nights import parse_date

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")


def check_parameter_value(parameter: Parameter, value: str, *, choices: bool = True) -> str | None:
    """
    Return what is wrong with *value* for *parameter*, or None.

    Args:
        choices: Also look whether it is one of the parameter's choices.
    """
    match parameter.type:
        case "integer" if not _INTEGER.fullmatch(value):
            return f"{shown(value)}, expected a whole number"
        case "boolean" if value not in ("true", "false"):
            return f"{shown(value)}, expected true or false"
        case "date" if parse_date(value) is None:
            return f"{shown(value)}, expected a date such as 2026-01-31"
    if choices and parameter.choices and value not in parameter.choices:
        return f"{shown(value)}, expected one of {', '.join(parameter.choices)}"
    return None
