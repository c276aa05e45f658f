"""
One complete file of a ledger: copied while it is in use, verified event by event, and under its name only when all of it is right.

What is asked for is that the file is sound and agrees with itself, levels 0 and 1 of `ledger.audit.verify`. A copy keeps no write-ahead log and needs
no other file beside it; it can be read from a medium that takes no writing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from hashlib import file_digest as digest_of_file
from pathlib import Path

import attrs

from ledger.audit.verdict import Options
from ledger.audit.verify import verify
from ledger.checkpoints import last_seal
from ledger.errors import DamagedLedgerError, LedgerExistsError, StorageError
from ledger.folders import make_private
from ledger.new_file import appearing
from ledger.reader import LedgerReader

_PAGES_AT_ONCE = 1024
_FINDINGS_AT_MOST = 10
_NOT_OF_THE_FILE = ("outside_checkpoint", "post_dated")
"""What a ledger can be saved and restored with all the same: what lies beside it is compared on its own, and a clock may be wrong."""


@attrs.frozen
class Contents:
    """
    Hold what a file was found to be, when each of its events was checked.

    Attributes:
        last_at: When the last event was recorded.
        checkpoint: The note of its largest checkpoint, or None.
        sealed: How many events that covers.
    """

    ledger_id: str
    format: int
    events: int
    root: bytes
    last_at: str
    checkpoint: str | None
    sealed: int


@attrs.frozen
class Backup:
    """
    Hold what was written.

    Attributes:
        sha256: Of the file, in hexadecimal.
    """

    path: Path
    bytes: int
    sha256: str
    contents: Contents


def write_backup(source: Path, target: Path, *, force: bool = False, options: Options | None = None) -> Backup:
    """
    Write a verified copy of the ledger *source* to *target*, as it is at one moment; a run may be on.

    Args:
        force: Put it in the place of a file that is there.
        options: How to verify it.

    Raises:
        LedgerExistsError: There is a file at *target*, and *force* is not set.
        DamagedLedgerError: The ledger is not right; no copy is left.
        StorageError: The disk refused; no copy is left.
    """
    if not force and os.path.lexists(target):
        raise LedgerExistsError(str(target))
    with LedgerReader(source) as reader, _appearing(target, force=force) as unfinished:
        _copy_pages(reader.connection, unfinished)
        reader.check_unchanged()
        _fold(unfinished)
        contents = check_file(unfinished, shown=source, options=options)
        digest = file_digest(unfinished)
    return Backup(target, target.stat().st_size, digest, contents)


def copy_file(source: Path, target: Path, *, sha256: str | None = None) -> None:
    """
    Copy the file *source*, a backup, to *target*, which appears whole and can only be read.

    Args:
        sha256: Of *source* when it was checked; None where it was not.

    Raises:
        LedgerExistsError: There is one already.
        StorageError: The disk refused, or what it wrote is not what was read.
    """
    with _appearing(target, force=False) as unfinished:
        expected = sha256 or file_digest(source)
        shutil.copyfile(source, unfinished)
        actual = file_digest(unfinished)
        if actual != expected:
            what = f"the copy has the SHA-256 {actual}, {source} had {expected}: was it changed meanwhile, or is a disk damaged?"
            raise StorageError(str(target), what)
        _fold(unfinished)
        unfinished.chmod(0o400)


def check_file(path: Path, *, shown: Path | None = None, options: Options | None = None) -> Contents:
    """
    Verify the ledger file *path* by itself, and return what it holds.

    Args:
        shown: The name for the error.
        options: How to verify it.

    Raises:
        DamagedLedgerError: Names what is not right.
        UnverifiableLedgerError: It is no ledger, or a newer one.
    """
    verdict = verify(path, options)
    wrong = [item for item in verdict.problems if item.level is not None and item.kind not in _NOT_OF_THE_FILE]
    if any(item.kind in ("not_a_ledger", "newer_format") for item in wrong):
        LedgerReader(path).close()
    if wrong or verdict.ledger_id is None:
        findings = [item.detail for item in wrong[:_FINDINGS_AT_MOST]]
        raise DamagedLedgerError(str(shown or path), findings)
    with LedgerReader(path) as reader:
        connection = reader.connection
        (last_at,) = connection.execute(
            "SELECT recorded_at FROM events WHERE seq = ?", (verdict.events - 1,)
        ).fetchone()
        last = last_seal(connection) if reader.format > 1 else None
        return Contents(
            verdict.ledger_id,
            reader.format,
            verdict.events,
            verdict.root,
            last_at,
            None if last is None else last.note,
            0 if last is None else last.checkpoint.size,
        )


def file_digest(path: Path) -> str:
    """Return the SHA-256 of the file *path* in hexadecimal."""
    with path.open("rb") as file:
        return digest_of_file(file, "sha256").hexdigest()


def _copy_pages(source: sqlite3.Connection, target: Path) -> None:
    # Within a transaction the copy is of one moment, however long it takes and whoever writes meanwhile.
    source.execute("BEGIN")
    try:
        source.execute("SELECT 1 FROM sqlite_schema").fetchone()
        with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy:
            source.backup(copy, pages=_PAGES_AT_ONCE)
    except sqlite3.DatabaseError as error:
        raise StorageError(str(target), str(error)) from error
    finally:
        source.execute("ROLLBACK")


def _fold(path: Path) -> None:
    """Make *path* a file that needs no other one beside it."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()


@contextlib.contextmanager
def _appearing(target: Path, *, force: bool) -> Iterator[Path]:
    try:
        make_private(target.parent)
        with appearing(target, force=force, durable=True) as unfinished:
            yield unfinished
    except OSError as error:
        if isinstance(error, FileExistsError) and os.path.lexists(target):
            raise LedgerExistsError(str(target)) from None
        raise StorageError(str(target), error.strerror or str(error)) from error
