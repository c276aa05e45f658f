"""Tests of events as values: their text is canonical and comes back."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.canonical import canonical_text, parse_canonical
from ledger.errors import InvalidEventError
from ledger.events import NewEvent, body_text, event_of_body, new_ids
from ledger.times import format_utc
from tests.contracts.event_store import JSON, as_read, event

KEYS = st.text(st.characters(exclude_categories=["Cs"]))
OBJECTS = st.dictionaries(KEYS, JSON, max_size=4)
WORDS = st.from_regex(r"[a-z]+(?:_[a-z]+)*", fullmatch=True)
MOMENT = "2026-01-01T00:00:00.000000Z"


def body(of: NewEvent, *, seq: int = 3, stream: str = "run/1", version: int = 2, moment: str = MOMENT) -> str:
    """Return the text of an event at a place."""
    (event_id,) = new_ids(1, moment)
    return body_text(
        of, ledger="ab" * 16, seq=seq, stream=stream, version=version, recorded_at=moment, event_id=event_id
    )


class TestBody:
    """The text that is hashed."""

    @given(
        noun=WORDS,
        verb=WORDS,
        type_version=st.integers(1, 99),
        data=OBJECTS,
        actor=st.none() | OBJECTS,
        seq=st.integers(0, 2**53 - 1),
        stream=st.from_regex(r"[a-z]+(?:/[A-Za-z0-9][A-Za-z0-9_.-]{0,199})?", fullmatch=True),
        us=st.integers(0, 2**52),
    )
    def test_is_the_canonical_form_of_itself(
        self,
        noun: str,
        verb: str,
        type_version: int,
        data: dict[str, object],
        actor: dict[str, object] | None,
        seq: int,
        stream: str,
        us: int,
    ) -> None:
        """Given any event at any place, then its text, parsed and written canonically, is the same text."""
        new = NewEvent(f"{noun}.{verb}", type_version, data, actor)

        text = body(new, seq=seq, stream=stream, version=seq, moment=format_utc(us))

        assert text == canonical_text(parse_canonical(text))
        read = event_of_body(text)
        assert (seq, stream, seq, f"{noun}.{verb}", type_version, format_utc(us)) == (
            read.seq,
            read.stream,
            read.version,
            read.type,
            read.type_version,
            read.recorded_at,
        )
        assert as_read(data) == read.data

    def test_holds_everything_that_places_it(self) -> None:
        """Given an event with an actor, then the envelope has exactly these keys, in this order."""
        envelope = parse_canonical(body(NewEvent("run.started", 2, {"a": 1}, {"user": "me"})))

        assert isinstance(envelope, dict)
        event_id = envelope.pop("id")
        assert UUID(str(event_id)).version == 7
        assert [
            ("actor", {"user": "me"}),
            ("data", {"a": 1}),
            ("ledger", "ab" * 16),
            ("recorded_at", MOMENT),
            ("seq", 3),
            ("stream", "run/1"),
            ("type", "run.started"),
            ("type_version", 2),
            ("v", 1),
            ("version", 2),
        ] == list(envelope.items())

    def test_actor_is_absent_where_there_is_none(self) -> None:
        """Given no actor, then the key is not there; an empty one is."""
        assert body(event()).startswith('{"data":')
        assert body(NewEvent("run.started", 1, {}, {})).startswith('{"actor":{},"data":')

    def test_data_without_a_form_is_refused_by_name(self) -> None:
        """Given data that JSON cannot say, then the error says of which event."""
        with pytest.raises(
            InvalidEventError, match=r"thing\.happened cannot be recorded: the value has no canonical form"
        ):
            body(event(number=2**60))


class TestReading:
    """Only envelopes that are known."""

    @pytest.mark.parametrize("text", ["", "{", "NaN", '{"v":1,"v":1}'])
    def test_what_is_no_json_is_refused(self, text: str) -> None:
        """Given no JSON, then it is refused."""
        with pytest.raises(InvalidEventError, match="not a canonical text"):
            event_of_body(text)

    @pytest.mark.parametrize("text", ["[]", "1", "null", "{}", '{"v":2}', '{"v":"1"}'])
    def test_unknown_envelope_is_refused(self, text: str) -> None:
        """Given another version of the envelope, or no envelope, then it is refused instead of guessed."""
        with pytest.raises(InvalidEventError, match="newer program"):
            event_of_body(text)

    @pytest.mark.parametrize("key", ["data", "id", "recorded_at", "seq", "stream", "type", "type_version", "version"])
    def test_envelope_that_lacks_a_key_is_refused(self, key: str) -> None:
        """Given an envelope without one of its keys, then the error names it."""
        envelope = parse_canonical(body(event()))
        assert isinstance(envelope, dict)
        del envelope[key]

        with pytest.raises(InvalidEventError, match=f"lacks '{key}'"):
            event_of_body(canonical_text(envelope))


class TestIds:
    """UUIDv7 that sort as the events do."""

    @given(count=st.integers(0, 9000), us=st.integers(0, 2**52))
    def test_sort_and_carry_the_time(self, count: int, us: int) -> None:
        """Given any number at any time, then UUIDv7 in order, all different; the first carries the millisecond."""
        ids = new_ids(count, format_utc(us))

        assert sorted(set(ids)) == ids
        assert count == len(ids)
        for text in ids[:1] + ids[-1:]:
            value = UUID(text)
            assert (7, 2, text) == (value.version, value.int >> 62 & 3, str(value))
        assert all(us // 1000 == UUID(text).int >> 80 for text in ids[:1])
