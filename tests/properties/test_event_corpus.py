"""Every event that was ever written can still be read: the golden corpus below `tests/vectors/events`."""

from __future__ import annotations

import json
from hashlib import sha256

import attrs
import pytest

from ledger.canonical import canonical_text, parse_canonical
from ledger.events import RecordedEvent, event_of_body
from ledger.verifier import leaf_hash
from orchestrator.core.events import EVENT_TYPES, event_from_data
from orchestrator.core.upcasts import UPCASTS
from tests.event_corpus import CORPUS, INDEX, corpus_events, known_types

HINT = "run `python -m tests.event_corpus`, which adds what is missing"


def listed() -> dict[str, str]:
    """Return the digest of each file as the index has it."""
    index: dict[str, str] = json.loads(INDEX.read_text(encoding="utf-8"))
    return index


EVENTS = list(corpus_events(listed()))
"""The whole corpus; a ledger's own events are in it too, since they are leaves like all others."""

DOMAIN = [event_of_body(body) for name, _, body, _ in EVENTS if name in EVENT_TYPES]


class TestCorpus:
    """What lies there."""

    def test_files_never_change(self) -> None:
        """Each file has the digest that the index names, and none lies beside it."""
        actual = {path.name: sha256(path.read_bytes()).hexdigest() for path in CORPUS.glob("*.json") if path != INDEX}
        assert actual == listed(), f"a file of the corpus was changed, or is not in its index; {HINT}"

    def test_every_type_and_version_has_a_file(self) -> None:
        """The present version of each type, and each older one, from which an upcast leads on."""
        needed = known_types().items() | UPCASTS.keys()
        assert needed - {(name, version) for name, version, _, _ in EVENTS} == set(), HINT

    def test_no_file_is_of_an_unknown_type(self) -> None:
        """What was ever written is never forgotten: a type of the corpus that this program does not know would be."""
        assert {name for name, _, _, _ in EVENTS} - known_types().keys() == set()

    def test_bodies_are_canonical_and_have_their_leaf_hash(self) -> None:
        """The stored text is the canonical form of what it says, and hashes to the leaf that was recorded with it."""
        for name, version, body, leaf in EVENTS:
            envelope = parse_canonical(body)
            assert isinstance(envelope, dict)
            assert (envelope["type"], envelope["type_version"]) == (name, version)
            assert canonical_text(envelope) == body
            assert leaf_hash(body.encode("utf-8")).hex() == leaf


class TestReading:
    """All of them come up to the classes of today."""

    @pytest.mark.parametrize("recorded", DOMAIN, ids=lambda item: f"{item.type}.{item.type_version}")
    def test_it_comes_up_to_the_present_class(self, recorded: RecordedEvent) -> None:
        """Given a stored event, then it is of the present class, and nothing of what it says is lost on the way."""
        event = event_from_data(recorded.type, recorded.type_version, recorded.data)

        cls, present = EVENT_TYPES[recorded.type]
        assert type(event) is cls
        if recorded.type_version == present:
            kept = attrs.asdict(event, recurse=False)
            assert {name: _plain(kept[name]) for name in recorded.data} == recorded.data


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
