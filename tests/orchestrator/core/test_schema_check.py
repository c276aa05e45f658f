"""Tests of the yes-or-no check that is compiled from a JSON Schema."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator

from orchestrator.core.errors import InternalError
from orchestrator.core.schema_check import compile_check, text_pattern
from orchestrator.schemas import load_schema

VALUES: tuple[object, ...] = (
    None, True, False, 0, 1, 2, 3.0, 2.5, -1, "", "a", "ab", "abc", "1", [], [1], [1, 2], [1, 1], ["a", 1], {}, {"a": 1}, {"b": "x"},
    {"a": 1, "b": 2}, {"a": "x", "abc": 1},
)  # fmt: skip


class TestCompileCheck:
    """Each keyword means what it means to a full validator."""

    @pytest.mark.parametrize(
        "schema",
        [
            {},
            {"title": "x", "description": "y"},
            {"type": "string"},
            {"type": "boolean"},
            {"type": "array"},
            {"type": "object"},
            {"type": "integer"},
            {"type": "number"},
            {"type": ["string", "integer"]},
            {"enum": ["a", "ab"]},
            {"pattern": "b"},
            {"pattern": "^a$"},
            {"minLength": 1, "maxLength": 2},
            {"minimum": 1},
            {"maximum": 1.5},
            {"minimum": 0, "maximum": 2, "type": "integer"},
            {"items": {"type": "integer"}},
            {"items": False},
            {"minItems": 1},
            {"items": {"type": ["integer", "string"]}, "uniqueItems": True},
            {"properties": {"a": {"type": "integer"}}},
            {"properties": {"a": True}, "additionalProperties": False},
            {"additionalProperties": {"type": "integer"}},
            {"propertyNames": {"pattern": "^[ab]$"}},
            {"required": ["a", "b"]},
            {"minProperties": 1},
            {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {"$ref": "#/$defs/x", "$defs": {"x": {"type": "string"}}},
            {"$ref": "#/$defs/x", "maxLength": 1, "$defs": {"x": {"$ref": "#/$defs/y"}, "y": {"type": "string"}}},
        ],
    )
    def test_as_the_full_validator(self, schema: dict[str, object]) -> None:
        """Given a schema, then its check says of many values what jsonschema says."""
        check, validator = compile_check(schema), Draft202012Validator(schema)

        assert [validator.is_valid(value) for value in VALUES] == [check(value) for value in VALUES]

    def test_a_definition_alone(self) -> None:
        """Given the name of a definition, then it alone is compiled, with what it refers to."""
        check = compile_check(load_schema("pipeline"), "step")

        assert check({"command": ["true"], "timeout": "5s"})
        assert not check({"command": ["true"], "timeout": 5})

    @pytest.mark.parametrize(
        ("schema", "message"),
        [
            ({"type": "string", "format": "date", "const": 1}, "schema keywords without a check: const, format"),
            ({"items": 5}, "a schema part is no object: 5"),
            ({"required": "a"}, "a schema part is no array: 'a'"),
            ({"minLength": "a"}, "a schema part is no number: 'a'"),
        ],
    )
    def test_what_it_does_not_know_is_no_schema_of_ours(self, schema: dict[str, object], message: str) -> None:
        """Given a keyword or a value that it cannot check, then compiling fails, and nothing is ignored."""
        with pytest.raises(InternalError, match=message):
            compile_check(schema)


class TestTextPattern:
    """The end of a text is its end."""

    @pytest.mark.parametrize(
        ("pattern", "text", "fits"), [("^a$", "a", True), ("^a$", "a\n", False), ("a", "xa\n", True)]
    )
    def test_end(self, pattern: str, text: str, *, fits: bool) -> None:
        """Given `$`, then a last newline is not passed over, as JSON Schema has it."""
        assert fits == bool(text_pattern(pattern).search(text))
