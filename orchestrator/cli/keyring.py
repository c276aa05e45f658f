"""
The user's configuration folder: signing keys and what was signed with them, one folder for each ledger, and the key of a witness.

Never beside the ledger: whoever can put an older ledger in the place of the present one must not be able to turn back what was signed.
"""

from __future__ import annotations

import os
from pathlib import Path

from ledger.errors import KeyFileError
from ledger.outside import read_note
from ledger.signer import Signer, has_key
from ledger.signing import parse_verifier
from ledger.verifier import VerifierKey


def config_folder() -> Path:
    """Return `$XDG_CONFIG_HOME/orchestrate`, or `.config/orchestrate` in the user's home, also where no `HOME` is set."""
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(configured if configured.startswith("/") else os.path.expanduser("~/.config"))  # noqa: PTH111 - which never fails
    # A user without a home has no keys, and needs none to run a pipeline.
    return (base if base.is_absolute() else Path("/.config")) / "orchestrate"


def operator_folder(ledger_id: str) -> Path:
    """Return where the key of the ledger *ledger_id* and its memory lie."""
    return config_folder() / "ledgers" / ledger_id


def witness_folder() -> Path:
    """Return where the key of this user as a witness and its memory lie."""
    return config_folder() / "witness"


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
        return parse_verifier(text, text)
    try:
        return parse_verifier(read_note(Path(text)), text)
    except OSError as error:
        raise KeyFileError(text, error.strerror or str(error)) from None
