"""
What checkpoints say about the events of a ledger: those in it, those in the folder beside it, and those that the auditor brings.

Whether a checkpoint agrees with the events is decided by the root that was made from their texts; whether anybody stands behind it, by keys
that the auditor has pinned, and never by a key that is found in the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import attrs

from ledger.audit.findings import Findings
from ledger.checkpoints import origin_of
from ledger.errors import ProofError
from ledger.keys import ROTATED, KeyChange, trusted_keys
from ledger.outside import checkpoint_folder, outside_files, read_note
from ledger.times import format_utc
from ledger.verifier import Checkpoint, VerifierKey, open_checkpoint, open_note, signer_names

CLOCKS_APART_SECONDS = 300
"""So far may the clocks of two machines be apart before a time counts as wrong."""

LEDGER, BESIDE, GIVEN = "ledger", "beside", "given"


class Given(NamedTuple):
    """Hold a checkpoint that the auditor brings: where it was, and the text."""

    name: str
    text: str


@attrs.frozen
class Trust:
    """
    Hold what the auditor brings.

    Attributes:
        keys: Public keys of the operator that she has pinned.
        checkpoints: Of the ledger, that she has kept.
        witnesses: Public keys of witnesses that she has pinned.
    """

    keys: Sequence[VerifierKey] = ()
    checkpoints: Sequence[Given] = ()
    witnesses: Sequence[VerifierKey] = ()


class Note(NamedTuple):
    """
    Hold a checkpoint that was found.

    Attributes:
        source: `LEDGER`, `BESIDE` or `GIVEN`.
        place: Names it for people.
        checkpoint: None where it is none; *problem* says why.
    """

    source: str
    place: str
    text: str
    checkpoint: Checkpoint | None
    problem: str | None


class Cosigned(NamedTuple):
    """Hold what a witness has seen: how many events, and when, in UTC."""

    witness: VerifierKey
    size: int
    at: str


@attrs.frozen
class Seen:
    """
    Hold what was made from the events' texts.

    Attributes:
        roots: For each size that a checkpoint names, as far as there are so many events.
    """

    ledger_id: str
    events: int
    roots: Mapping[int, bytes]

    def agrees(self, note: Note) -> bool:
        """Whether *note* is a checkpoint of these events."""
        found = note.checkpoint
        return found is not None and found.origin == self.origin and self.roots.get(found.size) == found.root

    @property
    def origin(self) -> str:
        """The name under which checkpoints speak of the ledger."""
        return origin_of(self.ledger_id)

    def disagreement(self, checkpoint: Checkpoint) -> tuple[str, str, int | None] | None:
        """Return the kind of finding that *checkpoint* is, what it says, and the first event in question; None where it agrees."""
        size = checkpoint.size
        if checkpoint.origin != self.origin:
            return "other_ledger", f"it is of {checkpoint.origin}, this ledger is {self.origin}", None
        if size == 0:
            return "bad_checkpoint", "it covers no event, and shows nothing", None
        if size > self.events:
            last = f"event {self.events} is" if size == self.events + 1 else f"events {self.events} to {size - 1} are"
            return "rolled_back", f"it covers {size} events, the ledger has {self.events}: {last} missing", self.events
        if self.roots[size] == checkpoint.root:
            return None
        what = f"it covers {size} events with the root {checkpoint.root.hex()}, theirs is {self.roots[size].hex()}"
        return "forked", what, None


def notes_in(connection: sqlite3.Connection, findings: Findings) -> list[Note]:
    """Return the checkpoints in the ledger; one whose columns are not what its text says is a finding."""
    rows = connection.execute("SELECT id, size, root, CAST(note AS BLOB) FROM main.checkpoints ORDER BY size, id")
    found = []
    for number, size, root, text in rows:
        note = _note(LEDGER, f"checkpoint {number} in the ledger", text.decode("utf-8", "replace"))
        if note.checkpoint is None:
            findings.add("wrong_checkpoint", f"{note.place}: {note.problem}")
        elif (note.checkpoint.size, note.checkpoint.root) != (size, root):
            findings.add("wrong_checkpoint", f"{note.place}: size and root in the table are not those of its text")
        found.append(note)
    return found


def notes_beside(path: Path, ledger_id: str, findings: Findings) -> list[Note]:
    """Return the checkpoints in the folder beside the ledger at *path*; one that is none is a finding."""
    found = []
    for file in outside_files(checkpoint_folder(path, ledger_id)):
        place = str(file.relative_to(path.parent))
        try:
            note = _note(BESIDE, place, read_note(file))
        except OSError as error:
            findings.add("outside_checkpoint", f"{place} cannot be read: {error.strerror}")
            continue
        if note.checkpoint is None:
            findings.add("outside_checkpoint", f"{place}: {note.problem}")
        found.append(note)
    return found


def notes_given(given: Sequence[Given], findings: Findings) -> list[Note]:
    """Return the checkpoints that the auditor brings; one that is none is a finding."""
    found = [_note(GIVEN, item.name, item.text) for item in given]
    for note in found:
        if note.checkpoint is None:
            findings.add("bad_checkpoint", f"{note.place}: {note.problem}")
    return found


def compare(notes: Sequence[Note], seen: Seen, findings: Findings) -> None:
    """Find the checkpoints that the events contradict; those in the ledger and beside it count for its agreeing with itself."""
    good = sorted(note.checkpoint.size for note in notes if note.checkpoint is not None and seen.agrees(note))
    for note in notes:
        wrong = None if note.checkpoint is None else seen.disagreement(note.checkpoint)
        if note.checkpoint is None or wrong is None:
            continue
        kind, what, seq = wrong
        if kind == "forked":
            # What a smaller checkpoint agrees with is not in question.
            seq = max((size for size in good if size < note.checkpoint.size), default=0)
            what = f"{what}; the first one that differs is one of {seq} to {note.checkpoint.size - 1}"
        kind = {LEDGER: "wrong_checkpoint", BESIDE: "outside_checkpoint"}.get(note.source, kind)
        findings.add(kind, f"{note.place}: {what}", seq=seq)


class Signatures:
    """
    Decide who stands behind the checkpoints of a ledger.

    Args:
        changes: What the ledger says about its keys.

    Attributes:
        sealed: How many events the largest checkpoint covers that agrees with them and that a trusted key has signed.
        gaps: Changes of the key that nothing trusted vouches for, though one side of each is trusted.
    """

    def __init__(
        self, pinned: Sequence[VerifierKey], changes: Sequence[KeyChange], seen: Seen, findings: Findings
    ) -> None:
        self.trusted = trusted_keys(pinned, changes) if pinned else []
        self._changes = changes
        self._seen = seen
        self._findings = findings
        self.sealed = 0
        self.gaps = [change for change in changes if change.before is not None and not change.is_vouched]

    def judge(self, notes: Sequence[Note]) -> None:
        """Look at every signed checkpoint."""
        beyond = 0
        for note in notes:
            if note.checkpoint is None or "\n\n" not in note.text:
                continue
            level = 3 if note.source == GIVEN else 2
            try:
                open_note(note.text, self.trusted)
            except ProofError as error:
                ids = signer_names(note.text)
                if any((key.name, key.id.hex()) in ids for key in self.trusted):
                    self._findings.add("bad_signature", f"{note.place}: {error}", level=level)
                elif self._is_of_a_gap(ids):
                    beyond = max(beyond, note.checkpoint.size)
                else:
                    self._findings.add("unknown_key", f"{note.place}: {error}", level=level)
                continue
            if self._seen.agrees(note):
                self.sealed = max(self.sealed, note.checkpoint.size)
            elif note.source == LEDGER:
                self._findings.add("signed_root", f"{note.place}: it is signed with a trusted key")
        for change in self.gaps if beyond > self.sealed else ():
            what = "both keys have not signed that" if change.type == ROTATED else "the old key has not signed that"
            self._findings.add(
                "key_gap",
                f"event {change.seq} replaces {_short(change.before)} by {change.after.text}, and {what};"
                f" {self.sealed} events are sealed with a trusted key",
                seq=change.seq,
            )
        if not self.sealed:
            self._findings.add("no_checkpoint", f"of {self._seen.origin} nothing is sealed with a trusted key")

    def _is_of_a_gap(self, ids: Sequence[tuple[str, str]]) -> bool:
        keys = [key for change in self.gaps for key in (change.before, change.after) if key is not None]
        reachable = trusted_keys(keys, self._changes)
        return any((key.name, key.id.hex()) in ids for key in reachable)


def cosigned(
    notes: Sequence[Note], witnesses: Sequence[VerifierKey], seen: Seen, findings: Findings
) -> Iterator[Cosigned]:
    """Yield for each of *witnesses* the largest checkpoint that she has cosigned and that agrees with the events; contradictions are findings."""
    for witness in witnesses:
        best: Cosigned | None = None
        for note in notes:
            if note.checkpoint is None or "\n\n" not in note.text:
                continue
            ids = signer_names(note.text)
            if (witness.name, witness.id.hex()) not in ids:
                continue
            try:
                signed = open_note(note.text, [witness])
            except ProofError as error:
                findings.add("bad_signature", f"{note.place}: {error}", level=4)
                continue
            wrong = seen.disagreement(note.checkpoint)
            if wrong is not None:
                findings.add(wrong[0], f"{note.place}, cosigned by {witness.name}: {wrong[1]}", seq=wrong[2], level=4)
                continue
            time = signed.times[0]
            if time is not None and (best is None or note.checkpoint.size > best.size):
                best = Cosigned(witness, note.checkpoint.size, format_utc(time * 1_000_000))
        if best is None:
            findings.add("no_cosignature", f"{witness.name} has cosigned no checkpoint of these events that was found")
        else:
            yield best


def later(at: str, seconds: int = CLOCKS_APART_SECONDS) -> str:
    """Return the time *at* and some *seconds*."""
    moment = datetime.fromisoformat(at).astimezone(UTC) + timedelta(seconds=seconds)
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


def _note(source: str, place: str, text: str) -> Note:
    try:
        return Note(source, place, text, open_checkpoint(text)[0], None)
    except ProofError as error:
        return Note(source, place, text, None, str(error))


def _short(key: VerifierKey | None) -> str:
    return "no key" if key is None else f"the key {key.id.hex()}"
