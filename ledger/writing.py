"""What recording events rests on: a transaction of one writer, events at their places, errors that name the file."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from ledger.computing import load_schema
from ledger.errors import DamagedLedgerError, StorageError
from ledger.events import NewEvent, RecordedEvent, new_ids, record
from ledger.merkle import leaf_hash
from ledger.reader import check_sides

_BUSY_SECONDS = 60.0

INSERT_EVENT = "INSERT INTO events (seq, body, leaf_hash) VALUES (?, ?, ?)"


def connect_to_write(path: Path) -> sqlite3.Connection:
    """
    Connect to the file *path*, which exists, as every writer of a ledger has to.

    Raises:
        DamagedLedgerError: What stands beside it under the names of its log is no file, or its schema cannot be read.
    """
    check_sides(path)
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        load_schema(connection, path)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA foreign_keys = OFF")
        # A REPLACE deletes what is in its way; with this it asks the guards first.
        connection.execute("PRAGMA recursive_triggers = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def at_their_places(
    stream: str, events: Sequence[NewEvent], *, ledger: str, seq: int, version: int, now: str
) -> tuple[list[RecordedEvent], list[tuple[int, str, bytes]]]:
    """Return *events* of *stream* as they are recorded from *seq* and *version* on, and the rows for `INSERT_EVENT`."""
    recorded, rows = [], []
    for number, (event, event_id) in enumerate(zip(events, new_ids(len(events), now), strict=True)):
        place = {"ledger": ledger, "stream": stream, "recorded_at": now, "event_id": event_id}
        body, as_read = record(event, seq=seq + number, version=version + number, **place)
        rows.append((seq + number, body, leaf_hash(body.encode("utf-8"))))
        # As everybody will read it: a projection must not see more than its rebuilding does.
        recorded.append(as_read)
    return recorded, rows


def stream_version(connection: sqlite3.Connection, stream: str) -> int:
    """Return the version of the last event of *stream*, -1 where there is none."""
    row: tuple[int] = connection.execute(
        "SELECT coalesce(max(version), -1) FROM events WHERE stream = ?", (stream,)
    ).fetchone()
    return row[0]


@contextlib.contextmanager
def one_writer(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Give *connection* within a transaction that nobody else writes in; all of it is recorded when the block ends, or nothing."""
    try:
        connection.execute("BEGIN IMMEDIATE")  # which can fail after it has begun
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """
    Turn what SQLite and the system say into errors that name the file at *path*.

    Raises:
        DamagedLedgerError: It is malformed, or a text in it is none.
        StorageError: The disk is full, read only, locked for a minute, ...
    """
    try:
        yield
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DamagedLedgerError(str(path), [f"a text in it is none: {error}"]) from error
    except sqlite3.DatabaseError as error:
        # A guard that spoke is a bug of the writer; a malformed file, or a text in it that is none, is damage.
        no_text = str(error).startswith("Could not decode to UTF-8")
        if isinstance(error, sqlite3.OperationalError | sqlite3.IntegrityError) and not no_text:
            raise StorageError(str(path), str(error)) from error
        raise DamagedLedgerError(str(path), [str(error)]) from error
    except OSError as error:
        raise StorageError(str(path), error.strerror or str(error)) from error
