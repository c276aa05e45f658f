"""
Everything that a third party needs to check evidence, in one file that needs only the standard library.

A copy of it lies in each bundle and package as `verify.py`. It knows RFC 9162 proofs (section 2.1), C2SP signed notes, checkpoints,
cosignatures and tlog-proofs, and the form of our evidence (`docs/reference/bundle.md`), and nothing of SQLite. Ed25519 signatures are checked by
`cryptography` where that is installed, else by the program `openssl` (3.0 or newer).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import functools
import io
import json
import os
import re
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

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
SIGNATURES_MAX = 100
_PROOF_HASHES_MAX = 64
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_NAME = re.compile(r"[^\s+]+")
_SIGNATURE_LINE = re.compile(r"\u2014 ([^\s+]+) ([A-Za-z0-9+/=]+)")
_KEY_ID_BYTES = 4
_TIME_BYTES = 8
_SPKI_ED25519 = bytes.fromhex("302a300506032b6570032100")

_OWN = {"manifest.json", "manifest.sha256"}
EVIDENCE = "orchestrate-evidence/v1"
PROOF_SUFFIX = ".tlog-proof"
TABLE_TYPES = {
    "definition_changes": ("definition.changed",),
    "moves": ("pipeline.moved", "host.changed"),
    "refusals": ("run.refused",),
    "reviews": ("note.added", "run.acknowledged"),
    "runs": ("run.started",),
}
"""The tables that each package has, and the types of events of which each has its row there; what others say is not complete."""
_ROTATION = "orchestrate-ledger-key-rotation/v1"
_MEMBER = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_.-]{0,254}/){0,3}[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_READ_MAX = 1 << 28
_ACTED_UPON = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_WORD = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LAST_SECOND = 253_402_300_799


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


class Frontier:
    """
    Take leaves one after the other and give the root over all of them: a compact range of at most 64 hashes.

    It may begin after *size* leaves of which only the *peaks* are known: the roots of their complete subtrees, the largest first. The attribute
    `size` is how many leaves it has taken. Raises `ProofError` where so many leaves have another number of peaks.
    """

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        _check_hashes(peaks)
        if size < 0 or size.bit_count() != len(peaks):
            raise ProofError(f"{len(peaks)} hashes are not the subtrees of {size} leaves")
        self.size = size
        self._peaks = list(peaks)

    def add(self, leaf: bytes) -> None:
        """Take the hash of the next leaf."""
        peaks, size = self._peaks, self.size
        # Each trailing one of the size is a complete subtree that this leaf makes part of a larger one.
        while size & 1:
            leaf = node_hash(peaks.pop(), leaf)
            size >>= 1
        peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root over what was taken so far."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


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


class Rotation(NamedTuple):
    """Hold that a key of a log gave its place to another one: *before* counts for the first *size* events, and for no more."""

    before: VerifierKey
    after: VerifierKey
    size: int

    @property
    def text(self) -> str:
        """Return what both keys sign."""
        return f"{_ROTATION}\n{self.after.name}\n{self.size}\n{self.before.text}\n{self.after.text}\n"

    @classmethod
    def read(cls, statement: str) -> Rotation:
        """
        Read a rotation from the note in which both keys have signed it.

        Raises:
            ProofError: They have not, it says something else, or they are not keys of one log.
        """
        lines = statement.split("\n")
        size, before, after = (*lines, *[""] * 5)[2:5]
        if not _NUMBER.fullmatch(size):
            raise ProofError("not a rotation of keys: it does not say how many events the former one counts for")
        found = cls(VerifierKey.parse(before), VerifierKey.parse(after), int(size))
        signed = open_note(statement, found[:2])
        if signed.text != found.text or {*signed.keys} != {*found[:2]}:
            raise ProofError("not a rotation of keys that both of them have signed")
        if found.before.name != found.after.name or {SIGNATURE} != {found.before.kind, found.after.kind}:
            raise ProofError("not a rotation: the two are not keys of one log")
        return found


def follow_rotations(keys: Sequence[VerifierKey], rotations: Iterable[Rotation]) -> dict[VerifierKey, int | None]:
    """
    Return *keys* and every key that they vouch for by an unbroken chain of *rotations*, in either direction.

    With each stands how many events it counts for, None for any number: whoever finds a key that was replaced can seal nothing with it. A key that has
    given its place to two others was used by somebody else: neither of them counts, and it counts up to the first time.
    """
    given = {*rotations}
    successors = Counter(item.before for item in given)
    single = [item for item in given if successors[item.before] == 1]
    ends = {item.before: item.size for item in sorted(given, key=lambda item: -item.size)}
    beside: dict[VerifierKey, list[VerifierKey]] = {}
    for item in single:
        beside.setdefault(item.before, []).append(item.after)
        beside.setdefault(item.after, []).append(item.before)
    found, waiting = dict.fromkeys(keys), [*keys]
    while waiting:
        new = [key for key in beside.get(waiting.pop(), ()) if key not in found]
        found |= dict.fromkeys(new)
        waiting += new
    return {key: ends.get(key) for key in found}


def open_vouched(
    text: str, keys: Sequence[VerifierKey] = (), rotations: Iterable[Rotation] = ()
) -> tuple[Checkpoint, Signed]:
    """
    Do as `open_checkpoint`, and hold the note to all of *keys*: signed by its log, if a log's key is among them, and by each witness among them.

    A key of the log that follows from one of *keys* by *rotations* does as well; one that was replaced does for what came before.

    Raises:
        ProofError: It is not, or the log's key is the key of another log.
    """
    counting = follow_rotations(keys, rotations)
    checkpoint, signed = open_checkpoint(text, list(counting))
    logs = [key for key in signed.keys if key.kind == SIGNATURE]
    if not logs and any(key.kind == SIGNATURE for key in keys):
        raise ProofError("the key of the log has not signed it")
    for key in logs:
        if key.name != checkpoint.origin:
            raise ProofError(f"the key {key.name} has signed for another log, {checkpoint.origin}")
    ends = [counting[key] for key in logs]
    if logs and all(end is not None and end < checkpoint.size for end in ends):
        raise ProofError(f"its key was replaced after {ends[0]} events, and this covers {checkpoint.size}")
    for key in keys:
        if key.kind == COSIGNATURE and key not in signed.keys:
            raise ProofError(f"the witness {key.name} has not cosigned it")
    return checkpoint, signed


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
        checkpoint, signed = open_vouched(self.checkpoint, keys)
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
    if len(lines) > SIGNATURES_MAX:
        raise ProofError(f"not a signed note: it has {len(lines)} signatures, more than {SIGNATURES_MAX}")
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


class Checked(NamedTuple):
    """
    Say what a file was found to show.

    Attributes:
        facts: The same for programs.
        shown: Sentences.
        hidden: Sentences: what it does not show.
    """

    checkpoint: Checkpoint
    signed: Signed
    facts: Mapping[str, object]
    shown: tuple[str, ...]
    hidden: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[list[str], list[str]]:
        """What is shown and what is not, in sentences, with who answers for it."""
        shown, hidden, signed = list(self.shown), list(self.hidden), self.signed
        for key, at in zip(signed.keys, signed.times, strict=True):
            moment = "" if at is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(min(at, _LAST_SECOND)))
            shown.append(f"cosigned by {key.name} at {moment}" if moment else f"signed with the key {key.text}")
        if not signed.keys:
            names = f"; it bears the names {', '.join(signed.unknown)}, unchecked" if signed.unknown else ""
            hidden.insert(0, f"who says so: no key was given, and anybody can make a root that fits{names}")
        elif all(at is None for at in signed.times):
            hidden.append("that everybody was shown this history: a witness or your own earlier checkpoint shows it")
        hidden.append("that what was recorded is true, that the clock was right, and what was recorded later")
        root = f"root {self.checkpoint.root.hex()} over {self.checkpoint.size} events of {self.checkpoint.origin}"
        return [*shown, root], hidden

    @property
    def lines(self) -> list[str]:
        """The same as lines for people."""
        shown, hidden = ([f"  - {sentence}" for sentence in sentences] for sentences in self.words)
        return ["shown:", *shown, "not shown:", *hidden]


Members = Mapping[str, Callable[[], IO[bytes]]]


@contextlib.contextmanager
def open_members(path: Path) -> Iterator[Members]:
    """
    Give the files in the folder or the zip file at *path* by name; nothing is unpacked.

    Raises:
        ProofError: A name leads elsewhere or to the place of another one, a file is no regular one, or a zip file is more than its plain members.
    """
    if path.is_dir():
        if not (path / "manifest.json").is_file():
            raise ProofError("there is no manifest.json in it")
        files = [file for file in path.rglob("*") if file.is_symlink() or not file.is_dir()]
        if any(file.is_symlink() or not file.is_file() for file in files):
            raise ProofError("it holds links or other things that are no files")
        yield _named((file.relative_to(path).as_posix(), functools.partial(_opened, file)) for file in files)
        return
    import zipfile

    with _opened(path) as file, zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if any(info.compress_type or info.flag_bits & ~0x800 for info in infos):
            raise ProofError("it is compressed, which evidence is not: unpack it and check the folder")
        members = _named((info.orig_filename, functools.partial(archive.open, info)) for info in infos)
        _check_layout(file, infos, archive.start_dir)
        yield members


def _opened(path: Path) -> IO[bytes]:
    """Open a regular file; a pipe would be waited for, and a device has no end."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return path.open("rb")


