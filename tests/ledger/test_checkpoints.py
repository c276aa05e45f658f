"""Tests of checkpoints in a ledger and outside of it, and of what a ledger tells about its keys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ledger.checkpoints import (
    Seal,
    checkpoint_at,
    hold_to,
    keep_seal,
    last_seal,
    origin_of,
    seal,
    seals,
)
from ledger.errors import InconsistentHistoryError, ProofError, StorageError
from ledger.events import NewEvent
from ledger.keys import ADDED, REPLACED, ROTATED, KeyChange, key_changes, rotation_statement, rotations
from ledger.outside import checkpoint_folder, outside_files, read_note, write_outside
from ledger.signing import SigningKey, signed_note
from ledger.store import Ledger
from ledger.tree import ledger_size
from ledger.verifier import Checkpoint, Rotation, VerifierKey, follow_rotations, open_checkpoint
from tests.ledger.sealed import filled, leaves
from tests.ledger.test_merkle import naive_root

NOW = "2026-01-31T02:00:00.000000Z"


def sealed(ledger: Ledger, size: int | None = None, key: SigningKey | None = None) -> Seal:
    """Seal *ledger*, signed with *key* where one is given."""
    sign = None if key is None else lambda found: signed_note(found.text, key.signature_line(found.text))
    return seal(ledger, size, sign=sign, now=lambda: NOW)


class TestSeal:
    """A checkpoint as a row."""

    def test_covers_everything(self, tmp_path: Path) -> None:
        """Given a ledger, then its checkpoint has its origin, its size and the root of the definition, and is kept."""
        with filled(tmp_path / "ledger.db", 300) as ledger:
            found = sealed(ledger)
            root = naive_root(leaves(ledger))
            assert found == Seal(Checkpoint(origin_of(ledger.ledger_id), 300, root), found.checkpoint.text, NOW)
            assert not found.is_signed
            assert seals(ledger.connection) == [found]
            assert ledger.connection.execute("SELECT count(*) FROM tree").fetchone() == (1,)

    def test_of_a_beginning(self, tmp_path: Path) -> None:
        """Given a size, then the checkpoint covers so many events, and at most those that there are."""
        with filled(tmp_path / "ledger.db", 10) as ledger:
            assert sealed(ledger, 7).checkpoint == checkpoint_at(ledger.connection, ledger.ledger_id, 7)
            assert sealed(ledger, 70).checkpoint.size == 10

    def test_is_made_once(self, tmp_path: Path) -> None:
        """Given a checkpoint of a size, then sealing again keeps no other; a signed one is made beside an unsigned one, and serves both."""
        key = SigningKey.generate("it")
        with filled(tmp_path / "ledger.db", 10) as ledger:
            bare = sealed(ledger)
            assert sealed(ledger) == bare
            signed = sealed(ledger, key=key)
            assert signed.is_signed
            assert sealed(ledger) == sealed(ledger, key=key) == signed
            assert seals(ledger.connection) == [bare, signed]
            assert last_seal(ledger.connection) == last_seal(ledger.connection, signed=True) == signed

    def test_what_somebody_put_there_is_passed_over(self, tmp_path: Path) -> None:
        """Given a row that is no checkpoint, then a true one is made beside it."""
        with filled(tmp_path / "ledger.db", 10) as ledger:
            ledger.connection.execute("INSERT INTO checkpoints VALUES (1, 10, zeroblob(32), 'nonsense', '')")
            assert sealed(ledger).checkpoint.size == 10
            with pytest.raises(ProofError):
                seals(ledger.connection)

    def test_row_that_says_something_else(self, tmp_path: Path) -> None:
        """Given a row with another root and a signature that somebody made up, then it is nobody's seal: the signer is asked."""
        key = SigningKey.generate("it")
        with filled(tmp_path / "ledger.db", 10) as ledger:
            true = checkpoint_at(ledger.connection, ledger.ledger_id, 10)
            for wrong in (true._replace(root=bytes(32)), true):
                note = signed_note(wrong.text, SigningKey.generate("it").signature_line(wrong.text))
                keep_seal(ledger, note)
            found = sealed(ledger, key=key)
            assert found.checkpoint == true
            assert found.note == signed_note(true.text, key.signature_line(true.text))
            assert sealed(ledger).checkpoint == true

    def test_signer_that_refuses(self, tmp_path: Path) -> None:
        """Given a signer that refuses, then nothing is kept."""

        def refuse(_: Checkpoint) -> str:
            raise InconsistentHistoryError("it", "no")

        with filled(tmp_path / "ledger.db", 10) as ledger:
            with pytest.raises(InconsistentHistoryError):
                seal(ledger, sign=refuse)
            assert seals(ledger.connection) == []
            assert last_seal(ledger.connection) is None

    def test_note_made_elsewhere(self, tmp_path: Path) -> None:
        """Given a note of somebody else, then it is kept once."""
        key = SigningKey.generate("it")
        with filled(tmp_path / "ledger.db", 10) as ledger:
            found = checkpoint_at(ledger.connection, ledger.ledger_id, 10)
            note = signed_note(found.text, key.signature_line(found.text))
            assert keep_seal(ledger, note).checkpoint == keep_seal(ledger, note).checkpoint == found
            assert [item.note for item in seals(ledger.connection)] == [note]

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE checkpoints SET size = 1",
            "DELETE FROM checkpoints",
            "INSERT OR REPLACE INTO checkpoints SELECT id, 1, root, note || 'x', recorded_at FROM checkpoints",
            "INSERT OR REPLACE INTO checkpoints SELECT id + 1, size, root, note, recorded_at FROM checkpoints",
        ],
    )
    def test_rows_stay(self, tmp_path: Path, statement: str) -> None:
        """Given a kept checkpoint, then honest programs cannot change it."""
        with filled(tmp_path / "ledger.db", 10) as ledger:
            sealed(ledger)
            with pytest.raises(StorageError, match="checkpoints are never"), ledger.transaction() as connection:
                connection.execute(statement)


