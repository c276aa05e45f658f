"""
What `audit restore` does: a checked backup becomes the former ledger of a new one, which says what it continues and what was lost.

In order: the backup is checked, compared with what is known of it outside, and put beside the target as an archive; what stands at the target is moved
aside; the new ledger appears, whole. Whenever that is interrupted, calling it again goes on from there.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from ledger.backup import Contents, check_file, copy_file
from ledger.chain import Continues, archive_path, continues, former_ledgers
from ledger.checkpoints import hold_to, origin_of
from ledger.creation import begin_ledger
from ledger.errors import InconsistentHistoryError, LedgerError, LedgerExistsError, ProofError
from ledger.events import NewEvent
from ledger.locks import KernelLock
from ledger.outside import checkpoint_folder, outside_files, read_note
from ledger.reader import LedgerReader
from ledger.schema import ledger_identity
from ledger.signer import MEMORY
from ledger.times import format_utc, utc_now
from ledger.verifier import Checkpoint, open_checkpoint
from orchestrator import __version__
from orchestrator.cli import render
from orchestrator.cli.audit.safekeeping import contents_json, free_name, told
from orchestrator.cli.errors import RefusedError, UsageRefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.keyring import operator_folder
from orchestrator.cli.locate import definition_path, ledger_path
from orchestrator.cli.older import show_as_present
from orchestrator.core.events import HistoryCarried, event_data, event_type
from orchestrator.core.printable import as_utf8
from orchestrator.core.problems import Problem
from orchestrator.projections.carried import carried_state
from orchestrator.projections.read_models import ReadModels
from orchestrator.runtime.provenance import current_actor

SIDES = ("", "-wal", "-shm", "-journal")
_RUNS_NAMED_AT_MOST = 1000


@attrs.frozen
class Known:
    """
    Hold a checkpoint of the former ledger that was found outside of it.

    Attributes:
        place: The file.
        written_at: When that was written, as the file system claims.
    """

    checkpoint: Checkpoint
    note: str
    place: Path
    written_at: str


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
        UnverifiableLedgerError: The backup is damaged, or is not what is known of it outside.
        StorageError: The disk refused.
    """
    path = ledger_path(ledger, definition_path(pipeline)).resolve()
    _check_not_the_target(file, path)
    contents = check_file(file, watch=told("checking the backup"))
    known = _known_outside(path, contents.ledger_id, checkpoints)
    with contextlib.ExitStack() as stack:
        _hold_locks(stack, path)
        _check_target(path, contents, replace=replace)
        with LedgerReader(file) as reader:
            for item in known:
                _compare(reader.connection, contents, item, str(file))
            last = known[-1] if known else None
            lost = _lost(reader.connection, path, contents, last)
        archive = _archived(file, path, contents)
        event, blobs = _carried(archive, contents)
        moved = _moved_aside(path)
        facts = {
            "continues": _told(contents, last, lost),
            "reason": as_utf8(reason),
            "program": __version__,
            "actor": current_actor(os.environ),
        }
        try:
            begin_ledger(path, [ReadModels()], utc_now, facts=facts, more=[event], blobs=blobs, exist_ok=False)
        except LedgerExistsError as error:
            raise UsageRefusedError("ledger_exists", f"{error}: somebody else made one meanwhile") from None
    with LedgerReader(path) as reader:
        identity = ledger_identity(reader.connection, str(path))
    return Restored(path, identity, archive, contents, last, len(known), lost, moved)


# What stands where the new ledger is to be


def _check_not_the_target(file: Path, path: Path) -> None:
    if not file.exists():
        raise UsageRefusedError("no_backup", f"there is no backup at {file}")
    if path.exists() and file.samefile(path):
        raise UsageRefusedError("same_file", f"{file} is the ledger itself: name the backup")
    wal = Path(f"{file}-wal")
    if wal.exists() and wal.stat().st_size:
        message = f"{file} is a ledger in use or a bare copy of one: {wal.name} beside it holds a part of it"
        raise UsageRefusedError("not_folded", f"{message}; `orchestrate audit backup` makes one file of both")


def _hold_locks(stack: contextlib.ExitStack, path: Path) -> None:
    """Keep every pipeline of the ledger from running until all is done."""
    for place in sorted((path.parent / "locks").glob("*.lock")):
        lock = KernelLock(place)
        if not lock.acquire():
            active = lock.holder()
            message = f"pipeline {place.stem} is active: run {active.get('run_id', '(unknown)')} writes to {path}"
            raise RefusedError([Problem("active", message, suggestion="wait for its end")], ExitCode.ACTIVE)
        stack.callback(lock.release)


