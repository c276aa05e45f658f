"""
Files beside a ledger that its events name with length and digest, such as logs: compared with what the events say of them.

They are read after the events, when nothing of the ledger is held any more, a block at a time; which they are stands in a temporary table until then, so
that memory is bounded. No link is followed below the folder that a path begins with.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from ledger.audit.findings import Findings
from ledger.events import RecordedEvent
from ledger.reader import odd_kind

_BLOCK_BYTES = 1 << 20
_NAMED = "CREATE TEMP TABLE named_files (seq INTEGER, path TEXT, bytes INTEGER, sha256 TEXT, what TEXT)"
_PRUNED = "CREATE TEMP TABLE pruned_files (path TEXT PRIMARY KEY) WITHOUT ROWID"
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class NamedFile(NamedTuple):
    """
    Hold a file as the event *seq* names it.

    Attributes:
        path: Relative to the ledger's folder.
        what: What it is, in words.
    """

    seq: int
    path: str
    bytes: int
    sha256: str
    what: str


FileNames = Callable[[RecordedEvent], Iterable[NamedFile]]


class FilesSeen(NamedTuple):
    """
    Hold what became of the files that events name.

    Attributes:
        same: How many are as they were recorded.
        changed: How many are not; each of them is a finding.
        pruned: How many are not there, as an event says.
        missing: How many are not there, and no event says so; each of them is a finding.
        elsewhere: How many are not there, nor is the folder that all of them are in: this is a copy of the ledger alone.
        unread: How many this user or machine could not read.
        bytes: How many bytes were read.
    """

    same: int = 0
    changed: int = 0
    pruned: int = 0
    missing: int = 0
    elsewhere: int = 0
    unread: int = 0
    bytes: int = 0

    @property
    def named(self) -> int:
        """How many files events name."""
        return sum(self) - self.bytes


class NamedFiles:
    """Collect the files that events name, and look at them in the end."""

    def __init__(self, connection: sqlite3.Connection, names: FileNames) -> None:
        self._connection = connection
        self._names = names
        connection.execute(_NAMED)
        connection.execute(_PRUNED)

    def prune(self, paths: Iterable[str]) -> None:
        """Take note that an event says of *paths* that what is there is removed."""
        self._connection.executemany("INSERT OR IGNORE INTO temp.pruned_files VALUES (?)", ((path,) for path in paths))

    def take(self, events: Sequence[RecordedEvent]) -> None:
        """Take what the next *events* name."""
        self._connection.executemany(
            "INSERT INTO temp.named_files VALUES (?, ?, ?, ?, ?)",
            [named for event in events for named in self._names(event)],
        )

    def look(self, folder: Path, findings: Findings, watch: Callable[[int, int], None]) -> FilesSeen:
        """Compare each file below *folder* with what was said of it; *watch* is told how many bytes are done, and of how many."""
        (total,) = self._connection.execute("SELECT coalesce(sum(bytes), 0) FROM temp.named_files").fetchone()
        counts = dict.fromkeys(FilesSeen._fields[:-1], 0)
        read = passed = 0
        rows = self._connection.execute(
            "SELECT seq, path, bytes, sha256, what, path IN (SELECT path FROM temp.pruned_files) FROM temp.named_files ORDER BY rowid"
        )
        for *fields, is_pruned in rows:
            named = NamedFile._make(fields)
            found, size = compared(folder, named, lambda done, before=passed: watch(before + done, total))  # type: ignore[misc]
            read, passed = read + size, passed + named.bytes
            if found == "missing":
                found = _why_missing(folder, named, is_pruned=is_pruned)
            if found in counts:
                counts[found] += 1
                if found == "missing":
                    what = f"{named.what}: {named.path} is not there, and no event says that it was pruned"
                    findings.add("missing_file", what, seq=named.seq)
                continue
            counts["changed"] += 1
            expected = f"expected {named.bytes} bytes with the SHA-256 {named.sha256}"
            findings.add("changed_file", f"{named.what}: {named.path} {found}, {expected}", seq=named.seq)
        watch(total, total)
        return FilesSeen(**counts, bytes=read)


def _why_missing(folder: Path, named: NamedFile, *, is_pruned: bool) -> str:
    if is_pruned:
        return "pruned"
    return "missing" if (folder / named.path.split("/")[0]).exists() else "elsewhere"


def compared(folder: Path, named: NamedFile, watch: Callable[[int], None] = lambda _: None) -> tuple[str, int]:
    """Return `same`, `missing`, `unread`, or what is found instead of *named* below *folder*, and how many bytes were read."""
    parts = named.path.split("/")
    if len(parts) < 2 or not {"", ".", ".."}.isdisjoint(parts) or "\0" in named.path:  # noqa: PLR2004 - a folder and a name
        return "is no path below the ledger's folder", 0
    try:
        descriptor = _opened(folder, parts)
    except FileNotFoundError:
        return "missing", 0
    except _LinkError as error:
        return f"is behind {error}", 0
    except OSError:
        return "unread", 0
    digest, done = sha256(), 0
    try:
        status = os.fstat(descriptor)
        kind = odd_kind(status.st_mode)
        if kind is not None:
            return f"is {kind}", 0
        if status.st_size != named.bytes:
            return f"has {status.st_size} bytes", 0
        # One that grows meanwhile is not read for ever.
        while done <= named.bytes and (block := os.read(descriptor, _BLOCK_BYTES)):
            digest.update(block)
            done += len(block)
            watch(done)
    except OSError:
        return "unread", done
    finally:
        os.close(descriptor)
    return ("same" if digest.hexdigest() == named.sha256 else f"has the SHA-256 {digest.hexdigest()}"), done


class _LinkError(Exception):
    pass


def _opened(folder: Path, parts: Sequence[str]) -> int:
    """Open the file at *parts* below *folder*; the first of them may be a link of the operator's, to another disk."""
    descriptor = os.open(folder / parts[0], _FLAGS | os.O_DIRECTORY)
    for name, is_last in _with_last(parts[1:]):
        try:
            mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                raise _LinkError(f"the link {name}")
            deeper = os.open(name, _FLAGS | os.O_NOFOLLOW | (0 if is_last else os.O_DIRECTORY), dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = deeper
    return descriptor


def _with_last(parts: Sequence[str]) -> Iterator[tuple[str, bool]]:
    return ((name, number == len(parts)) for number, name in enumerate(parts, start=1))
