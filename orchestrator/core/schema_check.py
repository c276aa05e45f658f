"""
A yes-or-no check of plain values, compiled from a JSON Schema.

It answers one question fast (is this document structurally right?) and explains nothing; explaining is the work of a
full validator, which is loaded only after a no. It knows the few keywords that our schemas use and refuses to compile
any other, so that a keyword can never be ignored in silence. A property test holds it against the full validator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from orchestrator.core.errors import InternalError

Check = Callable[[object], bool]

_ANNOTATIONS = frozenset({"$schema", "$id", "$defs", "title", "description"})
_OBJECT = frozenset({"properties", "additionalProperties", "propertyNames", "required", "minProperties"})
_TEXT = frozenset({"pattern", "minLength", "maxLength"})
_NUMBER = frozenset({"minimum", "maximum"})
_ARRAY = frozenset({"items", "minItems", "uniqueItems"})


def compile_check(schema: Mapping[str, object], definition: str | None = None) -> Check:
    """
    Compile *schema*, or its `$defs` entry *definition*, to a predicate.

    Arrays and objects are `list` and `dict` of plain values, as a TOML or JSON parser returns them.

    Raises:
        InternalError: The schema uses a keyword that this compiler does not know.
    """
    definitions = _mapping(schema.get("$defs", {}))
    compiled: dict[str, Check] = {}
    start = schema if definition is None else _mapping(definitions[definition])
    return _compile(start, definitions, compiled)


def _compile(schema: object, definitions: Mapping[str, object], compiled: dict[str, Check]) -> Check:
    if schema is True:
        return _always
    if schema is False:
        return _never
    keywords = _mapping(schema)

    def inner(part: object) -> Check:
        return _compile(part, definitions, compiled)

    builders: tuple[tuple[frozenset[str], Callable[[], Check]], ...] = (
        (frozenset({"$ref"}), lambda: _reference(str(keywords["$ref"]), definitions, compiled)),
        (frozenset({"type"}), lambda: _type_check(keywords["type"])),
        (frozenset({"enum"}), lambda: _enum_check(keywords["enum"])),
        (_TEXT, lambda: _text_check(keywords)),
        (_NUMBER, lambda: _number_check(keywords)),
        (_ARRAY, lambda: _array_check(keywords, inner)),
        (_OBJECT, lambda: _object_check(keywords, inner)),
        (frozenset({"oneOf"}), lambda: _one_of_check([inner(part) for part in _sequence(keywords["oneOf"])])),
    )
    used = keywords.keys() - _ANNOTATIONS
    unknown = used.difference(*(words for words, _ in builders))
    if unknown:
        raise InternalError(f"schema keywords without a check: {', '.join(sorted(unknown))}")
    return _all_of([build() for words, build in builders if used & words])


def _reference(pointer: str, definitions: Mapping[str, object], compiled: dict[str, Check]) -> Check:
    name = pointer.removeprefix("#/$defs/")
    if name not in compiled:
        compiled[name] = _compile(definitions[name], definitions, compiled)
    return compiled[name]


def _all_of(checks: list[Check]) -> Check:
    if len(checks) == 1:
        return checks[0]
    if not checks:
        return _always
    return lambda value: all(check(value) for check in checks)


def _one_of_check(checks: list[Check]) -> Check:
    return lambda value: sum(check(value) for check in checks) == 1


def _always(_value: object) -> bool:
    return True


def _never(_value: object) -> bool:
    return False


def _is_integer(value: object) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[str, Check] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "integer": _is_integer,
    "number": _is_number,
}


def _type_check(names: object) -> Check:
    if isinstance(names, str):
        return _TYPES[names]
    checks = [_TYPES[str(name)] for name in _sequence(names)]
    return lambda value: any(check(value) for check in checks)


def _enum_check(values: object) -> Check:
    allowed = frozenset(str(value) for value in _sequence(values))
    return lambda value: isinstance(value, str) and value in allowed


def _text_check(keywords: Mapping[str, object]) -> Check:
    pattern = text_pattern(str(keywords.get("pattern", "")))
    shortest = _number(keywords.get("minLength", 0))
    longest = _number(keywords.get("maxLength", float("inf")))
    return lambda value: (
        not isinstance(value, str) or (shortest <= len(value) <= longest and pattern.search(value) is not None)
    )


def _number_check(keywords: Mapping[str, object]) -> Check:
    smallest = _number(keywords.get("minimum", float("-inf")))
    largest = _number(keywords.get("maximum", float("inf")))

    def check(value: object) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return True
        return not (value < smallest or value > largest)

    return check


def _array_check(keywords: Mapping[str, object], inner: Callable[[object], Check]) -> Check:
    item = inner(keywords.get("items", True))
    shortest = _number(keywords.get("minItems", 0))
    unique = keywords.get("uniqueItems", False)

    def check(value: object) -> bool:
        if not isinstance(value, list):
            return True
        if len(value) < shortest or not all(map(item, value)):
            return False
        return not unique or len(value) == 1 or len(set(value)) == len(value)

    return check


def _object_check(keywords: Mapping[str, object], inner: Callable[[object], Check]) -> Check:
    properties = {key: inner(part) for key, part in _mapping(keywords.get("properties", {})).items()}
    other = inner(keywords.get("additionalProperties", True))
    name = inner(keywords["propertyNames"]) if "propertyNames" in keywords else None
    required = frozenset(str(key) for key in _sequence(keywords.get("required", [])))
    smallest = _number(keywords.get("minProperties", 0))

    def check(value: object) -> bool:
        if not isinstance(value, dict):
            return True
        if len(value) < smallest or not required <= value.keys():
            return False
        if name is not None and not all(map(name, value)):
            return False
        return all(properties.get(key, other)(part) for key, part in value.items())

    return check


def text_pattern(pattern: str) -> re.Pattern[str]:
    """Compile *pattern* with `$` meaning the very end, as JSON Schema has it, and not also before a last newline."""
    return re.compile(pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern)


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise InternalError(f"a schema part is no object: {value!r}")
    return value


def _sequence(value: object) -> list[object]:
    if not isinstance(value, list):
        raise InternalError(f"a schema part is no array: {value!r}")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise InternalError(f"a schema part is no number: {value!r}")
    return value
