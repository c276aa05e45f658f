"""Whether the channels of a definition can be reached, as far as that shows before anything is sent."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from orchestrator.core.definition import Pipeline
from orchestrator.core.interpolation import references
from orchestrator.core.problems import Problem
from orchestrator.core.variable_checks import NIGHT, alert_texts
from orchestrator.runtime.environment import Environment


def channel_values(environment: Environment, night: str) -> dict[str, str]:
    """Return what `${NAME}` stands for in an address: every variable and parameter that has a value, secrets too."""
    known = {**environment.variables, **environment.params}
    return {name: item.value for name, item in known.items()} | {NIGHT: night}


def check_channels(pipeline: Pipeline, environment: Environment) -> Iterator[Problem]:
    """Yield a warning for each address that lacks a value, and for a package that is not there: that nobody can be told keeps no night from running."""
    values = channel_values(environment, "")
    for path, text, _ in alert_texts(pipeline):
        for name in references(text):
            if name not in values:
                message = f"{'.'.join(map(str, path))} refers to {name}, which has no value: nobody can be told there"
                yield Problem("unset_channel", message, path, suggestion="give it one in .env", severity="warning")
    for channel in pipeline.alerts.channels.values():
        if channel.apprise and importlib.util.find_spec("apprise") is None:
            path = ("alerts", "channels", channel.name, "apprise")
            message = f"{'.'.join(path)} needs the extra notify"
            hint = 'pip install "orchestrate[notify]"'
            yield Problem("missing_extra", message, path, suggestion=hint, severity="warning")
