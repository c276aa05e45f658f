"""Hashes of the Merkle tree over the events (RFC 9162, section 2.1.1); pure."""

from __future__ import annotations

from hashlib import sha256

HASH_BYTES = 32


def leaf_hash(body: bytes) -> bytes:
    """Return the hash of the leaf *body*: SHA-256 of a zero byte and the body, so that no node can pass for a leaf."""
    return sha256(b"\x00" + body).digest()
