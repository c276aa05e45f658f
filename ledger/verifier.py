"""
Everything that a third party needs to check a proof, in one file that needs only the standard library.

A copy of it lies in each exported bundle as `verify.py`. It knows RFC 9162 proofs (section 2.1), C2SP signed notes, checkpoints,
cosignatures and tlog-proofs, and nothing of SQLite. Ed25519 signatures are checked by `cryptography` where that is installed, else by the
program `openssl` (3.0 or newer).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

try:
    from ledger.errors import ProofError
except ImportError:  # pragma: no cover - a copy in a bundle, run by tests in a process that measures nothing

    class ProofError(Exception):  # type: ignore[no-redef]
        """Raised when a proof does not prove what it claims."""


HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
SIGNATURE = 0x01
"""Type of a key that signs a note's text (Ed25519)."""
COSIGNATURE = 0x04
"""Type of a witness's key, which signs the text together with the time (cosignature/v1, Ed25519)."""
PROOF_HEADER = "c2sp.org/tlog-proof@v1"

_NOTE_CHARACTERS_MAX = 1_000_000
_SIGNATURES_MAX = 100
_PROOF_HASHES_MAX = 64
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_NAME = re.compile(r"[^\s+]+")
_SIGNATURE_LINE = re.compile(r"\u2014 ([^\s+]+) ([A-Za-z0-9+/=]+)")
_KEY_ID_BYTES = 4
_TIME_BYTES = 8
_SPKI_ED25519 = bytes.fromhex("302a300506032b6570032100")


def leaf_hash(body: bytes) -> bytes:
    """Return the hash of the leaf *body*: SHA-256 of a zero byte and the body, so that no node can pass for a leaf."""
    return sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node over two subtrees."""
    return sha256(b"\x01" + left + right).digest()


def verify_inclusion(index: int, size: int, leaf_hash: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """
    Check that *leaf_hash* stands at *index* in the tree of *size* leaves with *root* (RFC 9162, section 2.1.3.2).

    Raises:
        ProofError: The proof does not show it.
    """
    _check_hashes((leaf_hash, root, *proof))
    if not 0 <= index < size:
        raise ProofError(f"there is no leaf {index} in a tree of {size}")
    found = leaf_hash
    for sibling, is_left in _walk(index, size - 1, proof, f"inclusion proof of leaf {index} in {size}"):
        found = node_hash(sibling, found) if is_left else node_hash(found, sibling)
    if found != root:
        raise ProofError(
            f"leaf {index} is not in the tree of {size}: the proof leads to {found.hex()}, not {root.hex()}"
        )


def verify_consistency(size1: int, size2: int, proof: Sequence[bytes], root1: bytes, root2: bytes) -> None:
    """
    Check that the tree of *size1* leaves is the beginning of the tree of *size2* (RFC 9162, section 2.1.4.2).

    Sizes have to come from signed checkpoints: a proof can hold for a size that was never signed.

    Raises:
        ProofError: The proof does not show it, or *size1* is 0: the empty tree is the beginning of everything and shows nothing.
    """
    if not 0 < size1 <= size2:
        raise ProofError(f"a tree of {size1} leaves cannot be shown to be the beginning of one of {size2}")
    if size1 == size2:
        # Nothing is hashed here: the roots are only compared, as the published vectors have it.
        if proof or root1 != root2:
            raise ProofError(f"two trees of {size1} leaves differ: {root1.hex()} and {root2.hex()}")
        return
    _check_hashes((root1, root2, *proof))
    path = list(proof) if size1 & (size1 - 1) else [root1, *proof]
    if not path or not proof:
        raise ProofError(f"the consistency proof from {size1} to {size2} is empty")
    node, last = size1 - 1, size2 - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling, is_left in _walk(node, last, path[1:], f"consistency proof from {size1} to {size2}"):
        if is_left:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
        else:
            new = node_hash(new, sibling)
    if old != root1 or new != root2:
        raise ProofError(f"the tree of {size1} leaves is not the beginning of the tree of {size2}")


def _walk(node: int, last: int, proof: Sequence[bytes], what: str) -> Iterator[tuple[bytes, bool]]:
    """Yield each hash of *proof* with whether it stands to the left, on the way up from *node* where *last* ends the level."""
    for sibling in proof:
        if last == 0:
            raise ProofError(f"the {what} is too long: {len(proof)} hashes")
        is_left = bool(node & 1) or node == last
        while is_left and node and not node & 1:
            node, last = node >> 1, last >> 1
        yield sibling, is_left
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError(f"the {what} is too short: {len(proof)} hashes")


class VerifierKey(NamedTuple):
    """
    Hold the public half of a key, as C2SP signed-note writes it: `name+hexid+base64`.

    Attributes:
        kind: `SIGNATURE` or `COSIGNATURE`.
        public: The 32 bytes of the Ed25519 key.
    """

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        """Return what stands in signatures: the first four bytes of SHA-256 over name, newline, type and public key."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:_KEY_ID_BYTES]

    @property
    def text(self) -> str:
        """Return the key as its one line."""
        encoded = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """
        Read a key from its one line.

        Raises:
            ProofError: It is none, of a type that this program does not know, or its id belongs to another key.
        """
        name, _, rest = text.strip().partition("+")
        shown_id, _, encoded = rest.partition("+")
        try:
            data = _unbase64(encoded)
        except ProofError:
            data = b""
        if not _NAME.fullmatch(name) or not name.isprintable() or len(data) != 1 + HASH_BYTES:
            raise ProofError(f"not a verifier key: {text.strip()[:80]!r}; expected name+id+base64")
        if data[0] not in (SIGNATURE, COSIGNATURE):
            raise ProofError(f"the key {name} has the type {data[0]:#04x}; this program knows 0x01 and 0x04 (Ed25519)")
        key = cls(name, data[0], data[1:])
        if key.id.hex() != shown_id:
            raise ProofError(f"the id of the key {name} is {key.id.hex()}, the text says {shown_id[:16]}")
        return key


