"""Tests of the difference between two definitions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.definition_diff import CHANGES_MAX, definition_changes


def change(path: str, kind: str, before: object, after: object) -> dict[str, object]:
    """Return one difference as it is recorded."""
    return {"path": path, "kind": kind, "before": before, "after": after}


class TestDefinitionChanges:
    """Each difference by the path of its value."""

    @pytest.mark.parametrize(
        ("before", "after", "expected"),
        [
            ({"a": 1}, {"a": 1}, []),
            (None, {"a": 1}, []),
            ({"a": 1, "b": {"c": 2}}, {"b": {"c": 3}, "d": []}, [
                change("a", "removed", 1, None),
                change("b.c", "changed", 2, 3),
                change("d", "added", None, []),
            ]),
            ({"a": [1, 2]}, {"a": [1, 3]}, [change("a", "changed", [1, 2], [1, 3])]),
            ({"a": {"b": 1}}, {"a": 1}, [change("a", "changed", {"b": 1}, 1)]),
            ({"a": True}, {"a": 1}, [change("a", "changed", True, 1)]),
            ({"steps": {"a": {"x": 1}}}, {"steps": {"b": {"x": 1}}}, [
                change("steps.a", "removed", {"x": 1}, None),
                change("steps.b", "added", None, {"x": 1}),
            ]),
            ({"steps": {"a": {"x": 1}}}, {"steps": {"b": {"x": 2, "formerly": ["z", "a"]}}}, [
                change("steps.b", "renamed", "a", "b"),
                change("steps.b.x", "changed", 1, 2),
                change("steps.b.formerly", "added", None, ["z", "a"]),
            ]),
            ({"datasets": {"a": {}}}, {"datasets": {"b": {"formerly": ["a"]}}}, [
                change("datasets.b", "renamed", "a", "b"),
                change("datasets.b.formerly", "added", None, ["a"]),
            ]),
            (
                {"steps": {"a": {}, "b": {}}},
                {"steps": {"b": {"formerly": ["a"]}}},
                [change("steps.a", "removed", {}, None), change("steps.b.formerly", "added", None, ["a"])],
            ),
            (
                {"steps": {"a": {}}},
                {"steps": {"a": {}, "b": {"formerly": ["a"]}}},
                [change("steps.b", "added", None, {"formerly": ["a"]})],
            ),
            ({"steps": {"a": 1}}, {"steps": {"a": 2}}, [change("steps.a", "changed", 1, 2)]),
        ],
    )  # fmt: skip
    def test_changes(
        self, before: dict[str, object] | None, after: dict[str, object], expected: list[dict[str, object]]
    ) -> None:
        """Given two documents, then what became of each value."""
        assert sorted(map(repr, expected)) == sorted(map(repr, definition_changes(before, after)))

    def test_very_many_are_cut(self) -> None:
        """Given more differences than anybody reads, then the last entry says so."""
        found = definition_changes({}, {f"k{number}": number for number in range(CHANGES_MAX + 1)})

        assert CHANGES_MAX + 1 == len(found)
        assert change("…", "changed", None, "more changes than are listed") == found[-1]
        assert CHANGES_MAX == len(definition_changes({}, {f"k{number}": number for number in range(CHANGES_MAX)}))

    @given(
        st.recursive(
            st.integers(0, 2) | st.booleans() | st.lists(st.integers(0, 1), max_size=2),
            lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        ).flatmap(
            lambda value: st.tuples(st.just({"x": value}), st.sampled_from([{"x": value}, {"x": 1}, {"y": value}]))
        )
    )
    def test_nothing_changed_means_equal(self, documents: tuple[dict[str, object], dict[str, object]]) -> None:
        """For any two documents there is a difference exactly where they differ; added and removed are each other turned round."""
        before, after = documents

        there, back = definition_changes(before, after), definition_changes(after, before)

        assert (repr(before) == repr(after)) == (not there)
        turned = {"added": "removed", "removed": "added", "changed": "changed"}
        assert sorted((str(item["path"]), turned[str(item["kind"])]) for item in there) == sorted(
            (str(item["path"]), str(item["kind"])) for item in back
        )
