"""Tests of verifying on small ledgers: what each level takes and gives, and what is said where parts cannot be looked at."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import Ledger, NewEvent, open_ledger
from ledger.audit.chain import verify_chain
from ledger.audit.checkpoints import BESIDE, GIVEN, Given, Note, Seen, Trust, is_newer
from ledger.audit.events import pages
from ledger.audit.findings import KINDS, Findings, is_of_the_machine
from ledger.audit.tree import Tree
from ledger.audit.verdict import Options, Verdict
from ledger.audit.verify import Audit, verify
from ledger.canonical import blob_digest
from ledger.checkpoints import checkpoint_at, origin_of, seal
from ledger.creation import begin_ledger
from ledger.errors import LedgerNotFoundError, ProofError, StorageError
from ledger.events import RecordedEvent
from ledger.keys import ADDED, REPLACED, ROTATED, rotation_statement
from ledger.merkle import Frontier, leaf_hash
from ledger.outside import checkpoint_folder, write_outside
from ledger.schema import TABLES
from ledger.signing import SigningKey, signed_note
from ledger.verifier import COSIGNATURE, SIGNATURE, Checkpoint, Rotation, open_checkpoint
from tests.ledger.sealed import filled
from tests.ledger.test_store import Tally
from tests.tampering import unguarded, write_body

EVENTS = 300


def happened(count: int = 1, **data: object) -> list[NewEvent]:
    """Return some events."""
    return [NewEvent("thing.happened", 1, {"number": number, **data}) for number in range(count)]


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    with open_ledger(path, projections=[Tally()]) as ledger:
        ledger.append("run/1", happened(EVENTS), expected_version=-1)
    return path


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Ledger]:
    """Open the ledger for writing."""
    with open_ledger(path, projections=[Tally()]) as ledger:
        yield ledger


def new_key(path: Path) -> SigningKey:
    """Make a key for a ledger."""
    with opened(path) as ledger:
        return SigningKey.generate(origin_of(ledger.ledger_id))


def sealed(path: Path, key: SigningKey | None = None) -> str:
    """Seal the ledger and return the note."""
    with opened(path) as ledger:
        if key is None:
            return seal(ledger).note
        return seal(ledger, sign=lambda item: signed_note(item.text, key.signature_line(item.text))).note


def record_key(
    path: Path, kind: str, after: SigningKey, before: SigningKey | None = None, statement: str | None = None
) -> None:
    """Record a change of the key."""
    data: dict[str, object] = {"after": after.verifier.text}
    if before is not None:
        data["before"] = before.verifier.text
    if statement is not None:
        data["statement"] = statement
    with opened(path) as ledger:
        ledger.append("ledger", [NewEvent(kind, 1, data)], expected_version=None)


def looked_at(
    path: Path,
    *,
    keys: Sequence[SigningKey] = (),
    keep: Sequence[str] = (),
    witnesses: Sequence[SigningKey] = (),
    strict: bool = False,
) -> Verdict:
    """Verify a ledger."""
    trust = Trust(
        [key.verifier for key in keys],
        [Given(f"kept-{number}", text) for number, text in enumerate(keep)],
        [key.verifier for key in witnesses],
    )
    return verify_chain(path, Options([Tally()], trust, strict=strict))


def kinds(verdict: Verdict) -> list[str]:
    """Return the kinds of what was found."""
    return [item.kind for item in verdict.problems]


class TestLevels:
    """How far each level goes, and who stands behind it."""

    def test_nothing_signed(self, path: Path) -> None:
        """Given a ledger without a checkpoint, then it agrees with itself, and nobody stands behind it."""
        verdict = looked_at(path)
        assert (verdict.ok, verdict.level, verdict.projections) == (True, 1, "held")
        assert (verdict.events, verdict.sealed, verdict.unsealed) == (EVENTS + 1, 0, EVENTS + 1)
        assert verdict.held_by == "nobody: nothing is signed"

    def test_root(self, path: Path) -> None:
        """Given a ledger, then the root is that of the stored leaves."""
        with contextlib.closing(sqlite3.connect(path)) as connection:
            expected = checkpoint_at(connection, "x", EVENTS + 1).root
        assert looked_at(path).root == expected

    def test_sealed_by_nobody(self, path: Path) -> None:
        """Given an unsigned checkpoint, then it counts as long as no key is pinned."""
        sealed(path)
        assert looked_at(path).unsealed == 0
        verdict = looked_at(path, keys=[new_key(path)])
        assert (kinds(verdict), verdict.held_by) == (["no_checkpoint"], "nobody: no key that you pinned has sealed it")

    def test_signed_and_not_pinned(self, path: Path) -> None:
        """Given a signature, then nobody stands behind it for who has not pinned its key."""
        key = new_key(path)
        record_key(path, ADDED, key)
        sealed(path, key)
        verdict = looked_at(path)
        assert verdict.held_by == "nobody: no key was pinned"
        assert [(item.type, item.is_trusted) for item in verdict.keys] == [(ADDED, False)]

    def test_operator_alone(self, path: Path) -> None:
        """Given the pinned key, then level 2, and the operator alone."""
        key = new_key(path)
        sealed(path, key)
        verdict = looked_at(path, keys=[key])
        assert (verdict.level, verdict.sealed, verdict.held_by) == (2, EVENTS + 1, "the operator alone")

    def test_own_copy_without_a_key(self, path: Path) -> None:
        """Given an own checkpoint and no key, then level 3 is held, and the contiguous level stays 1."""
        verdict = looked_at(path, keep=[sealed(path)])
        assert (verdict.level, verdict.levels[3]) == (1, "held")
        assert verdict.held_by == "your own copy of an earlier checkpoint"

    def test_several_checkpoints(self, path: Path) -> None:
        """Given the key and several kept checkpoints, one of them signed, then all are compared."""
        key = new_key(path)
        first = sealed(path)
        with opened(path) as ledger:
            ledger.append("run/2", happened(), expected_version=-1)
        second = sealed(path, key)
        verdict = looked_at(path, keys=[key], keep=[first, second])
        assert (verdict.level, verdict.held_by) == (3, "the operator and your own copy of an earlier checkpoint")

    def test_witness(self, path: Path) -> None:
        """Given cosignatures in files beside the ledger, then the largest counts, with its time."""
        anna = SigningKey.generate("anna", COSIGNATURE)
        key = new_key(path)
        for number in (1, 2):
            note = sealed(path, key)
            checkpoint, _ = open_checkpoint(note)
            line = anna.signature_line(checkpoint.text, time=4_000_000_000 + number)
            with opened(path) as ledger:
                write_outside(checkpoint_folder(path, ledger.ledger_id), checkpoint, note + line, witness="anna")
                ledger.append("run/2", happened(), expected_version=None)
        verdict = looked_at(path, keys=[key], witnesses=[anna])
        assert [(item.size, item.at) for item in verdict.cosignatures] == [(EVENTS + 2, "2096-10-02T07:06:42.000000Z")]
        assert verdict.levels[4] == "held"
        assert verdict.held_by == "the operator and the witness anna"

    def test_bad_cosignature(self, path: Path) -> None:
        """Given a cosignature that the witness did not make, then it is named, and there is none."""
        anna = SigningKey.generate("anna", COSIGNATURE)
        checkpoint, _ = open_checkpoint(sealed(path))
        line = anna.signature_line(checkpoint.text.replace("\n", "\n1", 1), time=1)
        verdict = looked_at(path, keep=[signed_note(checkpoint.text, line)], witnesses=[anna])
        assert kinds(verdict) == ["bad_signature", "no_cosignature"]

    @pytest.mark.parametrize("time", [0, 253_402_300_799, 2**63, 2**64 - 1])
    def test_cosignature_without_a_time(self, path: Path, time: int) -> None:
        """Given a cosignature that says no time, or one that no clock shows, then it is named, and does not count."""
        anna = SigningKey.generate("anna", COSIGNATURE)
        checkpoint, _ = open_checkpoint(sealed(path))
        notes = [signed_note(checkpoint.text, anna.signature_line(checkpoint.text, time=at)) for at in (time, 5)]
        verdict = looked_at(path, keep=notes[:1], witnesses=[anna])
        assert (kinds(verdict), verdict.cosignatures) == (["no_cosignature", "no_cosignature"], [])
        assert f"says no time when: {time} seconds" in verdict.problems[0].detail
        assert [item.at for item in looked_at(path, keep=notes, witnesses=[anna]).cosignatures] == [
            "1970-01-01T00:00:05.000000Z"
        ]

    def test_empty_checkpoint(self, path: Path) -> None:
        """Given a checkpoint over nothing, then it is refused: everything continues it."""
        with opened(path) as ledger:
            empty = Checkpoint(origin_of(ledger.ledger_id), 0, Frontier().root()).text
        assert kinds(looked_at(path, keep=[empty])) == ["bad_checkpoint"]

    def test_strict(self, path: Path) -> None:
        """Given unsealed events, then they are a problem for who asks strictly."""
        assert looked_at(path).ok
        verdict = looked_at(path, strict=True)
        assert [(item.kind, item.seq) for item in verdict.problems] == [("unsealed", 0)]
        sealed(path)
        assert looked_at(path, strict=True).ok

    def test_nobody_can_check(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a machine that cannot check signatures, then that is what is said."""

        def refuse(*_: object) -> bool:
            raise ProofError("neither is there")

        monkeypatch.setattr("ledger.audit.verify.signature_is_good", refuse)
        key, anna = new_key(path), SigningKey.generate("anna", COSIGNATURE)
        sealed(path, key)
        assert [(item.kind, item.level) for item in looked_at(path, keys=[key]).problems] == [("no_verifier", 2)]
        assert [(item.kind, item.level) for item in looked_at(path, witnesses=[anna]).problems] == [("no_verifier", 4)]


