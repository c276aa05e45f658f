"""
The tables of a ledger, the guards on them, and how a ledger file comes into being.

The file appears under its name complete, with its first event, or not at all. The guards keep honest programs honest: they are no
evidence, since whoever owns the file can drop them, which the comparison of the schema then shows.
"""

from __future__ import annotations

import importlib
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType

from ledger.computing import normalised, schema_rows
from ledger.errors import DamagedLedgerError, ForeignFileError, LedgerExistsError, NewerLedgerError, StorageError

APPLICATION_ID = 0x6C646772  # "ldgr"
FORMAT = 2

TABLES = """
CREATE TABLE ledger_meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    ledger TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    body TEXT NOT NULL,
    leaf_hash BLOB NOT NULL CHECK (length(leaf_hash) = 32),
    stream TEXT NOT NULL GENERATED ALWAYS AS (json_extract(body, '$.stream')) STORED,
    version INTEGER NOT NULL GENERATED ALWAYS AS (json_extract(body, '$.version')) STORED,
    type TEXT GENERATED ALWAYS AS (json_extract(body, '$.type')) VIRTUAL,
    type_version INTEGER GENERATED ALWAYS AS (json_extract(body, '$.type_version')) VIRTUAL,
    recorded_at TEXT GENERATED ALWAYS AS (json_extract(body, '$.recorded_at')) VIRTUAL,
    id TEXT GENERATED ALWAYS AS (json_extract(body, '$.id')) VIRTUAL,
    data TEXT GENERATED ALWAYS AS (json_extract(body, '$.data')) VIRTUAL,
    UNIQUE (stream, version),
    CHECK (json_extract(body, '$.seq') IS seq)
) STRICT;

CREATE TABLE blobs (
    digest TEXT PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE projections (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT;

CREATE TRIGGER events_dense BEFORE INSERT ON events
WHEN NEW.seq IS NOT coalesce((SELECT max(seq) + 1 FROM events), 0)
BEGIN SELECT RAISE(ABORT, 'events: seq is not the next one'); END;

CREATE TRIGGER events_dense_stream BEFORE INSERT ON events
WHEN json_extract(NEW.body, '$.version') IS NOT coalesce(
    (SELECT max(version) + 1 FROM events WHERE stream = json_extract(NEW.body, '$.stream')), 0)
BEGIN SELECT RAISE(ABORT, 'events: version is not the next one of its stream'); END;

CREATE TRIGGER events_immutable BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;

CREATE TRIGGER events_permanent BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;

CREATE TRIGGER blobs_once BEFORE INSERT ON blobs
WHEN EXISTS (SELECT 1 FROM blobs WHERE digest = NEW.digest)
BEGIN SELECT RAISE(IGNORE); END;

CREATE TRIGGER blobs_immutable BEFORE UPDATE ON blobs
BEGIN SELECT RAISE(ABORT, 'blobs are never changed'); END;

CREATE TRIGGER blobs_permanent BEFORE DELETE ON blobs
BEGIN SELECT RAISE(ABORT, 'blobs are never deleted'); END;

CREATE TRIGGER ledger_meta_once BEFORE INSERT ON ledger_meta
WHEN EXISTS (SELECT 1 FROM ledger_meta)
BEGIN SELECT RAISE(ABORT, 'ledger_meta has one row'); END;

CREATE TRIGGER ledger_meta_immutable BEFORE UPDATE ON ledger_meta
BEGIN SELECT RAISE(ABORT, 'ledger_meta is never changed'); END;

CREATE TRIGGER ledger_meta_permanent BEFORE DELETE ON ledger_meta
BEGIN SELECT RAISE(ABORT, 'ledger_meta is never deleted'); END;
"""
"""What a ledger of every format has; projections bring their own tables."""

