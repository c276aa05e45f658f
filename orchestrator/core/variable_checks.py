"""What a definition may have wrong about variables, parameters, and the `${NAME}` that stand for them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator

from orchestrator.core.definition import Parameter, Pipeline, Variable
from orchestrator.core.interpolation import is_malformed, references
from orchestrator.core.names import shown, suggest
from orchestrator.core.parameters import check_parameter_value
from orchestrator.core.problems import Problem

Path = tuple[str | int, ...]

NIGHT = "NIGHT"
_RESERVED = ("TRACEPARENT", "TRACESTATE", "BAGGAGE", NIGHT)
_RESERVED_PREFIX = "ORCHESTRATE_"


def check_variables(pipeline: Pipeline) -> Iterator[Problem]:
    """Yield what is wrong with the declarations of variables and parameters."""
    for variable in pipeline.variables.values():
        path: Path = ("env", "vars", variable.name)
        yield from _reserved(variable.name, path)
        yield from _check_variable(variable, path)
    for parameter in pipeline.params.values():
        path = ("params", parameter.name)
        yield from _reserved(parameter.name, path)
        if parameter.name in pipeline.variables:
            message = f"{parameter.name} is both a variable and a parameter"
            yield Problem("duplicate_name", message, path, suggestion="rename one of them")
        yield from _check_parameter(parameter, path)


def compiled(pattern: str) -> re.Pattern[str] | None:
    """Return *pattern* compiled, or None where it is no regular expression."""
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return None


def check_texts(pipeline: Pipeline, declared: Collection[str]) -> Iterator[Problem]:
    """
    Yield the references of paths and commands that stand for nothing, or for a secret.

    Args:
        declared: The names of all variables that the file declares, also of those that could not be read.
    """
    for path, text, secret in itertools.chain(_plain_texts(pipeline), alert_texts(pipeline)):
        if "${" in text:
            yield from _check_text(pipeline, declared, text, path, secret_allowed=secret)


def _plain_texts(pipeline: Pipeline) -> Iterator[tuple[Path, str, bool]]:
    for dataset in pipeline.datasets.values():
        table: Path = ("datasets", dataset.name)
        yield (*table, "path"), dataset.path or "", False
        yield (*table, "pattern"), dataset.pattern, False
        yield from (((*table, "probe", place), word, False) for place, word in enumerate(dataset.probe))
    for step in pipeline.steps.values():
        table = ("steps", step.name)
        yield from (((*table, "command", place), word, False) for place, word in enumerate(step.command))
        yield from (((*table, "code", place), pattern, False) for place, pattern in enumerate(step.code))
        yield (*table, "cwd"), step.cwd or "", False


def alert_texts(pipeline: Pipeline) -> Iterator[tuple[Path, str, bool]]:
    """Yield each text of `[alerts]` and `[deadman]` that may refer to variables: its path, the text, and whether secrets may stand in it."""
    for channel in pipeline.alerts.channels.values():
        path: Path = ("alerts", "channels", channel.name)
        yield from (((*path, "command", place), word, False) for place, word in enumerate(channel.command))
        yield from (((*path, "headers", name), value, True) for name, value in channel.headers.items())
        yield from (((*path, "apprise", place), value, True) for place, value in enumerate(channel.apprise))
        if channel.webhook is not None:
            yield (*path, "webhook"), channel.webhook, True
    pinged = pipeline.deadman
    for event, address in (("start", pinged.start), ("success", pinged.success), ("failure", pinged.failure)):
        if address is not None:
            yield ("deadman", event), address, True


def _check_text(
    pipeline: Pipeline, declared: Collection[str], text: str, path: Path, *, secret_allowed: bool = False
) -> Iterator[Problem]:
    where = ".".join(str(part) for part in path if isinstance(part, str))
    if is_malformed(text):
        message = f"{where} holds a '${{' that begins no ${{NAME}}: {shown(text)}"
        yield Problem("bad_reference", message, path, suggestion="write $${ for a literal ${")
    for name in references(text):
        if name == NIGHT or name in pipeline.params:
            continue
        variable = pipeline.variables.get(name)
        if variable is None and name not in declared:
            plain = (item.name for item in pipeline.variables.values() if secret_allowed or not item.secret)
            known = [NIGHT, *pipeline.params, *plain]
            near = suggest(name, known)
            hint = f"did you mean ${{{near}}}?" if near else f"declare {name} in [env.vars] or [params]"
            yield Problem(
                "unknown_reference", f"{where} refers to {name}, which is not declared", path, suggestion=hint
            )
        elif variable is not None and variable.secret and not secret_allowed:
            message = f"{where} refers to {name}, which is secret: paths and commands are recorded and shown"
            yield Problem("secret_reference", message, path, suggestion=f'give it to the step with env = ["{name}"]')


def _reserved(name: str, path: Path) -> Iterator[Problem]:
    if name in _RESERVED or name.startswith(_RESERVED_PREFIX):
        message = f"{name} is set by orchestrate itself and cannot be declared"
        yield Problem("reserved_name", message, path, suggestion="choose another name")


def _check_variable(variable: Variable, path: Path) -> Iterator[Problem]:
    where = ".".join(map(str, path))
    if variable.secret and variable.default is not None:
        message = f"{where} is secret and has a default: the definition is recorded and shown"
        yield Problem("secret_default", message, (*path, "default"), suggestion="put the value into .env")
    if variable.rekey and not variable.secret:
        message = f"{where} has rekey, which is for secrets: the value of a plain variable always counts"
        yield Problem("rekey", message, (*path, "rekey"), suggestion="remove rekey")
    if variable.required and variable.default is not None:
        message = f"{where} is required and has a default, so that it can never be missing"
        yield Problem("required_default", message, (*path, "required"), suggestion="remove one", severity="warning")
    if variable.pattern is None:
        return
    pattern = compiled(variable.pattern)
    if pattern is None:
        message = f"{where}.pattern is no regular expression: {shown(variable.pattern)}"
        yield Problem("bad_pattern", message, (*path, "pattern"))
    elif not variable.secret and variable.default is not None and not pattern.fullmatch(variable.default):
        message = f"{where}: the default {shown(variable.default)} does not match {shown(variable.pattern)}"
        yield Problem("bad_default", message, (*path, "default"))


def _check_parameter(parameter: Parameter, path: Path) -> Iterator[Problem]:
    for key, values in (("choices", parameter.choices), ("default", (parameter.default,))):
        for value in values:
            wrong = None if value is None else check_parameter_value(parameter, value, choices=key == "default")
            if wrong is not None:
                yield Problem(f"bad_{key}", f"params.{parameter.name}: {key} has {wrong}", (*path, key))