class TestKeys:
    """Rotations are followed; gaps are shown."""

    def test_rotation(self, path: Path) -> None:
        """Given a key that was rotated, then who has pinned the old one goes on, and so does who has pinned the new one."""
        old, new = new_key(path), new_key(path)
        sealed(path, old)
        statement = rotation_statement(Rotation(old.verifier, new.verifier, EVENTS + 1), [old, new])
        record_key(path, ROTATED, new, old, statement)
        sealed(path, new)
        for key in (old, new):
            verdict = looked_at(path, keys=[key], strict=True)
            assert (verdict.ok, verdict.unsealed) == (True, 0)

    def test_replaced_key_seals_nothing_more(self, path: Path) -> None:
        """Given checkpoints that the old key has signed after the new one took its place, then each is named, and none of them counts."""
        old, new = new_key(path), new_key(path)
        sealed(path, old)
        rotation = Rotation(old.verifier, new.verifier, EVENTS + 1)
        record_key(path, ROTATED, new, old, rotation_statement(rotation, [old, new]))
        note = sealed(path, old)
        for key in (old, new):
            verdict = looked_at(path, keys=[key], keep=[note])
            assert [(item.kind, item.level) for item in verdict.problems] == [("retired_key", 2), ("retired_key", 3)]
            assert verdict.sealed == EVENTS + 1

    def test_replaced_key_is_replaced_once_more(self, path: Path) -> None:
        """Given somebody with the old key who gives its place to a key of his own, then that is named, and neither that key nor the old one seals anything more."""
        old, new, own = new_key(path), new_key(path), new_key(path)
        sealed(path, old)
        for seq, after in enumerate((new, own), EVENTS + 1):
            rotation = Rotation(old.verifier, after.verifier, seq)
            record_key(path, ROTATED, after, old, rotation_statement(rotation, [old, after]))
        sealed(path, old)
        verdict = looked_at(path, keys=[old])
        found = {(item.kind, item.seq) for item in verdict.problems}
        assert found == {("retired_key", None), ("retired_key", EVENTS + 2)}
        assert verdict.sealed == EVENTS + 1

    @pytest.mark.parametrize("kind", [REPLACED, ROTATED])
    def test_gap(self, path: Path, kind: str) -> None:
        """Given a key that was replaced without the old one, then who has pinned the old one sees a gap; who pins both does not, unless strictly."""
        old, new = new_key(path), new_key(path)
        sealed(path, old)
        record_key(path, kind, new, old, rotation_statement(Rotation(old.verifier, new.verifier, EVENTS + 1), [new]))
        sealed(path, new)
        verdict = looked_at(path, keys=[old])
        assert [(item.kind, item.seq, item.level) for item in verdict.problems] == [("key_gap", EVENTS + 1, 2)]
        assert (verdict.level, verdict.sealed) == (1, EVENTS + 1)
        for keys in ([new], [old, new]):
            assert looked_at(path, keys=keys).ok
        assert kinds(looked_at(path, keys=[old, new], strict=True)) == ["key_gap"]

    @pytest.mark.parametrize("kind", [SIGNATURE, COSIGNATURE])
    def test_key_of_something_else(self, path: Path, kind: int) -> None:
        """Given a pinned key of another ledger, or of a witness, then it is named, whatever it has signed, and the own one counts."""
        other = SigningKey.generate("orchestrate-ledger/elsewhere" if kind == SIGNATURE else "anna", kind)
        key = new_key(path)
        with opened(path) as ledger:
            seal(
                ledger,
                sign=lambda item: signed_note(
                    item.text, other.signature_line(item.text, time=5 if kind == COSIGNATURE else None)
                ),
            )
        verdict = looked_at(path, keys=[other])
        assert (verdict.levels[2], verdict.sealed) == ("failed", 0)
        assert set(kinds(verdict)) == {"other_key", "unknown_key", "no_checkpoint"}
        sealed(path, key)
        verdict = looked_at(path, keys=[other, key])
        assert (verdict.levels[2], verdict.sealed) == ("failed", EVENTS + 1)

    @pytest.mark.parametrize("statement", [7, [], "no note"])
    def test_statement_of_any_type(self, path: Path, statement: object) -> None:
        """Given a rotation whose statement is none, then it vouches for nothing, and verifying goes on."""
        old, new = new_key(path), new_key(path)
        sealed(path, old)
        record_key(path, ROTATED, new, old, statement)  # type: ignore[arg-type]
        assert looked_at(path, keys=[old]).sealed == EVENTS + 1

    def test_given_checkpoint_of_another_key(self, path: Path) -> None:
        """Given a kept checkpoint that another key has signed, then it is refused at level 3."""
        key, other = new_key(path), new_key(path)
        checkpoint, _ = open_checkpoint(sealed(path, key))
        note = signed_note(checkpoint.text, other.signature_line(checkpoint.text))
        verdict = looked_at(path, keys=[key], keep=[note])
        assert [(item.kind, item.level) for item in verdict.problems] == [("unknown_key", 3)]


