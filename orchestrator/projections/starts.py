"""What a run was last started or resumed with: by which process, and with which variables."""

from __future__ import annotations

import json
import sqlite3
from typing import Any


def last_start(connection: sqlite3.Connection, run_id: str) -> dict[str, Any]:
    """Return what the newest start of the run *run_id*, which exists, has recorded: that of `run`, or that of `resume`."""
    (data,) = connection.execute(
        # The table and not its view, which ledgers of older programs lack.
        "SELECT data FROM events WHERE stream = 'run/' || ? AND type IN ('run.started', 'run.resumed')"
        " ORDER BY version DESC LIMIT 1",
        (run_id,),
    ).fetchone()
    begun: dict[str, Any] = json.loads(data)
    return begun
