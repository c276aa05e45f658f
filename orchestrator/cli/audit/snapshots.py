"""A copy of a ledger at one moment, in one file, with a manifest that says which moment and what the file holds."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ledger.backup import file_digest
from ledger.computing import integrity_problems
from ledger.errors import StorageError
from ledger.folders import make_private
from ledger.new_file import appearing
from ledger.schema import FORMAT, own_objects, schema_objects
from orchestrator.cli.audit.evidence import Moment
from orchestrator.cli.audit.exporting import MANIFEST, facts_of
from orchestrator.cli.audit.new_files import NewFile, refuse_odd
from orchestrator.cli.audit.seq_range import SeqRange
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.projections.read_model_tables import SCRIPT
from orchestrator.projections.views import VIEW_SCRIPT


def snapshot_manifest(path: Path) -> Path:
    """Return where the manifest of the snapshot *path* stands."""
    return path.with_name(f"{path.name}.{MANIFEST}")


def take_snapshot(moment: Moment, path: Path, taken_at: str) -> Mapping[str, object]:
    """
    Copy the ledger as it is at *moment* to *path*, where nothing is, and return the manifest, which stands beside it before.

    Raises:
        StorageError, OSError: It cannot be written; nothing is left.
    """
    make_private(path.parent)
    beside = snapshot_manifest(path)
    refuse_odd((path, beside))
    try:
        with appearing(path, force=False, durable=True) as unfinished:
            _copy(moment.connection, unfinished, path)
            facts = {**facts_of(moment, SeqRange(0, moment.size - 1), taken_at), "sealed": _sealed(moment.connection)}
            size = unfinished.stat().st_size
            entry = {"file": path.name, "rows": moment.size, "bytes": size, "sha256": file_digest(unfinished)}
            manifest: dict[str, object] = {**facts, "files": [entry]}
            with NewFile(beside) as file:
                file.write(json.dumps(manifest, ensure_ascii=False, indent=2).encode("utf-8") + b"\n")
    except sqlite3.Error as error:
        raise StorageError(str(path), str(error)) from error
    finally:
        if not os.path.lexists(path):
            beside.unlink(missing_ok=True)
    return manifest


def _copy(source: sqlite3.Connection, target: Path, shown: Path) -> None:
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy:
        source.backup(copy)
        # One file, with no log beside it.
        copy.execute("PRAGMA journal_mode = DELETE").fetchone()
        made = {**own_objects(FORMAT), **schema_objects([SCRIPT + VIEW_SCRIPT])}
        found = next(integrity_problems(copy, target, made, quick=True), None)
    if found is not None:
        raise StorageError(str(shown), f"the copy is not whole: {found}")
    target.chmod(0o400)


def check_snapshot(path: Path) -> Mapping[str, object]:
    """
    Return the manifest of the snapshot that stands at *path*, which is as the manifest says.

    Raises:
        UsageRefusedError: It has none, or is another file than that.
    """
    manifest = snapshot_manifest(path)
    try:
        # A pipe would be waited for.
        facts: dict[str, object] = json.loads(manifest.read_bytes() if path.is_file() and manifest.is_file() else b"")
        files: Any = facts["files"]
        expected, *_ = files[0]["sha256"], facts["exported_at"], facts["size"], facts["root"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise UsageRefusedError(
            "no_snapshot", f"{path} exists and is no snapshot: {manifest} is missing or is none"
        ) from None
    actual = file_digest(path)
    if actual != expected:
        message = f"{path} is not the snapshot that was taken: its SHA-256 is {actual}, its manifest says {expected}"
        raise UsageRefusedError("changed_snapshot", message)
    return facts


def check_moment(path: Path, facts: Mapping[str, object], moment: Moment) -> None:
    """
    Make sure that what stands in the snapshot *path* is what the *facts* of its manifest say.

    Raises:
        UsageRefusedError: It has another number of events, or another root.
    """
    size, root = moment.size, moment.root()
    if (size, root) != (facts["size"], facts["root"]):
        message = (
            f"{path} holds {size} events with the root {root}, its manifest says {facts['size']} and {facts['root']}"
        )
        raise UsageRefusedError("changed_snapshot", message)


def _sealed(connection: sqlite3.Connection) -> int:
    (size,) = connection.execute("SELECT coalesce(max(size), 0) FROM checkpoints").fetchone()
    return int(size)
