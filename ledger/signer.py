"""
The one who signs checkpoints of a ledger: a key, and the memory of the last thing that was signed with it.

Both lie in a folder of the user's, never beside the ledger: whoever puts an older copy of the file in its place cannot turn back the memory
with it. The memory is a signed checkpoint, the largest one so far. What does not agree with it is refused; what is a proven beginning of
it, or a proven continuation, is signed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ledger.errors import InconsistentHistoryError, KeyFileError, ProofError
from ledger.folders import make_private, sync_folder, write_private
from ledger.locks import KernelLock
from ledger.outside import read_note
from ledger.signing import SigningKey, signed_note
from ledger.verifier import Checkpoint, open_checkpoint, verify_consistency

KEY = "key"
MEMORY = "last-signed"
NEXT = "next-key"
LOCK = "lock"

Prove = Callable[[int, int], list[bytes]]
"""From two sizes to the consistency proof between them."""


class Signer:
    """
    Sign checkpoints with the key in *folder*.

    Raises:
        KeyFileError: The key or the memory is missing or damaged.
        MissingExtraError: What signs is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = read_key(folder / KEY)

    def remembered(self) -> Checkpoint:
        """
        Return the largest checkpoint that was signed so far.

        Raises:
            KeyFileError: The memory is missing or was not signed by this key: it may have been put there by somebody else.
        """
        keys = [self.key.verifier]
        following = next_key(self.folder)
        if following is not None:
            # A replacing of the key that was interrupted may have come as far as the memory.
            keys.append(following.verifier)
        place = self.folder / MEMORY
        try:
            return open_checkpoint(_read(place), keys)[0]
        except ProofError as error:
            raise KeyFileError(str(place), f"it was not signed with the key beside it: {error}") from None

    def sign(self, checkpoint: Checkpoint, prove: Prove, path: str) -> str:
        """
        Return *checkpoint* as a signed note, after making sure that it agrees with what was signed before.

        Args:
            prove: Asks the ledger that is being signed.
            path: Of the ledger, for the error.

        Raises:
            InconsistentHistoryError: It does not agree.
        """
        with KernelLock(self.folder / LOCK):
            # It may have been replaced since.
            self.key = read_key(self.folder / KEY)
            last = self.remembered()
            check_agreement(checkpoint, last, prove, path)
            if checkpoint.size > last.size:
                return _remember(self.folder, self.key, checkpoint)
        return signed_note(checkpoint.text, self.key.signature_line(checkpoint.text))


def has_key(folder: Path) -> bool:
    """Return whether *folder* holds a key."""
    return (folder / KEY).exists()


def next_key(folder: Path) -> SigningKey | None:
    """Return the key that is about to replace the one in *folder*, where that was begun and not finished; raises as `read_key`."""
    return read_key(folder / NEXT) if (folder / NEXT).exists() else None


def keep_next_key(folder: Path, make: Callable[[], SigningKey]) -> SigningKey:
    """Return the key that is to replace the one in *folder*; it is made once, and is there again where the replacing was interrupted."""
    make_private(folder)
    if not (folder / NEXT).exists():
        write_private(folder / NEXT, make().text + "\n", durable=True)
    return read_key(folder / NEXT)


def use_next_key(folder: Path, first: Checkpoint) -> str:
    """
    Put the next key in the place of the key in *folder*, and return *first* as a note signed with it; the former key is kept under its id.

    The caller holds the lock of the folder.

    Raises:
        KeyFileError: There is no next key.
        OSError: The folder cannot be written.
    """
    key = read_key(folder / NEXT)
    note = _remember(folder, key, first)
    if has_key(folder):
        former = read_key(folder / KEY)
        kept = folder / f"{KEY}.{former.verifier.id.hex()}"
        kept.unlink(missing_ok=True)
        kept.hardlink_to(folder / KEY)
    (folder / NEXT).replace(folder / KEY)
    sync_folder(folder)
    return note


def memory_of(folder: Path) -> Checkpoint | None:
    """
    Return what the signer in *folder* remembers, unchecked and without loading what signs; None where there is nothing.

    Raises:
        KeyFileError: It cannot be read.
    """
    try:
        return open_checkpoint(_read(folder / MEMORY))[0] if (folder / MEMORY).exists() else None
    except ProofError as error:
        raise KeyFileError(str(folder / MEMORY), str(error)) from None


def check_agreement(checkpoint: Checkpoint, last: Checkpoint, prove: Prove, path: str) -> None:
    """
    Make sure that *checkpoint* is a beginning or a continuation of *last*.

    Raises:
        InconsistentHistoryError: It is neither, as far as the ledger can show.
    """
    if checkpoint.origin != last.origin:
        raise InconsistentHistoryError(path, f"its origin is {checkpoint.origin}, what was signed is {last.origin}")
    small, large = sorted((checkpoint, last), key=lambda item: item.size)
    try:
        proof = prove(small.size, large.size)
        verify_consistency(small.size, large.size, proof, small.root, large.root)
    except ProofError as error:
        what = f"{last.size} events with the root {last.root.hex()} were signed before; {error}"
        raise InconsistentHistoryError(path, what) from None


def _remember(folder: Path, key: SigningKey, checkpoint: Checkpoint) -> str:
    note = signed_note(checkpoint.text, key.signature_line(checkpoint.text))
    write_private(folder / MEMORY, note, durable=True)
    return note


def read_key(path: Path) -> SigningKey:
    """
    Return the private key in the file *path*.

    Raises:
        KeyFileError: There is none, or it is damaged.
        MissingExtraError: What signs is not installed.
    """
    return SigningKey.parse(_read(path), str(path))


def _read(path: Path) -> str:
    try:
        return read_note(path)
    except OSError as error:
        raise KeyFileError(str(path), error.strerror or str(error)) from None
