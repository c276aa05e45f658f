"""
What a document breaks of its JSON Schema, in words: loaded only when the fast check has said no.

Of many steps and datasets only those that the fast check refuses are given to the validator, since it takes a millisecond for each.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.core.durations import DURATION_FORM
from orchestrator.core.names import check_name, check_variable_name, shown, suggest
from orchestrator.core.problems import Problem
from orchestrator.core.schema_check import compile_check, text_pattern
from orchestrator.core.sizes import SIZE_FORM

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

Path = tuple[str | int, ...]

_KINDS = {
    "steps": "step",
    "datasets": "dataset",
    "pools": "pool",
    "vars": "variable",
    "params": "parameter",
    "channels": "channel",
}
_TYPE_NAMES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "an array",
    "object": "a table",
}


def schema_problems(
    document: Mapping[str, object], schema: Mapping[str, object]
) -> tuple[list[Problem], dict[str, object]]:
    """Return what *document* breaks of *schema*, and the document without the parts that do."""
    # As an ordered set: one mistake may break two keywords, and `required` tells all that lacks for each that lacks.
    problems: dict[Problem, None] = {}
    unusable: list[Path] = []
    for error in _validator(schema).iter_errors(_suspects(document, schema)):
        for problem in _problems_of(error):
            problems[problem] = None
            # Of a table that lacks something the rest can still be looked at.
            if error.validator not in ("required", "oneOf", "minProperties"):
                unusable.append(problem.path)
    return list(problems), without_paths(document, unusable)


def _validator(schema: Mapping[str, object]) -> Validator:
    """Return the full validator of *schema*, with `$` in a pattern meaning what the fast check takes it for."""
    from jsonschema import Draft202012Validator, ValidationError
    from jsonschema.validators import extend

    def pattern(_: object, wanted: str, value: object, __: object) -> Iterator[ValidationError]:
        if isinstance(value, str) and not text_pattern(wanted).search(value):
            yield ValidationError(f"{value!r} does not match {wanted!r}")

    extended: type[Validator] = extend(Draft202012Validator, {"pattern": pattern})  # type: ignore[no-untyped-call]
    return extended(schema)


def without_paths(document: Mapping[str, object], paths: Iterable[Path]) -> dict[str, object]:
    """Return a copy of *document* without what stands at *paths*; an array that lost an item is left out whole, since places count."""
    changed: dict[str, object] = copy.deepcopy(dict(document))
    for path in paths:
        length = len(path)
        while length and isinstance(path[length - 1], int):
            length -= 1
        target: object = changed
        for part in path[: max(length - 1, 0)]:
            target = _entry(target, part)
        if isinstance(target, dict) and length:
            target.pop(path[length - 1], None)
    return changed


def _entry(table: object, part: str | int) -> object:
    """Return what stands at *part* of *table*; None where nothing does, or no longer."""
    if isinstance(part, int):
        return table[part] if isinstance(table, list) and part < len(table) else None
    return table.get(part) if isinstance(table, dict) else None


def _suspects(document: Mapping[str, object], schema: Mapping[str, object]) -> dict[str, Any]:
    """Return *document* with only those steps and datasets that the fast check refuses, and one of each at least."""
    smaller = dict(document)
    for table, definition in (("steps", "step"), ("datasets", "dataset")):
        entries = document.get(table)
        if isinstance(entries, dict):
            good = compile_check(schema, definition)
            kept = {name: value for name, value in entries.items() if check_name("", name) or not good(value)}
            smaller[table] = kept or dict(list(entries.items())[:1])
    return smaller


def _problems_of(error: ValidationError) -> Iterator[Problem]:
    path: Path = tuple(error.absolute_path)
    hint: str | None
    if "propertyNames" in error.relative_schema_path:
        yield _bad_name(path, error.instance)
    elif error.validator == "additionalProperties":
        known = _keywords(error).get("properties", {})
        for key in _entries(error):
            if key not in known:
                near = suggest(str(key), known)
                hint = f"did you mean {near}?" if near else f"allowed are {', '.join(known)}"
                yield Problem(
                    "unknown_key", f"unknown key {shown(key)} in {_where(path)}", (*path, key), suggestion=hint
                )
    elif error.validator == "required":
        missing: Any = error.validator_value
        for key in missing:
            if key not in _entries(error):
                yield Problem("missing_key", f"{_where(path)} lacks {key}", (*path, key))
    elif error.validator == "oneOf" and not isinstance(error.instance, dict):
        return  # that it is no table is told already
    elif error.validator == "oneOf":
        both = "command" in _entries(error)
        what = "has both command and shell" if both else "has neither command nor shell"
        yield Problem("one_of", f"{_where(path)} {what}", path, suggestion='write command = ["program", "argument"]')
    else:
        kind, message, hint = _value_problem(error)
        yield Problem(kind, f"{_where(path)} {message}", path, suggestion=hint)


def _entries(error: ValidationError) -> Mapping[str, object]:
    assert isinstance(error.instance, dict)
    return error.instance


def _keywords(error: ValidationError) -> Mapping[str, Any]:
    """Return the schema part that *error* breaks; none of ours is a mere true or false."""
    assert isinstance(error.schema, Mapping)
    return error.schema


def _bad_name(path: Path, name: object) -> Problem:
    kind = _KINDS.get(str(path[-1]), "entry")
    text = str(name)
    message: str | None
    if path[-1:] == ("exit_codes",):
        message = f"not an exit code: {shown(text)}; 1 to 255 are allowed"
    elif kind in ("variable", "parameter"):
        message = check_variable_name(text)
    else:
        message = check_name(kind, text)
    return Problem("bad_name", message or f"not a name: {shown(text)}", (*path, text))


def _value_problem(error: ValidationError) -> tuple[str, str, str | None]:
    """Return kind, what is wrong, and what to write instead."""
    value: Any = error.instance
    expected: Any = error.validator_value
    match error.validator:
        case "type":
            names = [expected] if isinstance(expected, str) else list(expected)
            wanted = " or ".join(_TYPE_NAMES[name] for name in names)
            return "wrong_type", f"is {_type_of(value)}, expected {wanted}", _type_hint(error, names)
        case "enum":
            near = suggest(value, expected) if isinstance(value, str) else None
            hint = f"did you mean {near}?" if near else None
            return "bad_value", f"is {shown(value)}, expected one of {', '.join(map(str, expected))}", hint
        case "pattern" | "minLength":
            return "bad_value", _text_problem(error), None
        case "maxLength":
            return "bad_value", f"has {len(value)} characters, at most {expected} are allowed", None
        case "minimum":
            return "out_of_range", f"is {value}, at least {expected} is allowed", None
        case "maximum":
            return "out_of_range", f"is {value}, at most {expected} is allowed", None
        case "uniqueItems":
            twice = next(item for place, item in enumerate(value) if item in value[:place])
            return "duplicate", f"names {shown(twice)} twice", "remove one of them"
        case _:  # minItems, minProperties
            return "empty", "is empty, at least one entry is expected", None


def _text_problem(error: ValidationError) -> str:
    value = str(error.instance)
    match _keywords(error).get("title"):
        case "Duration":
            return f"is not a duration: {shown(value)}; {DURATION_FORM}"
        case "Size":
            return f"is not a size: {shown(value)}; {SIZE_FORM}"
        case "Name":
            return f"is {check_name(_item_kind(tuple(error.absolute_path)), value)}"
        case "Name of a variable":
            return f"is {check_variable_name(value)}"
    return "is empty" if not value.strip() else f"is {shown(value)}, which is not of the form that is expected here"


def _item_kind(path: Path) -> str:
    words = [part for part in path if isinstance(part, str)]
    return {"reads": "dataset", "writes": "dataset", "needs": "step", "to": "channel"}.get(
        words[-1], words[0].removesuffix("s")
    )


def _type_of(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an array"
    return f"the text {shown(value)}" if isinstance(value, str) else f"the number {value}"


def _type_hint(error: ValidationError, wanted: Sequence[str]) -> str | None:
    value, title = error.instance, _keywords(error).get("title")
    if wanted == ["array"] and isinstance(value, str):
        words = value.split() if title == "Command" else [value]
        return "write [" + ", ".join(f'"{word}"' for word in words[:4]) + (", …]" if len(words) > 4 else "]")  # noqa: PLR2004
    if title == "Duration" and isinstance(value, int | float) and not isinstance(value, bool):
        return f'write it with its unit, in quotes: "{value}s"'
    return None


def _where(path: Path) -> str:
    """Name a place in the document as people write it: `steps.bronze.timeout`, `steps.bronze.reads[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{printable_key(part)}"
    return text.removeprefix(".") or "the file"


def printable_key(key: str) -> str:
    """Return *key* as it stands in a message: bare where it is a plain word, else quoted."""
    return key if check_name("", key) is None else shown(key)
