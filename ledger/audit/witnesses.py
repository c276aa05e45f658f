"""What pinned witnesses have seen of a ledger, and when: a time that its operator cannot choose."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from ledger.audit.checkpoints import Note, Seen
from ledger.audit.findings import Findings
from ledger.errors import ProofError
from ledger.times import format_utc
from ledger.verifier import VerifierKey, open_note, signer_names

CLOCKS_APART_SECONDS = 300
"""So far may the clocks of two machines be apart before a time counts as wrong."""
_LAST_SECOND = 253_402_300_799 - CLOCKS_APART_SECONDS
"""Of the year 9999, beyond which no time can be written; 0 is how a cosignature says that it knows none."""


class Cosigned(NamedTuple):
    """Hold what a witness has seen: how many events, and when, in UTC."""

    witness: VerifierKey
    size: int
    at: str


def cosigned(
    notes: Sequence[Note], witnesses: Sequence[VerifierKey], seen: Seen, findings: Findings
) -> Iterator[Cosigned]:
    """Yield for each of *witnesses* the largest checkpoint that she has cosigned and that agrees with the events; contradictions are findings."""
    for witness in witnesses:
        found = [item for note in notes if (item := _cosigned(note, witness, seen, findings)) is not None]
        if found:
            yield max(found, key=lambda item: item.size)
        else:
            findings.add("no_cosignature", f"{witness.name} has cosigned no checkpoint of these events that was found")


def _cosigned(note: Note, witness: VerifierKey, seen: Seen, findings: Findings) -> Cosigned | None:
    if note.checkpoint is None or "\n\n" not in note.text:
        return None
    if (witness.name, witness.id.hex()) not in signer_names(note.text):
        return None
    try:
        (time,) = open_note(note.text, [witness]).times
    except ProofError as error:
        findings.add("bad_signature", f"{note.place}: {error}", level=4)
        return None
    wrong = seen.disagreement(note.checkpoint)
    if wrong is not None:
        findings.add(wrong[0], f"{note.place}, cosigned by {witness.name}: {wrong[1]}", seq=wrong[2], level=4)
        return None
    if time is None:
        return None  # It is no witness's key.
    if not 0 < time <= _LAST_SECOND:
        what = f"{witness.name} has cosigned it, and says no time when: {time} seconds since 1970"
        findings.add("no_cosignature", f"{note.place}: {what}")
        return None
    return Cosigned(witness, note.checkpoint.size, format_utc(time * 1_000_000))


def later(at: str) -> str:
    """Return what a clock that is as far ahead as clocks may be says at the time *at*."""
    moment = datetime.fromisoformat(at).astimezone(UTC) + timedelta(seconds=CLOCKS_APART_SECONDS)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def check_times(connection: sqlite3.Connection, cosignatures: Sequence[Cosigned], findings: Findings) -> None:
    """Find events that say that they were recorded after a witness had seen them."""
    for item in cosignatures:
        limit = later(item.at)
        row = connection.execute(
            "SELECT seq, recorded_at FROM main.events WHERE seq < ? AND recorded_at > ? ORDER BY seq LIMIT 1",
            (item.size, limit),
        ).fetchone()
        if row is not None:
            what = f"event {row[0]} says {row[1]}, {item.witness.name} had seen it at {item.at}"
            findings.add("post_dated", what, seq=row[0], level=4)
