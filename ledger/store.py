"""
The event store: append events to a SQLite file, in one durable transaction, together with what is derived from them.

Any number of processes may append. Each transaction is `BEGIN IMMEDIATE`, so that the head that it reads is the head that it extends,
and is on the disk when `append` returns (`synchronous=FULL`). The write-ahead log is folded back into the file by whoever holds the
checkpointer's lock at that moment, since two checkpoints at once are what SQLite had to repair.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ledger.clock import settled_time
from ledger.creation import begin_ledger
from ledger.errors import (
    DamagedLedgerError,
    ForeignFileError,
    StorageError,
    UnregisteredProjectionError,
    WrongExpectedVersionError,
)
from ledger.events import NewEvent, RecordedEvent, check_names, event_of_body
from ledger.locks import KernelLock
from ledger.new_file import remove_abandoned
from ledger.projection import Projection, read_events, replay
from ledger.reader import kept_blob
from ledger.schema import check_schema, ledger_identity, looks_like_sqlite, registered_projections
from ledger.times import utc_now
from ledger.upgrade import Upgrading, bring_up_to_date
from ledger.writing import (
    INSERT_EVENT,
    at_their_places,
    connect_to_write,
    one_writer,
    storage_errors,
    stream_version,
)

_WAL_BYTES_BEFORE_CHECKPOINT = 4 << 20
_APPENDS_BEFORE_LOOKING = 64
_HEAD = """
SELECT (SELECT coalesce(max(seq) + 1, 0) FROM events),
       (SELECT coalesce(max(version), -1) FROM events WHERE stream = ?),
       (SELECT json_group_array(name || ' ' || version) FROM projections),
       (SELECT recorded_at FROM events ORDER BY seq DESC LIMIT 1)
"""
"""What an append has to know: the next place, the version of its stream, which projections are registered, and the last time."""


FileId = tuple[int, int]
"""Device and number of a file."""


class Ledger:
    """An open ledger; use `open_ledger`."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        projections: Sequence[Projection],
        now: Callable[[], str],
        *,
        read_only: bool = False,
        file: FileId | None = None,
    ) -> None:
        self.path = path
        self._file = file_id(path) if file is None else file
        self._read_only = read_only
        self.connection = connection
        self._projections = tuple(projections)
        self._now = now
        self._identity = ledger_identity(connection, str(path))
        self._checkpointer = KernelLock(path.parent / "locks" / f"{path.name}.checkpointer")
        self._appends = 0
        self._registered: str | None = None

    @property
    def ledger_id(self) -> str:
        """The random id that every event of this ledger carries."""
        return self._identity

    def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected_version: int | None,
        blobs: Mapping[str, bytes] | None = None,
    ) -> list[RecordedEvent]:
        """
        Record *events* at the end of *stream*, and *blobs* by their digest, durably in one transaction.

        Args:
            expected_version: Version of the stream's last event as the caller knows it, -1 for a new stream, None for any.

        Raises:
            WrongExpectedVersionError: The stream is at another version; nothing was recorded.
            InvalidEventError: An event has no canonical form; nothing was recorded.
            UnregisteredProjectionError: Another program has since brought projections that this one would let fall behind.
            StorageError: The disk is full, read only, locked for a minute, ...: all of it is recorded or nothing, and nothing is acknowledged. Where the
                disk failed in the very end, as in its last sync, all of it may be there: whoever tries again gives the version that he expected.
        """
        check_names(stream, events)
        with self.transaction() as connection:
            if blobs:
                connection.executemany("INSERT OR IGNORE INTO blobs VALUES (?, ?)", blobs.items())
            recorded = self.record(connection, stream, events, expected_version)
        self._appends += 1
        if self._appends % _APPENDS_BEFORE_LOOKING == 0:
            self._checkpoint_if_large()
        return recorded

    def read_stream(self, stream: str, from_version: int = 0) -> list[RecordedEvent]:
        """Return the events of *stream* from *from_version* on, in order; empty for a stream that is not there."""
        with storage_errors(self.path):
            rows = self.connection.execute(
                "SELECT body FROM events WHERE stream = ? AND version >= ? ORDER BY version", (stream, from_version)
            ).fetchall()
        return [event_of_body(body) for (body,) in rows]

    def read_all(self, from_seq: int = 0) -> Iterator[RecordedEvent]:
        """Yield every event from *from_seq* on, in order; memory is bounded by a page of a thousand."""
        with storage_errors(self.path):
            yield from read_events(self.connection, from_seq)

    def stream_version(self, stream: str) -> int:
        """Return the version of the last event of *stream*, -1 where there is none."""
        with storage_errors(self.path):
            return stream_version(self.connection, stream)

    def blob(self, digest: str) -> bytes | None:
        """Return the bytes kept under *digest*, or None."""
        with storage_errors(self.path):
            return kept_blob(self.connection, digest)

    def rebuild(self) -> None:
        """Make the tables of every projection anew from the events, in one transaction; linear in the events."""
        with self.transaction() as connection:
            replay(connection, self._projections, read_events(connection))

    def close(self) -> None:
        """Fold the log back into the file where nobody else is about to, and let go of it."""
        if self._read_only:
            self.connection.close()
            return
        # The last connection that closes checkpoints, whether asked to or not: not at the same time as another.
        with contextlib.suppress(OSError):
            self._checkpointer.acquire(wait=True)
        try:
            self.connection.close()
        finally:
            self._checkpointer.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def record(
        self,
        connection: sqlite3.Connection,
        stream: str,
        events: Sequence[NewEvent],
        expected_version: int | None = None,
    ) -> list[RecordedEvent]:
        """Do as `append` within the caller's `transaction`, whose *connection* it is."""
        seq, version, registered, last = connection.execute(_HEAD, (stream,)).fetchone()
        if registered != self._registered:
            self._check_projections(connection)
            self._registered = registered
        if expected_version is not None and expected_version != version:
            raise WrongExpectedVersionError(stream, expected_version, version)
        now, step = settled_time(self._now(), last)
        if step is not None:
            self._place(connection, "ledger", [step], seq, stream_version(connection, "ledger") + 1, now)
            seq, version = seq + 1, version + (stream == "ledger")
        return self._place(connection, stream, events, seq, version + 1, now)

    def _place(
        self, connection: sqlite3.Connection, stream: str, events: Sequence[NewEvent], seq: int, version: int, now: str
    ) -> list[RecordedEvent]:
        recorded, rows = at_their_places(stream, events, ledger=self._identity, seq=seq, version=version, now=now)
        connection.executemany(INSERT_EVENT, rows)
        for projection in self._projections:
            projection.apply(connection, recorded)
        return recorded

    def _check_projections(self, connection: sqlite3.Connection) -> None:
        ours = {item.name: item.version for item in self._projections}
        other = sorted(
            name for name, version in registered_projections(connection).items() if ours.get(name) != version
        )
        if other:
            raise UnregisteredProjectionError(str(self.path), other)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """
        Give the connection within a transaction that nobody else writes in; it is durable when the block ends, or did not happen.

        Raises:
            StorageError: The disk is full, read only, locked for a minute, ..., or another file stands in the ledger's place.
        """
        with storage_errors(self.path), one_writer(self.connection) as connection:
            # Whoever restores a ledger moves the former one aside, and this connection would follow it there.
            if file_id(self.path) != self._file:
                what = "another file stands in its place since it was opened; nothing was recorded: start again"
                raise StorageError(str(self.path), what)
            yield connection

    def _checkpoint_if_large(self) -> None:
        try:
            if (
                Path(f"{self.path}-wal").stat().st_size < _WAL_BYTES_BEFORE_CHECKPOINT
                or not self._checkpointer.acquire()
            ):
                return
        except OSError:
            return
        try:
            # A reader may keep a part of it back; the next one takes that.
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        finally:
            self._checkpointer.release()


