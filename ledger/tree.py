"""
The Merkle tree over the events of a ledger file: roots and proofs for its present size and every past one.

Leaf hashes stand beside the events. Roots over 256 leaves, over 256 of those, and so on are kept in the table `tree` once a checkpoint
covers them, so that a root costs a few hundred hashes however long the history is. The table is a cache of what the leaf hashes say; nothing
rests on it but speed, and `audit verify` compares it with the events.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable

from ledger.errors import ProofError
from ledger.merkle import consistency_proof, inclusion_proof, node_hash
from ledger.merkle import tree_root as root_over

_LEVELS_APART = 8
_MEMORY_SUBTREES = 4096


def ledger_size(connection: sqlite3.Connection) -> int:
    """Return how many events there are."""
    row: tuple[int] = connection.execute("SELECT coalesce(max(seq) + 1, 0) FROM events").fetchone()
    return row[0]


def tree_root(connection: sqlite3.Connection, size: int) -> bytes:
    """
    Return the root over the first *size* events.

    Raises:
        ProofError: There are fewer.
    """
    return root_over(size, subtrees(connection))


def inclusion(connection: sqlite3.Connection, index: int, size: int) -> list[bytes]:
    """
    Return the proof that the event *index* stands in the tree of *size* events.

    Raises:
        ProofError: There is no such event in it, or there are fewer events.
    """
    return inclusion_proof(index, size, subtrees(connection))


def consistency(connection: sqlite3.Connection, size1: int, size2: int) -> list[bytes]:
    """
    Return the proof that the first *size1* events are the beginning of the first *size2*.

    Raises:
        ProofError: They are none or more, or there are fewer events than *size2*.
    """
    return consistency_proof(size1, size2, subtrees(connection))


def extend_tree(connection: sqlite3.Connection, size: int) -> None:
    """Keep the root of each complete subtree over the first *size* events that is not kept yet, within the caller's transaction."""
    subtree = subtrees(connection)
    level = _LEVELS_APART
    while size >> level:
        (known,) = connection.execute(
            "SELECT coalesce(max(position) + 1, 0) FROM tree WHERE level = ?", (level,)
        ).fetchone()
        rows = [(level, position, subtree(level, position)) for position in range(known, size >> level)]
        connection.executemany("INSERT INTO tree VALUES (?, ?, ?)", rows)
        level += _LEVELS_APART


def subtrees(connection: sqlite3.Connection) -> Callable[[int, int], bytes]:
    """Return what `ledger.merkle` asks for hashes; it remembers some, for many proofs in one transaction."""
    has_cache = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'tree'").fetchone() is not None

    @functools.lru_cache(_MEMORY_SUBTREES)
    def subtree(level: int, position: int) -> bytes:
        if level and level % _LEVELS_APART == 0 and has_cache:
            row: tuple[bytes] | None = connection.execute(
                "SELECT hash FROM tree WHERE level = ? AND position = ?", (level, position)
            ).fetchone()
            if row is not None:
                return row[0]
        if level <= _LEVELS_APART:
            return _root_of_leaves(connection, position << level, 1 << level)
        return node_hash(subtree(level - 1, 2 * position), subtree(level - 1, 2 * position + 1))

    return subtree


def _root_of_leaves(connection: sqlite3.Connection, first: int, count: int) -> bytes:
    """Return the root over *count* events from *first* on, a power of two of them."""
    rows = connection.execute(
        "SELECT leaf_hash FROM events WHERE seq >= ? AND seq < ? ORDER BY seq", (first, first + count)
    )
    hashes: list[bytes] = [leaf for (leaf,) in rows]
    if len(hashes) != count:
        raise ProofError(f"of the events {first} to {first + count - 1} the ledger has {len(hashes)}")
    while len(hashes) > 1:
        hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]