class TestHolding:
    """A ledger is held to what was sealed."""

    def test_continues(self, tmp_path: Path) -> None:
        """Given checkpoints of this ledger and one of another, then nothing is wrong."""
        with filled(tmp_path / "ledger.db", 10) as ledger:
            other = Checkpoint("ledger.example/other", 99, bytes(32))
            for found in (sealed(ledger, 5).checkpoint, sealed(ledger).checkpoint, other):
                hold_to(ledger.connection, ledger.ledger_id, "it", found)

    def test_turned_back(self, tmp_path: Path) -> None:
        """Given a checkpoint over more events than there are, then it says how many are missing."""
        with filled(tmp_path / "ledger.db", 10) as ledger:
            larger = sealed(ledger).checkpoint._replace(size=13)
            with pytest.raises(
                InconsistentHistoryError, match="it has 10 events, 13 were sealed: the last 3 are missing"
            ):
                hold_to(ledger.connection, ledger.ledger_id, "it", larger)

    def test_other_events(self, tmp_path: Path) -> None:
        """Given a checkpoint with another root, then both are named."""
        with filled(tmp_path / "ledger.db", 10) as ledger:
            other = sealed(ledger, 5).checkpoint._replace(root=bytes(32))
            with pytest.raises(InconsistentHistoryError, match=f"first 5 events is .*, sealed was {bytes(32).hex()}"):
                hold_to(ledger.connection, ledger.ledger_id, "it", other)


class TestOutside:
    """Checkpoints as files."""

    def test_files_in_order(self, tmp_path: Path) -> None:
        """Given files of several sizes and kinds, then they are listed by size, and nothing else is."""
        folder = checkpoint_folder(tmp_path / "ledger.db", "0123456789abcdef")
        assert folder == tmp_path / "checkpoints" / "01234567"
        assert outside_files(folder) == []
        found = Checkpoint("it", 5, bytes(32))
        large = found._replace(size=12)
        paths = [
            write_outside(folder, found, "note"),
            write_outside(folder, found, "note", witness="audit.example/jane doe"),
            write_outside(folder, large, "note"),
        ]
        (folder / "other.txt").touch()
        assert {path.name for path in paths} == {
            "000000000005.checkpoint",
            "000000000005.audit.example_jane_doe.cosigned",
            "000000000012.checkpoint",
        }
        assert set(outside_files(folder)) == set(paths)
        assert outside_files(folder)[-1] == paths[-1]
        assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}
        assert folder.stat().st_mode & 0o777 == 0o700

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        """Given bytes that are no UTF-8, then they are no note."""
        (tmp_path / "x").write_bytes(b"ledger\n1\n\xff\n")
        with pytest.raises(ProofError):
            open_checkpoint(read_note(tmp_path / "x"))

    def test_nothing_to_wait_for(self, tmp_path: Path) -> None:
        """Given a pipe in the place of a file, then reading it does not wait."""
        os.mkfifo(tmp_path / "x")
        with pytest.raises(OSError, match="it is a FIFO"):
            read_note(tmp_path / "x")