class Signed(NamedTuple):
    """
    Hold the text of a signed note and who signed it.

    Attributes:
        keys: The given keys whose signature is good; never empty where keys were given.
        times: For each of them the time of its cosignature in POSIX seconds, or None.
        unknown: Names of signatures by keys that were not given.
    """

    text: str
    keys: tuple[VerifierKey, ...] = ()
    times: tuple[int | None, ...] = ()
    unknown: tuple[str, ...] = ()


def open_note(note: str, keys: Sequence[VerifierKey]) -> Signed:
    """
    Check the signatures of a C2SP signed note (v1.0.0).

    Signatures by keys that are not among *keys* are ignored; a bad one by a key that is refuses the note.

    Raises:
        ProofError: It is no signed note, a known signature is bad, or none is by one of *keys*.
    """
    text, lines = _split_note(note)
    good: dict[VerifierKey, int | None] = {}
    unknown = []
    for name, data in lines:
        matching = [key for key in keys if key.name == name and key.id == data[:_KEY_ID_BYTES]]
        if len({key.public for key in matching}) > 1:
            raise ProofError(f"two keys have the name {name} and the id {data[:_KEY_ID_BYTES].hex()}")
        if not matching:
            unknown.append(name)
        elif matching[0] not in good:
            good[matching[0]] = _checked(matching[0], text, data[_KEY_ID_BYTES:])
    if not good:
        raise ProofError(f"no signature by a known key; it is signed by {', '.join(unknown)}")
    return Signed(text, tuple(good), tuple(good.values()), tuple(unknown))


def signer_names(note: str) -> list[tuple[str, str]]:
    """Return name and key id of each signature of *note*, unchecked; raises as `open_note`."""
    return [(name, data[:_KEY_ID_BYTES].hex()) for name, data in _split_note(note)[1]]


class Checkpoint(NamedTuple):
    """Hold the state of a log: the root over its first *size* leaves (C2SP tlog-checkpoint v1.0.0, without extensions)."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """Return the text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """
        Read a checkpoint from the text of a note, or from a text that was never signed.

        Raises:
            ProofError: It is none, or has extension lines, which this program does not know.
        """
        lines = text.split("\n")
        if len(lines) != 4 or lines[3] or not lines[0] or not lines[0].isprintable():  # noqa: PLR2004 - three lines and their ends
            raise ProofError("not a checkpoint: expected three lines, origin, size and root")
        if not _NUMBER.fullmatch(lines[1]):
            raise ProofError(f"not a checkpoint: the size is {lines[1][:30]!r}")
        root = _unbase64(lines[2])
        if len(root) != HASH_BYTES:
            raise ProofError(f"not a checkpoint: the root has {len(root)} bytes, not {HASH_BYTES}")
        return cls(lines[0], int(lines[1]), root)


def open_checkpoint(text: str, keys: Sequence[VerifierKey] = ()) -> tuple[Checkpoint, Signed]:
    """
    Return the checkpoint in *text* and who signed it.

    Without *keys* nothing is checked but the form, and a text that nobody signed is a checkpoint too.

    Raises:
        ProofError: It is none; or keys are given and none of them signed it, or a signature by one of them is bad.
    """
    if keys:
        signed = open_note(text, keys)
    elif "\n\n" in text:
        body, lines = _split_note(text)
        signed = Signed(body, unknown=tuple(name for name, _ in lines))
    else:
        signed = Signed(text)
    return Checkpoint.parse(signed.text), signed