SEALS = """
CREATE TABLE checkpoints (
    id INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    root BLOB NOT NULL CHECK (length(root) = 32),
    note TEXT NOT NULL UNIQUE,
    recorded_at TEXT NOT NULL
) STRICT;

CREATE INDEX checkpoints_by_size ON checkpoints (size);

CREATE TABLE tree (
    level INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, position)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER checkpoints_once BEFORE INSERT ON checkpoints
WHEN EXISTS (SELECT 1 FROM checkpoints WHERE id = NEW.id OR note = NEW.note)
BEGIN SELECT RAISE(ABORT, 'checkpoints are never replaced'); END;

CREATE TRIGGER checkpoints_immutable BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are never changed'); END;

CREATE TRIGGER checkpoints_permanent BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are never deleted'); END;
"""
"""What format 2 added: checkpoints, and the roots of complete subtrees (a cache: it is made anew from the events by whoever verifies)."""

SCRIPTS: Mapping[int, tuple[str, ...]] = {1: (TABLES,), FORMAT: (TABLES, SEALS)}
"""What a ledger of each format consists of, besides the tables of projections."""

_IDENTITY = re.compile(r"[0-9a-f]{32}")
_STATEMENT_NAME = r"CREATE (?:UNIQUE )?(TABLE|TRIGGER|INDEX|VIEW) (\w+)"


def statements(script: str) -> list[str]:
    """Split *script* at the statements' ends, which here are a semicolon and an empty line or the end."""
    return [part.strip().removesuffix(";") for part in re.split(r";\s*(?:\n\s*\n|\Z)", script) if part.strip()]


def schema_objects(scripts: Iterable[str]) -> dict[str, str]:
    """Return the normalised SQL of each object that *scripts* make, by name."""
    found = {}
    for script in scripts:
        for statement in statements(script):
            match = re.match(_STATEMENT_NAME, statement)
            assert match is not None, statement
            found[match[2]] = normalised(statement)
    return found


def own_objects(found: int) -> dict[str, str]:
    """Return the normalised SQL of each object of a ledger of the format *found*, by name, without those of projections."""
    return schema_objects(SCRIPTS[found])


