"""
Names of steps, datasets, pipelines and runs: one rule, checked by one function wherever a name enters.

A name is part of file names (logs, reports) and of stream ids, hence the narrow alphabet and the ban on names that
differ only in case. Names of environment variables follow the shell's rule and have their own check.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

NAME_LENGTH_MAX = 128

# `re` compiles them at their first use: reading commands load this module and check no name.
_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}"
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]{0,127}"
_SHOWN_LENGTH_MAX = 60


def shown(value: object, *, length_max: int = _SHOWN_LENGTH_MAX) -> str:
    r"""
    Quote *value* for a message: no control character survives, and what is long is cut.

    >>> shown("a\nb")
    "'a\\nb'"
    """
    text = value if isinstance(value, str) else repr(value)
    cut = text if len(text) <= length_max else text[:length_max] + "…"
    return repr(cut) if isinstance(value, str) else cut


def check_name(kind: str, value: str) -> str | None:
    """
    Return what is wrong with *value* as the name of a *kind* (`step`, `dataset`, `pipeline`, `run`), or None.

    >>> check_name("step", "bronze") is None
    True
    """
    if re.fullmatch(_NAME, value):
        return None
    if not value:
        return f"the name of a {kind} is empty"
    if len(value) > NAME_LENGTH_MAX:
        return (
            f"the name of a {kind} has {len(value)} characters, at most {NAME_LENGTH_MAX} are allowed: {shown(value)}"
        )
    return f"not a name of a {kind}: {shown(value)}; names are letters, digits, '_' and '-', starting with a letter or digit"


def check_variable_name(value: str) -> str | None:
    """Return what is wrong with *value* as the name of an environment variable or a parameter, or None."""
    if re.fullmatch(_VARIABLE, value):
        return None
    return f"not a name of a variable: {shown(value)}; it takes letters, digits and '_', not starting with a digit"


def case_twins(names: Iterable[str]) -> list[tuple[str, str]]:
    """
    Return the pairs of *names* that are equal or differ only in case, the earlier one first.

    A name that has several twins is paired with the first of them.
    """
    first: dict[str, str] = {}
    twins: list[tuple[str, str]] = []
    for name in names:
        folded = name.casefold()
        if folded in first:
            twins.append((first[folded], name))
        first.setdefault(folded, name)
    return twins


def suggest(word: str, candidates: Iterable[str]) -> str | None:
    """
    Return the one of *candidates* that *word* was probably meant to be, or None.

    Another case, then the closest by difflib. Costs a comparison with each candidate; only for messages.
    """
    import difflib

    known = list(candidates)
    for candidate in known:
        if candidate.casefold() == word.casefold():
            return candidate
    close = difflib.get_close_matches(word[: 2 * NAME_LENGTH_MAX], known, n=1, cutoff=0.6)
    return close[0] if close else None
