"""Tests of making a ledger's file where that cannot be done alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.creation import making_lock
from ledger.errors import StorageError
from ledger.store import open_ledger


def test_lock_that_cannot_be_taken(tmp_path: Path) -> None:
    """Given a folder in the place of the lock, then the ledger is not made and the error names it."""
    path = tmp_path / "ledger.db"
    place = Path(making_lock(path)._path)
    place.mkdir(parents=True)
    with pytest.raises(StorageError):
        open_ledger(path)
    assert not path.exists()
