"""Ledgers with many events, for tests of trees, checkpoints and keys."""

from __future__ import annotations

from pathlib import Path

from ledger.events import NewEvent
from ledger.store import Ledger, open_ledger


def filled(path: Path, events: int) -> Ledger:
    """Return a ledger at *path* that holds *events* events, the first one included."""
    ledger = open_ledger(path)
    ledger.append("numbers", [NewEvent("number.drawn", 1, {"n": n}) for n in range(events - 1)], expected_version=None)
    return ledger


def leaves(ledger: Ledger) -> list[bytes]:
    """Return the leaf hashes of *ledger*, in order."""
    return [leaf for (leaf,) in ledger.connection.execute("SELECT leaf_hash FROM events ORDER BY seq")]
