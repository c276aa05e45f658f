"""Tests of the Merkle tree: every published vector, every small tree, and a second opinion by another author."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import proofbundle.merkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    Frontier,
    ProofError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    tree_peaks,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "merkle"
PROOFS = json.loads((VECTORS / "merkle_proofs.json").read_text(encoding="utf-8"))
REFERENCE = json.loads((VECTORS / "ct_roots.json").read_text(encoding="utf-8"))
ACCUMULATED = json.loads((VECTORS / "accumulated.json").read_text(encoding="utf-8"))["derived_plain_rfc6962"]
LARGEST = 130


def naive_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root as RFC 9162 defines it, by recursion over the list."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    left = 1 << ((len(hashes) - 1).bit_length() - 1)
    return sha256(b"\x01" + naive_root(hashes[:left]) + naive_root(hashes[left:])).digest()


def subtree_of(leaves: Sequence[bytes]) -> Callable[[int, int], bytes]:
    """Return the complete subtrees over *leaves*."""

    @functools.cache
    def subtree(level: int, position: int) -> bytes:
        if level == 0:
            return leaf_hash(leaves[position])
        return node_hash(subtree(level - 1, 2 * position), subtree(level - 1, 2 * position + 1))

    return subtree


def decoded(vector: dict[str, object]) -> dict[str, object]:
    """Return *vector* with its hashes as bytes."""
    return {
        key: base64.b64decode(value) if isinstance(value, str) and key not in ("desc", "name") else value
        for key, value in vector.items()
    } | {"proof": [base64.b64decode(item) for item in vector["proof"] or ()]}  # type: ignore[attr-defined]


SMALL = [bytes([number]) for number in range(LARGEST)]
SUBTREE = subtree_of(SMALL)


class TestHashes:
    """Leaves, nodes and roots."""

    @given(st.binary())
    def test_leaf_is_of_a_zero_byte_and_the_body(self, body: bytes) -> None:
        """Given any body, then SHA-256 of a zero byte and the body."""
        assert sha256(b"\x00" + body).digest() == leaf_hash(body)
        assert len(leaf_hash(body)) == HASH_BYTES

    @pytest.mark.parametrize("size", range(9))
    def test_reference_roots(self, size: int) -> None:
        """Given the reference leaves of Certificate Transparency, then their published roots, in one step and leaf by leaf."""
        leaves = [bytes.fromhex(item) for item in REFERENCE["leaf_inputs_hex"]][:size]
        frontier = Frontier()
        for leaf in leaves:
            frontier.add(leaf_hash(leaf))
        assert tree_root(size, subtree_of(leaves)).hex() == REFERENCE["roots_hex_by_size"][size]
        assert frontier.root().hex() == REFERENCE["roots_hex_by_size"][size]

    def test_accumulated_roots(self) -> None:
        """Given all trees of up to 130 leaves, then the digest over their roots is the published one."""
        frontier = Frontier()
        lines = []
        for size in range(LARGEST + 1):
            assert frontier.root() == tree_root(size, SUBTREE)
            lines.append(f"{size} {tree_root(size, SUBTREE).hex()}\n")
            if size < LARGEST:
                frontier.add(leaf_hash(SMALL[size]))
        assert sha256("".join(lines).encode()).hexdigest() == ACCUMULATED["roots"]

    @given(st.lists(st.binary(max_size=4), max_size=70))
    def test_frontier_is_the_naive_root(self, leaves: list[bytes]) -> None:
        """Given any leaves, then adding them one by one gives the root of the definition."""
        frontier = Frontier()
        for leaf in leaves:
            frontier.add(leaf_hash(leaf))
        assert frontier.root() == naive_root([leaf_hash(leaf) for leaf in leaves])
        assert frontier.size == len(leaves)

    @pytest.mark.parametrize("start", [0, 1, 2, 3, 7, 64, 100, 129])
    def test_frontier_that_begins_later(self, start: int) -> None:
        """Given the subtrees of the first leaves, then the leaves from there on lead to the root."""
        frontier = Frontier(start, tree_peaks(start, SUBTREE))
        for place in range(start, LARGEST):
            frontier.add(SUBTREE(0, place))
        assert frontier.root() == tree_root(LARGEST, SUBTREE)


class TestInclusion:
    """A leaf stands in a tree."""

    @pytest.mark.parametrize("vector", PROOFS["inclusion"], ids=lambda vector: vector["name"])
    def test_published_vector(self, vector: dict[str, object]) -> None:
        """Given a published proof, then it is taken or refused as published."""
        value = decoded(vector)
        arguments = (value["leafIdx"], value["treeSize"], value["leafHash"], value["proof"], value["root"])
        if value["wantErr"]:
            with pytest.raises(ProofError):
                verify_inclusion(*arguments)  # type: ignore[arg-type]
        else:
            verify_inclusion(*arguments)  # type: ignore[arg-type]

    def test_every_small_tree(self) -> None:
        """Given all leaves of all trees up to 130, then their proofs have the published digest, hold, and another implementation agrees."""
        lines = []
        for size in range(LARGEST + 1):
            root = tree_root(size, SUBTREE)
            for index in range(size):
                proof = inclusion_proof(index, size, SUBTREE)
                verify_inclusion(index, size, leaf_hash(SMALL[index]), proof, root)
                assert proofbundle.merkle.verify_inclusion(SMALL[index], index, size, proof, root)
                lines.append(f"{index} {size}" + "".join(f" {item.hex()}" for item in proof) + "\n")
        assert sha256("".join(lines).encode()).hexdigest() == ACCUMULATED["inclusion"]
        assert len(lines) == ACCUMULATED["count_each"]

    @pytest.mark.parametrize("size", range(1, 34))
    def test_every_changed_hash_is_refused(self, size: int) -> None:
        """Given a proof, when a hash in it is changed, left out or added, then it is refused."""
        root = tree_root(size, SUBTREE)
        for index in range(size):
            leaf, proof = leaf_hash(SMALL[index]), inclusion_proof(index, size, SUBTREE)
            for place in range(len(proof)):
                changed = bytes([proof[place][0] ^ 1]) + proof[place][1:]
                for wrong in ([*proof[:place], changed, *proof[place + 1 :]], [*proof[:place], *proof[place + 1 :]]):
                    with pytest.raises(ProofError):
                        verify_inclusion(index, size, leaf, wrong, root)
            with pytest.raises(ProofError, match="too long"):
                verify_inclusion(index, size, leaf, [*proof, root], root)

    @pytest.mark.parametrize("which", ["leaf", "root", "hash"])
    def test_short_hash_is_refused(self, which: str) -> None:
        """Given a hash that has not 32 bytes, then the proof is refused, even where everything would fit."""
        root = node_hash(b"a" * 32, b"b" * 32)
        arguments = {"leaf": b"a" * 32, "root": root, "hash": b"b" * 32}
        verify_inclusion(0, 2, arguments["leaf"], [arguments["hash"]], arguments["root"])
        arguments[which] = arguments[which][:31]
        with pytest.raises(ProofError, match="has 31 bytes, not 32"):
            verify_inclusion(0, 2, arguments["leaf"], [arguments["hash"]], arguments["root"])

    @pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3), (7, 3)])
    def test_no_such_leaf(self, index: int, size: int) -> None:
        """Given a place that the tree has not, then there is no proof."""
        with pytest.raises(ProofError):
            inclusion_proof(index, size, SUBTREE)


class TestConsistency:
    """A tree is the beginning of another."""

    @pytest.mark.parametrize("vector", PROOFS["consistency"], ids=lambda vector: vector["name"])
    def test_published_vector(self, vector: dict[str, object]) -> None:
        """Given a published proof, then it is taken or refused as published."""
        value = decoded(vector)
        arguments = (value["size1"], value["size2"], value["proof"], value["root1"], value["root2"])
        if value["wantErr"]:
            with pytest.raises(ProofError):
                verify_consistency(*arguments)  # type: ignore[arg-type]
        else:
            verify_consistency(*arguments)  # type: ignore[arg-type]

    def test_every_small_tree(self) -> None:
        """Given all pairs of trees up to 130, then their proofs have the published digest, hold, and another implementation agrees."""
        lines = []
        roots = [tree_root(size, SUBTREE) for size in range(LARGEST + 1)]
        for size2 in range(LARGEST + 1):
            for size1 in range(1, size2 + 1):
                proof = consistency_proof(size1, size2, SUBTREE)
                verify_consistency(size1, size2, proof, roots[size1], roots[size2])
                assert proofbundle.merkle.verify_consistency(size1, size2, proof, roots[size1], roots[size2])
                lines.append(f"{size1} {size2}" + "".join(f" {item.hex()}" for item in proof) + "\n")
        assert sha256("".join(lines).encode()).hexdigest() == ACCUMULATED["consistency"]
        assert len(lines) == ACCUMULATED["count_each"]

    @pytest.mark.parametrize("size2", range(2, 34))
    def test_every_change_is_refused(self, size2: int) -> None:
        """Given a proof, when a hash or a root in it is changed, left out or added, then it is refused."""
        new = tree_root(size2, SUBTREE)
        for size1 in range(1, size2):
            old, proof = tree_root(size1, SUBTREE), consistency_proof(size1, size2, SUBTREE)
            for place in range(len(proof)):
                changed = bytes([proof[place][0] ^ 1]) + proof[place][1:]
                for wrong in ([*proof[:place], changed, *proof[place + 1 :]], [*proof[:place], *proof[place + 1 :]]):
                    with pytest.raises(ProofError):
                        verify_consistency(size1, size2, wrong, old, new)
            for roots in ((new, new), (old, old)):
                with pytest.raises(ProofError):
                    verify_consistency(size1, size2, proof, *roots)
            with pytest.raises(ProofError, match="too long"):
                verify_consistency(size1, size2, [*proof, new], old, new)

    @pytest.mark.parametrize(("size1", "size2"), [(0, 3), (4, 3), (-1, 3)])
    def test_no_beginning(self, size1: int, size2: int) -> None:
        """Given sizes of which the first is no beginning of the second, then nothing is proved."""
        with pytest.raises(ProofError):
            consistency_proof(size1, size2, SUBTREE)
        with pytest.raises(ProofError):
            verify_consistency(size1, size2, [], EMPTY_ROOT, tree_root(3, SUBTREE))
