"""
The key of a step: what its result depends on, as named components and one digest over them.

Recipe 1, in the order in which differences are looked for: `command` (the resolved words, or the shell line, and the
working folder), `code` (digest of each file named in the command or matched by a `code` glob), `variables` (value of
each declared plain variable; a secret by name alone), `inputs` (content digest of each dataset that it reads), `needs` (the
attempt that last succeeded of each step that it needs). Paths are relative to the folder of the definition and no
component names a host, so that a key holds on another machine.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ledger.canonical import blob_digest, canonical_bytes

RECIPE = 1
_ORDER = ("recipe", "command", "code", "variables", "inputs", "needs")
_SECRET = {"secret": True}


@attrs.frozen
class Difference:
    """Name the first component in which two keys differ, with both values (None where one side lacks it)."""

    component: str
    before: object
    after: object


def key_components(
    *,
    command: Mapping[str, object],
    code: Mapping[str, str],
    variables: Mapping[str, str | None],
    inputs: Mapping[str, str | None],
    needs: Mapping[str, str | None],
) -> dict[str, object]:
    """
    Gather the material of a key.

    Args:
        command: `{"argv": [...]}` or `{"shell": ...}`, and `"cwd"` where it is set.
        code: File, relative to the definition's folder, to content digest.
        variables: Name to value; None stands for a secret.
        inputs: Dataset to content digest; None where it does not exist.
        needs: Step to `run_id/attempt` of its last success.
    """
    components: dict[str, object] = {"recipe": RECIPE, "command": dict(command)}
    if code:
        components["code"] = dict(code)
    if variables:
        components["variables"] = {
            name: _SECRET if value is None else {"value": value} for name, value in variables.items()
        }
    if inputs:
        components["inputs"] = dict(inputs)
    if needs:
        components["needs"] = dict(needs)
    return components


def key_digest(components: Mapping[str, object]) -> str:
    """Return the key: `sha256:` and the digest of the canonical form of *components* (RFC 8785)."""
    return blob_digest(canonical_bytes(components))


def first_difference(before: Mapping[str, object], after: Mapping[str, object]) -> Difference | None:
    """
    Find the first component that differs between two keys' material, or None where they are equal.

    Components that are maps are compared entry by entry, in the order of their names, so that the answer names the
    file, the variable or the dataset.
    """
    for name in _ORDER:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if name in ("recipe", "command"):
            return Difference(name, old, new)
        old_map = old if isinstance(old, Mapping) else {}
        new_map = new if isinstance(new, Mapping) else {}
        for entry in sorted({*old_map, *new_map}):
            if old_map.get(entry) != new_map.get(entry) or (entry in old_map) != (entry in new_map):
                return Difference(f"{_SINGULAR[name]}:{entry}", old_map.get(entry), new_map.get(entry))
    return None


_SINGULAR = {"code": "code", "variables": "variable", "inputs": "input", "needs": "needs"}


def rename_components(
    components: Mapping[str, object], *, datasets: Mapping[str, str], steps: Mapping[str, str]
) -> dict[str, object]:
    """
    Carry former material over a renaming, so that a new name alone changes no key.

    Args:
        datasets: Former name to present name.
        steps: Former name to present name.
    """
    renamed = dict(components)
    for component, names in (("inputs", datasets), ("needs", steps)):
        entries = renamed.get(component)
        if isinstance(entries, Mapping) and any(entry in names for entry in entries):
            renamed[component] = {names.get(entry, entry): value for entry, value in entries.items()}
    return renamed
