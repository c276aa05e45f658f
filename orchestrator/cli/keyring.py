"""
The user's configuration folder: signing keys and what was signed with them, one folder for each ledger, and the key of a witness.

Never beside the ledger: whoever can put an older ledger in the place of the present one must not be able to turn back what was signed.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from ledger.errors import KeyFileError
from ledger.folders import make_private
from ledger.new_file import appearing, write_new
from ledger.outside import read_note
from ledger.signer import Signer, has_key
from ledger.signing import parse_verifier
from ledger.verifier import VerifierKey

CONFIG_HOME = "XDG_CONFIG_HOME"
"""The variable that says where the configuration of a user lies; one that is not absolute counts as not set."""

_DIGEST_KEY = re.compile(rb"([0-9a-f]{64})\n?")


def config_folder() -> Path:
    """Return `$XDG_CONFIG_HOME/orchestrate`, or `.config/orchestrate` in the user's home, also where no `HOME` is set."""
    configured = os.environ.get(CONFIG_HOME, "")
    base = Path(configured if configured.startswith("/") else os.path.expanduser("~/.config"))  # noqa: PTH111 - which never fails
    # A user without a home has no keys, and needs none to run a pipeline.
    return (base if base.is_absolute() else Path("/.config")) / "orchestrate"


def operator_folder(ledger_id: str) -> Path:
    """Return where the key of the ledger *ledger_id* and its memory lie."""
    return config_folder() / "ledgers" / ledger_id


def witness_folder() -> Path:
    """Return where the key of this user as a witness and its memory lie."""
    return config_folder() / "witness"


def digest_key_path() -> Path:
    """Return where the key of keyed digests lies: one for all ledgers of this user."""
    return config_folder() / "rekey-key"


def digest_key(*, make: bool) -> bytes | None:
    """
    Return the key of keyed digests, or None where there is none.

    Args:
        make: Make one then.

    Raises:
        KeyFileError: It is damaged, or cannot be read or made.
    """
    path = digest_key_path()
    try:
        if make and not path.exists():
            _make_digest_key(path)
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFileError(str(path), error.strerror or str(error)) from None
    match = _DIGEST_KEY.fullmatch(text)
    if match is None:
        raise KeyFileError(str(path), "it is not 64 hexadecimal digits on one line")
    return bytes.fromhex(match[1].decode())


def _make_digest_key(path: Path) -> None:
    """Put a new key to *path*, unless somebody else does so at the same time: then that one counts."""
    make_private(path.parent, durable=True)
    text = os.urandom(32).hex().encode() + b"\n"
    if not write_new(path, text, durable=True):
        with contextlib.suppress(FileExistsError), appearing(path, force=False, durable=True) as unfinished:
            unfinished.write_bytes(text)


def signer_of(ledger_id: str) -> Signer | None:
    """
    Return who signs checkpoints of the ledger *ledger_id*, or None where this user has no key for it.

    Raises:
        KeyFileError: The key is damaged.
        MissingExtraError: There is a key, and what signs is not installed.
    """
    folder = operator_folder(ledger_id)
    return Signer(folder) if has_key(folder) else None


def given_key(text: str) -> VerifierKey:
    """
    Return the public key that an option names: the key itself, or a file that holds it.

    Raises:
        KeyFileError: It is none.
    """
    # A key has signs that a path may have too; whatever stands there under its name is what was meant.
    if not os.path.lexists(text):
        if "+" not in text:
            what = "there is no such file, and it is not a verifier key itself; expected name+id+base64"
            raise KeyFileError(text, what)
        return parse_verifier(text, text)
    try:
        return parse_verifier(read_note(Path(text)), text)
    except OSError as error:
        raise KeyFileError(text, error.strerror or str(error)) from None
