"""The Merkle tree over all events of a ledger, made in one pass, and the table of subtrees that the ledger keeps held against it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from ledger.audit.findings import Findings, is_of_the_machine
from ledger.verifier import EMPTY_ROOT

_FANOUT = 256
_LEVELS_APART = 8


class Tree:
    """
    Take the leaf hashes of all events and give roots: over all of them, and over as many as *sizes* say.

    Args:
        kept: Told the root over each complete subtree of 256, 65 536, … leaves: level, position, root.
    """

    def __init__(self, sizes: Iterable[int], kept: Callable[[int, int, bytes], None]) -> None:
        self.size = 0
        self.roots: dict[int, bytes] = {}
        self._wanted = sorted(set(sizes), reverse=True)
        self._kept = kept
        self._pending: list[list[bytes]] = [[]]

    def take(self, leaves: Sequence[bytes]) -> None:
        """Take the next leaves."""
        begin = 0
        while begin < len(leaves):
            self.close()
            room = _FANOUT - len(self._pending[0])
            if self._wanted:
                room = min(room, self._wanted[-1] - self.size)
            part = leaves[begin : begin + room]
            self._pending[0] += part
            self.size += len(part)
            begin += len(part)
            self._fold(0)

    def root(self) -> bytes:
        """Return the root over what was taken; asks for a hash for each of its complete subtrees."""
        peaks = [peak for pending in reversed(self._pending) for peak in _peaks(pending)]
        if not peaks:
            return EMPTY_ROOT
        root = peaks.pop()
        for peak in reversed(peaks):
            root = sha256(b"\x01" + peak + root).digest()
        return root

    def close(self) -> None:
        """Note the root over all that was taken, if it is wanted; sizes beyond that have none."""
        while self._wanted and self._wanted[-1] <= self.size:
            self.roots[self._wanted.pop()] = self.root()

    def _fold(self, step: int) -> None:
        if len(self._pending[step]) < _FANOUT:
            return
        (root,) = _peaks(self._pending[step])
        self._pending[step] = []
        if step + 1 == len(self._pending):
            self._pending.append([])
        level = (step + 1) * _LEVELS_APART
        self._pending[step + 1].append(root)
        self._kept(level, (self.size >> level) - 1, root)
        self._fold(step + 1)


class StoredTree:
    """Compare the table `tree` with the roots that the texts give."""

    def __init__(self, connection: sqlite3.Connection, findings: Findings) -> None:
        self._connection = connection
        self._findings = findings
        self._found: dict[int, int] = {}
        self._is_readable = True

    def compare(self, level: int, position: int, root: bytes) -> None:
        """Compare one stored root; a checkpoint may not have kept it yet."""
        row = self._stored(level, position)
        if row is None:
            return
        self._found[level] = self._found.get(level, 0) + 1
        if row[0] != root:
            first, last = position << level, ((position + 1) << level) - 1
            what = f"the stored root over the events {first} to {last} is not theirs"
            self._findings.add("wrong_tree", what, seq=first)

    def _stored(self, level: int, position: int) -> tuple[bytes] | None:
        if not self._is_readable:
            return None
        try:
            return self._looked_up(level, position)
        except sqlite3.Error as error:
            if is_of_the_machine(error):
                raise
            self._is_readable = False
            self._findings.add("unreadable", f"the table tree: {error}", level=1)
            return None

    def _looked_up(self, level: int, position: int) -> tuple[bytes] | None:
        row: tuple[bytes] | None = self._connection.execute(
            "SELECT hash FROM main.tree WHERE level = ? AND position = ?", (level, position)
        ).fetchone()
        return row

    def close(self) -> None:
        """Find rows that do not belong, and holes."""
        for level, count, last in self._connection.execute(
            "SELECT level, count(*), max(position) FROM main.tree GROUP BY level"
        ):
            if count != self._found.get(level, 0) or last != count - 1:
                self._findings.add("wrong_tree", f"the roots of level {level} have holes, or are of no events")


def _peaks(nodes: Sequence[bytes]) -> list[bytes]:
    """Return the roots of the complete subtrees over *nodes* of one level, the largest first."""
    found = []
    begin = 0
    for bit in reversed(range(len(nodes).bit_length())):
        count = 1 << bit
        if len(nodes) & count:
            level = nodes[begin : begin + count]
            while len(level) > 1:
                pairs = iter(level)
                level = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
            found.append(level[0])
            begin += count
    return found
