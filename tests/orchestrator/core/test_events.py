"""Tests of the stored form of events."""

from __future__ import annotations

import re

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.canonical import canonical_bytes, parse_canonical
from orchestrator.core.errors import UnknownEventError
from orchestrator.core.events import EVENT_TYPES, Event, event_data, event_from_data, event_type

JSON = st.dictionaries(
    st.text("abc", min_size=1), st.integers(-5, 5) | st.text("xyz") | st.none() | st.lists(st.integers(-5, 5))
)
VALUES = {
    "str": st.text("abc"),
    "bool": st.booleans(),
    "int": st.integers(-(2**53) + 1, 2**53 - 1),
    "Json": JSON,
    "tuple[str, ...]": st.lists(st.text("abc")).map(tuple),
    "tuple[int, ...]": st.lists(st.integers(-5, 5)).map(tuple),
    "tuple[Json, ...]": st.lists(JSON).map(tuple),
}


def events(cls: type[Event]) -> st.SearchStrategy[Event]:
    """Draw any event of *cls*."""
    fields: dict[str, st.SearchStrategy[object]] = {}
    for field in attrs.fields(cls):
        kind = str(field.type)
        values: st.SearchStrategy[object] = VALUES[kind.removesuffix(" | None")]
        fields[field.name] = st.none() | values if kind.endswith("| None") else values
    return st.builds(cls, **fields)


class TestStoredForm:
    """Every event goes to the ledger and comes back as it was."""

    @pytest.mark.parametrize("name", list(EVENT_TYPES))
    @given(data=st.data())
    def test_round_trip(self, name: str, data: st.DataObject) -> None:
        """For any event of each type: its canonical JSON gives the same event again, and holds no None of its own."""
        cls, version = EVENT_TYPES[name]
        event = data.draw(events(cls))

        stored = parse_canonical(canonical_bytes(event_data(event)))

        assert isinstance(stored, dict)
        assert (name, version) == event_type(event)
        assert event == event_from_data(name, version, stored)
        assert None not in stored.values()

    @pytest.mark.parametrize("name", list(EVENT_TYPES))
    def test_names_are_in_the_past_tense(self, name: str) -> None:
        """A stored name is `noun.verbed`, and its class is called the same."""
        noun, _, verb = name.partition(".")

        assert re.fullmatch(r"[a-z]+\.([a-z]+_)?[a-z]+ed", name)
        assert noun.title() + verb.title().replace("_", "") == EVENT_TYPES[name][0].__name__


class TestUnknown:
    """What this program does not know stops whoever reads it."""

    @pytest.mark.parametrize(
        ("name", "version", "data"),
        [
            ("run.exploded", 1, {}),
            ("run.finished", 2, {"status": "succeeded", "counts": {}}),
            ("run.finished", 0, {"status": "succeeded", "counts": {}}),
            ("run.finished", 1, {"status": "succeeded", "counts": {}, "mood": "good"}),
            ("run.finished", 1, {"status": "succeeded"}),
            ("run.finished", 1, {}),
        ],
    )
    def test_refused(self, name: str, version: int, data: dict[str, object]) -> None:
        """Given an unknown type, version or field, or a field that lacks, then it is no event of ours."""
        with pytest.raises(UnknownEventError) as caught:
            event_from_data(name, version, data)

        assert (name, version) == (caught.value.name, caught.value.version)