def _read(path: Path, most: int) -> bytes:
    with _opened(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ProofError(f"{path} is longer than {most} bytes")
    return data


def _named(members: Iterable[tuple[str, Callable[[], IO[bytes]]]]) -> Members:
    found: dict[str, Callable[[], IO[bytes]]] = {}
    places: dict[str, str] = {}
    for name, opened in members:
        if not _MEMBER.fullmatch(name.removesuffix("/")) or name in found:
            raise ProofError(f"it holds a file of a name that evidence has not: {name[:80]!a}")
        found[name] = opened
        for place in (name, *(f"{folder}/" for folder in PurePosixPath(name).parents)):
            if places.setdefault(place.rstrip("/").lower(), place) != place:
                raise ProofError(f"not every file and folder has a place of its own on every disk: {place!a}")
    return {name: opened for name, opened in found.items() if not name.endswith("/")}


def _check_layout(file: IO[bytes], infos: Sequence[Any], start: int) -> None:
    """Check that a zip file is its members, one after the other, and from *start* on their directory: no program finds anything else in it."""
    good, place, directory = True, 0, 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        file.seek(place)
        mark, _, flags, _, _, checksum, packed, size, *lengths = struct.unpack("<4sHHHLLLLHH", file.read(30))
        name, extra = file.read(lengths[0]), file.read(lengths[1])
        if packed == size == 0xFFFFFFFF:  # noqa: PLR2004 - the sizes are longer than that, or might have been
            size, packed = struct.unpack("<QQ", extra[4:20])
        here = (place, mark, name, flags, checksum, packed, size, b"")
        said = (info.header_offset, b"PK\3\4", info.orig_filename.encode(), info.flag_bits, info.CRC)
        good &= here == (*said, info.compress_size, info.file_size, info.comment) and not (info.is_dir() and size)
        # Nothing but long sizes may stand beside a name: some programs read another name there.
        for field in filter(None, (extra, info.extra)):
            good &= field[:2] == b"\1\0" and int.from_bytes(field[2:4], "little") == len(field) - 4
        place += 30 + len(name) + len(extra) + size
        directory += 46 + len(name) + len(info.extra)
    file.seek(place + directory)
    end, count = file.read(99), len(infos)
    # As long as they fit, the numbers stand in the last record; else, or as well, in the long form before it.
    fields = [min(count, 0xFFFF), min(count, 0xFFFF), min(directory, 0xFFFFFFFF), min(place, 0xFFFFFFFF), 0]
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *fields)
    long = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, directory, place)
    long += struct.pack("<4sLQL", b"PK\6\7", 0, place + directory, 1)
    if not good or place != start or end not in (last, long + last):
        raise ProofError("it is not just its members and their directory: unpack it and check the folder")


