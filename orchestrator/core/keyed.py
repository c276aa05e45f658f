"""
Keyed digests of secrets: what stands for the value of a secret in a step's key where a new value is to run the step again.

Without its key a digest says nothing of the value, however short that is; with it nobody can go back either, but a guess can be tried.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

PREFIX = "keyed:"
NO_KEY = f"{PREFIX}none"
"""What stands where no key has been made yet: no digest equals it."""


def keyed_digest(key: bytes, name: str, value: str) -> str:
    """Return what stands for the *value* of the secret *name*: the id of *key* and the digest; equal values of two names have two."""
    text = b"\0".join((name.encode(), value.encode("utf-8", "surrogateescape")))
    return f"{PREFIX}{key_id(key)}:{hmac.new(key, text, sha256).hexdigest()}"


def key_id(key: bytes) -> str:
    """Return by which name *key* is known in digests that are made with it."""
    return hmac.new(key, b"id", sha256).hexdigest()[:8]
