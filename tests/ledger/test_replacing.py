"""Tests of a ledger's key and of what takes its place, where two do it at once or the disk refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger import replacing
from ledger.errors import KeyFileError
from ledger.keys import key_changes
from ledger.replacing import add_key, finish_replacing, present_key, rotate_key
from ledger.signer import KEY, keep_next_key
from ledger.signing import SigningKey
from tests.ledger.sealed import filled


def test_one_key_is_made(tmp_path: Path) -> None:
    """Given somebody who has made the key meanwhile, then a second one is refused, unless the first is said to be lost."""
    with filled(tmp_path / "ledger.db", 2) as ledger:
        first = add_key(ledger, tmp_path / "keys", {}, lost=False)
        with pytest.raises(KeyFileError, match="somebody else has made the key"):
            add_key(ledger, tmp_path / "keys", {}, lost=False)
        assert present_key(ledger) == first
        assert add_key(ledger, tmp_path / "keys", {}, lost=True) == present_key(ledger) != first


@pytest.mark.parametrize("known", [True, False])
def test_key_that_is_not_the_ledgers(tmp_path: Path, *, known: bool) -> None:
    """Given another key in the folder than that of the ledger, or a ledger that has none, then it cannot be replaced with."""
    folder = tmp_path / "keys"
    with filled(tmp_path / "other.db", 2) as other:
        add_key(other, folder, {}, lost=False)
    with filled(tmp_path / "ledger.db", 2) as ledger:
        if known:
            add_key(ledger, tmp_path / "others", {}, lost=False)
        with pytest.raises(KeyFileError, match="and that of the ledger is"):
            rotate_key(ledger, folder, {})


def test_disk_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a folder that cannot be written when the event stands already, then that is told, and whoever seals next finishes it."""
    folder = tmp_path / "keys"

    def refuse(*_: object) -> str:
        raise OSError(28, "No space left on device")

    with filled(tmp_path / "ledger.db", 2) as ledger:
        with monkeypatch.context() as patch:
            patch.setattr(replacing, "use_next_key", refuse)
            with pytest.raises(KeyFileError, match="No space left"):
                add_key(ledger, folder, {}, lost=False)
        assert not (folder / KEY).exists()
        finish_replacing(ledger, folder)
        assert (folder / KEY).exists()
        assert len(key_changes(ledger.connection)) == 1


def test_somebody_else_finishes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a change that is finished while we wait for our turn, then nothing is left to do; and nothing where none was begun."""
    folder = tmp_path / "keys"
    with filled(tmp_path / "ledger.db", 2) as ledger:
        finish_replacing(ledger, folder)
        keep_next_key(folder, lambda: SigningKey.generate("it"))
        finish_replacing(ledger, folder)
        answers = iter([True, False])
        monkeypatch.setattr(replacing, "is_begun", lambda *_: next(answers))
        finish_replacing(ledger, folder)
        assert not (folder / KEY).exists()
