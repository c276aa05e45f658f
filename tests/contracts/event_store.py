"""What every event store keeps to, as a class of tests; a subclass says how a store is opened."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Protocol
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.canonical import blob_digest
from ledger.errors import InvalidEventError, WrongExpectedVersionError
from ledger.events import NewEvent, RecordedEvent
from ledger.schema import FORMAT
from ledger.times import format_utc

MIDNIGHT_US = 1_767_225_600_000_000


class EventStore(Protocol):
    """What a store can do."""

    def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected_version: int | None,
        blobs: Mapping[str, bytes] | None = None,
    ) -> list[RecordedEvent]:
        """Record *events* at the end of *stream*."""

    def read_stream(self, stream: str, from_version: int = 0) -> list[RecordedEvent]:
        """Return the events of *stream*."""

    def read_all(self, from_seq: int = 0) -> Iterable[RecordedEvent]:
        """Return all events."""

    def stream_version(self, stream: str) -> int:
        """Return the version of the last event of *stream*."""

    def blob(self, digest: str) -> bytes | None:
        """Return what is kept under *digest*."""


def event(number: object = 0, **data: object) -> NewEvent:
    """Return an event that says which one it is."""
    return NewEvent("thing.happened", 1, {"number": number, **data})


def events(count: int) -> list[NewEvent]:
    """Return *count* numbered events."""
    return [event(number) for number in range(count)]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


def as_read(value: object) -> object:
    """Return *value* with lists for tuples: JSON knows no others."""
    if isinstance(value, dict):
        return {key: as_read(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_read(item) for item in value]
    return value


class EventStoreContract(ABC):
    """Tests of an event store, whichever it is."""

    @abstractmethod
    def open_store(self, now: Callable[[], str]) -> EventStore:
        """Return a new store that takes the time from *now*."""

    @pytest.fixture
    def store(self) -> EventStore:
        """Give a new store whose clock goes a second further with every look."""
        seconds = iter(range(10**6))
        return self.open_store(lambda: format_utc(MIDNIGHT_US + next(seconds) * 1_000_000))

    def test_history_begins_with_its_own_creation(self, store: EventStore) -> None:
        """Given a new store, then its one event says that it was made."""
        assert [("ledger", 0, 0, "ledger.created", 1, {"format": FORMAT})] == [
            (item.stream, item.seq, item.version, item.type, item.type_version, item.data) for item in store.read_all()
        ]

    def test_what_was_appended_is_read(self, store: EventStore) -> None:
        """Given an append, then its stream holds its events as append returned them."""
        recorded = store.append("run/1", events(3), expected_version=-1)

        assert recorded == store.read_stream("run/1")
        assert [{"number": 0}, {"number": 1}, {"number": 2}] == [item.data for item in recorded]
        assert {("run/1", "thing.happened", 1)} == {(item.stream, item.type, item.type_version) for item in recorded}

    def test_places_are_dense(self, store: EventStore) -> None:
        """Given appends to two streams in turn, then no number is left out, in the store and in each stream."""
        for turn in range(4):
            store.append("run/a", events(2), expected_version=2 * turn - 1)
            store.append("run/b", events(1), expected_version=turn - 1)

        everything = list(store.read_all())
        assert list(range(13)) == [item.seq for item in everything]
        assert list(range(8)) == [item.version for item in everything if item.stream == "run/a"]
        assert list(range(4)) == [item.version for item in everything if item.stream == "run/b"]

    def test_reading_starts_where_it_is_told_to(self, store: EventStore) -> None:
        """Given a first version or place, then what lies before it is left out."""
        recorded = store.append("run/1", events(5), expected_version=-1)

        assert recorded[2:] == store.read_stream("run/1", 2)
        assert recorded == store.read_stream("run/1", -7)
        assert recorded[3:] == list(store.read_all(from_seq=4))
        assert 6 == len(list(store.read_all(from_seq=-7)))
        assert ([], []) == (store.read_stream("run/1", 5), list(store.read_all(6)))

    def test_many_events_come_in_their_order(self, store: EventStore) -> None:
        """Given more events than a page holds, then all come, once and in order."""
        for start in range(0, 2500, 500):
            store.append("run/1", [event(start + number) for number in range(500)], expected_version=None)

        assert list(range(2500)) == [item.data["number"] for item in store.read_all(1)]
        assert list(range(2500)) == [item.data["number"] for item in store.read_stream("run/1")]

    def test_exactly_a_page_is_read_to_its_end(self, store: EventStore) -> None:
        """Given as many events as a page holds, then none is missing and none comes twice."""
        store.append("run/1", events(999), expected_version=-1)

        assert list(range(1000)) == [item.seq for item in store.read_all()]

    def test_append_of_nothing_records_nothing(self, store: EventStore) -> None:
        """Given no events, then the stream does not come into being, but blobs are kept."""
        assert [] == store.append("run/1", [], expected_version=-1, blobs={blob_digest(b"x"): b"x"})

        assert (-1, 1, b"x") == (
            store.stream_version("run/1"),
            len(list(store.read_all())),
            store.blob(blob_digest(b"x")),
        )

    @pytest.mark.parametrize(("before", "expected"), [(0, -1), (0, None), (3, 2), (3, None)])
    def test_right_version_or_none_is_appended(self, store: EventStore, before: int, expected: int | None) -> None:
        """Given the stream's version, or no expectation, then the events are recorded after what is there."""
        store.append("run/1", events(before), expected_version=-1)

        (recorded,) = store.append("run/1", [event()], expected_version=expected)

        assert (before, before) == (recorded.version, store.stream_version("run/1"))

    @pytest.mark.parametrize(("before", "expected"), [(0, 0), (0, 5), (3, -1), (3, 1), (3, 3), (3, -2)])
    def test_wrong_version_is_refused(self, store: EventStore, before: int, expected: int) -> None:
        """Given another version than the stream's, then nothing is recorded and the error says both."""
        store.append("run/1", events(before), expected_version=-1)

        with pytest.raises(
            WrongExpectedVersionError, match=f"run/1 is at version {before - 1}, not {expected}"
        ) as caught:
            store.append("run/1", [event()], expected_version=expected, blobs={"sha256:b": b"b"})

        assert ("run/1", expected, before - 1) == (caught.value.stream, caught.value.expected, caught.value.actual)
        assert (before + 1, None) == (len(list(store.read_all())), store.blob("sha256:b"))

    @pytest.mark.parametrize(
        "bad",
        [
            event(when=object()),
            event(number=2**53),
            event(text="\ud800"),
            event(share=float("nan")),
            event(key={1: "one"}),
            NewEvent("thing.happened", 1, {}, actor={"user": b"me"}),
            NewEvent("Thing", 1, {}),
        ],
        ids=["object", "integer", "surrogate", "nan", "key", "actor", "name"],
    )
    def test_invalid_event_keeps_its_whole_append_out(self, store: EventStore, bad: NewEvent) -> None:
        """Given one bad event among good ones, then nothing is recorded, and the next append takes their places."""
        with pytest.raises(InvalidEventError):
            store.append("run/1", [event(), bad, event()], expected_version=-1, blobs={"sha256:b": b"b"})

        assert (-1, None) == (store.stream_version("run/1"), store.blob("sha256:b"))
        assert [(1, 0)] == [(item.seq, item.version) for item in store.append("run/1", [event()], expected_version=-1)]

    @pytest.mark.parametrize(
        "stream",
        ["", "Run", "run/", "/1", "run/-1", "run/a b", "run/a/b", "run/1\n", "run/" + 201 * "a", "ràn", "run/'"],
    )
    def test_stream_that_could_not_be_found_again_is_refused(self, store: EventStore, stream: str) -> None:
        """Given a stream name outside of the rule, then nothing is recorded."""
        with pytest.raises(InvalidEventError, match="not a stream"):
            store.append(stream, [event()], expected_version=None)

        assert 1 == len(list(store.read_all()))

    @pytest.mark.parametrize("stream", ["run", "run/1", "pipeline/Flights_of-2026.v1", "run/" + 200 * "a"])
    def test_stream_by_the_rule_is_taken(self, store: EventStore, stream: str) -> None:
        """Given a word, or a word and an id, then it is a stream."""
        store.append(stream, [event()], expected_version=-1)

        assert 0 == store.stream_version(stream)

    @pytest.mark.parametrize(
        "name", ["", "happened", "thing.", ".happened", "thing.Happened", "a.b.c", "thing.happened\n", "a_.b"]
    )
    def test_type_that_is_no_noun_and_verb_is_refused(self, store: EventStore, name: str) -> None:
        """Given a type outside of the rule, then nothing is recorded."""
        with pytest.raises(InvalidEventError, match="not an event type"):
            store.append("run/1", [NewEvent(name, 1, {})], expected_version=None)

        assert -1 == store.stream_version("run/1")

    def test_unknown_stream_is_empty(self, store: EventStore) -> None:
        """Given a stream that nobody wrote to, or no stream at all, then it is empty."""
        assert ([], -1) == (store.read_stream("run/none"), store.stream_version("run/none"))
        assert ([], -1) == (store.read_stream("no stream"), store.stream_version("no stream"))

    def test_blobs_are_kept_by_their_digest(self, store: EventStore) -> None:
        """Given blobs, then their bytes come back; of what was never given, nothing."""
        pieces = [b"", b"text", bytes(range(256)) * 1000]
        store.append("run/1", [event()], expected_version=-1, blobs={blob_digest(data): data for data in pieces})

        assert pieces == [store.blob(blob_digest(data)) for data in pieces]
        assert store.blob(blob_digest(b"never")) is None

    def test_blob_is_kept_once(self, store: EventStore) -> None:
        """Given a digest that is there, then what is there stays, and the events are recorded."""
        store.append("run/1", [event()], expected_version=-1, blobs={"sha256:b": b"first"})
        store.append("run/1", [event()], expected_version=0, blobs={"sha256:b": b"second", "sha256:c": b"c"})

        assert (b"first", b"c", 1) == (store.blob("sha256:b"), store.blob("sha256:c"), store.stream_version("run/1"))

    # Two subclasses run it, on purpose.
    @settings(suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow])
    @given(data=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=4))
    def test_data_comes_back_equal(self, data: dict[str, object]) -> None:
        """Given any JSON data, then it comes back equal, and append returns what everybody will read."""
        store = self.open_store(lambda: format_utc(MIDNIGHT_US))

        recorded = store.append("run/1", [NewEvent("thing.happened", 7, data)], expected_version=-1)

        assert as_read(data) == recorded[0].data
        assert repr(recorded) == repr(store.read_stream("run/1"))

    def test_later_changes_of_the_data_change_nothing(self, store: EventStore) -> None:
        """Given data that its owner changes after the append, then what was recorded stays."""
        numbers = [1]

        (recorded,) = store.append("run/1", [event(numbers=numbers)], expected_version=-1)
        numbers.append(2)

        assert [1] == recorded.data["numbers"]

    def test_one_append_has_one_time(self, store: EventStore) -> None:
        """Given appends, then each has the time at which it was begun, and time sorts as text."""
        first = store.append("run/1", events(3), expected_version=None)
        second = store.append("run/1", events(2), expected_version=None)

        assert ["2026-01-01T00:00:01.000000Z"] * 3 == [item.recorded_at for item in first]
        assert ["2026-01-01T00:00:02.000000Z"] * 2 == [item.recorded_at for item in second]

    def test_ids_are_uuids_that_sort(self, store: EventStore) -> None:
        """Given appends large and small, then ids are UUIDv7, no two alike, in the order of the events."""
        for size in (1, 5000, 3):
            store.append("run/1", events(size), expected_version=None)

        texts = [item.id for item in store.read_all()]
        assert {(7, "specified in RFC 4122")} == {(UUID(text).version, UUID(text).variant) for text in texts}
        assert all(before < after for before, after in pairwise(texts))
        assert texts == [str(UUID(text)) for text in texts]
