"""What is known of a ledger outside of its backup, and what that shows to be lost."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import attrs

from ledger.backup import Contents
from ledger.checkpoints import hold_to, origin_of
from ledger.errors import InconsistentHistoryError, ProofError
from ledger.outside import checkpoint_folder, named_size, outside_files, read_note
from ledger.signer import MEMORY
from ledger.times import format_utc
from ledger.verifier import Checkpoint, open_checkpoint, open_vouched
from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.keyring import operator_folder, signer_of
from orchestrator.cli.run_ids import RUN_ID
from orchestrator.core.printable import printable

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


def known_outside(path: Path, ledger_id: str, checkpoints: tuple[str, ...]) -> list[Known]:
    """
    Return the checkpoints of the ledger *ledger_id* that lie elsewhere, the smallest first.

    Anybody may have put one beside the ledger. One that is not what its name says, or goes beyond what this user's signer remembers without being
    signed with the key beside that, is told and passed over; to who has no key they are all there is.

    Args:
        path: Where the ledger is to be.
        checkpoints: Files that somebody has named.

    Raises:
        UsageRefusedError: One of these is no checkpoint, or one of another ledger.
    """
    memory = operator_folder(ledger_id) / MEMORY
    signed = _read(memory, ledger_id, given=False) if memory.exists() else None
    found = [] if signed is None else [signed]
    for place in outside_files(checkpoint_folder(path, ledger_id)):
        item = _read(place, ledger_id, given=False)
        problem = None if item is None else _problem(item, signed, ledger_id)
        if problem is not None:
            render.err(printable(f"warning: {place} {problem}: it says nothing"))
        elif item is not None:
            found.append(item)
    found += [item for name in checkpoints if (item := _read(Path(name), ledger_id, given=True)) is not None]
    return sorted(found, key=lambda item: item.checkpoint.size)


def _problem(item: Known, signed: Known | None, ledger_id: str) -> str | None:
    """Say why nobody has to believe *item*, a file beside the ledger, given what was *signed* here; or None."""
    size = item.checkpoint.size
    if size != named_size(item.place):
        return f"covers {size} events, its name says {named_size(item.place)}"
    if signed is None or size <= signed.checkpoint.size:
        return None
    signer = signer_of(ledger_id)
    try:
        if signer is not None and open_vouched(item.note, [signer.key.verifier]):
            return None
    except ProofError:
        pass
    return f"covers {size} events, {signed.checkpoint.size} were signed here, and it is not signed with the key beside that"


def _read(place: Path, ledger_id: str, *, given: bool) -> Known | None:
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


def compare(connection: sqlite3.Connection, contents: Contents, known: Known, name: str) -> None:
    """
    Make sure that the backup *name* is a beginning of what is *known*, as far as it reaches.

    Raises:
        InconsistentHistoryError: It is not.
    """
    if known.checkpoint.size > contents.events:
        return
    try:
        hold_to(connection, contents.ledger_id, name, known.checkpoint)
    except InconsistentHistoryError as error:
        raise InconsistentHistoryError(name, f"{known.place} says otherwise: {error}") from None


def lost(
    connection: sqlite3.Connection, path: Path, contents: Contents, last: Known | None
) -> dict[str, object] | None:
    """Return what is known to be missing from the backup behind *connection*, or None; *last* is the largest checkpoint that is known."""
    runs = sorted(_runs_unknown_to(connection, path))
    more = last is not None and last.checkpoint.size > contents.events
    if not more and not runs:
        return None
    told: dict[str, object] = {"first": contents.events, "after": contents.last_at, "runs": runs[:_RUNS_NAMED_AT_MOST]}
    if more and last is not None:
        told |= {"last": last.checkpoint.size - 1, "before": last.written_at}
    return told


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
        if name > (after or "") and RUN_ID.fullmatch(name):  # Other folders say nothing about runs.
            yield name
