"""Differences between two definitions, one line each."""

from __future__ import annotations

import json
from collections.abc import Mapping

_SIGNS = {"added": "+", "removed": "-", "changed": "~", "renamed": ">"}
_SHOWN_AT_MOST = 120


def change_text(change: Mapping[str, object]) -> str:
    """
    Return a difference as `core.definition_diff.definition_changes` gives it in a line.

    >>> change_text({"path": "steps.a.timeout", "kind": "changed", "before": "1m", "after": "2m"})
    '~ steps.a.timeout: 1m -> 2m'
    """
    return f"{_SIGNS.get(str(change['kind']), '?')} {change['path']}{_values(change)}"


def _values(change: Mapping[str, object]) -> str:
    before, after = _short(change.get("before")), _short(change.get("after"))
    match change["kind"]:
        case "added":
            return f" = {after}"
        case "removed":
            return f" (was {before})"
        case "renamed":
            return f" (formerly {before})"
        case _:
            return f": {before} -> {after}"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _SHOWN_AT_MOST else text[:_SHOWN_AT_MOST] + "…"
