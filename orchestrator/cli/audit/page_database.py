"""
The ledger as the page asks it: every statement under the authorizer and within limits as `audit query` has them.

Datasette's own check of a statement reads its text, and a comment can hide from it what SQLite then does. Imported only to show the page.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from datasette import hookimpl  # type: ignore[import-untyped]
from datasette.database import Database, QueryInterrupted, Results  # type: ignore[import-untyped]

from ledger.errors import QueryLimitError, QueryRefusedError
from ledger.query import Limits, QueryTimeError, ask, limit_memory, prepare
from orchestrator.cli.audit.watchdog import ended_in_time
from orchestrator.projections.web_metadata import DATABASE

SECONDS = 5.0
"""How long a statement may take."""
ROWS = 5_000
"""How many rows of an answer the page shows."""
_BYTES = 16 << 20
_MEMORY_BYTES = 512 << 20
_ITS_OWN = frozenset({"PRAGMA schema_version", "PRAGMA database_list;"})
"""What Datasette asks for itself, and a query may not."""

Values = Mapping[str, int | str] | Sequence[int | str] | None


class LedgerDatabase(Database):  # type: ignore[misc]
    """A ledger that is asked by many; each thread has a connection of its own, and none can write."""

    def connect(self, write: bool = False) -> sqlite3.Connection:  # noqa: ARG002, FBT001, FBT002 - Datasette's signature
        """Open the file for reading, whatever its path is made of."""
        mode = "mode=ro" if self.is_mutable else "immutable=1"
        name = quote(str(Path(self.path).resolve()))
        connection = sqlite3.connect(f"file:{name}?{mode}", uri=True, check_same_thread=False)
        self._all_file_connections.append(connection)
        return connection

    async def execute(
        self,
        sql: str,
        params: Values = None,
        truncate: bool = False,  # noqa: FBT001, FBT002
        custom_time_limit: int | None = None,
        page_size: int | None = None,
        log_sql_errors: bool = True,  # noqa: ARG002, FBT001, FBT002
    ) -> Results:
        """
        Return what *sql* gives, the first rows of it with *truncate*.

        Raises:
            QueryInterrupted: It took longer than it may, or the page is about to end.
            sqlite3.OperationalError: It is refused, or goes over another limit; the page shows the message.
        """
        if sql in _ITS_OWN:
            return await super().execute(sql)
        seconds = min(SECONDS, (custom_time_limit or SECONDS * 1_000) / 1_000)
        # One more tells a page that there are more.
        rows = ROWS + (page_size == ROWS) if truncate else Limits().rows
        limits = Limits(seconds, rows, _BYTES)
        return await self.execute_fn(lambda connection: _results(connection, sql, params, limits, cut=truncate))

    def stop(self) -> None:
        """End what is being asked."""
        for connection in self._all_file_connections:
            connection.interrupt()


@hookimpl  # type: ignore[untyped-decorator]
def prepare_connection(conn: sqlite3.Connection, database: str) -> None:
    """Do with a new connection to the ledger what `audit query` does with its own; Datasette has others, for itself."""
    if database == DATABASE:
        prepare(conn)
        limit_memory(conn, _MEMORY_BYTES)


def _results(connection: sqlite3.Connection, sql: str, values: Values, limits: Limits, *, cut: bool) -> Results:
    try:
        with ended_in_time(SECONDS, as_json=False, advice="the page ends with it"):
            answer = ask(connection, sql, values, limits, cut=cut)
    except KeyboardInterrupt as error:
        raise QueryInterrupted(error, sql, values) from None
    except QueryLimitError as error:
        if isinstance(error, QueryTimeError) and not cut:
            # What a page can do without, such as the count of all rows.
            raise QueryInterrupted(error, sql, values) from None
        raise sqlite3.OperationalError(f"{error}; `orchestrate audit query` allows more") from None
    except QueryRefusedError as error:
        raise sqlite3.OperationalError(str(error)) from None
    return Results(answer.rows, not answer.complete, [(name,) for name in answer.columns])
