"""
Secrets where they would be recorded: in the definition, or in a variable that is not declared secret.

The ledger keeps definitions, commands and the values of plain variables for ever, so that a run is refused before any of that is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from orchestrator.core.canary import CANARY, CANARY_NAME, what_comes_out
from orchestrator.core.definition import Pipeline
from orchestrator.core.problems import Problem
from orchestrator.core.redaction import Redactor
from orchestrator.core.secret_forms import FORM_BYTES_MIN
from orchestrator.runtime.environment import Environment, secrets_of

Path = tuple[str | int, ...]

# Letters of one case, perhaps in several words and with a few digits or a sign at the end; or nothing but digits.
_EVERYDAY = re.compile(
    r"[A-Za-z]?[a-z]+(?:[-_. ][a-z]+)*[0-9]{0,4}[!?.]?|[A-Z]+(?:[-_. ][A-Z]+)*[0-9]{0,4}[!?.]?|[0-9]+"
)
_EVERYDAY_LENGTH = 20


def redactor_of(pipeline: Pipeline, environment: Environment) -> Redactor:
    """Return what masks in a run of *pipeline*: the values of its secrets, its patterns, well-known tokens; and a made-up secret beside them."""
    secrets, rules = secrets_of(pipeline, environment), pipeline.redact
    if not (secrets or environment.overruled or rules.patterns or rules.builtin):
        return Redactor()
    masked: dict[str, str | bytes] = {**environment.overruled, **secrets, CANARY_NAME: CANARY}
    return Redactor(masked, patterns=rules.patterns, builtin=rules.builtin)


def check_redactor(pipeline: Pipeline, environment: Environment, redactor: Redactor) -> list[Problem]:
    """Return a problem if a made-up secret comes out of *redactor*, where there is anything to mask: then no run may start."""
    rules = pipeline.redact
    if not (secrets_of(pipeline, environment) or rules.patterns or rules.builtin):
        return []
    how = what_comes_out(redactor.stream, redactor.redact, builtin=rules.builtin)
    if how is None:
        return []
    message = f"secrets are not masked on this machine: a made-up one came out {how}; nothing was started"
    return [Problem("not_masked", message, suggestion="install orchestrate anew, with the versions that it pins")]


def check_leaks(pipeline: Pipeline, environment: Environment) -> list[Problem]:
    """
    Return a problem for each plain value and each text of the definition that holds the value of a secret; names alone are told.

    A secret that is too short to be masked is a warning, and one that looks like an everyday word.
    """
    secrets: dict[str, str] = {}
    problems: list[Problem] = []
    for name, value in secrets_of(pipeline, environment).items():
        if len(value.strip().encode("utf-8", "surrogateescape")) >= FORM_BYTES_MIN:
            secrets[name] = value.strip()
            if is_everyday(value.strip()):
                message = f"the secret {name} looks like an everyday word or number: it will be masked wherever that is printed, and is soon guessed"
                hint = "take a random value, if it can be changed"
                problems.append(
                    Problem("common_secret", message, ("env", "vars", name), suggestion=hint, severity="warning")
                )
        elif value.strip():
            message = f"the secret {name} is shorter than {FORM_BYTES_MIN} bytes and cannot be masked in logs"
            problems.append(Problem("short_secret", message, ("env", "vars", name), severity="warning"))
    if not secrets:
        return problems
    return [*problems, *_in_values(environment, pipeline, secrets), *_in_definition(pipeline, secrets)]


def is_everyday(value: str) -> bool:
    """
    Whether *value* may be a word or a number that stands in any log, such as `production`, `change-me`, `Password1` or `20130131`.

    There is no list of words: a short value whose letters are of one case, with at most a few digits after them, counts, and so does a short number. Random
    values of one case without digits are rare, and are told of in vain.
    """
    return len(value) < _EVERYDAY_LENGTH and _EVERYDAY.fullmatch(value) is not None


def _in_values(environment: Environment, pipeline: Pipeline, secrets: Mapping[str, str]) -> Iterator[Problem]:
    plain = {name: item for name, item in environment.variables.items() if not pipeline.variables[name].secret}
    for table, values in (("env.vars", plain), ("params", environment.params)):
        for name, item in values.items():
            secret = _held(item.value, secrets)
            if secret is not None:
                message = f"{name} ({item.origin}) holds the value of the secret {secret}, and is recorded and shown"
                hint = f"declare {name} with secret = true" if table == "env.vars" else "parameters cannot be secret"
                yield Problem("holds_secret", message, (*table.split("."), name), suggestion=hint)


def _in_definition(pipeline: Pipeline, secrets: Mapping[str, str]) -> Iterator[Problem]:
    for path, text in _texts((), pipeline.document):
        secret = _held(text, secrets)
        if secret is not None:
            message = f"the definition holds the value of the secret {secret}, and is recorded and shown"
            yield Problem("holds_secret", message, path, suggestion=f'hand it to the step with env = ["{secret}"]')


def _held(text: str, secrets: Mapping[str, str]) -> str | None:
    return next((name for name, value in secrets.items() if value in text), None)


def _texts(path: Path, value: object) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield (*path, key), key
            yield from _texts((*path, key), item)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _texts((*path, place), item)
