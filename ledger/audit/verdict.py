"""How a ledger is to be verified, and what that has shown, as values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import attrs

from ledger.audit.checkpoints import Trust
from ledger.audit.files import FileNames, FilesSeen
from ledger.audit.findings import Problem
from ledger.audit.projections import HELD, NOT_KEPT
from ledger.audit.witnesses import Cosigned
from ledger.events import RecordedEvent
from ledger.projection import Projection
from ledger.times import utc_now
from ledger.verifier import EMPTY_ROOT, VerifierKey

LEVELS = range(5)

BlobNames = Callable[[RecordedEvent], Iterable[str]]


class Removed(NamedTuple):
    """Hold what an event says is removed: *files* by their path from the ledger's folder on, *blobs* by digest."""

    files: Sequence[str] = ()
    blobs: Sequence[str] = ()


NOTHING_REMOVED = Removed()
RemovedNames = Callable[[RecordedEvent], Removed]


def _nothing(*_: object) -> tuple[str, ...]:
    return ()


def _none_removed(_: RecordedEvent) -> Removed:
    return NOTHING_REMOVED


class KeyNote(NamedTuple):
    """Hold what the ledger says about its keys at one event, and whether the new key is trusted."""

    seq: int
    type: str
    key: VerifierKey
    is_vouched: bool
    is_trusted: bool


@attrs.frozen
class Verdict:
    """
    Hold what verifying has shown.

    Attributes:
        levels: For each level `held`, `failed` or `not_asked`.
        projections: `held`, `failed` or `not_kept`.
        sealed: How many events the largest good checkpoint covers: signed with a trusted key where one was pinned, else any.
        files: What became of the files that events name; None where nobody asked.
        pruned_blobs: How many blobs are not there, as an event says.
        problems: The first hundred of each kind; *more* counts the others.
        keys: What the ledger says about its keys.
        cosignatures: What pinned witnesses have seen.
        is_signed: Somebody has signed a checkpoint.
        formers: The same of the ledgers that this one continues, the newest first, as far as they are there.
        lost: What the ledger after this one, which continues it, says of events of it that are lost; None where it says nothing.
    """

    path: Path
    ledger_id: str | None = None
    levels: Mapping[int, str] = attrs.field(factory=dict)
    projections: str = NOT_KEPT
    events: int = 0
    sealed: int = 0
    root: bytes = EMPTY_ROOT
    files: FilesSeen | None = None
    pruned_blobs: int = 0
    problems: Sequence[Problem] = ()
    more: Mapping[str, int] = attrs.field(factory=dict)
    keys: Sequence[KeyNote] = ()
    cosignatures: Sequence[Cosigned] = ()
    is_signed: bool = False
    formers: Sequence[Verdict] = ()
    lost: Mapping[str, Any] | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.problems

    @property
    def level(self) -> int:
        """The highest level that is held together with all below it, -1 where not even the file is sound."""
        held = (level for level in LEVELS if self.levels.get(level) != HELD)
        return next(held, len(LEVELS)) - 1

    @property
    def unsealed(self) -> int:
        """How many events no good checkpoint covers."""
        return self.events - self.sealed

    @property
    def held_by(self) -> str:
        """Who holds the keys behind what was shown, in plain words."""
        if self.level < 1:
            return "nobody: the ledger contradicts itself"
        who = ["the operator"] if self.levels[2] == HELD else []
        who += [f"the witness {item.witness.name}" for item in self.cosignatures if self.levels[4] == HELD]
        who += ["your own copy of an earlier checkpoint"] if self.levels[3] == HELD else []
        if who == ["the operator"]:
            return "the operator alone"
        if who:
            return " and ".join(who) if len(who) < 3 else f"{', '.join(who[:-1])} and {who[-1]}"  # noqa: PLR2004
        if self.levels[2] != "not_asked":
            return "nobody: no key that you pinned has sealed it"
        return "nobody: no key was pinned" if self.is_signed else "nobody: nothing is signed"


@attrs.frozen
class Options:
    """
    Hold how to verify.

    Attributes:
        projections: What the ledger should keep; those that it keeps in this version are made anew and compared.
        trust: What the auditor brings.
        strict: Events that no checkpoint covers, and changes of the key that the old one has not signed, are problems too.
        blobs_of: Names the blobs that an event refers to.
        files_of: Names the files beside the ledger that an event speaks of; None where they are not to be looked at.
        removed_of: Names what an event says is removed, so that its absence is no finding.
        declared: So many events there once were, says the ledger after this one; that some of them are lost is no finding where a checkpoint
            beside the ledger covers them too.
        watch: Told how many events are done, and of how many.
        watch_files: Told how many bytes of files are done, and of how many.
    """

    projections: Sequence[Projection] = ()
    trust: Trust = attrs.field(factory=Trust)
    strict: bool = False
    blobs_of: BlobNames = _nothing
    files_of: FileNames | None = None
    removed_of: RemovedNames = _none_removed
    declared: int = 0
    now: Callable[[], str] = utc_now
    watch: Callable[[int, int], None] = _nothing  # type: ignore[assignment]
    watch_files: Callable[[int, int], None] = _nothing  # type: ignore[assignment]