class TestFlips:
    """Not one bit of an exported checkpoint may be another."""

    @pytest.fixture(name="signed")
    def _signed(self, tmp_path: Path) -> tuple[Path, SigningKey, str]:
        path = tmp_path / "ledger.db"
        with open_ledger(path, projections=[Tally()]) as ledger:
            ledger.append("run/1", happened(5), expected_version=-1)
        key = new_key(path)
        return path, key, sealed(path, key)

    def test_as_it_is(self, signed: tuple[Path, SigningKey, str]) -> None:
        """Given the checkpoint as it was handed out, then it is accepted."""
        path, key, note = signed
        assert looked_at(path, keys=[key], keep=[note]).level == 3

    def test_every_bit(self, signed: tuple[Path, SigningKey, str]) -> None:
        """Given any single bit of it flipped, then it is refused."""
        path, key, note = signed
        data = note.encode()
        accepted = []
        for bit in range(8 * len(data)):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            text = bytes(flipped).decode("utf-8", "replace")
            if looked_at(path, keys=[key], keep=[text]).levels[3] != "failed":
                accepted.append((bit, text))
        assert accepted == []


class TestDamage:
    """A finding is never the end."""

    def test_no_such_file(self, tmp_path: Path) -> None:
        """Given no file, then that is an error and no verdict."""
        with pytest.raises(LedgerNotFoundError):
            verify(tmp_path / "nowhere.db")
        with pytest.raises(LedgerNotFoundError):
            verify_chain(tmp_path / "nowhere.db", Options())

    def test_not_a_ledger(self, tmp_path: Path) -> None:
        """Given a text, or another program's database, then it is none."""
        text = tmp_path / "text.db"
        text.write_text("hello", encoding="utf-8")
        other = tmp_path / "other.db"
        with contextlib.closing(sqlite3.connect(other)) as connection:
            connection.execute("CREATE TABLE t (a)")
        for path in (text, other):
            verdict = looked_at(path)
            assert (verdict.level, kinds(verdict), verdict.held_by) == (
                -1,
                ["not_a_ledger"],
                "nobody: the ledger contradicts itself",
            )

    def test_encrypted(self, tmp_path: Path) -> None:
        """Given noise behind the header of a database, then it cannot be read."""
        path = tmp_path / "noise.db"
        path.write_bytes(b"SQLite format 3\0" + bytes(range(1, 255)) * 40)
        assert kinds(looked_at(path)) == ["unreadable"]

    def test_disk_that_fails(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a machine that does not let it be read, then that is an error of the machine, at every stage."""
        failing = sqlite3.OperationalError("disk I/O error")
        failing.sqlite_errorname = "SQLITE_IOERR_READ"

        def fail(*_: object) -> None:
            raise failing

        monkeypatch.setattr("ledger.audit.verify.check_schema", fail)
        with pytest.raises(StorageError, match="I/O"):
            verify(path)
        monkeypatch.setattr("ledger.reader.ledger_format", fail)
        with pytest.raises(StorageError, match="I/O"):
            verify(path)

    def test_full_disk_while_rebuilding(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given no room for temporary tables, then it is not the ledger's fault."""
        full = sqlite3.OperationalError("database or disk is full")
        full.sqlite_errorname = "SQLITE_FULL"

        class Full(Tally):
            """Has no room."""

            def apply(self, connection: sqlite3.Connection, events: Sequence[RecordedEvent]) -> None:
                """Fail."""
                raise full

        with pytest.raises(StorageError, match="full"):
            verify(path, Options([Full()]))
        assert is_of_the_machine(full)

    def test_lost_tables(self, path: Path) -> None:
        """Given tables of the ledger dropped, then each part says so and the others are looked at."""
        with contextlib.closing(sqlite3.connect(path)) as connection:
            for table in ("blobs", "tree", "checkpoints", "projections", "ledger_meta"):
                connection.execute(f"DROP TABLE {table}")
        verdict = looked_at(path)
        assert verdict.events == EVENTS + 1
        assert verdict.projections == "failed"
        assert {"unreadable", "schema"} <= set(kinds(verdict))

    def test_lost_events(self, path: Path) -> None:
        """Given no table of events, then everything else is still said."""
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE events")
        verdict = looked_at(path)
        assert verdict.level == -1
        assert verdict.events == 0

    def test_no_events(self, path: Path) -> None:
        """Given not one event, then the first is missing."""
        with unguarded(path) as connection:
            connection.execute("DELETE FROM events")
        assert looked_at(path).problems[0][:2] == (0, "missing_event")

    def test_no_id(self, path: Path) -> None:
        """Given no row with the ledger's id, then that is wrong, and the events are looked at all the same."""
        with unguarded(path) as connection:
            connection.execute("DELETE FROM ledger_meta")
        verdict = looked_at(path)
        assert (kinds(verdict), verdict.events) == (["wrong_ledger"], EVENTS + 1)

    def test_place_before_the_first(self, path: Path) -> None:
        """Given an event at a negative place, then it is misplaced."""
        with unguarded(path) as connection:
            connection.execute("UPDATE events SET seq = -5 WHERE seq = 0")
        assert ("misplaced_event", -5) in [(item.kind, item.seq) for item in looked_at(path).problems]

    def test_begins_otherwise(self, path: Path) -> None:
        """Given a first event of another type, then it is no beginning of a ledger."""
        with unguarded(path) as connection:
            (text,) = connection.execute("SELECT body FROM events WHERE seq = 0").fetchone()
            write_body(connection, 0, json.loads(text) | {"type": "thing.happened"}, rehash=True)
        assert ("misplaced_event", 0) in [(item.kind, item.seq) for item in looked_at(path).problems]

    @pytest.mark.parametrize(
        "change",
        [
            {"v": 2},
            {"ledger": 7},
            {"seq": "5"},
            {"data": []},
            {"type_version": True},
            {"recorded_at": "2026-01-01T00:00:00Z"},
        ],
    )
    def test_envelopes(self, path: Path, change: dict[str, object]) -> None:
        """Given a text that is canonical and no event, then it is named, and nothing can be made from the history."""
        with unguarded(path) as connection:
            (text,) = connection.execute("SELECT body FROM events WHERE seq = 5").fetchone()
            write_body(connection, 5, json.loads(text) | change, rehash=True)
        verdict = looked_at(path)
        assert [item.seq for item in verdict.problems if item.kind == "not_canonical"] == [5]
        assert verdict.projections == "failed"
        assert "projection_stopped" in kinds(verdict)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b'"number":4', b'"number":4.0'),
            (b'"number":4', b'"number":-0'),
            (b'"number":4', b'"number":1e3'),
            (b'"number":4', b'"number":NaN'),
            (b'"number":4', b'"number":4,"number":4'),
            (b'"number":4', b'"number": 4'),
            (b'"number":4', b'"number":"\\u00e9"'),
            (b'"number":4', b'"number":' + b"[" * 100_000),
            (b'"number":4', b'"number":"\xff"'),
            (b'"number":4', b'"number":12345678901234567890'),
            (b"{", b"["),
        ],
        ids=range(11),
    )
    def test_texts(self, path: Path, old: bytes, new: bytes) -> None:
        """Given a text in another form than the canonical one, then it is named."""
        assert ("not_canonical", 5) in [(item.kind, item.seq) for item in self._rewritten(path, old, new).problems]

    @pytest.mark.parametrize(
        "new", [b'"number":4.5', '"number":"é"'.encode(), b'"number":1234567890123456', b'"number":1e+30']
    )
    def test_unusual_texts(self, path: Path, new: bytes) -> None:
        """Given a canonical text with a fraction, a large number or letters beyond ASCII, then it is fine."""
        assert "not_canonical" not in kinds(self._rewritten(path, b'"number":4', new))

    @staticmethod
    def _rewritten(path: Path, old: bytes, new: bytes) -> Verdict:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            (body,) = connection.execute("SELECT CAST(body AS BLOB) FROM events WHERE seq = 5").fetchone()
            text = body.replace(old, new, 1)
            assert text != body
            # The table's own columns need a text that is JSON: without them anything can stand there.
            rows = connection.execute(
                "SELECT seq, CAST(body AS BLOB), leaf_hash, stream, version FROM events"
            ).fetchall()
            connection.execute("DROP TABLE events")
            connection.execute(
                "CREATE TABLE events (seq INTEGER PRIMARY KEY, body, leaf_hash, stream, version, type, recorded_at)"
            )
            rows = [
                (s, text if s == 5 else b, leaf_hash(text) if s == 5 else leaf, st, v) for s, b, leaf, st, v in rows
            ]
            connection.executemany(
                "INSERT INTO events (seq, body, leaf_hash, stream, version) VALUES (?, ?, ?, ?, ?)", rows
            )
        return looked_at(path)

    def test_blobs(self, path: Path) -> None:
        """Given blobs that events name, then those that are changed or gone are named with the first event that names them."""
        digest = blob_digest(b"one")
        with opened(path) as ledger:
            ledger.append("run/2", happened(2, blob=digest), expected_version=-1, blobs={digest: b"one"})

        def named(event: RecordedEvent) -> list[str]:
            return [str(event.data["blob"])] if "blob" in event.data else []

        assert verify(path, Options(blobs_of=named)).ok
        with unguarded(path) as connection:
            connection.execute("UPDATE blobs SET bytes = x'00'")
        problems = verify(path, Options(blobs_of=named)).problems
        assert [(item.kind, item.seq) for item in problems] == [("altered_blob", EVENTS + 1)]
        with unguarded(path) as connection:
            connection.execute("DELETE FROM blobs")
        problems = verify(path, Options(blobs_of=named)).problems
        assert [(item.kind, item.seq) for item in problems] == [("missing_blob", EVENTS + 1)]

    def test_tree_with_a_hole(self, path: Path) -> None:
        """Given a stored subtree that no events belong to, or one that is not kept yet, then the first is named."""
        assert looked_at(path).ok
        sealed(path)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("INSERT INTO tree VALUES (8, 7, zeroblob(32))")
            connection.commit()
        assert kinds(looked_at(path)) == ["wrong_tree"]

    def test_other_encoding(self, path: Path, tmp_path: Path) -> None:
        """Given a database in UTF-16, then its texts are not those that were hashed."""
        other = tmp_path / "other.db"
        with contextlib.closing(sqlite3.connect(path)) as connection:
            script = "\n".join(line for line in connection.iterdump() if "sqlite_" not in line)
            application = connection.execute("PRAGMA application_id").fetchone()[0]
        with contextlib.closing(sqlite3.connect(other, isolation_level=None)) as connection:
            connection.execute("PRAGMA encoding = 'UTF-16'")
            connection.executescript(script)
            connection.execute(f"PRAGMA application_id = {application}")
            connection.execute("PRAGMA user_version = 2")
        assert "schema" in kinds(looked_at(other))

    def test_dangerous_functions(self, path: Path) -> None:
        """Given a view or a rule that calls what is not harmless, then it is not called."""
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_schema SET sql = replace(sql, 'length(leaf_hash) = 32', 'load_extension(leaf_hash) = 32')"
                " WHERE name = 'events'"
            )
        verdict = looked_at(path)
        assert verdict.level == -1
        assert "schema" in kinds(verdict)

    def test_newer_tables(self, path: Path) -> None:
        """Given tables of a newer version, then they are not compared, and that is said."""
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE projections SET version = 9")
            connection.commit()
        verdict = looked_at(path)
        assert (kinds(verdict), verdict.projections) == (["newer_format"], "not_kept")

    @pytest.mark.parametrize("change", ["DELETE FROM projections", "UPDATE projections SET version = 0"])
    def test_tables_that_are_not_registered(self, path: Path, change: str) -> None:
        """Given tables whose row is gone, or says an older version, then that is named, and their rows are compared all the same."""
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(change)
        verdict = looked_at(path)
        assert (kinds(verdict), verdict.projections) == (["schema"], "held")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("UPDATE tally SET events = 7")
        verdict = looked_at(path)
        assert (set(kinds(verdict)), verdict.projections) == ({"schema", "different_row"}, "failed")

    def test_unregistered_tables_of_another_form(self, path: Path) -> None:
        """Given tables without their row that are not as they were made either, then nobody takes them for none."""
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("DELETE FROM projections")
            connection.execute("ALTER TABLE tally ADD COLUMN more INTEGER")
        verdict = looked_at(path)
        assert (verdict.projections, {"schema", "different_row"} <= set(kinds(verdict))) == ("failed", True)

    def test_honest_older_tables(self, path: Path, tmp_path: Path) -> None:
        """Given tables of an older version, or none at all, then nothing is wrong, and nothing is compared."""
        with open_ledger(tmp_path / "plain.db") as ledger:
            ledger.append("run/1", happened(), expected_version=-1)
        for place in (path, tmp_path / "plain.db"):
            verdict = verify(place, Options([Tally(version=2)]))
            assert (list(verdict.problems), verdict.projections) == ([], "not_kept")

    def test_format_1(self, path: Path) -> None:
        """Given a ledger of the first format, which has no checkpoints, then it verifies."""
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("DROP TABLE checkpoints")
            connection.execute("DROP TABLE tree")
            connection.execute("PRAGMA user_version = 1")
        assert TABLES
        assert looked_at(path).ok

    def test_outside_file_that_cannot_be_read(self, path: Path) -> None:
        """Given a folder in the place of a file with a checkpoint, then it is named."""
        with opened(path) as ledger:
            folder = checkpoint_folder(path, ledger.ledger_id)
        (folder / "000000000005.checkpoint").mkdir(parents=True)
        assert kinds(looked_at(path)) == ["outside_checkpoint"]

    def test_checkpoint_that_is_none(self, path: Path) -> None:
        """Given a row of `checkpoints` that holds no checkpoint, then it is named."""
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(
                "INSERT INTO checkpoints (size, root, note, recorded_at) VALUES (1, zeroblob(32), 'hello', '')"
            )
            connection.commit()
        assert kinds(looked_at(path)) == ["wrong_checkpoint"]

    def test_read_models(self, path: Path) -> None:
        """Given a projection that cannot take an event, or whose stored texts are none, then it is said where."""
        with opened(path) as ledger:
            ledger.append("run/2", [NewEvent("thing.spoiled", 1, {})], expected_version=-1)
        verdict = verify(path, Options([Tally(poison="thing.spoiled")]))
        assert [(item.kind, item.seq) for item in verdict.problems] == [("projection_stopped", EVENTS + 1)]
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE tally SET stream = CAST(x'ff' AS TEXT) WHERE stream = 'run/1'")
            connection.commit()
        assert set(kinds(looked_at(path))) == {"different_row"}