def file_id(path: Path) -> FileId:
    """Return which file stands at *path*."""
    status = path.stat()
    return status.st_dev, status.st_ino


def open_ledger(
    path: str | os.PathLike[str],
    *,
    read_only: bool = False,
    projections: Sequence[Projection] = (),
    now: Callable[[], str] = utc_now,
    upgrading: Upgrading | None = None,
) -> Ledger:
    """
    Open the ledger at *path*; make it, with its folder, where there is none and *read_only* is not set.

    Args:
        projections: Updated with each append. A ledger that keeps others refuses to be written without them; one that is new
            to the ledger, or of an older version, is built from the events first.
        now: Gives the time of each transaction, see `ledger.times`.
        upgrading: How a ledger of an older format, or with older projections, is brought up to date; a small one is by itself.

    Raises:
        LedgerNotFoundError: There is none, and it must not be made.
        ForeignFileError: The file is something else.
        NewerLedgerError: A newer program made it.
        DamagedLedgerError: Its tables or guards are not as they were made.
        UnregisteredProjectionError: It keeps a projection that is not among *projections*.
        UpgradeNeededError: It is older, and too large for being brought up to date on the way.
        StorageError: It cannot be made, opened or read.
    """
    path, file = Path(path), None
    with storage_errors(path):
        if read_only:
            from ledger.reader import LedgerReader

            connection = LedgerReader(path).connection
        else:
            # The log and the locks stand beside the file itself, wherever a link to it may stand.
            path = path.resolve()
            _ensure_exists(path, projections, now)
            file = file_id(path)
            connection = connect_to_write(path)
        try:
            if read_only:
                check_schema(connection, str(path))
            else:
                _prepare(connection, path, projections, upgrading or Upgrading(), now)
            return Ledger(path, connection, () if read_only else projections, now, read_only=read_only, file=file)
        except BaseException:
            connection.close()
            raise


def _ensure_exists(path: Path, projections: Sequence[Projection], now: Callable[[], str]) -> None:
    try:
        wrong = looks_like_sqlite(path)
    except FileNotFoundError:
        _refuse_orphaned_log(path)
    else:
        if wrong is not None:
            raise ForeignFileError(str(path), wrong)
        # The power may have gone when it had its name, and its maker had not lost the other one.
        remove_abandoned(path)
        return

    begin_ledger(path, projections, now)


def _refuse_orphaned_log(path: Path) -> None:
    """Leave the place alone where a log without its ledger lies: SQLite would take it for that of the new one."""
    log = Path(f"{path}-wal")
    if log.exists() and log.stat().st_size:
        raise DamagedLedgerError(str(path), [f"the file is gone, and {log.name} beside it holds events of it"])


def _prepare(
    connection: sqlite3.Connection,
    path: Path,
    projections: Sequence[Projection],
    upgrading: Upgrading,
    now: Callable[[], str],
) -> None:
    check_schema(connection, str(path))
    bring_up_to_date(connection, str(path), projections, upgrading, now)
    check_schema(connection, str(path), [item.script for item in projections])
    # It is so already, but for a backup that was put in a ledger's place by hand.
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