class TestKeyHistory:
    """What the events tell about keys, and what a pinned key vouches for."""

    def test_chain_of_rotations(self, tmp_path: Path) -> None:
        """Given two rotations, a loss and another rotation, then a pinned key vouches for its side of the loss alone."""
        keys = [SigningKey.generate("it") for _ in range(5)]
        publics = [key.verifier for key in keys]
        with filled(tmp_path / "ledger.db", 2) as ledger:
            record(ledger, ADDED, {"after": publics[0].text})
            rotate(ledger, keys[0], keys[1])
            rotate(ledger, keys[1], keys[2])
            statement = rotation_statement(Rotation(publics[2], publics[3], 5), [keys[3]])
            record(ledger, REPLACED, {"before": publics[2].text, "after": publics[3].text, "statement": statement})
            rotate(ledger, keys[3], keys[4])
            changes = key_changes(ledger.connection)
        assert [change.rotation is not None for change in changes] == [False, True, True, False, True]
        assert [change.seq for change in changes] == [2, 3, 4, 5, 6]
        for pinned in publics[:3]:
            assert trusted(pinned, changes) == {publics[0]: 3, publics[1]: 4, publics[2]: None}
        for pinned in publics[3:]:
            assert trusted(pinned, changes) == {publics[3]: 6, publics[4]: None}

    @pytest.mark.parametrize("fault", ["one signature", "other text", "other place", "no note", "no statement"])
    def test_statement_that_says_nothing(self, tmp_path: Path, fault: str) -> None:
        """Given a rotation that not both keys have signed as it stands, then it counts for nobody."""
        old, new, third = (SigningKey.generate("it") for _ in range(3))
        statements = {
            "one signature": rotation_statement(Rotation(old.verifier, new.verifier, 2), [new]),
            "other text": rotation_statement(Rotation(old.verifier, third.verifier, 2), [old, third]),
            "other place": rotation_statement(Rotation(old.verifier, new.verifier, 3), [old, new]),
            "no note": "nonsense",
            "no statement": None,
        }
        data = {"before": old.verifier.text, "after": new.verifier.text, "statement": statements[fault]}
        with filled(tmp_path / "ledger.db", 2) as ledger:
            record(ledger, ROTATED, {key: value for key, value in data.items() if value is not None})
            changes = key_changes(ledger.connection)
        assert changes[0].rotation is None
        assert trusted(old.verifier, changes) == {old.verifier: None}

    @pytest.mark.parametrize("data", [{}, {"after": 7}, {"after": "nonsense"}, {"after": "a+b+c", "before": 3}])
    def test_event_that_names_no_key(self, tmp_path: Path, data: dict[str, object]) -> None:
        """Given an event whose data names no key, then it says nothing about keys."""
        with filled(tmp_path / "ledger.db", 2) as ledger:
            record(ledger, ADDED, data)
            assert key_changes(ledger.connection) == []


def record(ledger: Ledger, name: str, data: dict[str, object]) -> None:
    """Append an event about keys."""
    ledger.append("ledger", [NewEvent(name, 1, data)], expected_version=None)


def rotate(ledger: Ledger, old: SigningKey, new: SigningKey) -> None:
    """Append a rotation that both keys have signed."""
    rotation = Rotation(old.verifier, new.verifier, ledger_size(ledger.connection))
    statement = rotation_statement(rotation, [old, new])
    record(ledger, ROTATED, {"before": old.verifier.text, "after": new.verifier.text, "statement": statement})


def trusted(pinned: VerifierKey, changes: list[KeyChange]) -> dict[VerifierKey, int | None]:
    """Return the keys that the *pinned* one vouches for, and for how many events each counts."""
    return follow_rotations([pinned], rotations(changes).values())
