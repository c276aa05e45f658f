"""Stand-ins that keep to the same contract as what they stand for; `tests/contracts` holds them to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from ledger.errors import WrongExpectedVersionError
from ledger.events import NewEvent, RecordedEvent, body_text, check_names, event_of_body, new_ids
from ledger.schema import FORMAT
from ledger.times import utc_now

LEDGER_ID = "0" * 32


class MemoryEventStore:
    """
    An event store without a file, which can be told to fail.

    Attributes:
        appends: How often `append` was called, the failed calls included; the event that opens the history is no append.
        fail_at: Number, from 1, of the append that fails as a full disk would; it records nothing.
    """

    def __init__(self, *, fail_at: int | None = None, now: Callable[[], str] = utc_now) -> None:
        self.appends = 0
        self.fail_at = fail_at
        self._now = now
        self._bodies: list[str] = []
        self._streams: dict[str, list[int]] = {}
        self._blobs: dict[str, bytes] = {}
        self._record("ledger", [NewEvent("ledger.created", 1, {"format": FORMAT})])

    def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected_version: int | None,
        blobs: Mapping[str, bytes] | None = None,
    ) -> list[RecordedEvent]:
        """Record *events* at the end of *stream*, and *blobs*; all of it or nothing."""
        self.appends += 1
        if self.appends == self.fail_at:
            raise OSError("simulated")
        check_names(stream, events)
        version = self.stream_version(stream)
        if expected_version is not None and expected_version != version:
            raise WrongExpectedVersionError(stream, expected_version, version)
        recorded = self._record(stream, events)
        for digest, data in (blobs or {}).items():
            self._blobs.setdefault(digest, data)
        return recorded

    def read_stream(self, stream: str, from_version: int = 0) -> list[RecordedEvent]:
        """Return the events of *stream* from *from_version* on."""
        return [event_of_body(self._bodies[seq]) for seq in self._streams.get(stream, [])[max(from_version, 0) :]]

    def read_all(self, from_seq: int = 0) -> Iterator[RecordedEvent]:
        """Yield every event from *from_seq* on."""
        yield from (event_of_body(body) for body in self._bodies[max(from_seq, 0) :])

    def stream_version(self, stream: str) -> int:
        """Return the version of the last event of *stream*, -1 where there is none."""
        return len(self._streams.get(stream, ())) - 1

    def blob(self, digest: str) -> bytes | None:
        """Return the bytes kept under *digest*, or None."""
        return self._blobs.get(digest)

    def _record(self, stream: str, events: Sequence[NewEvent]) -> list[RecordedEvent]:
        now, seq, version = self._now(), len(self._bodies), self.stream_version(stream) + 1
        bodies = [
            body_text(
                event,
                ledger=LEDGER_ID,
                seq=seq + number,
                stream=stream,
                version=version + number,
                recorded_at=now,
                event_id=event_id,
            )
            for number, (event, event_id) in enumerate(zip(events, new_ids(len(events), now), strict=True))
        ]
        if bodies:
            self._streams.setdefault(stream, []).extend(range(seq, seq + len(bodies)))
            self._bodies += bodies
        return [event_of_body(body) for body in bodies]
