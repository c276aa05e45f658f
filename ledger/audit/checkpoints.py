"""
What checkpoints say about the events of a ledger: those in it, those in the folder beside it, and those that the auditor brings.

Whether a checkpoint agrees with the events is decided by the root that was made from their texts; whether anybody stands behind it, by keys
that the auditor has pinned, and never by a key that is found in the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import attrs

from ledger.audit.events import TIME
from ledger.audit.findings import Findings
from ledger.checkpoints import origin_of
from ledger.errors import LedgerError, ProofError
from ledger.keys import ROTATED, KeyChange, rotations
from ledger.outside import checkpoint_folder, outside_files, read_note
from ledger.reader import LedgerReader
from ledger.tree import ledger_size
from ledger.verifier import (
    SIGNATURE,
    Checkpoint,
    VerifierKey,
    follow_rotations,
    open_checkpoint,
    open_note,
    signer_names,
)

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
        former_keys: Those of ledgers that this one continues: they ask for a level of it, and answer for nothing in it.
        former_checkpoints: Of such ledgers, as they are in *former_keys*; where they hold there, they hold here.
    """

    keys: Sequence[VerifierKey] = ()
    checkpoints: Sequence[Given] = ()
    witnesses: Sequence[VerifierKey] = ()
    former_keys: Sequence[VerifierKey] = ()
    former_checkpoints: Sequence[Given] = ()


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
    rows = connection.execute(
        "SELECT id, size, root, coalesce(CAST(note AS BLOB), x''), recorded_at FROM main.checkpoints ORDER BY size, id"
    )
    found = []
    for number, size, root, text, at in rows:
        note = _note(LEDGER, f"checkpoint {number} in the ledger", text.decode("utf-8", "replace"))
        if note.checkpoint is None:
            findings.add("wrong_checkpoint", f"{note.place}: {note.problem}")
        elif (note.checkpoint.size, note.checkpoint.root) != (size, root):
            findings.add("wrong_checkpoint", f"{note.place}: size and root in the table are not those of its text")
        elif not isinstance(at, str) or not TIME.fullmatch(at):
            findings.add("wrong_checkpoint", f"{note.place}: it was recorded at {at!r:.100}, which is no time")
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


def is_newer(note: Note, seen: Seen, path: Path) -> bool:
    """Whether *note*, found beside the ledger at *path*, is of events that were appended since what was *seen* was looked at: a run may be on."""
    if note.source != BESIDE or note.checkpoint is None or note.checkpoint.size <= seen.events:
        return False
    try:
        with LedgerReader(path) as reader:
            return ledger_size(reader.connection) >= note.checkpoint.size
    except (LedgerError, sqlite3.Error):
        return False  # What there is to say of it has been found.


def notes_given(given: Sequence[Given], findings: Findings) -> list[Note]:
    """Return the checkpoints that the auditor brings; one that is none is a finding."""
    found = [_note(GIVEN, item.name, item.text) for item in given]
    for note in found:
        if note.checkpoint is None:
            findings.add("bad_checkpoint", f"{note.place}: {note.problem}")
    return found


def operator_keys(trust: Trust, seen: Seen, findings: Findings) -> list[VerifierKey]:
    """Return the pinned keys that can speak for the ledger; one that cannot is a finding, so that nobody rests on it."""
    good = []
    for key in trust.keys:
        if key.kind == SIGNATURE and key.name == seen.origin:
            good.append(key)
        else:
            whose = key.name if key.kind == SIGNATURE else f"the witness {key.name}"
            findings.add("other_key", f"the pinned key {key.text} is that of {whose}, this ledger is {seen.origin}")
    return good


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
        trusted: The pinned keys and those that they vouch for.
        gaps: Changes of the key that not both of its keys have signed.
    """

    def __init__(
        self, pinned: Sequence[VerifierKey], changes: Sequence[KeyChange], seen: Seen, findings: Findings
    ) -> None:
        self._rotations = rotations(changes)
        self._ends = follow_rotations(pinned, self._rotations.values())
        self.trusted = [*self._ends]
        self._seen = seen
        self._findings = findings
        self.sealed = 0
        self.gaps = gaps = [
            change for change in changes if change.before is not None and change.seq not in self._rotations
        ]
        sides = [key for change in gaps for key in (change.before, change.after) if key is not None]
        self._beyond_gaps = follow_rotations(sides, self._rotations.values())

    def judge(self, notes: Sequence[Note]) -> None:
        """Look at every signed checkpoint."""
        beyond = 0
        for note in notes:
            if note.checkpoint is None or "\n\n" not in note.text:
                continue
            level = 3 if note.source == GIVEN else 2
            try:
                signed = open_note(note.text, self.trusted)
            except ProofError as error:
                kind = self._kind_of_unsigned(note)
                if kind == "key_gap":
                    beyond = max(beyond, note.checkpoint.size)
                else:
                    self._findings.add(kind, f"{note.place}: {error}", level=level)
                continue
            if not any(self._counts(key, note.checkpoint) for key in signed.keys):
                ids = ", ".join(key.id.hex() for key in signed.keys)
                what = f"{note.place}: it covers {note.checkpoint.size} events; its key {ids} was replaced before that"
                self._findings.add("retired_key", what, level=level)
            elif self._seen.agrees(note):
                self.sealed = max(self.sealed, note.checkpoint.size)
            elif note.source == LEDGER:
                self._findings.add("signed_root", f"{note.place}: it is signed with a trusted key")
        self._judge_gaps(beyond)
        self._judge_forks()
        if not self.sealed:
            self._findings.add("no_checkpoint", f"of {self._seen.origin} nothing is sealed with a trusted key")

    def _judge_gaps(self, beyond: int) -> None:
        for change in self.gaps if beyond > self.sealed else ():
            what = "both keys have not signed that" if change.type == ROTATED else "the old key has not signed that"
            self._findings.add(
                "key_gap",
                f"event {change.seq} replaces {_short(change.before)} by {change.after.text}, and {what};"
                f" {self.sealed} events are sealed with a trusted key",
                seq=change.seq,
            )

    def _judge_forks(self) -> None:
        """Find keys that have given their place twice: whoever did it the second time had a key that was to be used no more."""
        first: dict[VerifierKey, int] = {}
        for seq, change in self._rotations.items():
            before = first.setdefault(change.before, seq)
            if before != seq:
                what = (
                    f"event {seq} replaces the key {change.before.id.hex()}, which event {before} had replaced already"
                )
                self._findings.add("retired_key", what, seq=seq)

    def _counts(self, key: VerifierKey, checkpoint: Checkpoint) -> bool:
        end = self._ends[key]
        return end is None or checkpoint.size <= end

    def _kind_of_unsigned(self, note: Note) -> str:
        """Return what it is that *note* has no good signature of a trusted key."""
        ids = signer_names(note.text)

        def among(keys: Iterable[VerifierKey]) -> bool:
            return any((key.name, key.id.hex()) in ids for key in keys)

        if among(self.trusted):
            return "bad_signature"
        return "key_gap" if among(self._beyond_gaps) else "unknown_key"


def _note(source: str, place: str, text: str) -> Note:
    try:
        return Note(source, place, text, open_checkpoint(text)[0], None)
    except ProofError as error:
        return Note(source, place, text, None, str(error))


def _short(key: VerifierKey | None) -> str:
    return "no key" if key is None else f"the key {key.id.hex()}"
