"""
The fast structural check and the full validator say the same of documents that are nearly right.

The full validator has one correction: to Python's `re`, `$` also matches before a last newline; to JSON Schema it does not.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from orchestrator.core.errors import DefinitionError
from orchestrator.core.parse import parse_pipeline
from orchestrator.core.parse_schema import schema_problems
from orchestrator.core.schema_check import compile_check, text_pattern
from orchestrator.schemas import load_schema

SCHEMA = load_schema("pipeline")
CHECK = compile_check(SCHEMA)


def _pattern(_: object, wanted: str, value: object, __: object) -> Iterator[ValidationError]:
    if isinstance(value, str) and text_pattern(wanted).search(value) is None:
        yield ValidationError("no match")


VALIDATOR = extend(Draft202012Validator, {"pattern": _pattern})(SCHEMA)  # type: ignore[no-untyped-call]

RIGHT: dict[str, object] = {
    "pipeline": {
        "name": "p",
        "max_parallel": 4,
        "deadline": "2h",
        "fail_fast": False,
        "min_free": "2GiB",
        "formerly": ["o"],
    },
    "env": {"files": [".env"], "pass": ["PATH"], "vars": {"V": {"default": "x", "required": False}}},
    "params": {"limit": {"type": "integer", "default": 3, "choices": [3, 5]}},
    "pools": {"db": 2},
    "datasets": {
        "raw": {"path": "raw", "pattern": "*.csv", "min_files": 1, "fresh_within": {"warn": "1h", "refuse": True}},
        "t": {"probe": ["psql"], "classification": "internal", "retention": "400d", "layer": "raw"},
    },
    "steps": {
        "a": {
            "command": ["true", ""],
            "reads": ["raw", "t"],
            "timeout": "10m",
            "log_limit": "1GiB",
            "retry": {"attempts": 2, "factor": 1.5, "jitter": 0.1, "on": ["transient"]},
            "exit_codes": {"75": "transient"},
            "uses": {"db": 1},
        },
        "b": {"shell": "x", "needs": ["a"], "when": "always", "rerun": "never"},
    },
    "schedule": {"cron": "0 3 * * *", "timezone": "Europe/Berlin"},
    "access": {"group": "data"},
    "audit": {"require_reason": True, "anchors": ["a"], "anchor_command": ["c"], "anchor_timeout": "5s"},
    "alerts": {
        "channels": {"ops": {"command": ["mail"], "env": ["V"], "timeout": "5s"}, "x": {"webhook": "http://x"}},
        "rules": [{"on": ["failed", "missing"], "to": ["ops"], "nights": 2}, {"on": ["digest"], "at": "07:00"}],
    },
    "deadman": {"start": "http://x/1", "success": "http://x", "timeout": "1s"},
}

WORDS = st.sampled_from(
    [
        "",
        "x",
        "x\n",
        "a b",
        "1",
        "command",
        "shell",
        "name",
        "5s",
        "1h30m",
        "5ms1m",
        "1GiB",
        "always",
        "public",
        "75",
        "256",
        "0",
        "é",
        "x" * 129,
    ]
)
SCALARS = WORDS | st.text(max_size=4) | st.integers(-2, 1_025) | st.booleans() | st.sampled_from([1.0, 0.5, 1.5, -0.0])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=6
)


def _places(value: object) -> Iterator[tuple[object, object]]:
    """Yield each container inside *value* with each of its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, object]:
    """Draw a right document with up to three places changed, removed or added to."""
    document = copy.deepcopy(RIGHT)
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(document))
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        what = draw(st.sampled_from(["change", "remove", "add"]))
        if what == "change":
            container[key] = draw(VALUES)  # type: ignore[index]
        elif what == "remove":
            del container[key]  # type: ignore[attr-defined]
        elif isinstance(container, dict):
            container[draw(WORDS)] = draw(VALUES)
        elif isinstance(container, list):
            container.append(draw(st.sampled_from(container) | VALUES))
    return document


class TestAgreement:
    """Two ways to one answer."""

    def test_the_document_to_begin_with_is_right(self) -> None:
        """Every change below starts from a right document."""
        assert CHECK(RIGHT)

    @given(documents())
    def test_fast_check_and_full_validator(self, document: dict[str, object]) -> None:
        """For any nearly right document both say yes, or both say no."""
        assert VALIDATOR.is_valid(document) == CHECK(document)

    @given(documents())
    def test_a_no_is_always_explained(self, document: dict[str, object]) -> None:
        """For any document that the fast check refuses there is at least one problem, none twice, and what is left is right but for what lacks."""
        found, usable = schema_problems(document, SCHEMA)

        assert CHECK(document) == (not found)
        assert len(found) == len(set(found))
        again, _ = schema_problems(usable, SCHEMA)
        assert {problem.kind for problem in again} <= {"missing_key", "one_of", "empty"}

    @given(documents())
    def test_whatever_is_wrong_is_told_and_not_raised(self, document: dict[str, object]) -> None:
        """For any nearly right document, written as TOML, a pipeline comes back or problems that each stand in the file."""
        text = "".join(f"{_key(key)} = {_toml(value)}\n" for key, value in document.items())

        try:
            parsed = parse_pipeline(text, file="f", schema=SCHEMA)
        except DefinitionError as error:
            lacking = [problem.message for problem in error.problems if problem.line is None]
            assert set(lacking) <= {"the file lacks pipeline", "the file lacks steps"}
        else:
            assert CHECK(parsed.pipeline.document)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return _key(value) if isinstance(value, str) else repr(value)


def _key(text: str) -> str:
    """Return *text* as a basic string."""
    return '"' + "".join(f"\\U{ord(character):08x}" for character in text) + '"'