class InclusionProof(NamedTuple):
    """Hold a C2SP tlog-proof: the place of a leaf, its inclusion proof, and the checkpoint that it leads to, as text."""

    leaf_index: int
    hashes: tuple[bytes, ...]
    checkpoint: str

    @property
    def text(self) -> str:
        """Return the text of the file."""
        hashes = "".join(f"{base64.b64encode(item).decode()}\n" for item in self.hashes)
        return f"{PROOF_HEADER}\nindex {self.leaf_index}\n{hashes}\n{self.checkpoint}"

    @classmethod
    def parse(cls, text: str) -> InclusionProof:
        """
        Read a tlog-proof.

        Raises:
            ProofError: It is none.
        """
        head, found, checkpoint = text.partition("\n\n")
        lines = head.split("\n")
        if not found or lines[0] != PROOF_HEADER:
            raise ProofError(
                f"not a proof: expected the first line {PROOF_HEADER}, and a checkpoint after an empty line"
            )
        if len(lines) > 1 and lines[1].startswith("extra "):
            _unbase64(lines.pop(1).removeprefix("extra "))  # Nothing vouches for it, so nobody is shown it.
        index = lines[1].removeprefix("index ") if len(lines) > 1 else ""
        if len(lines) < 2 or not lines[1].startswith("index ") or not _NUMBER.fullmatch(index):  # noqa: PLR2004
            raise ProofError("not a proof: expected `index` and a number in the second line")
        if len(lines) - 2 > _PROOF_HASHES_MAX:
            raise ProofError(f"not a proof: it has {len(lines) - 2} hashes, more than any tree has levels")
        return cls(int(index), tuple(_unbase64(line) for line in lines[2:]), checkpoint)

    def verify(self, body: bytes, keys: Sequence[VerifierKey] = ()) -> tuple[Checkpoint, Signed]:
        """
        Check that the leaf *body* stands in the log, and return the checkpoint that says so and who signed it.

        Raises:
            ProofError: It is not shown; without *keys* only the tree is checked, and nobody vouches for its root.
        """
        checkpoint, signed = open_checkpoint(self.checkpoint, keys)
        verify_inclusion(self.leaf_index, checkpoint.size, leaf_hash(body), self.hashes, checkpoint.root)
        return checkpoint, signed


def _split_note(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Return the signed text of *note*, its last newline included, and name and data of each signature line."""
    if len(note) > _NOTE_CHARACTERS_MAX:
        raise ProofError(f"not a signed note: it has {len(note)} characters, more than {_NOTE_CHARACTERS_MAX}")
    if any(character < " " and character != "\n" for character in note) or "\ufffd" in note:
        raise ProofError("not a signed note: it holds control characters, or bytes that are no UTF-8")
    text, found, signatures = note.rpartition("\n\n")
    if not found or not signatures.endswith("\n"):
        raise ProofError("not a signed note: expected a text, an empty line, and lines with signatures")
    lines = signatures[:-1].split("\n")
    if len(lines) > _SIGNATURES_MAX:
        raise ProofError(f"not a signed note: it has {len(lines)} signatures, more than {_SIGNATURES_MAX}")
    return text + "\n", [_signature_line(line) for line in lines]


def _signature_line(line: str) -> tuple[str, bytes]:
    match = _SIGNATURE_LINE.fullmatch(line)
    data = _unbase64(match[2]) if match else b""
    if match is None or len(data) <= _KEY_ID_BYTES:
        raise ProofError(f"not a signature line: {line[:80]!r}")
    return match[1], data


def _checked(key: VerifierKey, text: str, signature: bytes) -> int | None:
    """Check one signature over *text* and return the time that it carries, if it is a cosignature."""
    message, time = text.encode(), None
    if key.kind == COSIGNATURE:
        time = int.from_bytes(signature[:_TIME_BYTES], "big")
        message, signature = cosigned_message(text, time), signature[_TIME_BYTES:]
    if not signature_is_good(key.public, message, signature):
        raise ProofError(f"the signature by {key.name} is bad: this is not what was signed")
    return time


def cosigned_message(text: str, time: int) -> bytes:
    """Return what a witness signs: the checkpoint's *text* under the *time* in POSIX seconds (C2SP cosignature/v1)."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def signature_is_good(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether *signature* is an Ed25519 signature (RFC 8032) of *message* by the key *public*."""
    return _checker()(public, message, signature)


def _checker() -> Callable[[bytes, bytes, bytes], bool]:
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401
    except ImportError:
        return _checked_by_openssl
    return _checked_by_cryptography


def _checked_by_cryptography(public: bytes, message: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _checked_by_openssl(public: bytes, message: bytes, signature: bytes) -> bool:
    import subprocess
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        files = {"key": _SPKI_ED25519 + public, "message": message, "signature": signature}
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        command = "openssl pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in message -sigfile signature"
        try:
            done = subprocess.run(command.split(), cwd=folder, capture_output=True, check=False)  # noqa: S603
        except OSError:
            raise ProofError("a signature cannot be checked: neither `cryptography` nor `openssl` is there") from None
    return done.returncode == 0


def _check_hashes(hashes: Sequence[bytes]) -> None:
    for item in hashes:
        if len(item) != HASH_BYTES:
            raise ProofError(f"a hash has {len(item)} bytes, not {HASH_BYTES}")


def _unbase64(text: str) -> bytes:
    """Decode base64 in its one canonical form: a bit that decoding would ignore makes it another text."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        data = None
    if data is None or base64.b64encode(data).decode() != text:
        raise ProofError(f"not base64: {text[:60]!r}")
    return data
