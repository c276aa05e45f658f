"""
The Merkle tree over the events (RFC 9162, section 2.1), from the side that proves; pure.

Everything is made from hashes of complete subtrees, which never change once they are complete: `subtree(level, position)` is the root over
the leaves from `position << level` on, `1 << level` of them. The other side, which verifies, stands in `ledger.verifier`, alone and in one file.
"""

from __future__ import annotations

from collections.abc import Callable

from ledger.errors import ProofError
from ledger.verifier import (
    EMPTY_ROOT,
    HASH_BYTES,
    Frontier,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

__all__ = [
    "EMPTY_ROOT",
    "HASH_BYTES",
    "Frontier",
    "ProofError",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "tree_peaks",
    "tree_root",
    "verify_consistency",
    "verify_inclusion",
]

Subtree = Callable[[int, int], bytes]


def tree_root(size: int, subtree: Subtree) -> bytes:
    """Return the root over the first *size* leaves; asks for one subtree for each bit of *size*."""
    return _range_root(0, size, subtree) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """
    Return the hashes that lead from the leaf at *index* to the root over *size* leaves, the leaf's sibling first.

    Raises:
        ProofError: There is no such leaf.
    """
    if not 0 <= index < size:
        raise ProofError(f"there is no event {index} in the first {size}")
    proof: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _left_leaves(end - begin)
        if index < middle:
            proof.append(_range_root(middle, end, subtree))
            end = middle
        else:
            proof.append(_range_root(begin, middle, subtree))
            begin = middle
    return proof[::-1]


def consistency_proof(size1: int, size2: int, subtree: Subtree) -> list[bytes]:
    """
    Return the hashes that show the first *size1* leaves to be the beginning of the first *size2*.

    Raises:
        ProofError: *size1* is 0 or larger than *size2*.
    """
    if not 0 < size1 <= size2:
        raise ProofError(f"a tree of {size1} leaves cannot be shown to be the beginning of one of {size2}")
    proof: list[bytes] = []
    begin, end = 0, size2
    whole = True  # The part that is looked at is the whole old tree: the verifier knows its root.
    while end != size1:
        middle = begin + _left_leaves(end - begin)
        if size1 <= middle:
            proof.append(_range_root(middle, end, subtree))
            end = middle
        else:
            proof.append(_range_root(begin, middle, subtree))
            begin, whole = middle, False
    if not whole:
        proof.append(_range_root(begin, end, subtree))
    return proof[::-1]


def tree_peaks(size: int, subtree: Subtree) -> list[bytes]:
    """Return the roots of the complete subtrees that the first *size* leaves consist of, the largest first: what `Frontier` begins with."""
    levels = [level for level in reversed(range(size.bit_length())) if size >> level & 1]
    return [subtree(level, (size >> level) - 1) for level in levels]


def _left_leaves(count: int) -> int:
    """Return how many of *count* leaves stand in the left subtree: the largest power of two below *count*."""
    return 1 << ((count - 1).bit_length() - 1)


def _range_root(begin: int, end: int, subtree: Subtree) -> bytes:
    """Return the root over the leaves from *begin* to *end*, which is a node of a tree, from complete subtrees."""
    level = (end - begin).bit_length() - 1
    left = begin + (1 << level)
    found = subtree(level, begin >> level)
    return found if left == end else node_hash(found, _range_root(left, end, subtree))
