"""Where the definition and the ledger are: what the options say, else the environment, else the folder that one stands in."""

from __future__ import annotations

import os
from pathlib import Path

DEFINITION = "pipeline.toml"
LEDGER = Path(".orchestrate") / "ledger.db"


def definition_path(option: str | None) -> Path:
    """Return where the definition is; a folder means the `pipeline.toml` in it."""
    path = Path(option or DEFINITION)
    return path / DEFINITION if path.is_dir() else path


def ledger_path(option: str | None, definition: Path) -> Path:
    """Return where the ledger is: `--ledger`, else `ORCHESTRATE_LEDGER`, else `.orchestrate/ledger.db` beside *definition*."""
    chosen = option or os.environ.get("ORCHESTRATE_LEDGER")
    if not chosen:
        return Path(os.path.abspath(definition)).parent / LEDGER
    path = Path(os.path.abspath(chosen))
    return path / LEDGER.name if path.is_dir() else path


def relative_to_ledger(path: Path, ledger: Path) -> str:
    """Return *path* as the ledger knows it: relative to the ledger's folder, so that both can be moved together."""
    return os.path.relpath(os.path.abspath(path), ledger.parent)
