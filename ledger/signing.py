"""
Ed25519 keys that sign notes, and the text forms in which they are kept (C2SP signed-note v1.0.0).

`cryptography` is loaded when a key is made or used, and not before; without it nothing can be signed, and everything else works.
"""

from __future__ import annotations

import base64
import os
from types import ModuleType

import attrs

from ledger.errors import KeyFileError, MissingExtraError, ProofError
from ledger.verifier import COSIGNATURE, HASH_BYTES, SIGNATURE, VerifierKey, cosigned_message

_PREFIX = "PRIVATE+KEY+"


@attrs.frozen
class SigningKey:
    """
    Hold a private key.

    Attributes:
        name: Under which its signatures stand; the origin of the ledger for the key of its operator.
        kind: `SIGNATURE` for the key of a log, `COSIGNATURE` for that of a witness.
        seed: The 32 secret bytes (RFC 8032).
    """

    name: str
    kind: int
    seed: bytes = attrs.field(repr=False)

    @classmethod
    def generate(cls, name: str, kind: int = SIGNATURE) -> SigningKey:
        """
        Make a new key from the system's randomness.

        Raises:
            MissingExtraError: `cryptography` is not installed.
        """
        _ed25519()
        return cls(name, kind, os.urandom(HASH_BYTES))

    @classmethod
    def parse(cls, text: str, place: str) -> SigningKey:
        """
        Read a key from the one line in which `text` gives it.

        Args:
            place: Where the line was found, for the error.

        Raises:
            KeyFileError: It is no key, or its id is another key's.
            MissingExtraError: `cryptography` is not installed.
        """
        name, _, rest = text.strip().removeprefix(_PREFIX).partition("+")
        shown_id, _, encoded = rest.partition("+")
        try:
            data = base64.b64decode(encoded, validate=True)
        except ValueError:
            data = b""
        if not text.startswith(_PREFIX) or len(data) != 1 + HASH_BYTES or data[0] not in (SIGNATURE, COSIGNATURE):
            raise KeyFileError(place, "it holds no private key of this program")
        key = cls(name, data[0], data[1:])
        if key.verifier.id.hex() != shown_id:
            raise KeyFileError(place, f"the id in it is {shown_id[:16]}, that of its key is {key.verifier.id.hex()}")
        return key

    @property
    def text(self) -> str:
        """Return the line that a key file holds; it is the secret."""
        encoded = base64.b64encode(bytes([self.kind]) + self.seed).decode()
        return f"{_PREFIX}{self.name}+{self.verifier.id.hex()}+{encoded}"

    @property
    def verifier(self) -> VerifierKey:
        """Return the public half."""
        private = _ed25519().Ed25519PrivateKey.from_private_bytes(self.seed)
        return VerifierKey(self.name, self.kind, private.public_key().public_bytes_raw())

    def signature_line(self, text: str, *, time: int | None = None) -> str:
        """
        Return the line that signs *text*, its newline included.

        Args:
            text: With its last newline.
            time: For the key of a witness, POSIX seconds.
        """
        assert (time is not None) == (self.kind == COSIGNATURE), "a witness signs with the time, nobody else does"
        private = _ed25519().Ed25519PrivateKey.from_private_bytes(self.seed)
        if time is None:
            signature = private.sign(text.encode())
        else:
            signature = time.to_bytes(8, "big") + private.sign(cosigned_message(text, time))
        return f"\u2014 {self.name} {base64.b64encode(self.verifier.id + signature).decode()}\n"


def signed_note(text: str, *lines: str) -> str:
    """Return the note of *text* and the signature *lines*."""
    return f"{text}\n{''.join(lines)}"


def parse_verifier(text: str, place: str) -> VerifierKey:
    """
    Read a public key that somebody gave.

    Args:
        place: Where it was found, for the error.

    Raises:
        KeyFileError: It is none.
    """
    try:
        return VerifierKey.parse(text)
    except ProofError as error:
        raise KeyFileError(place, str(error)) from None


def _ed25519() -> ModuleType:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise MissingExtraError("sign", "signing checkpoints") from None
    return ed25519
