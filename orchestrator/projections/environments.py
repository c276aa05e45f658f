"""What runs ran with: the document that `run.started` and `run.resumed` name as `environment`, see `core.capture`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from orchestrator.projections.queries import load_blob
from orchestrator.projections.starts import last_start

_LAST_RUN = "SELECT run_id FROM runs WHERE pipeline IN (SELECT value FROM json_each(?)) ORDER BY first_seq DESC LIMIT 1"


def held_blobs(connection: sqlite3.Connection, digests: Iterable[str]) -> frozenset[str]:
    """Return those of *digests* under which the ledger keeps something."""
    sql = "SELECT digest FROM blobs WHERE digest IN (SELECT value FROM json_each(?))"
    return frozenset(digest for (digest,) in connection.execute(sql, (json.dumps(list(digests)),)))


def environment_of(connection: sqlite3.Connection, run_id: str) -> dict[str, Any] | None:
    """Return what the run *run_id*, which exists, was last started or resumed with; None where an older program did that, or it is gone."""
    digest = last_start(connection, run_id).get("environment")
    return None if digest is None else load_blob(connection, str(digest))


def last_variables(connection: sqlite3.Connection, names: Iterable[str]) -> frozenset[str]:
    """Return which variables had a value in the newest run of the pipeline that has, or had, one of *names*."""
    row = connection.execute(_LAST_RUN, (json.dumps(list(names)),)).fetchone()
    return frozenset() if row is None else frozenset(last_start(connection, row[0]).get("variables", {}))


def last_secrets(connection: sqlite3.Connection, names: Iterable[str]) -> dict[str, str]:
    """Return the keyed digest of each secret of the newest run of the pipeline that has, or had, one of *names*."""
    row = connection.execute(_LAST_RUN, (json.dumps(list(names)),)).fetchone()
    environment = None if row is None else environment_of(connection, row[0])
    return {} if environment is None else dict(environment["secrets"])
