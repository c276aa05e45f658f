"""
Events as values, and their canonical text.

The text of an event (its body) is the truth: it is what the leaf hash covers, and it is never serialised again.
Envelope version 1 has the keys `actor` (only if given), `data`, `id` (UUIDv7), `ledger`, `recorded_at`, `seq`, `stream`, `type`,
`type_version`, `v`, `version`, in this order, which is the canonical one. The ledger's id and the position are inside, so that an event cannot be
shown as part of another history.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

import attrs

from ledger.canonical import canonical_text, parse_canonical, parse_written
from ledger.errors import CanonicalError, InvalidEventError

ENVELOPE_VERSION = 1

_STREAM = re.compile(r"[a-z]+(?:/[A-Za-z0-9][A-Za-z0-9_.-]{0,199})?")
_TYPE = re.compile(r"[a-z]+(?:_[a-z]+)*\.[a-z]+(?:_[a-z]+)*")


@attrs.frozen
class NewEvent:
    """
    Say what happened, before it is recorded.

    Attributes:
        type: A literal name in the past tense, such as `run.started`.
        type_version: Of the shape of *data*.
        data: Plain values; no floats but in metrics, no secrets.
        actor: Who did it, where it is a manual action and not part of *data*.
    """

    type: str
    type_version: int
    data: Mapping[str, object]
    actor: Mapping[str, object] | None = None


@attrs.frozen
class RecordedEvent:
    """
    Hold an event with its place in the history.

    Attributes:
        seq: Its place in the ledger, dense, from 0; also the index of its Merkle leaf.
        version: Its place in *stream*, dense, from 0.
        recorded_at: When the transaction was begun, UTC.
        id: UUIDv7.
    """

    seq: int
    stream: str
    version: int
    type: str
    type_version: int
    recorded_at: str
    data: Mapping[str, object]
    id: str


def check_names(stream: str, events: Sequence[NewEvent]) -> None:
    """
    Refuse what could not be found again by its name.

    Raises:
        InvalidEventError: A stream or type does not follow the rule for its name.
    """
    if not _STREAM.fullmatch(stream):
        raise InvalidEventError(f"not a stream: {stream!r}; expected a word, or a word, '/' and an id")
    for event in events:
        if not _TYPE.fullmatch(event.type):
            raise InvalidEventError(f"not an event type: {event.type!r}; expected a noun, '.' and a verb in the past")


def new_ids(count: int, recorded_at: str) -> list[str]:
    """
    Return *count* UUIDv7 (RFC 9562) that carry the milliseconds of *recorded_at* and sort in their order.

    Four thousand share a millisecond; the next ones carry the next millisecond, as RFC 9562 allows.
    """
    milliseconds = _milliseconds(recorded_at)
    random = os.urandom(8 * count)
    ids = []
    for number in range(count):
        chance = int.from_bytes(random[8 * number : 8 * number + 8], "big") & ((1 << 62) - 1)
        value = (milliseconds + (number >> 12)) << 80 | 7 << 76 | (number & 0xFFF) << 64 | 2 << 62 | chance
        text = f"{value:032x}"
        ids.append(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")
    return ids


def record(
    event: NewEvent, *, ledger: str, seq: int, stream: str, version: int, recorded_at: str, event_id: str
) -> tuple[str, RecordedEvent]:
    """
    Return the canonical text of *event* at its place, and the event as everybody will read it from that text.

    The envelope is put together by hand: its keys are fixed and its texts were checked, so that only the data has to go through
    an encoder, and back. Tests compare the text with the canonical form of the whole, and the event with `event_of_body`.

    Raises:
        InvalidEventError: The data has no canonical form.
    """
    try:
        data = canonical_text(event.data)
        actor = "" if event.actor is None else f'"actor":{canonical_text(event.actor)},'
    except CanonicalError as error:
        raise InvalidEventError(f"{event.type} cannot be recorded: {error}") from None
    body = (
        f'{{{actor}"data":{data},"id":"{event_id}","ledger":"{ledger}","recorded_at":"{recorded_at}","seq":{seq},'
        f'"stream":"{stream}","type":"{event.type}","type_version":{event.type_version},"v":{ENVELOPE_VERSION},'
        f'"version":{version}}}'
    )
    written = parse_written(data)
    return body, RecordedEvent(
        seq, stream, version, event.type, event.type_version, recorded_at, written, event_id  # type: ignore[arg-type]
    )  # fmt: skip


def body_text(
    event: NewEvent, *, ledger: str, seq: int, stream: str, version: int, recorded_at: str, event_id: str
) -> str:
    """Return the canonical text of *event* at its place; raises as `record` does."""
    place = {"ledger": ledger, "stream": stream, "recorded_at": recorded_at, "event_id": event_id}
    return record(event, seq=seq, version=version, **place)[0]


def event_of_body(body: str) -> RecordedEvent:
    """
    Read an event back from its text.

    Raises:
        InvalidEventError: The text is no envelope that this program knows.
    """
    try:
        envelope = parse_canonical(body)
    except CanonicalError as error:
        raise InvalidEventError(str(error)) from None
    if not isinstance(envelope, dict) or envelope.get("v") != ENVELOPE_VERSION:
        raise InvalidEventError("an event has an unknown envelope; it was written by a newer program")
    try:
        return RecordedEvent(
            seq=envelope["seq"],
            stream=envelope["stream"],
            version=envelope["version"],
            type=envelope["type"],
            type_version=envelope["type_version"],
            recorded_at=envelope["recorded_at"],
            data=envelope["data"],
            id=envelope["id"],
        )
    except KeyError as error:
        raise InvalidEventError(f"an event's envelope lacks {error}") from None


def _milliseconds(recorded_at: str) -> int:
    from datetime import datetime

    return int(datetime.fromisoformat(recorded_at).timestamp() * 1000)
