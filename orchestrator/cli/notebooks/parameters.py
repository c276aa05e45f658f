"""The parameters of a notebook: those that its cell of parameters names, and no others."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.cli.errors import UsageRefusedError

_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def defaults_of(source: Path) -> dict[str, object]:
    """Return what the cell of the notebook *source* that is tagged `parameters` assigns."""
    import nbformat

    cells = nbformat.read(source, as_version=4).cells
    texts = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", ())]
    found: dict[str, object] = {}
    for text in texts:
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


def chosen_parameters(source: Path, given: Sequence[tuple[str, str]], own: Mapping[str, object]) -> dict[str, object]:
    """
    Return what the notebook *source* is executed with: what was *given*, over what is known of its *own*.

    Raises:
        UsageRefusedError: It has no such parameter, or takes no such value.
    """
    known = defaults_of(source)
    found = {name: value for name, value in own.items() if name in known}
    for name, text in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(known)}."
            raise UsageRefusedError("usage", f"the notebook {source.stem} has no parameter {name!r}.{hint}")
        found[name] = _value(name, text, known[name])
    return found


def _value(name: str, text: str, default: object) -> object:
    try:
        if isinstance(default, bool):
            return _WORDS[text.lower()]
        return int(text) if isinstance(default, int) else text
    except (KeyError, ValueError):
        expected = "true or false" if isinstance(default, bool) else "a whole number"
        raise UsageRefusedError("usage", f"the parameter {name} is {text!r}, expected {expected}") from None
