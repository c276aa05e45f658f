"""Where the definition and the ledger are: what the options say, else the environment, else the folder that one stands in."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from orchestrator.cli.errors import UsageRefusedError

DEFINITION = "pipeline.toml"
LEDGER = Path(".orchestrate") / "ledger.db"


def definition_path(option: str | None) -> Path:
    """
    Return where the definition is; a folder means the `pipeline.toml` in it.

    Raises:
        UsageRefusedError: The option is empty, as of a variable of the shell that is not set, or the folder that one stands in is gone.
    """
    _refuse_empty("--pipeline", option)
    try:
        os.getcwd()  # noqa: PTH109 - whether it is there is all that matters
    except FileNotFoundError:
        message = (
            "the folder that this was started in is gone: go to one that is there, also where it has been made anew"
        )
        raise UsageRefusedError("no_folder", message) from None
    path = Path(option or DEFINITION)
    return path / DEFINITION if _is_folder(path) else path


def ledger_path(option: str | None, definition: Path) -> Path:
    """
    Return where the ledger is: `--ledger`, else `ORCHESTRATE_LEDGER`, else `.orchestrate/ledger.db` beside *definition*.

    Raises:
        UsageRefusedError: The option is empty, or what was chosen is the root of the file system, or can be no file: a link to itself, a name that is too long.
    """
    _refuse_empty("--ledger", option)
    chosen = option or os.environ.get("ORCHESTRATE_LEDGER")
    if not chosen:
        return _possible(Path(_recordable(os.path.abspath(definition))).parent / LEDGER)
    path = Path(_recordable(os.path.abspath(chosen)))
    if path == path.parent:
        whose = "--ledger" if option else "ORCHESTRATE_LEDGER"
        raise UsageRefusedError(
            "bad_path", f"{whose} is {chosen!a}: a ledger needs a folder of its own, for its logs too"
        )
    return _possible(path / LEDGER.name if _is_folder(path) else path)


def relative_to_ledger(path: Path, ledger: Path) -> str:
    """Return *path* as the ledger knows it: relative to the ledger's folder, so that both can be moved together."""
    return _recordable(os.path.relpath(os.path.abspath(path), ledger.parent))


def where(definition: Path, ledger: Path) -> str:
    """Return the options that a command typed in this folder needs to find *definition* and *ledger*; empty where it finds both by itself."""
    import shlex

    words = []
    if definition.absolute() != Path(DEFINITION).absolute():
        words += ["--pipeline", os.path.relpath(definition)]
    if ledger != ledger_path(None, definition):
        words += ["--ledger", os.path.relpath(ledger)]
    return "".join(f" {word if word.startswith('--') else shlex.quote(word)}" for word in words)


def _refuse_empty(name: str, option: str | None) -> None:
    if option is not None and not option.strip():
        raise UsageRefusedError("usage", f"{name} is empty: name a file or a folder, or leave it out for the default")


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False  # Such as a name that is too long: whoever opens it says so.


def _possible(path: Path) -> Path:
    """
    Return *path* if a file can be there.

    Raises:
        UsageRefusedError: Its name is too long, or it is a link that leads back to itself.
    """
    try:
        path.stat()
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            raise UsageRefusedError("bad_path", f"{path} can be no ledger: {error.strerror}") from None
    return path


def _recordable(path: str) -> str:
    """
    Return *path* if a ledger can hold it.

    Raises:
        UsageRefusedError: It holds bytes that are no UTF-8.
    """
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageRefusedError("bad_path", f"{path!a} is no UTF-8, so no ledger can name it: rename it") from None
    return path
