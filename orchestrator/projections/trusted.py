"""Whether the tables and views of a ledger are those that this program made, so that whoever asks them has nothing else computed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from ledger.computing import Row, refuse_computing, schema_rows

FINGERPRINT = "ccb45fda7622c428beb02f9a59a533bbeba9c89e9203e023b92c8bfeef0e50cb"
"""Of the whole schema of a ledger that this program has just made; where one has another, each object is looked at, which costs some milliseconds."""


def refuse_untrusted(connection: sqlite3.Connection, path: Path) -> None:
    """
    Make sure that the tables and views of this program in the ledger at *path* compute what it made them to compute, and nothing else.

    Raises:
        ComputingSchemaError: Names each that does not.
    """
    if fingerprint(schema_rows(connection)) == FINGERPRINT:
        return
    from ledger.schema import schema_objects
    from orchestrator.projections.read_model_tables import SCRIPT
    from orchestrator.projections.views import VIEW_SCRIPT

    made = schema_objects([SCRIPT, VIEW_SCRIPT])
    refuse_computing(connection, path, made, made)


def fingerprint(rows: Iterable[Row]) -> str:
    """Return the SHA-256 of all *rows* of a schema."""
    import hashlib

    return hashlib.sha256(
        "\0".join(field for row in sorted(rows) for field in row).encode("utf-8", "surrogateescape")
    ).hexdigest()