def ledger_format(connection: sqlite3.Connection, path: str) -> int:
    """
    Return the format of the ledger behind *connection*.

    Raises:
        ForeignFileError: It is another program's database.
        NewerLedgerError: Its format is newer than `FORMAT`.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise ForeignFileError(path, f"its application id is {application:#x}, not {APPLICATION_ID:#x}")
    if version > FORMAT:
        raise NewerLedgerError(path, version, FORMAT)
    if version not in SCRIPTS:
        raise DamagedLedgerError(path, [f"its format is {version}, which no program has made"])
    return int(version)


def check_schema(connection: sqlite3.Connection, path: str, scripts: Iterable[str] = ()) -> None:
    """
    Compare the tables, views, guards and indexes of a ledger with what a program of its format makes.

    Views and tables that somebody added beside them are no finding; a changed, a missing or an added guard is.

    Args:
        scripts: What projections bring.

    Raises:
        ForeignFileError: It is another program's database.
        NewerLedgerError: Its format is newer than `FORMAT`.
        DamagedLedgerError: Names each object that is missing, changed or does not belong.
    """
    expected = schema_objects([*SCRIPTS[ledger_format(connection, path)], *scripts])
    rows = schema_rows(connection)
    actual = {name: normalised(sql) for _, name, _, sql in rows}
    findings = [f"{name} is missing" for name in expected if name not in actual]
    findings += [
        f"{name} is not as it was made" for name in expected if name in actual and actual[name] != expected[name]
    ]
    ours = {name for name, sql in expected.items() if sql.startswith(("CREATE TABLE", "CREATE VIEW"))}
    findings += [
        f"{kind} {name} on {table} does not belong"
        for kind, name, table, _ in rows
        # To SQLite, names and kinds are the same in any case.
        if kind.lower() in ("trigger", "index") and table.lower() in ours and name not in expected
    ]
    if findings:
        raise DamagedLedgerError(path, findings)


def create_ledger(
    path: Path, scripts: Iterable[str], fill: Callable[[sqlite3.Connection, str], None], *, exist_ok: bool = True
) -> None:
    """
    Make a ledger at *path*; somebody else's that appears meanwhile is left alone.

    Args:
        scripts: The tables of projections.
        fill: Records the first event, given the connection and the new ledger's id.
        exist_ok: That there is one already is no error.

    Raises:
        LedgerExistsError: There is one already, and *exist_ok* is not set.
        StorageError: The disk refused; nothing is left behind.
    """
    from ledger.new_file import appearing

    Database = _sqlite_utils().Database  # noqa: N806 -- a class
    try:
        make_folder(path)
        with appearing(path, force=False, durable=True) as unfinished:
            connection = sqlite3.connect(unfinished, isolation_level=None)
            try:
                database = Database(connection, execute_plugins=False)
                database.execute("PRAGMA encoding = 'UTF-8'")
                # One transaction: each of thirty statements would wait for the disk on its own.
                database.execute("BEGIN")
                database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                database.execute(f"PRAGMA user_version = {FORMAT}")
                for script in (*SCRIPTS[FORMAT], *scripts):
                    for statement in statements(script):
                        database.execute(statement)
                database.execute("COMMIT")
                fill(connection, os.urandom(16).hex())
                # The mode is part of the file, and closing folds the log away: one complete file is left.
                database.enable_wal()
            finally:
                connection.close()
    except FileExistsError:
        if not exist_ok:
            raise LedgerExistsError(str(path)) from None
    except (OSError, sqlite3.Error) as error:
        raise StorageError(str(path), f"it could not be created: {error}") from error


def make_folder(path: Path) -> None:
    """
    Make the folder of the ledger at *path*, for good: its name is on the disk.

    Raises:
        StorageError: It cannot be made.
    """
    from ledger.folders import make_private

    try:
        make_private(path.parent, durable=True)
    except OSError as error:
        raise StorageError(str(path), f"it could not be created: {error}") from error


def looks_like_sqlite(path: Path) -> str | None:
    """Return what keeps the file at *path* from being a SQLite database, or None; never waits on a FIFO."""
    import stat

    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        return "it is no regular file"
    with path.open("rb") as file:
        start = file.read(16)
    return None if start == b"SQLite format 3\0" else "it is no SQLite database"


def ledger_identity(connection: sqlite3.Connection, path: str) -> str:
    """
    Return the id of the ledger behind *connection*.

    Raises:
        DamagedLedgerError: It has lost its id.
    """
    row: tuple[object] | None = connection.execute("SELECT ledger FROM ledger_meta").fetchone()
    if row is None:
        raise DamagedLedgerError(path, ["ledger_meta is empty"])
    identity = row[0]
    # It becomes a part of paths.
    if not isinstance(identity, str) or not is_identity(identity):
        raise DamagedLedgerError(path, [f"the ledger's id is {identity!a:.80}, expected 32 hexadecimal digits"])
    return identity


def is_identity(text: str) -> bool:
    """Return whether *text* has the form of a ledger's id."""
    return _IDENTITY.fullmatch(text) is not None


def registered_projections(connection: sqlite3.Connection) -> Mapping[str, int]:
    """Return the version of each projection that the ledger keeps."""
    return dict(connection.execute("SELECT name, version FROM projections").fetchall())


def _sqlite_utils() -> ModuleType:
    """
    Import sqlite-utils, without what it takes along where that happens to be installed.

    It looks for pandas and numpy to know types that no ledger holds; the two cost more than a small run (0.3 s, 45 MB).
    """
    hidden = [name for name in ("pandas", "numpy") if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # which is how a module is kept from being found
    try:
        return importlib.import_module("sqlite_utils")
    finally:
        for name in hidden:
            del sys.modules[name]
