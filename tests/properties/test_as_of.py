"""Whatever a reader saw after an event is what `--as-of` shows of that event ever after."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings

from ledger import open_ledger
from ledger.events import NewEvent
from ledger.reader import LedgerReader
from ledger.tree import tree_root
from orchestrator.cli.as_of import show_as_of
from orchestrator.core.events import event_data, event_type
from orchestrator.projections.read_models import ReadModels
from tests.properties.test_read_models import Append, histories

SHOWN = ("events", *ReadModels.tables, *ReadModels.views)


def seen(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Return every row of every table and view, as text."""
    return {name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in SHOWN}  # noqa: S608 - ours


def live_through(path: Path, history: Sequence[Append]) -> dict[int, dict[str, list[str]]]:
    """Append *history* to a new ledger; return what a reader saw after each append, by the last event."""
    found = {}
    with open_ledger(path, projections=[ReadModels()]) as ledger:
        for item in history:
            new = [NewEvent(*event_type(event), event_data(event)) for event in item.events]
            recorded = ledger.append(item.stream, new, expected_version=None, blobs=item.blobs)
            if recorded:
                found[recorded[-1].seq] = seen(ledger.connection)
    return found


class TestAsOf:
    """The past stays what it was."""

    @settings(max_examples=20)
    @given(history=histories())
    def test_what_was_seen_then(self, history: list[Append]) -> None:
        """Given any history, then each table and view as of an event has the rows that it had when that was the last one; the file stays as it is."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ledger.db"
            found = live_through(path, history)
            before = path.read_bytes()
            for seq, rows in found.items():
                with LedgerReader(path) as reader:
                    moment = show_as_of(reader.connection, path, f"seq:{seq}")
                    assert seen(reader.connection) == rows
                    assert moment.root == tree_root(reader.connection, seq + 1).hex()
                    assert (moment.seq, moment.checkpoint) == (seq, None)
            assert path.read_bytes() == before
