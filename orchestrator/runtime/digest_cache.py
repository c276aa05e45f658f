"""
A cache of file digests, keyed by what the file system says of a file; it only saves hashing the same bytes again.

An entry is trusted while size, inode, modification and change time are all as they were. A file that changed within the
last second before it was hashed is not entered, since a second change in the same tick of the file system's clock would not
show. The cache is no evidence: it may be deleted at any time, and whatever goes wrong with it only costs time.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from hashlib import sha256
from pathlib import Path

from ledger.folders import make_private

_RACY_NS = 1_000_000_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode INTEGER, digest TEXT
) WITHOUT ROWID
"""


class DigestCache:
    """Remember digests in the SQLite file at *path*, or nowhere where *path* is None."""

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self._connection = _open(path, read_only=read_only) if path is not None else None
        self._read_only = read_only
        self._new: dict[str, tuple[bytes, int, int, int, int, str]] = {}

    def get(self, path: str, stat: os.stat_result) -> str | None:
        """Return the digest of the file at *path* if *stat* is what it was when that digest was taken."""
        row = self._new.get(path) or self._select(path)
        if row is None or row[1:5] != (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino):
            return None
        return row[5]

    def put(self, path: str, stat: os.stat_result, digest: str) -> None:
        """Remember *digest* of the file at *path*, unless it changed too recently to be told from a later change."""
        if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _RACY_NS:
            self._new[path] = (_key(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, digest)

    def close(self) -> None:
        """Write down what is new and let go of the file; never raises."""
        if self._connection is None:
            return
        with contextlib.suppress(sqlite3.Error):
            if self._new and not self._read_only:
                with self._connection:
                    self._connection.executemany(
                        "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", self._new.values()
                    )
        self._connection.close()
        self._connection = None

    def _select(self, path: str) -> tuple[bytes, int, int, int, int, str] | None:
        if self._connection is None:
            return None
        try:
            row: tuple[bytes, int, int, int, int, str] | None = self._connection.execute(
                "SELECT path, size, mtime_ns, ctime_ns, inode, digest FROM files WHERE path = ?", (_key(path),)
            ).fetchone()
        except sqlite3.Error:
            return None
        return row


def _key(path: str) -> bytes:
    """Return what stands for *path*: the name of a file need not be text, and may hold a secret."""
    return sha256(os.fsencode(path)).digest()


def _open(path: Path, *, read_only: bool) -> sqlite3.Connection | None:
    connection = None
    try:
        if read_only:
            return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) if path.is_file() else None
        make_private(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, timeout=2)
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(_SCHEMA)
    except (OSError, sqlite3.Error):
        if connection is not None:
            connection.close()
        return None
    return connection
