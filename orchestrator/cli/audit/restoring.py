"""
What `audit restore` does: a checked backup becomes the former ledger of a new one, which says what it continues and what was lost.

In order: the backup is checked, compared with what is known of it outside, and put beside the target as an archive; what stands at the target is moved
aside; the new ledger appears, whole. From the first moving on a mark stands beside the target, with which nobody begins a ledger there: whenever
restoring is interrupted, calling it again goes on from there.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Mapping
from pathlib import Path

import attrs

from ledger.audit.verdict import Options
from ledger.backup import Contents, check_file, copy_file, file_digest
from ledger.chain import Continues, archive_path, continues, former_ledgers
from ledger.checkpoints import origin_of
from ledger.creation import begin_ledger, restoring_mark
from ledger.errors import ForeignFileError, LedgerError, LedgerExistsError
from ledger.events import NewEvent
from ledger.folders import sync_folder, write_private
from ledger.reader import LedgerReader
from ledger.schema import ledger_identity, looks_like_sqlite
from ledger.times import utc_now
from orchestrator import __version__
from orchestrator.cli.audit.losses import Known, compare, known_outside, lost
from orchestrator.cli.audit.quiet import only_maker, quiet
from orchestrator.cli.audit.safekeeping import contents_json, free_name, told
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.locate import definition_path, ledger_path
from orchestrator.cli.manual import ledger_reason
from orchestrator.cli.older import show_as_present
from orchestrator.cli.opening import refuse_other_users
from orchestrator.core.events import HistoryCarried, event_data, event_type
from orchestrator.projections.blob_names import blob_names
from orchestrator.projections.carried import carried_state
from orchestrator.projections.read_models import ReadModels
from orchestrator.projections.removed_names import removed_names
from orchestrator.runtime.provenance import current_actor

SIDES = ("", "-wal", "-shm", "-journal")


@attrs.frozen
class Restored:
    """
    Hold what became of a backup.

    Attributes:
        ledger_id: Of the new ledger.
        archive: The former ledger.
        known: The last checkpoint of the former ledger that is known outside, or None.
        compared: How many checkpoints from outside there were.
        moved: Where what stood at the target is now.
    """

    path: Path
    ledger_id: str
    archive: Path
    contents: Contents
    known: Known | None
    compared: int
    lost: Mapping[str, object] | None
    moved: tuple[Path, ...]

    def as_json(self) -> dict[str, object]:
        """Return what `--json` prints."""
        known = self.known
        return {
            "ledger": str(self.path),
            "id": self.ledger_id,
            "archive": str(self.archive),
            "continues": contents_json(self.contents),
            "known": None
            if known is None
            else {"size": known.checkpoint.size, "file": str(known.place), "written_at": known.written_at},
            "compared": self.compared,
            "lost": self.lost,
            "moved": [str(path) for path in self.moved],
        }


def restore(
    file: Path, pipeline: str | None, ledger: str | None, *, checkpoints: tuple[str, ...], reason: str, replace: bool
) -> Restored:
    """
    Make a new ledger where the options say, which continues the one whose backup *file* is.

    Args:
        checkpoints: Files with further checkpoints that somebody kept.
        replace: Move a ledger that stands there aside.

    Raises:
        UsageRefusedError: There is one, it was restored already, or *file* cannot be used.
        RefusedError: A run is on.
        OtherUserError: The place is another user's.
        UnverifiableLedgerError: The backup is damaged, or is not what is known of it outside.
        StorageError: The disk refused.
    """
    path = ledger_path(ledger, definition_path(pipeline)).resolve()
    refuse_other_users(path)
    _check_not_the_target(file, path)
    digest = file_digest(file)
    contents = check_file(
        file, options=Options(blobs_of=blob_names, removed_of=removed_names, watch=told("checking the backup"))
    )
    known = known_outside(path, contents.ledger_id, checkpoints)
    last = known[-1] if known else None
    with only_maker(path), quiet(path):
        _check_target(path, contents, replace=replace)
        with LedgerReader(file) as reader:
            for item in known:
                compare(reader.connection, contents, item, str(file))
            missing = lost(reader.connection, path, contents, last)
        archive = _archived(file, digest, path, contents)
        event, blobs, why = _carried(archive, contents, reason)
        moved = _moved_aside(path)
        facts = {
            "continues": _told(contents, last, missing),
            "reason": why,
            "program": __version__,
            "actor": current_actor(os.environ),
        }
        try:
            begin_ledger(path, [ReadModels()], utc_now, facts=facts, more=[event], blobs=blobs, restoring=True)
        except LedgerExistsError as error:
            raise UsageRefusedError("ledger_exists", f"{error}: somebody else made one meanwhile") from None
        restoring_mark(path).unlink(missing_ok=True)
    with LedgerReader(path) as reader:
        identity = ledger_identity(reader.connection, str(path))
    return Restored(path, identity, archive, contents, last, len(known), missing, moved)


# What stands where the new ledger is to be


def _check_not_the_target(file: Path, path: Path) -> None:
    if not file.exists():
        raise UsageRefusedError("no_backup", f"there is no backup at {file}")
    if path.exists() and file.samefile(path):
        raise UsageRefusedError("same_file", f"{file} is the ledger itself: name the backup")
    wrong = looks_like_sqlite(file)
    if wrong is not None:
        raise ForeignFileError(str(file), wrong)
    wal = Path(f"{file}-wal")
    if wal.exists() and wal.stat().st_size:
        message = f"{file} is a ledger in use or a bare copy of one: {wal.name} beside it holds a part of it"
        raise UsageRefusedError("not_folded", f"{message}; `orchestrate audit backup` makes one file of both")


def _check_target(path: Path, contents: Contents, *, replace: bool) -> None:
    there = [place for side in SIDES if os.path.lexists(place := Path(f"{path}{side}"))]
    if not there or replace or _begun(path) is not None:
        return
    told_by = _continued_by(path)
    if told_by is not None and (told_by.ledger, told_by.size) == (contents.ledger_id, contents.events):
        restoring_mark(path).unlink(missing_ok=True)
        message = f"{path} continues this backup already: it was restored before, and the next run goes on with it"
        raise UsageRefusedError("already_restored", f"{message}; --replace moves it aside and restores once more")
    message = f"there is {'a ledger' if path in there else 'a part of a ledger'} at {there[0]}"
    raise UsageRefusedError("ledger_exists", f"{message}: --replace moves it aside, nothing of it is lost")


def _continued_by(path: Path) -> Continues | None:
    try:
        with LedgerReader(path) as reader:
            return continues(reader.connection)
    except (LedgerError, sqlite3.Error):
        return None


def _moved_aside(path: Path) -> tuple[Path, ...]:
    """Move what stands at *path* aside, or what an interrupted moving has left there, and return where all of it is."""
    place = _begun(path) or free_name(path, "replaced")
    write_private(restoring_mark(path), f"{place.name}\n", durable=True)
    # The file goes first: without its log it would be an older ledger, and a log without its file is none. SQLite finds it by its name.
    for side in SIDES:
        if os.path.lexists(f"{path}{side}"):
            Path(f"{path}{side}").rename(f"{place}{side}")
            sync_folder(path.parent)
    return tuple(moved for side in SIDES if os.path.lexists(moved := Path(f"{place}{side}")))


def _begun(path: Path) -> Path | None:
    """Return where an interrupted restoring has moved the ledger that stood at *path*, or None where none has."""
    try:
        name = restoring_mark(path).read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, ValueError):
        return None
    place = path.parent / name
    is_ours = name == place.name and name.startswith(f"{path.name}.replaced-")
    both = [side for side in SIDES if os.path.lexists(f"{path}{side}") and os.path.lexists(f"{place}{side}")]
    return place if is_ours and not os.path.lexists(path) and not both else None


# The former ledger, and what is carried over


def _archived(file: Path, digest: str, path: Path, contents: Contents) -> Path:
    """Put the backup beside the target as what can only be read, with those that it continues, and return where."""
    with LedgerReader(file) as reader:
        for former in former_ledgers(file, reader.connection):
            place = archive_path(path, former.continues.ledger)
            if former.problem is None and not place.exists():
                copy_file(former.path, place)
    place = archive_path(path, contents.ledger_id)
    if os.path.lexists(place):
        if _holds(place, contents):
            return place
        # From another backup of the same ledger: kept, since another ledger may continue it.
        place.rename(free_name(place, "replaced"))
    copy_file(file, place, sha256=digest)
    return place


def _holds(place: Path, contents: Contents) -> bool:
    try:
        found = check_file(place, options=Options(blobs_of=blob_names, removed_of=removed_names))
    except LedgerError:
        return False
    return stat.S_ISREG(place.lstat().st_mode) and (found.ledger_id, found.root) == (contents.ledger_id, contents.root)


def _carried(archive: Path, contents: Contents, reason: str) -> tuple[NewEvent, dict[str, bytes], str | None]:
    """Return the event about what is carried over, the blobs that it names, and *reason* without the secrets of the pipelines."""
    with LedgerReader(archive) as reader:
        # Made from the events, whatever the tables in the file say.
        show_as_present(reader.connection, archive, contents.format)
        digest, blobs = carried_state(reader.connection, contents.ledger_id, contents.events)
        why = ledger_reason(reader.connection, archive.parent, reason, "audit restore", os.environ)
    event = HistoryCarried(contents.ledger_id, contents.events, digest)
    return NewEvent(*event_type(event), event_data(event)), blobs, why


def _told(contents: Contents, last: Known | None, lost: Mapping[str, object] | None) -> dict[str, object]:
    return {
        "ledger": contents.ledger_id,
        "origin": origin_of(contents.ledger_id),
        "size": contents.events,
        "root": contents.root.hex(),
        "checkpoint": contents.checkpoint if last is None else last.note,
        "lost": lost,
    }
