"""
The key of a step: what its result depends on, as named components and one digest over them.

How the material becomes components is a recipe, and its number is a component. `RECIPES` holds every recipe that was ever used: a success is
recorded under the newest, and is compared under its own for as long as it counts, so that a new recipe alone makes no step run again.

Recipe 1, in the order in which differences are looked for: `command` (the resolved words, or the shell line, and the
working folder), `code` (digest of each file named in the command or matched by a `code` glob), `variables` (value of
each declared plain variable; a secret by name alone), `inputs` (content digest of each dataset that it reads), `needs` (the
attempt that last succeeded of each step that it needs). Paths are relative to the folder of the definition and no
component names a host, so that a key holds on another machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import attrs

from ledger.canonical import blob_digest, canonical_bytes

_ORDER = ("recipe", "command", "code", "variables", "inputs", "needs")
_WHOLE = ("recipe", "command")
_SINGULAR = {"variables": "variable", "inputs": "input"}
_SECRET = {"secret": True}


@attrs.frozen
class Material:
    """
    Hold what is known of a step before it is put into components.

    Attributes:
        command: `{"argv": [...]}` or `{"shell": ...}`, and `"cwd"` where it is set.
        code: File, relative to the definition's folder, to content digest.
        variables: Name to value; None stands for a secret.
        inputs: Dataset to content digest; None where it does not exist.
        needs: Step to `run_id/attempt` of its last success.
    """

    command: Mapping[str, object]
    code: Mapping[str, str] = attrs.field(factory=dict)
    variables: Mapping[str, str | None] = attrs.field(factory=dict)
    inputs: Mapping[str, str | None] = attrs.field(factory=dict)
    needs: Mapping[str, str | None] = attrs.field(factory=dict)


Recipe: TypeAlias = Callable[[Material], dict[str, object]]


def _recipe_1(material: Material) -> dict[str, object]:
    components: dict[str, object] = {"recipe": 1, "command": dict(material.command)}
    if material.code:
        components["code"] = dict(material.code)
    if material.variables:
        components["variables"] = {
            name: _SECRET if value is None else {"value": value} for name, value in material.variables.items()
        }
    if material.inputs:
        components["inputs"] = dict(material.inputs)
    if material.needs:
        components["needs"] = dict(material.needs)
    return components


RECIPES: dict[int, Recipe] = {1: _recipe_1}
"""Number to recipe. One that was ever used stays as it is; a change of any kind is the next number."""


@attrs.frozen
class Difference:
    """Name the first component in which two keys differ, with both values (None where one side lacks it)."""

    component: str
    before: object
    after: object


def key_components(material: Material, recipe: int | None = None) -> dict[str, object]:
    """Return the components of a key as the *recipe* of that number has them, else as the newest one does."""
    return RECIPES[max(RECIPES) if recipe is None else recipe](material)


def known_recipe(components: Mapping[str, object]) -> int | None:
    """Return the number of the recipe that made *components*, or None where this program does not know it."""
    number = components.get("recipe")
    return number if isinstance(number, int) and number in RECIPES else None


def key_digest(components: Mapping[str, object]) -> str:
    """Return the key: `sha256:` and the digest of the canonical form of *components* (RFC 8785)."""
    return blob_digest(canonical_bytes(components))


def first_difference(before: Mapping[str, object], after: Mapping[str, object]) -> Difference | None:
    """
    Find the first component that differs between two keys' material, or None where they are equal.

    Components that are maps are compared entry by entry, in the order of their names, so that the answer names the
    file, the variable or the dataset. What another recipe has besides these comes last.
    """
    others = sorted({*before, *after}.difference(_ORDER))
    for name in (*_ORDER, *others):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if name in _WHOLE or not all(value is None or isinstance(value, Mapping) for value in (old, new)):
            return Difference(name, old, new)
        old_map = old if isinstance(old, Mapping) else {}
        new_map = new if isinstance(new, Mapping) else {}
        for entry in sorted({*old_map, *new_map}):
            if old_map.get(entry) != new_map.get(entry) or (entry in old_map) != (entry in new_map):
                return Difference(f"{_SINGULAR.get(name, name)}:{entry}", old_map.get(entry), new_map.get(entry))
    return None


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