def sample_of(items: Iterable[str], seed: str, count: int) -> list[str]:
    """Return *count* of *items*, the first by SHA-256 of the seed, a newline and the item: whoever knows the items draws the same."""
    return sorted(set(items), key=lambda item: sha256(f"{seed}\n{item}".encode()).digest())[:count]


class _Evidence:
    """What lies in a bundle or a package, checked part by part; each method refuses by an error, of whatever kind."""

    def __init__(self, members: Members, keys: Sequence[VerifierKey]) -> None:
        self.members = members
        self.manifest = manifest = self._checked_manifest()
        self.rotations = [Rotation.read(self.data(name).decode()) for name in members if name.startswith("rotations/")]
        self.note = self.data("checkpoint").decode()
        self.checkpoint, self.signed = open_vouched(self.note, keys, self.rotations)
        said = tuple(manifest[name] for name in ("origin", "size", "root"))
        _agree("the checkpoint", said, (self.checkpoint.origin, self.checkpoint.size, self.checkpoint.root.hex()))
        self.start = 0
        self.first_at = self.last_at = self.last_own = ""
        self.goes_back = False
        self.hidden = ["what pages and tables in it say beyond the events: whoever made this has made them"]
        self.is_period = {"run": False, "period": True}[manifest["kind"]]
        self.stream = None if self.is_period else f"run/{manifest['run_id']}"
        _agree("the stream", manifest.get("stream"), self.stream)
        self.types: Counter[str] = Counter()
        self.ends: tuple[int | None, int | None] = (None, None)
        self.logs = self.own = self.inside = 0
        self.rows: list[tuple[str, int, str | None, str]] = []
        self.ended: list[tuple[str, str]] = []

    def data(self, name: str) -> bytes:
        with self.members[name]() as file:
            data = file.read(_READ_MAX + 1)
        if len(data) > _READ_MAX:
            raise ProofError(f"{name} is longer than {_READ_MAX} bytes")
        return data

    def value(self, name: str) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.data(name))

    def _checked_manifest(self) -> dict[str, Any]:
        data = self.data("manifest.json")
        line = f"{sha256(data).hexdigest()}  manifest.json\n".encode()
        _agree("manifest.sha256", self.data("manifest.sha256"), line)
        manifest: dict[str, Any] = self.value("manifest.json")
        _agree("the format", manifest["format"], EVIDENCE)
        files = manifest["files"]
        _agree("what the manifest and the files have not in common", [*(files.keys() ^ self.members.keys() ^ _OWN)], [])
        for name, said in files.items():
            digest, size = sha256(), 0
            with self.members[name]() as file:
                while block := file.read(1 << 20):
                    digest.update(block)
                    size += len(block)
            _agree(name, said, {"bytes": size, "sha256": digest.hexdigest()})
            if name.startswith("blobs/"):
                _agree(name, name, f"blobs/{digest.hexdigest()}")
        return manifest

    def check_events(self) -> None:
        """Check each event: its place in the tree, and the log that it names."""
        frontier = self._frontier() if self.is_period else None
        proved = 0
        with self.members["events.jsonl"]() as file:
            while line := file.readline(_READ_MAX):
                body = line.removesuffix(b"\n")
                event = json.loads(body)
                seq = event["seq"]
                proved += self._is_proved(seq, body)
                if frontier is not None:
                    _agree("the next event", seq, frontier.size)
                    frontier.add(leaf_hash(body))
                self._keep(event)
        if frontier is not None:
            _agree("the root over all events", (frontier.size, frontier.root()), self.checkpoint[1:])
        _agree("the number of proofs", sum(name.startswith("proofs/") for name in self.members), proved)
        _agree("the number of logs", sum(name.startswith("logs/") for name in self.members), self.logs)
        said = tuple(self.manifest[name] for name in ("events", "first_seq", "last_seq"))
        _agree("what is said of the events", said, (sum(self.types.values()), *self.ends))

    def _is_proved(self, seq: int, body: bytes) -> bool:
        name = f"proofs/{seq}{PROOF_SUFFIX}"
        if self.is_period and name not in self.members:
            return False
        proof = InclusionProof.parse(self.data(name).decode())
        _agree(name, (proof.leaf_index, proof.checkpoint), (seq, self.note))
        verify_inclusion(seq, self.checkpoint.size, leaf_hash(body), proof.hashes, self.checkpoint.root)
        return True

    def _frontier(self) -> Frontier:
        """Return what stood before the first event, after checking that it is what the first checkpoint says."""
        said = self.value("range.json")
        frontier = Frontier(said["start"], [bytes.fromhex(item) for item in said["peaks"]])
        self.start = frontier.size
        if frontier.size:
            start = open_checkpoint(self.data("checkpoint.start").decode())[0]
            self.hidden.append("who has signed checkpoint.start: it rests on the proof that leads to the checkpoint")
            _agree("the first checkpoint", start, Checkpoint(self.checkpoint.origin, frontier.size, frontier.root()))
            proof = [bytes.fromhex(item) for item in said["consistency"]]
            verify_consistency(start.size, self.checkpoint.size, proof, start.root, self.checkpoint.root)
        return frontier

    def _keep(self, event: dict[str, Any]) -> None:
        data, seq, kind, manifest = event["data"], event["seq"], event["type"], self.manifest
        log = data.get("log")
        if log is not None and log["path"] in self.members:
            _agree(log["path"], manifest["files"][log["path"]]["sha256"], log["sha256"])
            self.logs += 1
        first, last = self.ends
        self.goes_back |= event["recorded_at"] < self.last_at
        self.last_at = event["recorded_at"]
        self.first_at = self.first_at or self.last_at
        if last is not None and seq <= last:
            raise ProofError(f"event {seq} stands after event {last}")
        self.ends = (seq if first is None else first, seq)
        self.types[kind] += 1
        if event["stream"] == self.stream:
            _agree(f"the next event of {event['stream']}", event["version"], self.own)
            self.own += 1
            self.last_own = kind
        if self.is_period:
            inside = manifest["from"] <= event["recorded_at"][:10] <= manifest["to"]
            self.inside += inside
            if inside and any(kind in types for types in TABLE_TYPES.values()):
                again = "/again" * (kind == "run.started" and data.get("reproduces") is not None)
                self.rows.append((kind + again, seq, data.get("pipeline"), f"run/{data.get('run_id')}"))
            if kind == "step.finished":
                self.ended.append((event["stream"], data["step"]))

    def check_run(self) -> tuple[str, ...]:
        _agree(f"whether there is an event of {self.stream}", self.own > 0, True)
        if self.last_own != "run.finished":
            self.hidden.append("that the run had ended: the last of its events here is no run.finished")
        self.hidden.append("that the run was not resumed later, and that nothing else was recorded about it")
        return (
            f"{sum(self.types.values())} events stand in the history, each at its place",
            f"the first {self.own} events of {self.stream} are all here",
        )

    def check_period(self) -> tuple[str, ...]:
        manifest, chosen, sample = self.manifest, self.manifest["pipelines"], self.manifest["sample"]
        good = isinstance(chosen, list | None) and isinstance(sample["seed"], str) and chosen != []
        good = good and all(isinstance(name, str) and _WORD.fullmatch(name) for name in chosen or ())
        _agree("whether the pipelines are names, and the seed is a text", good, True)
        named = [row for row in self.rows if chosen is None or row[2] in chosen]
        _agree("whether they are days", [bool(_DAY.fullmatch(manifest[name])) for name in ("from", "to")], [True, True])
        _agree("the tables that are missing", sorted(TABLE_TYPES.keys() - manifest["tables"].keys()), [])
        unread = {name for name in self.members if name.startswith("tables/")}
        for name, table in manifest["tables"].items():
            types = TABLE_TYPES.get(name, ())
            _agree(f"the types of {name}", table["types"], [*types])
            rows = [json.loads(line) for line in self.data(f"tables/{name}.jsonl").splitlines()]
            _agree(f"the rows of {name}", table["rows"], len(rows))
            if types:
                seqs = [row["seq"] for row in rows]
                _agree(f"the kinds of seq in {name}", {*map(type, seqs)} <= {int}, True)
                seqs = [seq for seq in seqs if seq < self.checkpoint.size]
                _agree(f"the table {name}", seqs, [seq for kind, seq, *_ in named if kind in types])
            if (twin := f"tables/{name}.csv") in unread:
                _check_csv(twin, self.data(twin).decode(), rows)
            unread -= {twin, f"tables/{name}.jsonl"}
        _agree("tables that the manifest does not name", sorted(unread), [])
        runs = {run for kind, _, _, run in named if kind == "run.started"}
        items = [f"{run.removeprefix('run/')}/{step}" for run, step in self.ended if run in runs]
        _agree("the sample", sample["items"], sample_of(items, sample["seed"], sample["size"]))
        if self.start and not (self.first_at and self.first_at[:10] < manifest["from"]):
            raise ProofError(f"event {self.start} does not lie before the period: what came before it is not here")
        if self.last_at[:10] <= manifest["to"]:
            last = f"{self.last_at or 'nothing'}, the last event here"
            self.hidden.append(f"what was recorded after {last}, until the end of {manifest['to']}")
        if self.goes_back:
            self.hidden.append(
                "that all of the period is here: times go back in it, so that more of it may stand elsewhere"
            )
        whole = ", ".join(TABLE_TYPES) + ("" if chosen is None else f", of the pipelines {', '.join(chosen)}")
        if again := sum(kind.endswith("/again") for kind, *_ in named):
            whole += f"; {again} runs that reproduce another one have no row there"
        return (
            f"{sum(self.types.values())} events follow each other without a gap and lead to the root",
            f"{self.inside} of them were recorded from {manifest['from']} to {manifest['to']}",
            f"no event of the period is missing in the tables {whole}",
            f"the sample of {len(sample['items'])} steps was drawn with the seed {sample['seed']!a}",
        )