class TestHostile:
    """Tables that are not ours hold whatever their maker likes."""

    @pytest.mark.parametrize(
        ("table", "columns", "values"),
        [
            ("checkpoints", "id, size, root, note, recorded_at", "1, 'x', NULL, NULL, NULL"),
            ("blobs", "digest, bytes", "1, NULL"),
            ("projections", "name, version", "'tally', 'many'"),
            ("ledger_meta", "one, ledger, created_at", "1, 7, 7"),
            ("tree", "level, position, hash", "'a', 'b', NULL"),
        ],
    )
    def test_values(self, path: Path, table: str, columns: str, values: str) -> None:
        """Given a table with values of other types, then that is a finding, and the rest is looked at."""
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"DROP TABLE {table}")
            connection.execute(f"CREATE TABLE {table} ({columns})")
            connection.execute(f"INSERT INTO {table} VALUES ({values})")  # noqa: S608 - ours
        verdict = looked_at(path)
        assert verdict.level == -1
        assert verdict.events == EVENTS + 1
        assert set(kinds(verdict)) <= {
            "schema",
            "unreadable",
            "wrong_tree",
            "wrong_ledger",
            "integrity",
            "wrong_checkpoint",
            "altered_blob",
        }

    def test_key_of_another_kind(self, path: Path) -> None:
        """Given the operator's key as that of a witness, then no cosignature is found: it carries no time."""
        key = new_key(path)
        assert kinds(looked_at(path, witnesses=[key], keep=[sealed(path, key)])) == ["no_cosignature"]

    def test_file_beside(self, path: Path) -> None:
        """Given a file beside the ledger that holds no checkpoint, then it is named."""
        with opened(path) as ledger:
            folder = checkpoint_folder(path, ledger.ledger_id)
        folder.mkdir(parents=True)
        (folder / "000000000005.checkpoint").write_text("hello", encoding="utf-8")
        assert kinds(looked_at(path)) == ["outside_checkpoint"]

    @pytest.mark.parametrize(
        "place", ["ledger.audit.projections.differences", "ledger.audit.tree.StoredTree._looked_up"]
    )
    def test_disk_that_fails_late(self, path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a disk that fails at a later stage, then that is an error of the machine still."""
        failing = sqlite3.OperationalError("disk I/O error")
        failing.sqlite_errorname = "SQLITE_IOERR_READ"

        def fail(*_: object) -> None:
            raise failing

        monkeypatch.setattr(place, fail)
        with pytest.raises(StorageError, match="I/O"):
            verify(path, Options([Tally()]))

    def test_read_models_that_cannot_be_read(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given damage that SQLite meets in the stored tables alone, then that is said, and no fault of the machine."""

        def fail(*_: object) -> None:
            raise sqlite3.DatabaseError("database disk image is malformed")

        monkeypatch.setattr("ledger.audit.projections.differences", fail)
        verdict = looked_at(path)
        assert (kinds(verdict), verdict.projections) == (["projection_stopped"], "failed")

    def test_lost_tree_of_many(self, path: Path) -> None:
        """Given no table of subtrees, then that is said once, however many there would be."""
        with opened(path) as ledger:
            ledger.append("run/2", happened(600), expected_version=-1)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE tree")
        unreadable = [item for item in looked_at(path).problems if item.kind == "unreadable"]
        assert len(unreadable) == 2

    def test_page_that_cannot_be_read(self, path: Path) -> None:
        """Given a page of the events overwritten, then the events before it are verified, and the first one that is lost is named."""
        with opened(path) as ledger:
            ledger.append("run/2", happened(2000), expected_version=-1)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            (name,) = connection.execute("SELECT id FROM events WHERE seq = 2000").fetchone()
        data = bytearray(path.read_bytes())
        page = data.index(f'"id":"{name}"'.encode()) // 4096
        data[page * 4096 : page * 4096 + 8] = b"\xff" * 8
        path.write_bytes(bytes(data))
        verdict = looked_at(path)
        lost = [item.seq for item in verdict.problems if item.kind == "unreadable" and item.seq is not None]
        assert lost == [verdict.events]
        assert 1024 < verdict.events <= 2000
        assert verdict.projections == "failed"

    def test_schema_that_cannot_be_read(self, path: Path) -> None:
        """Given a schema that holds no SQL, then nothing can be made beside it, and that is said."""
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("UPDATE sqlite_schema SET sql = 'CREATE TABLE tally (' WHERE name = 'tally'")
        assert set(kinds(looked_at(path))) == {"unreadable"}

    @pytest.mark.parametrize("error", ["SQLITE_CORRUPT", "SQLITE_FULL"])
    def test_nothing_can_be_made_beside(self, path: Path, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given tables that cannot be made beside the stored ones, then it depends on whose fault that is."""
        failing = sqlite3.DatabaseError("it cannot")
        failing.sqlite_errorname = error

        def fail(*_: object) -> None:
            raise failing

        monkeypatch.setattr("ledger.audit.projections.make_beside", fail)
        if error == "SQLITE_FULL":
            with pytest.raises(StorageError):
                verify(path, Options([Tally()]))
        else:
            verdict = verify(path, Options([Tally()]))
            assert (kinds(verdict), verdict.projections) == (["projection_stopped"], "failed")


class TestChain:
    """A ledger with those that it continues."""

    @pytest.fixture(name="chain")
    def _chain(self, tmp_path: Path) -> tuple[Path, Path, SigningKey, str]:
        former = tmp_path / "former.db"
        with open_ledger(former, projections=[Tally()]) as ledger:
            ledger.append("run/1", happened(3), expected_version=-1)
            key = SigningKey.generate(origin_of(ledger.ledger_id))
            checkpoint = seal(ledger, sign=lambda item: signed_note(item.text, key.signature_line(item.text)))
            told = {
                "ledger": ledger.ledger_id,
                "origin": key.name,
                "size": 4,
                "root": checkpoint.checkpoint.root.hex(),
                "checkpoint": checkpoint.note,
                "lost": None,
            }
            archive = tmp_path / f"ledger.{ledger.ledger_id[:8]}.db"
        former.rename(archive)
        path = tmp_path / "ledger.db"
        begin_ledger(path, [Tally()], lambda: "2026-01-01T00:00:00.000000Z", facts={"continues": told})
        return path, archive, key, checkpoint.note

    def test_whole(self, chain: tuple[Path, Path, SigningKey, str]) -> None:
        """Given both, then the former one is verified with the keys and checkpoints that are its own."""
        path, _, key, note = chain
        present = new_key(path)
        sealed(path, present)
        verdict = looked_at(path, keys=[key, present], keep=[note])
        assert verdict.ok, verdict.problems
        assert verdict.level == 3
        (former,) = verdict.formers
        assert (former.level, former.events) == (3, 4)

    def test_went_on_without_the_key(self, chain: tuple[Path, Path, SigningKey, str]) -> None:
        """Given one that somebody has begun from a copy, then a pinned key of the former one says nothing of it, and that is a finding."""
        path, _, key, note = chain
        sealed(path)
        for pinned in ([key], [key, new_key(path)]):
            verdict = looked_at(path, keys=pinned, keep=[note])
            assert (verdict.levels[2], verdict.level, verdict.sealed) == ("failed", 1, 0)
        assert kinds(looked_at(path, keys=[key], keep=[note])) == ["key_gap"]
        assert looked_at(path, keep=[note]).levels[3] == "held"

    def test_missing(self, chain: tuple[Path, Path, SigningKey, str]) -> None:
        """Given no former one beside it, then that is said, apart from the levels."""
        path, archive, _, _ = chain
        archive.unlink()
        verdict = looked_at(path, keep=["no checkpoint"])
        assert kinds(verdict) == ["bad_checkpoint", "former_ledger"]
        assert verdict.levels[1] == "held"

    def test_longer(self, chain: tuple[Path, Path, SigningKey, str]) -> None:
        """Given a former one that went on, then it is not what the next one says."""
        path, archive, _, _ = chain
        with open_ledger(archive, projections=[Tally()]) as ledger:
            ledger.append("run/1", happened(), expected_version=None)
        assert kinds(looked_at(path)) == ["former_ledger"]

    def test_damaged(self, chain: tuple[Path, Path, SigningKey, str]) -> None:
        """Given a former one that is damaged, then the first of its problems is named."""
        path, archive, _, _ = chain
        with unguarded(archive) as connection:
            connection.execute("UPDATE events SET leaf_hash = zeroblob(32) WHERE seq = 2")
        (problem,) = looked_at(path).problems
        assert problem.kind == "former_ledger"
        assert "altered_event" in problem.detail

    def test_failing(self, chain: tuple[Path, Path, SigningKey, str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a former one that the machine does not let be read in the middle, then that is its problem."""
        path, archive, _, _ = chain

        def failing(place: Path, options: Options) -> Verdict:
            if place == archive:
                raise StorageError(str(place), "it is gone")
            return verify(place, options)

        monkeypatch.setattr("ledger.audit.chain.verify", failing)
        assert kinds(looked_at(path)) == ["former_ledger"]


class TestGoingOn:
    """What keeps a part from being looked at is a finding."""

    @pytest.mark.parametrize(
        "error", [ValueError("x"), RecursionError("x"), sqlite3.OperationalError("no such function")]
    )
    def test_part_that_cannot_be_looked_at(self, path: Path, error: Exception) -> None:
        """Given a value of another type, or SQL that does not work, then the part ends there, and that is found."""
        findings = Findings()

        def fail() -> None:
            raise error

        with closing(sqlite3.connect(path)) as connection:
            audit = Audit(path, connection, 2, Options(), findings)
            with audit._going_on(1, lambda: 7):
                fail()
        assert [(item.kind, item.seq, item.level) for item in findings.problems] == [("unreadable", 7, 1)]


class TestParts:
    """The tree and the list of findings by themselves."""

    @given(st.integers(0, 1500), st.sets(st.integers(0, 1600), max_size=5), st.integers(1, 700))
    def test_roots(self, size: int, wanted: set[int], page: int) -> None:
        """Given leaves in pages of any size, then every root that was wanted is that of the reference."""
        leaves = [leaf_hash(str(number).encode()) for number in range(size)]
        tree = Tree(wanted, lambda *_: None)
        for first in range(0, size, page):
            tree.take(leaves[first : first + page])
        tree.close()
        frontier, expected = Frontier(), {0: Frontier().root()}
        for number, leaf in enumerate(leaves, start=1):
            frontier.add(leaf)
            if number in wanted:
                expected[number] = frontier.root()
        assert tree.root() == frontier.root()
        assert tree.roots == {number: root for number, root in expected.items() if number in wanted and number <= size}

    def test_subtrees(self) -> None:
        """Given more than 65 536 leaves, then the roots of both levels are told."""
        told: list[tuple[int, int]] = []
        tree = Tree((), lambda level, position, _: told.append((level, position)))
        tree.take([bytes(32)] * 65_537)
        assert told[-1] == (16, 0)
        assert told[:-1] == [(8, position) for position in range(256)]

    def test_order(self) -> None:
        """Given findings, then they stand by level and place, and what is apart comes last."""
        findings = Findings()
        findings.add("different_row", "a")
        findings.add("forked", "b", seq=3)
        findings.add("altered_event", "c", seq=9)
        findings.add("altered_event", "d", seq=2)
        findings.add("wrong_ledger", "e")
        assert [item.detail for item in findings.problems] == ["d", "c", "e", "b", "a"]
        assert findings.more == {}
        assert findings.problems[0].as_json() == {"seq": 2, "kind": "altered_event", "level": 1, "detail": "d"}

    def test_kinds(self) -> None:
        """Given all kinds, then each has a level, and says what it means and what to do."""
        assert all(kind.meaning.endswith(".") and kind.remedy.endswith(".") for kind in KINDS.values())

    def test_events_that_cannot_be_read_at_all(self) -> None:
        """Given a file without events, then nothing is yielded before the error."""
        with contextlib.closing(sqlite3.connect(":memory:")) as connection, pytest.raises(sqlite3.Error):
            next(pages(connection))


class TestWhileARunIsOn:
    """What is appended while somebody verifies is no finding."""

    @staticmethod
    def beside(size: int) -> Note:
        """Return a checkpoint beside the ledger that covers *size* events."""
        return Note(BESIDE, "a file", "", Checkpoint("origin", size, b"\0" * 32), None)

    def test_checkpoint_of_events_since(self, tmp_path: Path) -> None:
        """Given a checkpoint of more events than were seen, then it is newer exactly if the ledger has them by now."""
        path = tmp_path / "ledger.db"
        filled(path, 9).close()
        seen = Seen("ledger", 5, {})

        assert [False, True, True, False] == [is_newer(self.beside(size), seen, path) for size in (5, 6, 9, 10)]
        assert not is_newer(self.beside(9)._replace(source=GIVEN), seen, path)

    def test_ledger_that_is_gone(self, tmp_path: Path) -> None:
        """Given nothing there by now, then the checkpoint says what it says."""
        assert not is_newer(self.beside(9), Seen("ledger", 5, {}), tmp_path / "ledger.db")