def _check_target(path: Path, contents: Contents, *, replace: bool) -> None:
    there = [place for side in SIDES if os.path.lexists(place := Path(f"{path}{side}"))]
    if not there:
        return
    told_by = _continued_by(path)
    same = told_by is not None and (told_by.ledger, told_by.size) == (contents.ledger_id, contents.events)
    if replace:
        return
    if same:
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
    there = [side for side in SIDES if os.path.lexists(f"{path}{side}")]
    if not there:
        return ()
    place = free_name(path, "replaced")
    moved = []
    for side in there:
        # The log goes with its file, under the name by which SQLite finds it.
        target = Path(f"{place}{side}")
        Path(f"{path}{side}").rename(target)
        moved.append(target)
    return tuple(moved)


# What is known outside of the backup


def _known_outside(path: Path, ledger_id: str, checkpoints: tuple[str, ...]) -> list[Known]:
    """Return the checkpoints of the ledger *ledger_id* that lie elsewhere, the smallest first."""
    memory = operator_folder(ledger_id) / MEMORY
    places = [*outside_files(checkpoint_folder(path, ledger_id)), *([memory] if memory.exists() else [])]
    found = [item for place in places if (item := _read_known(place, ledger_id, given=False)) is not None]
    found += [item for name in checkpoints if (item := _read_known(Path(name), ledger_id, given=True)) is not None]
    return sorted(found, key=lambda item: item.checkpoint.size)


def _read_known(place: Path, ledger_id: str, *, given: bool) -> Known | None:
    try:
        note = read_note(place)
        checkpoint, _ = open_checkpoint(note)
        written_at = format_utc(place.stat().st_mtime_ns // 1000)
    except (OSError, ProofError) as error:
        if given:
            raise UsageRefusedError("bad_checkpoint", f"{place} is no checkpoint: {error}") from None
        render.err(f"warning: {place} is no checkpoint and says nothing: {error}")
        return None
    if checkpoint.origin != origin_of(ledger_id):
        if given:
            message = f"{place} is a checkpoint of {checkpoint.origin}, the backup is of {origin_of(ledger_id)}"
            raise UsageRefusedError("other_ledger", message)
        return None
    return Known(checkpoint, note, place, written_at)


def _compare(connection: sqlite3.Connection, contents: Contents, known: Known, name: str) -> None:
    """Make sure that the backup is a beginning of what is *known*, as far as it reaches."""
    if known.checkpoint.size > contents.events:
        return
    try:
        hold_to(connection, contents.ledger_id, name, known.checkpoint)
    except InconsistentHistoryError as error:
        raise InconsistentHistoryError(name, f"{known.place} says otherwise: {error}") from None


def _lost(
    connection: sqlite3.Connection, path: Path, contents: Contents, last: Known | None
) -> dict[str, object] | None:
    """Return what is known to be missing from the backup, or None."""
    runs = sorted(_runs_unknown_to(connection, path))
    more = last is not None and last.checkpoint.size > contents.events
    if not more and not runs:
        return None
    lost: dict[str, object] = {"first": contents.events, "after": contents.last_at, "runs": runs[:_RUNS_NAMED_AT_MOST]}
    if more and last is not None:
        lost |= {"last": last.checkpoint.size - 1, "before": last.written_at}
    return lost


def _runs_unknown_to(connection: sqlite3.Connection, path: Path) -> Iterator[str]:
    """Yield the runs that have left logs or reports beside the ledger and began after the backup was made."""
    newest = connection.execute(
        "SELECT max(run_id) FROM (SELECT substr(stream, 5) AS run_id FROM events WHERE stream LIKE 'run/%')"
    )
    (after,) = newest.fetchone()
    names = set()
    for folder in ("logs", "reports"):
        with contextlib.suppress(OSError):
            names |= {entry.name for entry in (path.parent / folder).iterdir() if entry.is_dir()}
    for name in names:
        if name > (after or "") and name[:1].isdigit():
            yield name


# The former ledger, and what is carried over


def _archived(file: Path, path: Path, contents: Contents) -> Path:
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
    copy_file(file, place)
    return place


def _holds(place: Path, contents: Contents) -> bool:
    try:
        found = check_file(place)
    except LedgerError:
        return False
    return stat.S_ISREG(place.lstat().st_mode) and (found.ledger_id, found.root) == (contents.ledger_id, contents.root)


def _carried(archive: Path, contents: Contents) -> tuple[NewEvent, dict[str, bytes]]:
    with LedgerReader(archive) as reader:
        # Made from the events, whatever the tables in the file say.
        show_as_present(reader.connection, archive, contents.format)
        digest, blobs = carried_state(reader.connection, contents.ledger_id, contents.events)
    event = HistoryCarried(contents.ledger_id, contents.events, digest)
    return NewEvent(*event_type(event), event_data(event)), blobs


def _told(contents: Contents, last: Known | None, lost: Mapping[str, object] | None) -> dict[str, object]:
    return {
        "ledger": contents.ledger_id,
        "origin": origin_of(contents.ledger_id),
        "size": contents.events,
        "root": contents.root.hex(),
        "checkpoint": contents.checkpoint if last is None else last.note,
        "lost": lost,
    }
