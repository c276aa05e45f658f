"""Tests of the tree over a ledger file, and of its cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.errors import ProofError
from ledger.merkle import verify_consistency, verify_inclusion
from ledger.tree import consistency, extend_tree, inclusion, ledger_size, tree_root
from tests.ledger.sealed import filled, leaves
from tests.ledger.test_merkle import naive_root

SIZES = (1, 2, 255, 256, 257, 511, 512, 700)


class TestRoots:
    """The root over any number of the first events."""

    @pytest.mark.parametrize("cached", [False, True], ids=["without the cache", "with the cache"])
    def test_root_of_every_past_size(self, tmp_path: Path, *, cached: bool) -> None:
        """Given a ledger, then its roots are those of the definition, whether subtrees are kept or not."""
        with filled(tmp_path / "ledger.db", 700) as ledger:
            if cached:
                with ledger.transaction() as connection:
                    extend_tree(connection, 700)
            hashes = leaves(ledger)
            assert ledger_size(ledger.connection) == 700
            for size in SIZES:
                assert tree_root(ledger.connection, size) == naive_root(hashes[:size])

    def test_cache_grows_with_the_ledger(self, tmp_path: Path) -> None:
        """Given checkpoints at several sizes, then each complete subtree of 256 is kept once, and the root says the same."""
        with filled(tmp_path / "ledger.db", 700) as ledger:
            for size in (100, 256, 600, 700):
                with ledger.transaction() as connection:
                    extend_tree(connection, size)
            rows = ledger.connection.execute("SELECT level, position, hash FROM tree").fetchall()
            hashes = leaves(ledger)
            assert rows == [(8, number, naive_root(hashes[256 * number : 256 * number + 256])) for number in (0, 1)]

    def test_cache_is_used(self, tmp_path: Path) -> None:
        """Given a kept subtree that is wrong, then the root is wrong: it is not made from the leaves."""
        with filled(tmp_path / "ledger.db", 300) as ledger:
            right = tree_root(ledger.connection, 300)
            ledger.connection.execute("INSERT INTO tree VALUES (8, 0, zeroblob(32))")
            assert tree_root(ledger.connection, 300) != right

    def test_second_level(self, tmp_path: Path) -> None:
        """Given more than 65,536 events, then subtrees over 256 kept ones are kept as well."""
        with filled(tmp_path / "ledger.db", 66_000) as ledger:
            bare = tree_root(ledger.connection, 66_000)
            with ledger.transaction() as connection:
                extend_tree(connection, 66_000)
            assert ledger.connection.execute("SELECT level, count(*) FROM tree GROUP BY level").fetchall() == [
                (8, 257),
                (16, 1),
            ]
            assert tree_root(ledger.connection, 66_000) == bare

    def test_ledger_without_a_cache(self, tmp_path: Path) -> None:
        """Given a ledger of the first format, then there is no table to look into, and the root is the same."""
        with filled(tmp_path / "ledger.db", 300) as ledger:
            right = tree_root(ledger.connection, 300)
            ledger.connection.execute("DROP TABLE tree")
            assert tree_root(ledger.connection, 300) == right

    def test_fewer_events_than_asked_for(self, tmp_path: Path) -> None:
        """Given a ledger of 10 events, then there is no root over 11."""
        with filled(tmp_path / "ledger.db", 10) as ledger, pytest.raises(ProofError, match="has 0"):
            tree_root(ledger.connection, 11)


class TestProofs:
    """Proofs for the present size and past ones."""

    def test_proofs_of_every_size_hold(self, tmp_path: Path) -> None:
        """Given sizes at, before and after the borders of subtrees, then each proof leads to the root."""
        with filled(tmp_path / "ledger.db", 700) as ledger:
            connection, hashes = ledger.connection, leaves(ledger)
            for size in SIZES:
                root = tree_root(connection, size)
                for index in {0, size // 2, size - 1}:
                    verify_inclusion(index, size, hashes[index], inclusion(connection, index, size), root)
                for former in (item for item in SIZES if item <= size):
                    proof = consistency(connection, former, size)
                    verify_consistency(former, size, proof, tree_root(connection, former), root)

    def test_no_such_event(self, tmp_path: Path) -> None:
        """Given a ledger of 5 events, then nothing is proved about a sixth."""
        with filled(tmp_path / "ledger.db", 5) as ledger:
            for index, size in ((5, 5), (2, 6)):
                with pytest.raises(ProofError):
                    inclusion(ledger.connection, index, size)
            with pytest.raises(ProofError):
                consistency(ledger.connection, 5, 6)
