"""
Evidence that is handed out: proofs of events against a checkpoint, and files of many in one bundle, which `ledger.verifier` checks.

What comes out is a function of the ledger and of what was asked for: no time of making, no order of chance, no compression that differs from one
machine to the next.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from ledger import verifier
from ledger.canonical import canonical_text
from ledger.checkpoints import Seal, hold_to, origin_of
from ledger.errors import InconsistentHistoryError, ProofError
from ledger.folders import make_private
from ledger.keys import key_changes
from ledger.merkle import consistency_proof, inclusion_proof, leaf_hash, tree_peaks
from ledger.tree import subtrees
from ledger.verifier import EVIDENCE, InclusionProof, open_checkpoint, signer_names, verify_inclusion

Writing = Callable[[bytes], object]

_EPOCH = (1980, 1, 1, 0, 0, 0)
_KEYS_SAY = "# Public keys that the ledger names. Trust none of them for standing here: compare them with what you were given.\n"


class Prover:
    """
    Prove events of a ledger against one checkpoint of it.

    Raises:
        InconsistentHistoryError: The checkpoint is not one of this ledger, or its events are not those that it covers.
    """

    def __init__(self, connection: sqlite3.Connection, ledger_id: str, path: str, seal: Seal) -> None:
        if seal.checkpoint.origin != origin_of(ledger_id):
            what = f"the checkpoint is of {seal.checkpoint.origin}, this is {origin_of(ledger_id)}"
            raise InconsistentHistoryError(path, what)
        hold_to(connection, ledger_id, path, seal.checkpoint)
        self.seal = seal
        self.size = seal.checkpoint.size
        self._connection = connection
        self._path = path
        self._subtree = subtrees(connection)

    def body(self, seq: int) -> bytes:
        """Return the event *seq*, which exists, as the bytes that its leaf hash covers."""
        row: tuple[bytes] = self._connection.execute(
            "SELECT CAST(body AS BLOB) FROM main.events WHERE seq = ?", (seq,)
        ).fetchone()
        return row[0]

    def bodies(self, begin: int, end: int) -> Iterator[bytes]:
        """Yield the events from *begin* on, before *end*."""
        rows = self._connection.execute(
            "SELECT CAST(body AS BLOB) FROM main.events WHERE seq >= ? AND seq < ? ORDER BY seq", (begin, end)
        )
        return (body for (body,) in rows)

    def proof(self, seq: int, body: bytes) -> InclusionProof:
        """
        Return the proof that *body* is the event *seq*, after checking it.

        Raises:
            InconsistentHistoryError: It is not: somebody has changed it.
        """
        checkpoint = self.seal.checkpoint
        proof = InclusionProof(seq, tuple(inclusion_proof(seq, self.size, self._subtree)), self.seal.note)
        try:
            verify_inclusion(seq, self.size, leaf_hash(body), proof.hashes, checkpoint.root)
        except ProofError as error:
            raise InconsistentHistoryError(self._path, str(error)) from None
        return proof

    def beginning(self, start: int) -> dict[str, object]:
        """Return what stands before the event *start* as a third party needs it to go on from there: see `docs/reference/bundle.md`."""
        consistency = consistency_proof(start, self.size, self._subtree) if start else []
        return {
            "start": start,
            "peaks": [peak.hex() for peak in tree_peaks(start, self._subtree)],
            "consistency": [item.hex() for item in consistency],
        }


def known_seals(connection: sqlite3.Connection, ledger_id: str) -> list[Seal]:
    """Return the checkpoints of the ledger by size, among equals the best one last: a signed one, the newest; what is none is for `audit verify` to name."""
    if connection.execute("SELECT 1 FROM main.sqlite_schema WHERE name = 'checkpoints'").fetchone() is None:
        return []  # A ledger of the first format.
    rows = connection.execute(
        "SELECT note, recorded_at FROM main.checkpoints ORDER BY size, instr(note, char(10, 10)) > 0, id"
    )
    found = []
    for note, recorded_at in rows:
        with contextlib.suppress(ProofError):
            seal = Seal(open_checkpoint(note)[0], note, recorded_at)
            if seal.checkpoint.origin == origin_of(ledger_id):
                found.append(seal)
    return found


def covering_seal(seals: Iterable[Seal], size: int, *, at: int | None = None) -> Seal | None:
    """Return the largest signed one of *seals* that covers *size* events, else the largest unsigned one, or None; *at* says how large it has to be."""
    fitting = [seal for seal in seals if seal.checkpoint.size >= size and at in (None, seal.checkpoint.size)]
    return max(fitting, key=lambda seal: (seal.is_signed, seal.checkpoint.size), default=None) if fitting else None


def seals_around(seals: Iterable[Seal], begin: int, end: int) -> tuple[Seal | None, Seal] | None:
    """
    Return the nearest checkpoints before the event *begin* and after the last one before *end*; signed ones where there are any.

    The first is None where the history itself begins before; the second is the largest one where none reaches so far. None where there are no *seals*.
    """
    pool = list(seals)
    pool = [seal for seal in pool if seal.is_signed] or pool
    if not pool:
        return None
    # Of several with one size the last is the best.
    pool = list({seal.checkpoint.size: seal for seal in pool}.values())
    last = next((seal for seal in pool if seal.checkpoint.size >= end), pool[-1])
    # At least one event of before the period has to be there: it shows where the period begins.
    before = [seal for seal in pool if 0 < seal.checkpoint.size < min(begin, last.checkpoint.size)]
    return (before[-1] if before else None), last


def signers_of(seal: Seal) -> list[dict[str, str]]:
    """Return by whom *seal* claims to be signed, unchecked: name and key id."""
    return [{"name": name, "id": key_id} for name, key_id in signer_names(seal.note)] if seal.is_signed else []


def common_members(connection: sqlite3.Connection, seal: Seal) -> Iterator[tuple[str, bytes]]:
    """Yield what lies in every bundle: the checkpoint, the keys that the ledger names, their rotations, and the verifier."""
    changes = key_changes(connection)
    yield "checkpoint", seal.note.encode()
    lines = [f"{change.seq} {change.type} {change.after.text}\n" for change in changes]
    yield "keys.txt", (_KEYS_SAY + "".join(lines)).encode()
    for change in changes:
        if change.rotation is not None and change.statement is not None:
            yield f"rotations/{change.seq}.note", change.statement.encode()
    yield "verify.py", Path(verifier.__file__).read_bytes()


@attrs.define
class BundleWriter:
    """
    Write a bundle to *path*: a zip file where its name ends so, else a folder; it appears whole, or not at all.

    Attributes:
        digest: SHA-256 of its manifest in hexadecimal, once it is finished: that of the whole.

    Raises:
        OSError: It cannot be written, or there is a folder with something in it.
    """

    path: Path
    digest: str = ""
    _files: dict[str, dict[str, object]] = attrs.field(factory=dict, init=False)
    _archive: zipfile.ZipFile | None = attrs.field(default=None, init=False)

    @property
    def _unfinished(self) -> Path:
        return self.path.with_name(f".{self.path.name}.{os.getpid()}")

    def __enter__(self) -> Self:
        if self.path.suffix == ".zip":
            file = os.open(self._unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            self._archive = zipfile.ZipFile(os.fdopen(file, "w+b"), "w")
        else:
            if self.path.exists():
                self.path.rmdir()  # Which fails where something is in it.
            self._unfinished.mkdir(mode=0o700)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._archive is not None:
                assert self._archive.fp is not None
                with self._archive.fp:
                    self._archive.close()
            if error is None:
                self._unfinished.replace(self.path)
        finally:
            if self._archive is not None:
                self._unfinished.unlink(missing_ok=True)
            elif self._unfinished.exists():
                shutil.rmtree(self._unfinished)

    def add(self, name: str, chunks: Iterable[bytes]) -> None:
        """Add the file *name*, which is what *chunks* are together."""
        digest, size = sha256(), 0
        with self._opened(name) as write:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                write(chunk)
        self._files[name] = {"bytes": size, "sha256": digest.hexdigest()}

    def finish(self, manifest: Mapping[str, object]) -> None:
        """Add the manifest: what *manifest* says, and every file with its length and digest."""
        said = {"format": EVIDENCE, **manifest, "files": self._files}
        data = (canonical_text(said) + "\n").encode()
        self.digest = sha256(data).hexdigest()
        self.add("manifest.json", [data])
        self.add("manifest.sha256", [f"{self.digest}  manifest.json\n".encode()])

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[Writing]:
        if self._archive is None:
            place = self._unfinished / name
            make_private(place.parent)
            with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                yield file.write
            return
        info = zipfile.ZipInfo(name, _EPOCH)
        info.create_system = 3
        info.external_attr = 0o600 << 16
        with self._archive.open(info, "w", force_zip64=True) as member:
            yield member.write
