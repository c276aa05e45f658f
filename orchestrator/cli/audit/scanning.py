"""Looking for the values of secrets in what was kept: every file beside the ledger, and every text and blob in it."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import attrs

from ledger.errors import DamagedLedgerError, LedgerError
from ledger.reader import LedgerReader
from orchestrator.cli import render
from orchestrator.cli.damage import naming_damage
from orchestrator.cli.errors import RefusedError, UsageRefusedError
from orchestrator.cli.project import Project
from orchestrator.core.names import shown, suggest
from orchestrator.core.printable import as_utf8
from orchestrator.core.secret_search import SecretSearch
from orchestrator.runtime.environment import resolve_environment, secrets_of

KEPT_MAX = 1000
"""So many findings are told one by one; all are counted."""

_PIECE_BYTES = 1 << 18
_ROWS_BETWEEN = 1000
_SECONDS_BETWEEN = 2.0
_TABLES = "SELECT name, CAST(sql AS BLOB) FROM main.sqlite_schema WHERE type = 'table'"
_VIRTUAL = re.compile(rb"\s*CREATE\s+VIRTUAL\b", re.IGNORECASE)
_SIDES = ("-journal", "-wal", "-shm")

Watch = Callable[[int, int], None]


class Finding(NamedTuple):
    """
    Tell where something of a secret was found; not what.

    Attributes:
        file: Relative to the ledger's folder.
        table: In a ledger, else None.
        row: What identifies the row of a table: a seq of `events`, else the text of its key.
        offset: The byte of the file, or of the text in the row; None where it is the name of the file.
    """

    secret: str
    file: str
    table: str | None
    row: int | str | None
    offset: int | None


class Known(NamedTuple):
    """Hold the secrets that can be looked for, by name, and the names of those that cannot: without a value, or with one that is too short."""

    values: Mapping[str, str]
    without_value: Sequence[str]
    too_short: Sequence[str]


@attrs.define
class Scan:
    """
    Hold what was looked through, and what was found.

    Attributes:
        findings: The first `KEPT_MAX`.
        unread: Files that could not be read, with the reason.
    """

    findings: list[Finding] = attrs.field(factory=list)
    counts: dict[str, int] = attrs.field(factory=dict)
    files: int = 0
    bytes: int = 0
    rows: int = 0
    unread: dict[str, str] = attrs.field(factory=dict)

    def add(self, finding: Finding) -> None:
        """Take in one more."""
        self.counts[finding.secret] = self.counts.get(finding.secret, 0) + 1
        if len(self.findings) < KEPT_MAX:
            self.findings.append(finding)


def known_secrets(
    project: Project, env_files: Sequence[str], names: Sequence[str], environ: Mapping[str, str]
) -> Known:
    """
    Return the secrets of *project* with the values that a run would give them now.

    Args:
        env_files: Of `--env-file`.
        names: Only these, or all that are declared where there are none.

    Raises:
        RefusedError: A file of variables cannot be read.
        UsageRefusedError: A name is that of no declared secret, or none has a value that can be looked for.
    """
    pipeline = project.pipeline
    declared = [name for name, variable in pipeline.variables.items() if variable.secret]
    for name in names:
        if name not in declared:
            near = suggest(name, declared)
            hint = f"did you mean {near}?" if near else f"declared are {', '.join(declared) or 'none'}"
            raise UsageRefusedError("unknown_secret", f"--secret names {shown(name)}, which is no secret here; {hint}")
    files = [Path(name) for name in env_files]
    environment = resolve_environment(pipeline, project.folder, selected=(), env_files=files, environ=environ)
    unreadable = [item for item in environment.problems if item.kind.startswith("env_") and item.severity == "error"]
    if unreadable:
        raise RefusedError(unreadable)
    wanted = list(names) or declared
    values = {name: value for name, value in secrets_of(pipeline, environment).items() if name in wanted and value}
    too_short = SecretSearch(values).ignored
    known = Known(
        {name: value for name, value in values.items() if name not in too_short},
        [name for name in wanted if name not in values],
        too_short,
    )
    if wanted and not known.values:
        without = ", ".join(wanted)
        message = f"no value can be looked for: {without} has none now, or one that is shorter than six bytes"
        raise UsageRefusedError("no_value", f"{message}; --env-file names a file with old values")
    return known


def scan_folder(folder: Path, known: Known, redact: Callable[[str], str], watch: Watch) -> Scan:
    """
    Look for *known* in every file below *folder*; a ledger is read row by row, and nothing is written.

    Args:
        folder: Of the ledger.
        redact: Takes the secrets out of the names of files and rows, which are told.
        watch: Told how many mebibytes of how many were looked through.
    """
    scanner = _Scanner(folder, SecretSearch(known.values), redact, watch)
    places = list(scanner.files())
    ledgers = {path for path, _ in places if _is_ledger(path)}
    sides = {Path(f"{path}{side}") for path in ledgers for side in _SIDES}
    total = sum(size for _, size in places) >> 20
    for path, size in places:
        if path in sides:
            continue
        scanner.begin(path, total)
        if path in ledgers:
            scanner.ledger(path, size)
        else:
            scanner.file(path)
    return scanner.scan


@contextlib.contextmanager
def watching(what: str) -> Iterator[Watch]:
    """Give what tells on stderr every few seconds how far *what* has come; it is silent for what is done in a moment."""
    next_time = time.monotonic() + _SECONDS_BETWEEN

    def watch(done: int, total: int) -> None:
        nonlocal next_time
        if time.monotonic() >= next_time:
            render.err(f"{what}: {done} of {total} MiB")
            next_time = time.monotonic() + _SECONDS_BETWEEN

    yield watch


def _is_ledger(path: Path) -> bool:
    try:
        LedgerReader(path).close()
    except DamagedLedgerError:
        return True
    except LedgerError:
        return False
    return True


class _Scanner:
    def __init__(self, folder: Path, search: SecretSearch, redact: Callable[[str], str], watch: Watch) -> None:
        self.scan = Scan()
        self._folder = folder
        self._search = search
        self._redact = redact
        self._watch = watch
        self._name = ""
        self._total = 0

    def files(self) -> Iterator[tuple[Path, int]]:
        """Yield each regular file with its size; links are not followed."""
        for place, folders, names in os.walk(self._folder, onerror=self._not_read):
            folders.sort()
            for name in sorted(names):
                path = Path(place, name)
                try:
                    status = path.lstat()
                except OSError as error:
                    self._not_read(error)
                    continue
                if stat.S_ISREG(status.st_mode):
                    yield path, status.st_size

    def begin(self, path: Path, total: int) -> None:
        """Turn to a file, and look through its name."""
        self.scan.files += 1
        self._total = total
        self._name = self._shown(path)
        for _, secret in self._search.places([os.fsencode(path.relative_to(self._folder))]):
            self.scan.add(Finding(secret, self._name, None, None, None))

    def file(self, path: Path) -> None:
        """Look through a file as bytes."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb", buffering=0) as opened:
                pieces = iter(lambda: self._counted(opened.read(_PIECE_BYTES)), b"")
                for offset, secret in self._search.places(pieces):
                    self.scan.add(Finding(secret, self._name, None, None, offset))
        except OSError as error:
            self._not_read(error)

    def ledger(self, path: Path, size: int) -> None:
        """Look through every text and blob of a ledger; a damaged one is looked through as bytes as well."""
        try:
            with LedgerReader(path) as reader, naming_damage(path):
                reader.connection.text_factory = bytes
                # Not PRAGMA table_list: it asks for the columns of each view, and for those of a hostile one it may ask for years.
                for table, sql in [(b"sqlite_schema", b""), *sorted(reader.connection.execute(_TABLES))]:
                    if not _VIRTUAL.match(sql):
                        self._table(reader.connection, table.decode())
                reader.check_unchanged()
            self.scan.bytes += size
        except LedgerError as error:
            self.scan.unread[self._name] = str(error)
            self.file(path)

    def _table(self, connection: sqlite3.Connection, table: str) -> None:
        for row, cells in _rows(connection, table, without_rowid=not _has_rowid(connection, table)):
            self.scan.rows += 1
            for cell in cells:
                for offset, secret in self._search.places([cell]):
                    key = row if isinstance(row, int) else self._redact(row.decode("utf-8", "replace"))
                    self.scan.add(Finding(secret, self._name, self._redact(table), key, offset))
            if self.scan.rows % _ROWS_BETWEEN == 0:
                self._counted(b"")

    def _shown(self, path: Path) -> str:
        return as_utf8(self._redact(str(path.relative_to(self._folder))))

    def _not_read(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # A log that was removed meanwhile tells nobody anything.
            self.scan.unread[self._shown(Path(error.filename))] = error.strerror or str(error)

    def _counted(self, piece: bytes) -> bytes:
        self.scan.bytes += len(piece)
        self._watch(self.scan.bytes >> 20, self._total >> 20)
        return piece


def _rows(
    connection: sqlite3.Connection, table: str, *, without_rowid: bool
) -> Iterator[tuple[int | bytes, Sequence[bytes]]]:
    """
    Yield each row of *table* with what identifies it, a whole number or a text, and its texts and blobs.

    Where there are rowids, no reading stays open over more than a page of rows: a long one would keep the log of a ledger in use from being emptied.
    """
    columns = [
        (_quoted(name.decode()), place)
        for _, name, _, _, _, place in connection.execute(f"PRAGMA main.table_info({_quoted(table)})").fetchall()
    ]
    keys = [name for name, place in sorted(columns, key=lambda column: column[1]) if place]
    key = keys[0] if len(keys) == 1 else " || ' ' || ".join(f"coalesce({name}, '')" for name in keys) or "rowid"
    cells = ", ".join(
        f"CASE WHEN typeof({name}) IN ('text', 'blob') THEN CAST({name} AS BLOB) END" for name, _ in columns
    )
    rowid = "0" if without_rowid else "rowid"
    query = f"SELECT {rowid}, {key}, {cells} FROM main.{_quoted(table)}"  # noqa: S608 -- names of the schema, quoted
    if not without_rowid:
        query += f" WHERE ?1 IS NULL OR rowid > ?1 ORDER BY rowid LIMIT {_ROWS_BETWEEN}"
    last: int | None = None
    more = True
    while more:
        more = False
        for place, row, *found in connection.execute(query, () if without_rowid else (last,)):
            last, more = place, not without_rowid
            yield (
                row if isinstance(row, int | bytes) else str(row).encode(),
                [cell for cell in found if cell is not None],
            )


def _has_rowid(connection: sqlite3.Connection, table: str) -> bool:
    try:
        connection.execute(f"SELECT rowid, oid, _rowid_ FROM main.{_quoted(table)} LIMIT 0")  # noqa: S608 -- a name of the schema, quoted
    except sqlite3.OperationalError:
        return False
    return True


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
