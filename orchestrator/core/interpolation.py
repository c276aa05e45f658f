r"""
References `${NAME}` inside the texts of a definition.

Only `${NAME}` is a reference. `$${` stands for a literal `${`; every other `$` stands for itself, so that `$HOME` in a
command is plain text (no shell reads it). There are no defaults, no nesting and no expansion of what was put in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.core.errors import OrchestratorError

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")


class UnresolvedReferenceError(OrchestratorError):
    """Raised when a text refers to a name that has no value."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        super().__init__(f"no value for ${{{name}}} in {text!r}")


def references(text: str) -> tuple[str, ...]:
    """
    Return the names that *text* refers to, in order, without repeats.

    >>> references("${RAW}/x/${NIGHT}/$${HOME}")
    ('RAW', 'NIGHT')
    """
    if "${" not in text:
        return ()
    return tuple(dict.fromkeys(match[1] for match in _REFERENCE.finditer(text) if match[1] is not None))


def is_malformed(text: str) -> bool:
    """Tell whether *text* holds a `${` that begins neither a reference nor the literal `$${`."""
    if "${" not in text:
        return False
    return any(match[0] == "${" for match in _REFERENCE.finditer(text))


def resolve(text: str, values: Mapping[str, str]) -> str:
    """
    Return *text* with every reference replaced by its value in *values*.

    Raises:
        UnresolvedReferenceError: A name has no value; a checked definition refers to declared names only, but a
            variable without a default may have none.

    >>> resolve("${RAW}/x", {"RAW": "data"})
    'data/x'
    """
    if "${" not in text:
        return text

    def replacement(match: re.Match[str]) -> str:
        if match[0] in ("$${", "${"):
            return "${"
        name = match[1]
        if name not in values:
            raise UnresolvedReferenceError(name, text)
        return values[name]

    return _REFERENCE.sub(replacement, text)
