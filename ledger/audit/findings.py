"""What verifying can find, by literal kinds; each with the level that it belongs to, what it means and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

KEPT_AT_MOST = 100
"""So many findings of one kind are kept; the rest is counted."""

APART = None
"""The level of findings about what is derived from the events."""


class Kind(NamedTuple):
    """Say of a kind of finding where it belongs, what it means and what to do; *level* is None for what is reported apart from the levels."""

    level: int | None
    meaning: str
    remedy: str


KINDS: Mapping[str, Kind] = {
    "not_a_ledger": Kind(
        0, "The file is something else, or another program's database.", "Name the right file; else restore a backup."
    ),
    "newer_format": Kind(
        0, "A newer program made it, or tables of it.", "Verify with that program, or a newer one."
    ),
    "unreadable": Kind(
        0, "SQLite cannot read a part of the file.", "Copy the disk's data aside, then restore a backup."
    ),
    "integrity": Kind(
        0,
        "SQLite finds its own structures damaged, or a value against the rules of its table.",
        "Where only tables of the read models are named: `audit rebuild`. Else restore a backup.",
    ),
    "schema": Kind(
        0,
        "A table, guard, index or view of the ledger is missing or changed, something was added to one of its tables, or the tables of the read models are not registered as what they are.",
        "Ask who changed it. Read models and views: `audit rebuild`. Else restore a backup.",
    ),
    "missing_event": Kind(
        1, "There is no event at this place.", "Compare with a backup: it was deleted, or its page was lost."
    ),
    "altered_event": Kind(
        1, "The text of the event is not what its stored hash was made of.", "Compare with a backup what it said."
    ),
    "misplaced_event": Kind(
        1,
        "The event's text names another ledger, place or stream than where it stands, or its stream has a gap.",
        "It was moved, inserted or renumbered: compare with a backup.",
    ),
    "not_canonical": Kind(
        1, "The text is no event in the form that this program writes.", "Somebody else wrote it: compare with a backup."
    ),
    "back_dated": Kind(
        1,
        "The event says that it was recorded before the one in front of it, and no `ledger.clock_set_back` explains that.",
        "Ask what was done to the clock, or to the event.",
    ),
    "post_dated": Kind(
        1,
        "The event says that it was recorded in the future, or after a witness had seen it.",
        "Compare the clocks of the machines.",
    ),
    "wrong_ledger": Kind(
        1,
        "What the ledger says of its id and its beginning is missing, or is not what its events say.",
        "It was changed, or put together from two: restore a backup.",
    ),
    "wrong_tree": Kind(
        1, "A stored root of a subtree is not what the events give.", "Events from there on were changed, or the table was."
    ),
    "wrong_checkpoint": Kind(
        1, "A checkpoint in the ledger is none, or is not one of these events.", "Events before its size were changed, or it was."
    ),
    "outside_checkpoint": Kind(
        1,
        "A checkpoint in the folder beside the ledger is none, or is not one of these events.",
        "The ledger was turned back or changed, or the file was: compare with checkpoints kept elsewhere.",
    ),
    "altered_blob": Kind(1, "A blob is not what its digest says.", "Take it from a backup."),
    "missing_blob": Kind(1, "An event names a blob that is not there.", "Take it from a backup."),
    "no_verifier": Kind(
        2, "Signatures cannot be checked on this machine.", "Install the extra `sign`, or the program openssl."
    ),
    "no_checkpoint": Kind(
        2,
        "No checkpoint of these events is signed with a key that was pinned, or that a pinned one vouches for.",
        "Make sure that the key is this ledger's; if it is, the ledger is another one, or nothing is sealed.",
    ),
    "signed_root": Kind(
        2,
        "A trusted key has signed another root than these events have.",
        "The events were changed after they were sealed. Keep the checkpoint: it is the proof.",
    ),
    "bad_signature": Kind(
        2, "A signature in the name of a trusted key is not by it.", "The checkpoint was changed, or made up."
    ),
    "unknown_key": Kind(
        2, "A checkpoint is signed with a key that nothing trusted vouches for.", "Ask the operator whose key that is."
    ),
    "other_key": Kind(
        2,
        "A key that was pinned is the key of another ledger, or of a witness, and says nothing of this one.",
        "Take the key that belongs to this ledger; the key of a witness is given as `--witness`.",
    ),
    "retired_key": Kind(
        2,
        "A checkpoint or a change of the key is signed with a key after another one has taken its place.",
        "Somebody uses the old key: believe what the new one has signed, and ask the operator.",
    ),
    "key_gap": Kind(
        2,
        "The key was replaced without the old one's signature; what was sealed since is not vouched for.",
        "Have the new key confirmed by its owner, and pin it too.",
    ),
    "unsealed": Kind(2, "With `--strict`: events that no checkpoint covers.", "`audit checkpoint` seals them."),
    "bad_checkpoint": Kind(3, "A checkpoint that was given is none.", "Take another copy of it."),
    "rolled_back": Kind(
        3,
        "The ledger has fewer events than the checkpoint covers.",
        "It was cut off, or an older copy put in its place. Keep the checkpoint: it is the proof.",
    ),
    "forked": Kind(
        3,
        "The ledger's events are not those that the checkpoint covers.",
        "There are two histories. Keep both checkpoints: signed, they prove it to anybody.",
    ),
    "other_ledger": Kind(3, "The checkpoint is of another ledger.", "Another ledger was put in its place, or you took the wrong one."),
    "no_cosignature": Kind(
        4, "No checkpoint of these events is cosigned by the witness, or none with a time.", "Let her cosign, or give her file with `--checkpoint`."
    ),
    "different_row": Kind(
        APART, "A row of a read model is not what the events give.", "Ask who changed it, then `audit rebuild`."
    ),
    "projection_stopped": Kind(
        APART,
        "The read models cannot be made from these events, so nothing can be compared.",
        "An event is unknown or damaged: see the other findings, or use a newer program.",
    ),
    "changed_file": Kind(
        APART,
        "A file beside the ledger, such as a log, is not what an event says of it: other bytes, more or fewer of them, or no regular file.",
        "Ask who changed it; take it from a backup. What the event says of it is the evidence.",
    ),
    "missing_file": Kind(
        APART,
        "A file beside the ledger that an event names, such as a log, is not there, and no event says that it was pruned.",
        "Ask who removed it; take it from a backup. Where it is gone for good, `orchestrate prune` records that once its retention is over.",
    ),
    "carried_state": Kind(
        APART,
        "What a restored ledger has taken over of the one before it is not what that one tells.",
        "Skips since then may rest on nothing: look into them with `orchestrate explain`, and ask who restored it.",
    ),
    "wrong_skip": Kind(
        APART,
        "With `--skips`: a step was skipped, and what is recorded of that does not show that it was right.",
        "Its outputs may be stale: look at it with `orchestrate explain`, then run it with `--only` and `--force`.",
    ),
    "former_ledger": Kind(
        APART,
        "A ledger that this one continues is missing, damaged, or not what this one says of it.",
        "Put it back beside the ledger, from a backup.",
    ),
}  # fmt: skip
"""Every kind of finding, in the order of the levels."""


_OF_THE_MACHINE = ("SQLITE_IOERR", "SQLITE_FULL", "SQLITE_CANTOPEN", "SQLITE_BUSY", "SQLITE_NOMEM", "SQLITE_READONLY")


def is_of_the_machine(error: BaseException) -> bool:
    """Whether *error*, of SQLite, says nothing about the file: a full disk, a failing one, no right to read."""
    name = getattr(error, "sqlite_errorname", None) or ""
    return name.startswith(_OF_THE_MACHINE) and name != "SQLITE_IOERR_SHORT_READ"


class Problem(NamedTuple):
    """
    Hold one finding.

    Attributes:
        seq: The first event that it is about, None where it is about none.
        kind: One of `KINDS`.
        level: The level that it keeps from being held, None for what is reported apart.
    """

    seq: int | None
    kind: str
    detail: str
    level: int | None

    def as_json(self) -> dict[str, object]:
        """Return the fields."""
        return {"seq": self.seq, "kind": self.kind, "level": self.level, "detail": self.detail}


class Findings:
    """Collect problems: the first hundred of each kind, and the count of all."""

    def __init__(self) -> None:
        self._kept: list[Problem] = []
        self._counts: dict[str, int] = {}

    def add(self, kind: str, detail: str, *, seq: int | None = None, level: int | None = None) -> None:
        """Take note of a finding; *level* is that of its kind unless it is given."""
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count <= KEPT_AT_MOST:
            self._kept.append(Problem(seq, kind, detail, KINDS[kind].level if level is None else level))

    @property
    def problems(self) -> list[Problem]:
        """What was kept, by level and by place; what is reported apart comes last."""
        worst = 1 << 63
        return sorted(
            self._kept,
            key=lambda item: (item.level is None, item.level or 0, worst if item.seq is None else item.seq),
        )

    @property
    def more(self) -> dict[str, int]:
        """How many of each kind were counted and not kept."""
        return {kind: count - KEPT_AT_MOST for kind, count in self._counts.items() if count > KEPT_AT_MOST}

    def failed(self, level: int | None) -> bool:
        """Whether anything was found at *level*."""
        return any(item.level == level for item in self._kept)
