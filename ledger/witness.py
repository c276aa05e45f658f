"""
A witness: somebody with a key of her own who says how far she has seen a log grow (C2SP tlog-witness, cosignature/v1).

She remembers the last checkpoint of each log that she cosigned, with the key that she knows the log by, and cosigns nothing that does not continue
it. What she remembers is on the disk before anybody sees the cosignature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

from ledger.errors import InconsistentHistoryError, KeyFileError, ProofError
from ledger.folders import make_private, write_private
from ledger.locks import KernelLock
from ledger.outside import read_note
from ledger.signer import KEY, LOCK, Prove, check_agreement, read_key
from ledger.signing import SigningKey
from ledger.verifier import (
    COSIGNATURE,
    SIGNATURE,
    SIGNATURES_MAX,
    Checkpoint,
    Rotation,
    VerifierKey,
    open_checkpoint,
    open_vouched,
    signer_names,
)


class Witness:
    """
    Cosign with the key in *folder*, which also keeps what was cosigned.

    Raises:
        KeyFileError: There is no key of a witness.
        MissingExtraError: What signs is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.key = read_key(folder / KEY)
        if self.key.kind != COSIGNATURE:
            raise KeyFileError(str(folder / KEY), "it is the key of a log, not of a witness")

    def known_key(self, origin: str) -> VerifierKey | None:
        """Return the key by which this witness knows the log *origin*, or None."""
        place = self._place(origin) / "log-key"
        return VerifierKey.parse(_read(place)) if place.exists() else None

    def remembered(self, origin: str) -> Checkpoint | None:
        """
        Return the last checkpoint of the log *origin* that was cosigned, or None.

        Raises:
            KeyFileError: What is remembered was not cosigned by this key.
        """
        place = self._place(origin) / "last-cosigned"
        if not place.exists():
            return None
        try:
            return open_checkpoint(_read(place), [self.key.verifier])[0]
        except ProofError as error:
            raise KeyFileError(str(place), f"it was not cosigned with the key beside it: {error}") from None

    def cosign(
        self,
        note: str,
        key: VerifierKey,
        rotations: Iterable[Rotation],
        prove: Prove,
        path: str,
        *,
        now: Callable[[], int],
    ) -> tuple[Checkpoint, str]:
        """
        Return the checkpoint in *note*, and *note* with a cosignature.

        Args:
            key: Of the log, as the witness knows it.
            rotations: By which its present key follows from that.
            prove: Asks the ledger for consistency proofs.
            path: Of the ledger, for the error.
            now: Gives POSIX seconds.

        Raises:
            ProofError: The log has not signed it, or *key* is no key of a log.
            InconsistentHistoryError: It does not continue what was cosigned before.
        """
        if key.kind != SIGNATURE:
            raise ProofError(f"{key.name} is the key of a witness, not of a log")
        checkpoint, signed = open_vouched(note, [key], rotations)
        if len(signer_names(note)) >= SIGNATURES_MAX:
            raise ProofError(
                f"it has {SIGNATURES_MAX} signatures, and no note has more: take it without those of others"
            )
        place = self._place(checkpoint.origin)
        make_private(place)
        with KernelLock(self._folder / LOCK):
            last = self.remembered(checkpoint.origin)
            if last is not None:
                if checkpoint.size < last.size:
                    what = f"this checkpoint covers {checkpoint.size} events, {last.size} were cosigned before"
                    raise InconsistentHistoryError(path, what)
                check_agreement(checkpoint, last, prove, path)
            cosigned = note + self.key.signature_line(signed.text, time=now())
            write_private(place / "log-key", key.text + "\n", durable=True)
            write_private(place / "last-cosigned", cosigned, durable=True)
        return checkpoint, cosigned

    def _place(self, origin: str) -> Path:
        return self._folder / "seen" / sha256(origin.encode()).hexdigest()[:32]


def install_witness(folder: Path, name: str) -> SigningKey:
    """
    Make the key of a witness in *folder* and return it.

    Raises:
        KeyFileError: There is a key already, and it is never overwritten.
        MissingExtraError: What signs is not installed.
    """
    key = SigningKey.generate(name, COSIGNATURE)
    make_private(folder)
    with KernelLock(folder / LOCK):
        if (folder / KEY).exists():
            raise KeyFileError(str(folder / KEY), "there is one already, and it is never overwritten")
        write_private(folder / KEY, key.text + "\n", durable=True)
    return key


def _read(path: Path) -> str:
    try:
        return read_note(path)
    except OSError as error:
        raise KeyFileError(str(path), error.strerror or str(error)) from None
