"""Tests of the Merkle tree's hashes, against published ones."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.merkle import HASH_BYTES, leaf_hash


class TestLeafHash:
    """The hash of one event."""

    @pytest.mark.parametrize(
        ("leaf", "digest"),
        [
            ("", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            ("00", "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"),
        ],
    )
    def test_certificate_transparency_leaf(self, leaf: str, digest: str) -> None:
        """Given a reference leaf of Certificate Transparency, then its published hash."""
        assert digest == leaf_hash(bytes.fromhex(leaf)).hex()

    @given(st.binary())
    def test_is_of_a_zero_byte_and_the_body(self, body: bytes) -> None:
        """Given any body, then SHA-256 of a zero byte and the body."""
        assert sha256(b"\x00" + body).digest() == leaf_hash(body)
        assert len(leaf_hash(body)) == HASH_BYTES
