"""
One complete file of a ledger: copied while it is in use, checked event by event, and under its name only when all of it is right.

What is checked: SQLite's own structure, the schema, each event's hash and place, and the checkpoints in the file against the events. A copy keeps no
write-ahead log and needs no other file beside it; it can be read from a medium that takes no writing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import attrs

from ledger.errors import DamagedLedgerError, ForeignFileError, LedgerExistsError, ProofError, StorageError
from ledger.folders import make_private, sync_folder
from ledger.reader import LedgerReader
from ledger.schema import check_schema, ledger_format, ledger_identity, looks_like_sqlite
from ledger.verifier import leaf_hash, node_hash, open_checkpoint

_PAGES_AT_ONCE = 1024
_FINDINGS_AT_MOST = 10
_BLOCK = 1 << 20

Watch = Callable[[int, int], None]
"""Told how many events are checked, of how many."""


def _nothing(*_: object) -> None:
    return


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


def write_backup(source: Path, target: Path, *, force: bool = False, watch: Watch = _nothing) -> Backup:
    """
    Write a checked copy of the ledger *source* to *target*, as it is at one moment; a run may be on.

    Args:
        force: Put it in the place of a file that is there.

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
        contents = check_file(unfinished, shown=source, watch=watch)
        digest = file_digest(unfinished)
    return Backup(target, target.stat().st_size, digest, contents)


def copy_file(source: Path, target: Path) -> None:
    """
    Copy the file *source*, a backup, to *target*, which appears whole and can only be read.

    Raises:
        LedgerExistsError: There is one already.
        StorageError: The disk refused.
    """
    with _appearing(target, force=False) as unfinished:
        shutil.copyfile(source, unfinished)
        _fold(unfinished)
        unfinished.chmod(0o400)


def check_file(path: Path, *, shown: Path | None = None, watch: Watch = _nothing) -> Contents:
    """
    Check every event of the ledger file *path*, which nobody writes to, and return what it holds.

    Args:
        shown: The name for the error.

    Raises:
        DamagedLedgerError: Names what is not right.
        UnverifiableLedgerError: It is no ledger, or a newer one.
    """
    wrong = looks_like_sqlite(path)
    if wrong is not None:
        raise ForeignFileError(str(shown or path), wrong)
    with contextlib.closing(_immutable(path)) as connection:
        return check_ledger(connection, str(shown or path), watch=watch)


def check_ledger(connection: sqlite3.Connection, name: str, *, watch: Watch = _nothing) -> Contents:
    """
    Check every event of the ledger behind *connection*, of one moment, and return what it holds; raises as `check_file`.

    Args:
        name: Of the ledger, for the error.
    """
    connection.execute("BEGIN")
    try:
        found = ledger_format(connection, name)
        wrong = [text for (text,) in connection.execute(f"PRAGMA integrity_check({_FINDINGS_AT_MOST})")]
        if wrong != ["ok"]:
            raise DamagedLedgerError(name, wrong)
        check_schema(connection, name)
        return _checked(connection, name, found, watch)
    except sqlite3.DatabaseError as error:
        raise DamagedLedgerError(name, [str(error)]) from error
    finally:
        connection.execute("ROLLBACK")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of the file *path* in hexadecimal."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


class _Tree:
    """The complete subtrees over the leaves so far, the largest first: all that a root needs."""

    def __init__(self) -> None:
        self._peaks: list[tuple[int, bytes]] = []

    def add(self, leaf: bytes) -> None:
        level = 0
        while self._peaks and self._peaks[-1][0] == level:
            leaf, level = node_hash(self._peaks.pop()[1], leaf), level + 1
        self._peaks.append((level, leaf))

    def root(self) -> bytes:
        *others, (_, found) = self._peaks
        for _, peak in reversed(others):
            found = node_hash(peak, found)
        return found


def _checked(connection: sqlite3.Connection, name: str, found: int, watch: Watch) -> Contents:
    identity = ledger_identity(connection, name)
    notes = _notes(connection, found)
    by_size: dict[int, list[bytes]] = {}
    findings: list[str] = []
    for note in notes:
        try:
            checkpoint, _ = open_checkpoint(note)
        except ProofError as error:
            findings.append(f"a checkpoint is none: {error}")
            continue
        by_size.setdefault(checkpoint.size, []).append(checkpoint.root)
    tree = _Tree()
    (total,) = connection.execute("SELECT count(*) FROM events").fetchone()
    rows = connection.execute(
        "SELECT seq, CAST(body AS BLOB), leaf_hash, json_extract(body, '$.ledger') FROM events ORDER BY seq"
    )
    for number, (seq, body, leaf, ledger) in enumerate(rows):
        wrong = _wrong(number, seq, body, leaf, ledger == identity)
        if wrong is not None:
            findings.append(f"event {number}: {wrong}")
            if len(findings) >= _FINDINGS_AT_MOST:
                break
        tree.add(leaf)
        size = number + 1
        if any(root != tree.root() for root in by_size.pop(size, ())):
            findings.append(f"the checkpoint over {size} events has another root than they have")
        if size % 10_000 == 0:
            watch(size, total)
    findings += [
        f"there is a checkpoint over {size} events, the ledger has {total}" for size in sorted(by_size) if size
    ]
    if not total:
        findings.append("it has no event")
    if findings:
        raise DamagedLedgerError(name, findings)
    (last_at,) = connection.execute("SELECT recorded_at FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    last = notes[-1] if notes else None
    sealed = 0 if last is None else open_checkpoint(last)[0].size
    return Contents(identity, found, total, tree.root(), last_at, last, sealed)


def _wrong(number: int, seq: int, body: bytes, leaf: bytes, is_ours: bool) -> str | None:  # noqa: FBT001 - a fact, not a switch
    if seq != number:
        return f"it is missing, the next one is {seq}"
    if leaf_hash(body) != leaf:
        return "its text is not what its hash covers"
    return None if is_ours else "it is of another ledger"


def _notes(connection: sqlite3.Connection, found: int) -> list[str]:
    """Return the notes of all checkpoints, the largest and most telling last."""
    if found == 1:
        return []
    rows = connection.execute("SELECT note FROM checkpoints ORDER BY size, instr(note, char(10, 10)) > 0, id")
    return [note for (note,) in rows]


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


def _immutable(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.resolve()))}?immutable=1", uri=True, isolation_level=None)


@contextlib.contextmanager
def _appearing(target: Path, *, force: bool) -> Iterator[Path]:
    """Give a private file to fill, which is on the disk and at *target* when the block ends, or gone."""
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.new")
    try:
        make_private(target.parent)
        os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        yield unfinished
        _sync(unfinished)
        _place(unfinished, target, force=force)
        sync_folder(target.parent)
    except OSError as error:
        raise StorageError(str(target), error.strerror or str(error)) from error
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(OSError):
                Path(f"{unfinished}{suffix}").unlink()


def _place(unfinished: Path, target: Path, *, force: bool) -> None:
    if force:
        unfinished.replace(target)
        return
    try:
        os.link(unfinished, target)
    except FileExistsError:
        raise LedgerExistsError(str(target)) from None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
