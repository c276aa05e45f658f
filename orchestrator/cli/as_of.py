"""
Reading a ledger as it stood after one of its events: the tables are made beside the stored ones, from the events up to that one, for this reading alone.

Whatever names tables and views without a schema then sees them as of then, so that every question does what it does for the present. Nothing is written to
the file. The cost is that of making the tables anew: it grows with the events up to the moment, and what does not fit into SQLite's cache lies in a temporary file.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from ledger.projection import read_events, rebuild_beside
from ledger.schema import ledger_format
from ledger.tree import ledger_size, tree_root
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.older import counting
from orchestrator.projections.older_tables import add_missing_tables, watched
from orchestrator.projections.read_models import ReadModels

_LATEST = "SELECT max(seq) FROM main.events WHERE recorded_at <= ?"
_COLUMNS = "seq, body, leaf_hash, stream, version, type, type_version, recorded_at, id, data"
_CHECKPOINT = "SELECT size, lower(hex(root)) FROM checkpoints ORDER BY size DESC, id DESC LIMIT 1"


class Moment(NamedTuple):
    """
    A moment of a ledger.

    Attributes:
        seq: The last event that had been recorded.
        recorded_at: When that was.
        now: What the time was: the one that was asked for, else that of the event.
        root: Of the tree over the events up to it, hexadecimal.
        checkpoint: `{"size", "root"}` of the newest checkpoint up to it, or None.
    """

    seq: int
    recorded_at: str
    now: datetime
    root: str
    checkpoint: dict[str, object] | None

    def as_json(self) -> dict[str, object]:
        """Return what `--json` says of it, where that has a place for it."""
        shown = {"seq": self.seq, "recorded_at": self.recorded_at, "events": self.seq + 1}
        return {**shown, "root": self.root, "checkpoint": self.checkpoint}

    def __str__(self) -> str:
        """Say what a reading stands at."""
        sealed = "no checkpoint"
        if self.checkpoint is not None:
            sealed = f"the newest checkpoint over {self.checkpoint['size']} of them"
        many = "1 event" if self.seq == 0 else f"{self.seq + 1} events"
        return f"as of event {self.seq}, {self.recorded_at}: {many}, root {self.root}, {sealed}"


def show_as_of(connection: sqlite3.Connection, path: Path, text: str) -> Moment:
    """
    Make *connection*, to the ledger at *path*, show it as it stood at the moment *text*: `seq:N` or `time:T`; all that follows is of one transaction.

    Raises:
        UsageRefusedError: That is no moment, or none of this ledger.
        UnknownEventError: It holds an event that this program does not know.
    """
    kind, _, value = text.partition(":")
    connection.execute("BEGIN")
    size = ledger_size(connection)
    now: datetime | None = None
    if kind == "time":
        now = _time(value, text)
        (found,) = connection.execute(_LATEST, (f"{now:%Y-%m-%dT%H:%M:%S.%fZ}",)).fetchone()
        if found is None:
            raise UsageRefusedError("bad_moment", f"--as-of {text}: {_too_early(connection, path)}")
        seq = int(found)
    else:
        seq = _seq(kind, value, text, size)
    add_missing_tables(connection, ledger_format(connection, str(path)))
    _hide_later(connection, seq, now)
    told = counting(f"making the tables of {path} as of event {seq}", seq + 1)
    events = (event for event, _ in zip(read_events(connection), range(seq + 1), strict=False))
    rebuild_beside(connection, [ReadModels()], watched(events, told))
    (recorded_at,) = connection.execute("SELECT recorded_at FROM events WHERE seq = ?", (seq,)).fetchone()
    row = connection.execute(_CHECKPOINT).fetchone()
    checkpoint: dict[str, object] | None = None if row is None else {"size": row[0], "root": row[1]}
    root = tree_root(connection, seq + 1).hex()
    return Moment(seq, recorded_at, now or datetime.fromisoformat(recorded_at), root, checkpoint)


def _too_early(connection: sqlite3.Connection, path: Path) -> str:
    """Say where the ledger begins, and which one it goes on from."""
    from ledger.chain import former_ledgers

    (begins,) = connection.execute("SELECT min(recorded_at) FROM main.events").fetchone()
    said = f"the ledger {path} has no event as early as that: it begins at {begins}"
    former = next(iter(former_ledgers(path, connection)), None)
    return said if former is None else f"{said}, and goes on from {former.path}: look there with --ledger"


def _seq(kind: str, value: str, text: str, size: int) -> int:
    if kind != "seq" or not (value.isascii() and value.isdecimal()) or len(value) > len(str(1 << 62)):
        message = (
            f"--as-of takes seq:N, the number of an event, or time:T, such as time:2026-01-31T06:00Z, not {text[:60]!a}"
        )
        raise UsageRefusedError("bad_moment", message)
    if int(value) >= size:
        raise UsageRefusedError(
            "bad_moment", f"--as-of {text}: the ledger has {size} events, the last is seq:{size - 1}"
        )
    return int(value)


def _time(value: str, text: str) -> datetime:
    """Return the time that *value* means, in UTC where it names no zone; a date alone is its first moment."""
    try:
        found = datetime.fromisoformat(value)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"--as-of takes a time such as time:2026-01-31T06:00Z, UTC where it names no zone, not {text[:60]!a}"
        raise UsageRefusedError("bad_moment", message) from None
    if found > datetime.now(UTC):
        raise UsageRefusedError("bad_moment", f"--as-of {text}: that time has not come yet")
    return found


def _hide_later(connection: sqlite3.Connection, seq: int, now: datetime | None) -> None:
    """Show only those events, and those checkpoints over them, that there were."""
    until = "" if now is None else f" AND recorded_at <= '{now:%Y-%m-%dT%H:%M:%S.%fZ}'"
    for name, columns, limit in (
        ("events", _COLUMNS, f"seq <= {seq}"),
        ("checkpoints", "id, size, root, note, recorded_at", f"size <= {seq + 1}{until}"),
    ):
        known = connection.execute("SELECT 1 FROM main.sqlite_schema WHERE name = ?", (name,)).fetchone()
        if known is not None:
            sql = f"CREATE TEMP VIEW {name} AS SELECT {columns} FROM main.{name} WHERE {limit}"  # noqa: S608 - ours
            connection.execute(sql)
