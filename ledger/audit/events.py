"""
The events of a ledger, looked at one by one in one reading: hashes, tree and places from the stored texts, and the texts themselves.

Two costs stand side by side. Hashing the stored bytes and building the tree is what evidence rests on, and takes about three times as long as
reading the rows. Parsing each text, comparing it with its canonical form and with its place takes four times as long again; the projections need
the parsed texts anyway, so that it is done on the way to them. Memory is bounded by a page of events, and grows by the streams and the blobs
that are named.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

from ledger.audit.findings import Findings
from ledger.audit.tree import Tree
from ledger.canonical import canonical_text, parse_canonical
from ledger.clock import CLOCK_SET_BACK
from ledger.errors import CanonicalError
from ledger.events import ENVELOPE_VERSION, RecordedEvent

Row = tuple[int, bytes, bytes, bytes, int]
"""Place, text, leaf hash, stream and version of an event as the table has them."""

PAGE_EVENTS = 1024
_ROWS = """
SELECT seq, coalesce(CAST(body AS BLOB), x''), leaf_hash, CAST(stream AS BLOB), version FROM main.events ORDER BY seq
"""
_DIGITS_MAX = 15
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_FIELDS = {"id": str, "recorded_at": str, "stream": str, "type": str, "type_version": int, "version": int, "data": dict}


def pages(connection: sqlite3.Connection) -> Iterator[list[Row]]:
    """
    Yield the rows of all events, in order, a page at a time.

    Raises:
        sqlite3.Error: The next one cannot be read; those before it have been yielded.
    """
    page: list[Row] = []
    try:
        for row in connection.execute(_ROWS):
            page.append(row)
            if len(page) == PAGE_EVENTS:
                yield page
                page = []
    except sqlite3.Error:
        if page:
            yield page
        raise
    if page:
        yield page


class Leaves:
    """Make the leaf hash of each event from its text, compare it with the stored one, and build the tree of those that were made."""

    def __init__(self, tree: Tree, findings: Findings) -> None:
        self._tree = tree
        self._findings = findings
        self._next = 0

    def take(self, page: Sequence[Row]) -> None:
        """Take the next events."""
        made = [sha256(b"\x00" + row[1]).digest() for row in page]
        if [row[2] for row in page] != made:
            for row, leaf in zip(page, made, strict=True):
                if row[2] != leaf:
                    self._findings.add(
                        "altered_event", f"event {row[0]}: its text is not what its hash covers", seq=row[0]
                    )
        end = self._next + len(page)
        if [row[0] for row in page] != list(range(self._next, end)):
            self._name_gaps(page)
        else:
            self._next = end
        self._tree.take(made)

    def _name_gaps(self, page: Sequence[Row]) -> None:
        for row in page:
            seq = row[0]
            if seq > self._next:
                what = (
                    f"event {self._next} is missing"
                    if seq == self._next + 1
                    else f"events {self._next} to {seq - 1} are missing"
                )
                self._findings.add("missing_event", what, seq=self._next)
            elif seq < self._next:
                self._findings.add("misplaced_event", f"event {seq}: its place is before the first one", seq=seq)
            self._next = max(self._next, seq + 1)


class Texts:
    """
    Read the text of each event: that it is canonical, an envelope that this program knows, and names the place where it stands.

    Args:
        not_after: The latest time that an event may carry.

    Attributes:
        readable: Every text so far was an event.
        latest: The latest time so far.
    """

    def __init__(self, ledger_id: str | None, not_after: str, findings: Findings) -> None:
        self._ledger_id = ledger_id
        self._not_after = not_after
        self._findings = findings
        self._versions: dict[str, int] = {}
        self.readable = True
        self.latest = ""

    def take(self, page: Sequence[Row]) -> list[RecordedEvent]:
        """Return the events of *page*, without those whose text is none."""
        events = []
        for seq, body, _, stream, version in page:
            try:
                envelope = _envelope(body)
            except CanonicalError as error:
                self._findings.add("not_canonical", f"event {seq}: {error}", seq=seq)
                self.readable = False
                continue
            self._check_place(seq, stream, version, envelope)
            self._check_time(seq, envelope)
            events.append(
                RecordedEvent(
                    seq=seq,
                    stream=envelope["stream"],
                    version=envelope["version"],
                    type=envelope["type"],
                    type_version=envelope["type_version"],
                    recorded_at=envelope["recorded_at"],
                    data=envelope["data"],
                    id=envelope["id"],
                )
            )
        return events

    def _check_place(self, seq: int, stream: bytes, version: int, envelope: dict[str, Any]) -> None:
        name = envelope["stream"]
        expected = self._versions.get(name, 0)
        wrong = []
        if envelope["seq"] != seq:
            wrong.append(f"its text says that it is event {envelope['seq']}")
        if self._ledger_id is not None and envelope["ledger"] != self._ledger_id:
            wrong.append(f"its text says that it is of the ledger {envelope['ledger']}")
        if (name.encode(), envelope["version"]) != (stream, version):
            wrong.append("stream and version in the table are not those of its text")
        if envelope["version"] != expected:
            wrong.append(f"it is version {envelope['version']} of {name}, expected {expected}")
        if seq == 0 and envelope["type"] != "ledger.created":
            wrong.append("a ledger begins with ledger.created")
        self._versions[name] = max(expected, envelope["version"] + 1)
        if wrong:
            self._findings.add("misplaced_event", f"event {seq}: {'; '.join(wrong)}", seq=seq)

    def _check_time(self, seq: int, envelope: dict[str, Any]) -> None:
        at = envelope["recorded_at"]
        if at > self._not_after:
            self._findings.add("post_dated", f"event {seq} says {at}, which is in the future", seq=seq)
        if at < self.latest and envelope["type"] != CLOCK_SET_BACK:
            what = f"event {seq} says {at}, the one before it {self.latest}"
            self._findings.add("back_dated", what, seq=seq)
        self.latest = at


class _Unusual(Exception):  # noqa: N818 - says that a slower way has to be taken
    pass


def _refuse(_: str) -> object:
    raise _Unusual


def _small(digits: str) -> int:
    if len(digits) > _DIGITS_MAX:
        raise _Unusual
    return int(digits)


_READ = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse, parse_int=_small)
_WRITE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False)


def _envelope(body: bytes) -> dict[str, Any]:
    """
    Return the envelope in the text *body*.

    Raises:
        CanonicalError: It is not in canonical form, or no envelope that this program knows.
    """
    value = _canonical_value(body)
    if not isinstance(value, dict) or value.get("v") != ENVELOPE_VERSION:
        raise CanonicalError("it has an envelope that this program does not know")
    if not isinstance(value.get("ledger"), str) or type(value.get("seq")) is not int:
        raise CanonicalError("its envelope lacks the ledger or the place")
    for name, kind in _FIELDS.items():
        if type(value.get(name)) is not kind:
            raise CanonicalError(f"its envelope lacks {name}")
    if not TIME.fullmatch(value["recorded_at"]):
        raise CanonicalError("its time is not in the form that this program writes")
    return value


def _canonical_value(body: bytes) -> object:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise CanonicalError("its text is no UTF-8") from None
    # What comes out again as it went in, has no floats, no large numbers and only ASCII in it is canonical: no key can have occurred twice, and
    # the sorting of keys cannot differ. Half of the cost of the careful way.
    if text.isascii():
        try:
            value: object = _READ.decode(text)
            if _WRITE.encode(value) == text:
                return value
        except (_Unusual, ValueError, RecursionError):
            pass  # The careful way says what is wrong, or finds that nothing is.
    value = parse_canonical(text)
    if canonical_text(value) != text:
        raise CanonicalError("its text is not in canonical form")
    return value