def check_bundle(path: Path, keys: Sequence[VerifierKey] = ()) -> Checked:
    """
    Check a bundle or package, a zip file or a folder.

    Raises:
        ProofError: Something in it is not as it says.
        OSError: It cannot be read.
    """
    try:
        with open_members(path) as members:
            found = _Evidence(members, keys)
            found.check_events()
            shown = found.check_period() if found.is_period else found.check_run()
            if "verify.py" in members and found.data("verify.py") != Path(__file__).read_bytes():
                found.hidden.append("whether the verify.py in it is honest: it is not the program that checked this")
    except ProofError:
        raise
    except Exception as error:
        # Whatever hostile bytes lead to, they are refused; a place in a file that is none has no name, other than a file that is not there.
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise ProofError(f"it is no evidence of this form: {type(error).__name__}: {error}") from None
    types = dict(sorted(found.types.items()))
    facts = {name: found.manifest[name] for name in ("kind", "events", "first_seq", "last_seq")} | {"types": types}
    shown += (f"events by type: {', '.join(f'{kind} {count}' for kind, count in types.items())}",)
    return Checked(found.checkpoint, found.signed, facts, shown, tuple(found.hidden))


def check_file(path: Path, keys: Sequence[VerifierKey] = (), body: Path | None = None) -> Checked:
    """
    Check the proof, checkpoint, bundle or package at *path*.

    Args:
        body: The event that a proof is of; by default the file beside it with the suffix `.json`.

    Raises:
        ProofError: It does not hold.
        OSError: It cannot be read.
    """
    if path.is_dir():
        return check_bundle(path, keys)
    with _opened(path) as file:
        if file.read(2) == b"PK":
            return check_bundle(path, keys)
    try:
        text = _read(path, 4 * _NOTE_CHARACTERS_MAX).decode()
    except UnicodeDecodeError:
        raise ProofError("it is no text, and no bundle") from None
    if not text.startswith(PROOF_HEADER):
        checkpoint, signed = open_vouched(text, keys)
        return Checked(checkpoint, signed, {"kind": "checkpoint"}, ())
    event = _read(path.with_suffix(".json") if body is None else body, _READ_MAX)
    proof = InclusionProof.parse(text)
    checkpoint, signed = proof.verify(event, keys)
    shown = f"the event, {len(event)} bytes, stands at place {proof.leaf_index} of the history"
    return Checked(checkpoint, signed, {"kind": "proof", "seq": proof.leaf_index}, (shown,))


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the files that *arguments* name, print what they show, and return 0, 2 (not called right) or 3 (refused)."""
    import argparse

    parser = argparse.ArgumentParser(description="Check proofs, checkpoints, bundles and packages of an event ledger.")
    parser.add_argument("file", nargs="+", type=Path, help="a proof, checkpoint, bundle or package (zip or folder)")
    parser.add_argument("--key", action="append", default=[], help="key of the log or a witness, or a file with it")
    parser.add_argument("--body", type=Path, help="the event that the proof is of; by default the .json beside it")
    given = parser.parse_args(arguments)
    code = 0
    try:
        keys = [given_key(text) for text in given.key]
    except (ProofError, OSError) as error:
        parser.error(str(error))
    for path in given.file:
        try:
            lines = [f"OK {path}", *check_file(path, keys, given.body).lines]
        except (ProofError, OSError) as error:
            code, lines = max(code, 3 if isinstance(error, ProofError) else 2), [f"REFUSED {path}: {error}"]
        # Names in what was handed over are hostile: they must not move the cursor.
        shown = ("".join(sign if sign.isprintable() else "?" for sign in line) for line in lines)
        sys.stdout.write("".join(f"{line}\n".encode("ascii", "backslashreplace").decode() for line in shown))
    return code


def given_key(text: str) -> VerifierKey:
    """Return the public key that *text* is, or that stands in the file of that name; raises as `VerifierKey.parse`, or OSError."""
    if os.path.lexists(text):
        text = _read(Path(text), 4 * _NOTE_CHARACTERS_MAX).decode("utf-8", "replace")
    return VerifierKey.parse(text)


def _agree(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise ProofError(f"{what}: {actual!a:.120}, expected {expected!a:.120}")


def _check_csv(name: str, text: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Check that a table for spreadsheets says what *rows* say, and nothing that a spreadsheet acts upon."""
    import csv

    csv.field_size_limit(_READ_MAX)
    head, *lines = [*csv.reader(io.StringIO(text, newline=""), strict=True)] or [[""]]
    good = [len(lines) == len(rows), *(cell.isidentifier() for cell in head)]
    for row, line in zip(rows, lines, strict=False):
        good += [[*row] == head, len(row) == len(line), *map(_same_cell, row.values(), line)]
    if not all(good):
        raise ProofError(f"{name} does not say what the .jsonl beside it says")


def _same_cell(value: object, cell: str) -> bool:
    if isinstance(value, str):
        return cell == f"'{value}" or (cell == value and not value.startswith(_ACTED_UPON))
    return cell == ("" if value is None else str(value))


if __name__ == "__main__":  # pragma: no cover - run by tests in an interpreter that measures nothing
    raise SystemExit(main())
