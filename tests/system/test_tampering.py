"""
The tamper corpus: one attack for each row of the threat table, applied to a real ledger, and what finds it at which level.

`docs/explanation/threat-model.md` has the table. What no file alone can show is shown here not to be found without something from outside, and to be
found with it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest

from ledger import NewEvent, open_ledger
from ledger.audit.findings import Findings
from ledger.audit.verdict import Options, Verdict
from ledger.audit.verify import Audit
from ledger.canonical import canonical_text
from ledger.checkpoints import seal
from ledger.keys import ROTATED, rotation_statement
from ledger.merkle import leaf_hash
from ledger.outside import outside_files
from ledger.schema import FORMAT
from ledger.signing import SigningKey, signed_note
from ledger.tree import ledger_size
from ledger.verifier import COSIGNATURE, Checkpoint, Rotation, open_checkpoint
from orchestrator.projections.read_models import ReadModels
from tests.programs import program, value_of
from tests.tampering import (
    Case,
    body_of,
    copied,
    edit_event,
    fold,
    make_case,
    remake_tree,
    replace_bytes,
    rewrite_schema,
    sign_anew,
    truncate,
    unguarded,
    write_body,
)

pytestmark = pytest.mark.system

MIDDLE = 100
"""An event that every checkpoint of the auditor's covers."""

Attack = Callable[[Case], None]


@pytest.fixture(name="original", scope="module")
def _original(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return make_case(tmp_path_factory.mktemp("original"))


@pytest.fixture(name="case")
def _case(original: Case, tmp_path: Path) -> Case:
    return copied(original, tmp_path)


def found(verdict: Verdict, kind: str) -> list[int | None]:
    """Return the places of all findings of a kind."""
    return [item.seq for item in verdict.problems if item.kind == kind]


def size_of(note: str) -> int:
    """Return how many events a checkpoint covers."""
    return open_checkpoint(note)[0].size


# Attacks that the file itself shows


def edit_without_hash(case: Case) -> None:
    """Change what an event says, and leave its hash."""
    with unguarded(case.ledger) as connection:
        edit_event(connection, MIDDLE, rehash=False, data={"step": "s1", "status": "succeeded"})


def edit_with_hash(case: Case) -> None:
    """Change what an event says, and its hash; the tree and the checkpoints stay."""
    with unguarded(case.ledger) as connection:
        edit_event(connection, MIDDLE, rehash=True, id="01900000-0000-7000-8000-000000000000")


def edit_with_hash_and_tree(case: Case) -> None:
    """Make the tree anew as well."""
    edit_with_hash(case)
    with unguarded(case.ledger) as connection:
        remake_tree(connection)


def edit_index_column(case: Case) -> None:
    """Change a generated column alone: by making it a plain one for a moment."""
    (clause,) = [" GENERATED ALWAYS AS (json_extract(body, '$.version')) STORED"]
    rewrite_schema(case.ledger, "events", lambda sql: sql.replace(clause, ""))
    with unguarded(case.ledger) as connection:
        connection.execute("UPDATE events SET version = version + 100000 WHERE seq = ?", (MIDDLE,))
    rewrite_schema(
        case.ledger, "events", lambda sql: sql.replace("version INTEGER NOT NULL", f"version INTEGER NOT NULL{clause}")
    )


def delete_from_the_middle(case: Case) -> None:
    """Delete two events."""
    with unguarded(case.ledger) as connection:
        connection.execute("DELETE FROM events WHERE seq IN (?, ?)", (MIDDLE, MIDDLE + 1))


def delete_the_first(case: Case) -> None:
    """Delete the event that the ledger begins with."""
    with unguarded(case.ledger) as connection:
        connection.execute("DELETE FROM events WHERE seq = 0")


def delete_and_renumber(case: Case) -> None:
    """Delete an event and move all that follow up by one place, with texts and hashes to match."""
    with unguarded(case.ledger) as connection:
        renumber(connection, without=MIDDLE)


def renumber(connection: sqlite3.Connection, *, without: int) -> None:
    """Take an event out of a history and close the gap, everywhere."""
    stream = body_of(connection, without)["stream"]
    bodies = [json.loads(text) for (text,) in connection.execute("SELECT body FROM events ORDER BY seq")]
    connection.execute("DELETE FROM events WHERE seq >= ?", (without,))
    for body in bodies[without + 1 :]:
        body["seq"] -= 1
        body["version"] -= body["stream"] == stream
        text = canonical_text(body)
        row = (body["seq"], text, leaf_hash(text.encode()))
        connection.execute("INSERT INTO events (seq, body, leaf_hash) VALUES (?, ?, ?)", row)
    remake_tree(connection)


def swap(case: Case) -> None:
    """Exchange two events of one stream."""
    with unguarded(case.ledger) as connection:
        first, second = body_of(connection, MIDDLE), body_of(connection, MIDDLE + 1)
        connection.execute("DELETE FROM events WHERE seq IN (?, ?)", (MIDDLE, MIDDLE + 1))
        for seq, body in ((MIDDLE, second), (MIDDLE + 1, first)):
            text = canonical_text(body)
            row = (seq, text, leaf_hash(text.encode()))
            connection.execute("INSERT INTO events (seq, body, leaf_hash) VALUES (?, ?, ?)", row)


def insert_in_the_middle(case: Case) -> None:
    """Put a made up event where another one stands, which then has no place."""
    with unguarded(case.ledger) as connection:
        body = body_of(connection, MIDDLE) | {"stream": "run/20260101T000000Z-000000000", "version": 0}
        write_body(connection, MIDDLE, body, rehash=True)


def write_a_key_twice(case: Case) -> None:
    """Write a text that two readers read in two ways, with the right hash."""
    with unguarded(case.ledger) as connection:
        (text,) = connection.execute("SELECT body FROM events WHERE seq = ?", (MIDDLE,)).fetchone()
        text = text.removesuffix("}") + ',"type":"step.finished"}'
        connection.execute(
            "UPDATE events SET body = ?, leaf_hash = ? WHERE seq = ?", (text, leaf_hash(text.encode()), MIDDLE)
        )


def back_date(case: Case) -> None:
    """Claim that an event was recorded earlier, with every hash made anew."""
    with unguarded(case.ledger) as connection:
        edit_event(connection, MIDDLE, rehash=True, recorded_at="2020-01-01T00:00:00.000000Z")
        remake_tree(connection)
        sign_anew(connection, None)
    case.forget_outside()


def forward_date(case: Case) -> None:
    """Claim that the last event is of the future."""
    with unguarded(case.ledger) as connection:
        (last,) = connection.execute("SELECT max(seq) FROM events").fetchone()
        edit_event(connection, last, rehash=True, recorded_at="2999-01-01T00:00:00.000000Z")


def give_another_id(case: Case) -> None:
    """Change the ledger's id beside the events."""
    with unguarded(case.ledger) as connection:
        connection.execute("UPDATE ledger_meta SET ledger = ?", ("0" * 32,))


def lose_the_id(case: Case) -> None:
    """Delete the ledger's id."""
    with unguarded(case.ledger) as connection:
        connection.execute("DELETE FROM ledger_meta")


def edit_the_tree(case: Case) -> None:
    """Change a stored root of a subtree, which proofs are made from."""
    with unguarded(case.ledger) as connection:
        connection.execute("UPDATE tree SET hash = randomblob(32) WHERE level = 8 AND position = 0")


def edit_a_checkpoint(case: Case) -> None:
    """Change the root of a checkpoint beside its text."""
    with unguarded(case.ledger) as connection:
        connection.execute("UPDATE checkpoints SET root = randomblob(32) WHERE id = 1")


def invent_a_checkpoint(case: Case) -> None:
    """Add a checkpoint over more events than there are."""
    with unguarded(case.ledger) as connection:
        origin = open_checkpoint(case.mine)[0].origin
        text = Checkpoint(origin, 1_000_000, bytes(32)).text
        connection.execute(
            "INSERT INTO checkpoints (size, root, note, recorded_at) VALUES (1000000, zeroblob(32), ?, '')", (text,)
        )


def edit_a_blob(case: Case) -> None:
    """Change a definition that runs name by its digest."""
    with unguarded(case.ledger) as connection:
        connection.execute("UPDATE blobs SET bytes = ? WHERE digest = (SELECT definition FROM runs LIMIT 1)", (b"{}",))


def delete_a_blob(case: Case) -> None:
    """Delete a definition that runs name by its digest."""
    with unguarded(case.ledger) as connection:
        connection.execute("DELETE FROM blobs WHERE digest = (SELECT definition FROM runs LIMIT 1)")


def edit_a_file_beside(case: Case) -> None:
    """Change a checkpoint in the folder beside the ledger."""
    (folder,) = (case.ledger.parent / "checkpoints").iterdir()
    path = outside_files(folder)[0]
    path.write_text(path.read_text(encoding="utf-8").replace("\n", "\n1", 1), encoding="utf-8")


def drop_a_guard(case: Case) -> None:
    """Drop the guard against deleting."""
    with contextlib.closing(sqlite3.connect(case.ledger)) as connection:
        connection.execute("DROP TRIGGER events_permanent")


def blunt_a_guard(case: Case) -> None:
    """Leave the guard, and take its sting, behind SQLite's back."""
    rewrite_schema(case.ledger, "events_permanent", lambda sql: sql.replace("RAISE(ABORT,", "coalesce(1,"))


def add_a_trigger(case: Case) -> None:
    """Add a trigger that changes what is recorded."""
    with contextlib.closing(sqlite3.connect(case.ledger)) as connection:
        connection.execute(
            "CREATE TRIGGER quiet AFTER INSERT ON runs BEGIN UPDATE runs SET status = 'succeeded' WHERE run_id = NEW.run_id; END"
        )


def hide_rows_behind_a_view(case: Case) -> None:
    """Put a view that hides events in the place of the table."""
    with contextlib.closing(sqlite3.connect(case.ledger)) as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'events'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("PRAGMA legacy_alter_table = ON")
        connection.execute("ALTER TABLE events RENAME TO all_events")
        connection.execute(f"CREATE VIEW events AS SELECT * FROM all_events WHERE seq <> {MIDDLE}")  # noqa: S608


def hide_rows_in_a_view(case: Case) -> None:
    """Make the view that people ask for runs leave some out."""
    rewrite_schema(case.ledger, "audit_runs", lambda sql: f"{sql} LIMIT 1")


def change_bytes_of_an_event(case: Case) -> None:
    """Change the text of an event in the bytes of the file."""
    fold(case.ledger)
    with contextlib.closing(sqlite3.connect(case.ledger)) as connection:
        name = body_of(connection, MIDDLE)["id"].encode()
    replace_bytes(case.ledger, name, name[:-1] + (b"0" if name[-1:] != b"0" else b"1"))


def change_bytes_of_the_header(case: Case) -> None:
    """Make it a file of another program."""
    fold(case.ledger)
    replace_bytes(case.ledger, b"SQLite format 3\0", b"SQLite format 4\0")


def claim_a_newer_format(case: Case) -> None:
    """Say that a newer program made it."""
    with contextlib.closing(sqlite3.connect(case.ledger)) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")


def cut_the_file(case: Case) -> None:
    """Cut the file off in the middle."""
    fold(case.ledger)
    truncate(case.ledger, case.ledger.stat().st_size // 2)


def overwrite_pages(case: Case) -> None:
    """Write noughts over a part of the file."""
    fold(case.ledger)
    data = bytearray(case.ledger.read_bytes())
    data[4096 * 20 : 4096 * 40] = bytes(4096 * 20)
    case.ledger.write_bytes(bytes(data))


IN_THE_FILE: tuple[tuple[Attack, int, str, int | None], ...] = (
    (edit_without_hash, 1, "altered_event", MIDDLE),
    (edit_with_hash, 1, "wrong_tree", 0),
    (edit_with_hash_and_tree, 1, "wrong_checkpoint", 0),
    (edit_index_column, 1, "misplaced_event", MIDDLE),
    (delete_from_the_middle, 1, "missing_event", MIDDLE),
    (delete_the_first, 1, "missing_event", 0),
    (delete_and_renumber, 1, "wrong_checkpoint", 0),
    (swap, 1, "misplaced_event", MIDDLE),
    (insert_in_the_middle, 1, "misplaced_event", MIDDLE + 1),
    (write_a_key_twice, 1, "not_canonical", MIDDLE),
    (back_date, 1, "back_dated", MIDDLE),
    (forward_date, 1, "post_dated", None),
    (give_another_id, 1, "misplaced_event", 0),
    (lose_the_id, 1, "wrong_ledger", None),
    (edit_the_tree, 1, "wrong_tree", 0),
    (edit_a_checkpoint, 1, "wrong_checkpoint", None),
    (invent_a_checkpoint, 1, "wrong_checkpoint", None),
    (edit_a_blob, 1, "altered_blob", None),
    (delete_a_blob, 1, "missing_blob", None),
    (edit_a_file_beside, 1, "outside_checkpoint", None),
    (drop_a_guard, 0, "schema", None),
    (blunt_a_guard, 0, "schema", None),
    (add_a_trigger, 0, "schema", None),
    (hide_rows_behind_a_view, 0, "schema", None),
    (hide_rows_in_a_view, 0, "schema", None),
    (change_bytes_of_an_event, 1, "altered_event", MIDDLE),
    (change_bytes_of_the_header, 0, "not_a_ledger", None),
    (claim_a_newer_format, 0, "newer_format", None),
    (cut_the_file, 0, "", None),
    (overwrite_pages, 0, "unreadable", None),
)
"""The attack, the level that it breaks, the kind of damage that is named, and the first place (None: wherever)."""


class TestInTheFile:
    """What the file shows by itself."""

    def test_whole_ledger(self, case: Case) -> None:
        """Given nobody's attack, then every level is held, with all that an auditor can have."""
        verdict = case.verify(key=True, keep=case.mine, witness=True)
        assert list(verdict.problems) == []
        assert (verdict.level, verdict.projections) == (4, "held")
        assert verdict.held_by == "the operator, the witness anna and your own copy of an earlier checkpoint"
        assert verdict.unsealed == verdict.events - size_of(case.last) == 1

    @pytest.mark.parametrize(
        ("attack", "level", "kind", "seq"), IN_THE_FILE, ids=[attack.__name__ for attack, *_ in IN_THE_FILE]
    )
    def test_attack(self, case: Case, attack: Attack, level: int, kind: str, seq: int | None) -> None:
        """Given an attack, then its kind is named with its place, its level is not held, and no level from there on counts."""
        attack(case)
        verdict = case.verify(key=True, keep=case.mine, witness=True)
        assert verdict.levels[level] == "failed", verdict.problems
        assert verdict.level == level - 1
        assert not verdict.ok
        if kind:
            places = found(verdict, kind)
            assert places, verdict.problems
            assert seq is None or places[0] == seq, verdict.problems

    def test_flood_is_counted(self, case: Case) -> None:
        """Given damage of every event, then a hundred are named and all are counted."""
        give_another_id(case)
        verdict = case.verify()
        assert len(found(verdict, "misplaced_event")) == 100
        assert verdict.more["misplaced_event"] == verdict.events - 100

    def test_temporary_tables_hide_nothing(self, case: Case) -> None:
        """Given a session in which a temporary table hides the damaged one, then the damaged one is looked at."""
        delete_from_the_middle(case)
        with contextlib.closing(sqlite3.connect(case.ledger, isolation_level=None)) as connection:
            connection.execute("CREATE TEMP TABLE events AS SELECT * FROM main.events LIMIT 3")
            assert connection.execute("SELECT count(*) FROM events").fetchone() == (3,)
            findings = Findings()
            Audit(case.ledger, connection, FORMAT, Options(), findings).run()
        assert [item.seq for item in findings.problems if item.kind == "missing_event"] == [MIDDLE]

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE runs SET status = 'succeeded', pipeline = 'q' WHERE night = '2026-01-02'",
            "DELETE FROM steps WHERE step = 's7'",
            "INSERT INTO pipelines VALUES ('invented', 'nowhere', NULL)",
            "DROP TABLE baselines",
        ],
    )
    def test_read_models(self, case: Case, statement: str) -> None:
        """Given rows of the read models changed, deleted, invented, or a table gone, then the events say so, apart from the levels."""
        with contextlib.closing(sqlite3.connect(case.ledger)) as connection:
            connection.execute(statement)
            connection.commit()
        verdict = case.verify()
        assert verdict.projections == "failed"
        assert found(verdict, "different_row")
        assert verdict.levels[1] == "held"


# Attacks that only something from outside shows


def forge_everything(case: Case) -> None:
    """Change an event and make everything anew that is made from it, but for signatures."""
    edit_with_hash_and_tree(case)
    with unguarded(case.ledger) as connection:
        sign_anew(connection, None)
    case.forget_outside()


def forge_with_another_key(case: Case) -> None:
    """Sign the forged history with a key of one's own, put into the file as the ledger's."""
    own = SigningKey.generate(case.key.name)
    with unguarded(case.ledger) as connection:
        (seq,) = connection.execute("SELECT seq FROM events WHERE type = 'ledger.key_added'").fetchone()
        body = body_of(connection, seq)
        write_body(connection, seq, body | {"data": body["data"] | {"after": own.verifier.text}}, rehash=True)
        remake_tree(connection)
        sign_anew(connection, own)
    case.forget_outside()


def delete_and_renumber_everything(case: Case) -> None:
    """Take an event out, close the gap, and make everything anew."""
    with unguarded(case.ledger) as connection:
        renumber(connection, without=MIDDLE + 200)
        sign_anew(connection, None)
    case.forget_outside()


def weaken_the_signature(case: Case) -> None:
    """Sign in the operator's name with a key of another type."""
    other = SigningKey.generate(case.key.name, COSIGNATURE)
    with unguarded(case.ledger) as connection:
        connection.execute("DELETE FROM checkpoints")
        checkpoint, _ = open_checkpoint(case.last)
        note = signed_note(checkpoint.text, other.signature_line(checkpoint.text, time=1))
        connection.execute(
            "INSERT INTO checkpoints (size, root, note, recorded_at) VALUES (?, ?, ?, '2026-01-01T00:00:00.000000Z')",
            (checkpoint.size, checkpoint.root, note),
        )
    case.forget_outside()


def cut_the_tail(case: Case) -> None:
    """Delete the last events together with the checkpoints over them."""
    size = size_of(case.mine)
    with unguarded(case.ledger) as connection:
        connection.execute("DELETE FROM events WHERE seq >= ?", (size,))
        connection.execute("DELETE FROM checkpoints WHERE size > ?", (size,))
        remake_tree(connection)
    make_tables_fit(case)
    case.forget_outside()


def make_tables_fit(case: Case) -> None:
    """Make the read models of what is left, as an attacker would."""
    with contextlib.closing(sqlite3.connect(case.ledger)) as connection:
        connection.execute("DELETE FROM projections")
        connection.commit()
    with open_ledger(case.ledger, projections=[ReadModels()]):
        pass
    with unguarded(case.ledger) as connection:
        connection.execute("DELETE FROM events WHERE type = 'ledger.upgraded'")


def put_an_older_copy(case: Case) -> None:
    """Put a backup in the ledger's place."""
    for side in ("", "-wal", "-shm"):
        Path(f"{case.ledger}{side}").unlink(missing_ok=True)
    shutil.copyfile(case.older, case.ledger)
    case.forget_outside()


def fork(case: Case) -> None:
    """Go on from an older copy in another way, signed with the stolen key."""
    put_an_older_copy(case)
    case.ledger.chmod(0o600)
    with open_ledger(case.ledger, projections=[ReadModels()]) as ledger:
        for _ in range(700):
            ledger.append("ledger", [NewEvent("ledger.invented", 1, {})], expected_version=None)
        seal(ledger, sign=lambda checkpoint: signed_note(checkpoint.text, case.stolen.signature_line(checkpoint.text)))


class TestOutside:
    """What no file shows by itself, and what shows it."""

    @pytest.mark.parametrize("attack", [forge_everything, delete_and_renumber_everything, weaken_the_signature])
    def test_forged(self, case: Case, attack: Attack) -> None:
        """Given a forged history that agrees with itself, then it does at level 1, and the pinned key shows that it is not the one that was sealed."""
        attack(case)
        assert case.verify().levels[1] == "held"
        verdict = case.verify(key=True)
        assert verdict.levels[2] == "failed"
        assert verdict.level == 1
        assert found(verdict, "no_checkpoint")

    def test_key_in_the_file(self, case: Case) -> None:
        """Given a forged history that names and uses a key of its own, then nothing trusts it."""
        forge_with_another_key(case)
        assert case.verify().levels[1] == "held"
        verdict = case.verify(key=True)
        assert verdict.level == 1
        assert found(verdict, "unknown_key")
        assert found(verdict, "no_checkpoint")
        assert not any(item.is_trusted for item in verdict.keys)

    def test_signature_left(self, case: Case) -> None:
        """Given a history that was changed under its signed checkpoints, then the trusted key has signed another root."""
        edit_with_hash_and_tree(case)
        verdict = case.verify(key=True)
        assert verdict.levels[2] == "failed"
        assert found(verdict, "signed_root")

    def test_signature_made_up(self, case: Case) -> None:
        """Given a checkpoint in the name of the pinned key that it did not sign, then its signature is bad."""
        checkpoint, _ = open_checkpoint(case.last)
        line = SigningKey.generate(case.key.name).signature_line(checkpoint.text)
        good = case.stolen.signature_line(checkpoint.text)
        forged = good[: len(good) - 30] + line[len(line) - 30 :]
        with unguarded(case.ledger) as connection:
            connection.execute(
                "INSERT INTO checkpoints (size, root, note, recorded_at) VALUES (?, ?, ?, '')",
                (checkpoint.size, checkpoint.root, signed_note(checkpoint.text, forged)),
            )
        assert found(case.verify(key=True), "bad_signature")

    @pytest.mark.parametrize("attack", [cut_the_tail, put_an_older_copy])
    def test_rolled_back(self, case: Case, attack: Attack) -> None:
        """Given a ledger that was turned back to a state that was signed, then the key alone shows nothing, and a kept checkpoint names what is missing."""
        attack(case)
        alone = case.verify(key=True)
        assert alone.ok, alone.problems
        assert (alone.level, alone.held_by) == (2, "the operator alone")
        verdict = case.verify(key=True, keep=case.last)
        assert verdict.level == 2
        assert verdict.levels[3] == "failed"
        assert found(verdict, "rolled_back") == [verdict.events]
        witnessed = case.verify(key=True, keep=case.cosigned, witness=True)
        assert witnessed.levels[4] == "failed"

    def test_rolled_back_beside_its_checkpoints(self, case: Case, original: Case) -> None:
        """Given a turned back ledger whose files outside were left, then they show it without anybody's help."""
        put_an_older_copy(case)
        shutil.copytree(original.ledger.parent / "checkpoints", case.ledger.parent / "checkpoints")
        verdict = case.verify()
        assert verdict.levels[1] == "failed"
        assert found(verdict, "outside_checkpoint")[0] == verdict.events

    def test_unsealed_tail(self, case: Case) -> None:
        """Given events cut off that no checkpoint covers, then nothing shows it; it was counted before, and one that covers them shows it."""
        before = case.verify(key=True)
        with open_ledger(case.ledger, projections=[ReadModels()]) as ledger:
            handed_out = seal(ledger).note
        with unguarded(case.ledger) as connection:
            connection.execute("DELETE FROM checkpoints WHERE size > ?", (before.events - 1,))
            connection.execute("DELETE FROM events WHERE seq = ?", (before.events - 1,))
        after = case.verify(key=True)
        assert after.ok, after.problems
        assert (before.unsealed, after.unsealed, after.events) == (1, 0, before.events - 1)
        assert found(case.verify(key=True, keep=handed_out), "rolled_back") == [before.events - 1]

    def test_log_dropped(self, case: Case, tmp_path: Path) -> None:
        """Given the write-ahead log cut off, then the last events are gone without a trace, and a kept checkpoint names them."""
        fold(case.ledger)
        with open_ledger(case.ledger, projections=[ReadModels()]) as ledger:
            ledger.append("ledger", [NewEvent("ledger.noted", 1, {})], expected_version=None)
            handed_out = seal(ledger).note
            lost = tmp_path / "lost"
            shutil.copytree(case.ledger.parent, lost)
        truncate(lost / "ledger.db-wal", 0)
        (lost / "ledger.db-shm").unlink()
        without_log = attrs.evolve(case, ledger=lost / "ledger.db")
        assert without_log.verify(key=True).ok
        verdict = without_log.verify(key=True, keep=handed_out)
        assert found(verdict, "rolled_back") == [size_of(handed_out) - 1]

    def test_fork(self, case: Case) -> None:
        """Given another continuation signed with the stolen key, then the key shows nothing, and what somebody has seen of the first one does."""
        fork(case)
        alone = case.verify(key=True)
        assert alone.ok, alone.problems
        assert alone.level == 2
        mine = case.verify(key=True, keep=case.last)
        assert (mine.level, mine.levels[3]) == (2, "failed")
        assert found(mine, "forked") == [size_of(case.mine)]
        seen = case.verify(key=True, keep=case.cosigned, witness=True)
        assert seen.levels[4] == "failed"
        assert case.verify(key=True, keep=case.mine).ok

    def test_replaced_key(self, case: Case) -> None:
        """Given a stolen key that was replaced, and events that it has sealed since, then these seals are named and count for nothing, whichever key is pinned."""
        new = SigningKey.generate(case.key.name)
        with open_ledger(case.ledger, projections=[ReadModels()]) as ledger:
            rotation = Rotation(case.key, new.verifier, ledger_size(ledger.connection))
            statement = rotation_statement(rotation, [case.stolen, new])
            data = {"before": case.key.text, "after": new.verifier.text, "statement": statement}
            ledger.append("ledger", [NewEvent(ROTATED, 1, data)], expected_version=None)
            good = seal(ledger, sign=lambda found: signed_note(found.text, new.signature_line(found.text))).checkpoint
            ledger.append("ledger", [NewEvent("ledger.invented", 1, {})], expected_version=None)
            seal(ledger, sign=lambda found: signed_note(found.text, case.stolen.signature_line(found.text)))
        for key in (case.key, new.verifier):
            verdict = attrs.evolve(case, key=key).verify(key=True)
            assert [(item.kind, item.level) for item in verdict.problems] == [("retired_key", 2)]
            assert verdict.sealed == good.size

    def test_gone_on_from_a_copy(self, case: Case, tmp_path: Path) -> None:
        """Given a new ledger that somebody has begun from a copy, without the key, then a pinned key of the former one shows that it speaks for nothing in it."""
        ledger = tmp_path / "new" / "ledger.db"
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[steps.s0]\ncommand = ["true"]\n', encoding="utf-8"
        )
        own = {"XDG_CONFIG_HOME": str(tmp_path / "attacker")}
        for words in (("audit", "restore", str(case.older), "--reason", "x"), ("run", "-q", "--moved")):
            done = program(*words, "--ledger", str(ledger), cwd=tmp_path, env=own)
            assert done.returncode == 0, done.stderr
        forged = attrs.evolve(case, ledger=ledger)
        assert forged.verify().ok
        verdict = forged.verify(key=True, keep=case.mine)
        assert [(item.kind, item.level) for item in verdict.problems] == [("key_gap", 2)]
        assert (verdict.level, verdict.sealed) == (1, 0)

    def test_another_ledger(self, case: Case, tmp_path: Path) -> None:
        """Given a fresh ledger in its place, then nothing of it is sealed with the pinned key, and the checkpoint is of another one."""
        for side in ("", "-wal", "-shm"):
            Path(f"{case.ledger}{side}").unlink(missing_ok=True)
        with open_ledger(case.ledger, projections=[ReadModels()]) as ledger:
            ledger.append("ledger", [NewEvent("ledger.noted", 1, {})], expected_version=None)
        assert case.verify().ok
        verdict = case.verify(key=True, keep=case.mine, witness=True)
        assert found(verdict, "no_checkpoint")
        assert found(verdict, "other_ledger")
        assert found(verdict, "no_cosignature")
        assert verdict.level == 1

    def test_clock_ahead_of_a_witness(self, case: Case) -> None:
        """Given events from a clock that ran ahead, then the witness's time shows it, whatever the auditor's clock says."""
        ahead = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        with open_ledger(case.ledger, projections=[ReadModels()], now=lambda: ahead) as ledger:
            (event,) = ledger.append("ledger", [NewEvent("ledger.noted", 1, {})], expected_version=None)
            checkpoint = seal(ledger).checkpoint
        anna = SigningKey.generate("anna", COSIGNATURE)
        time = int(datetime.now(UTC).timestamp())
        note = signed_note(checkpoint.text, anna.signature_line(checkpoint.text, time=time))
        seen = attrs.evolve(case, witness=anna.verifier)
        verdict = seen.verify(keep=note, witness=True, now=lambda: ahead)
        assert [(item.kind, item.seq, item.level) for item in verdict.problems] == [("post_dated", event.seq, 4)]

    @pytest.mark.parametrize(
        "text",
        [
            "x" * 3_000_000,
            "\x1b]0;owned\x07\n5\nAAAA\n",
            "orchestrate-ledger/\u0430\n5\n" + "A" * 43 + "=\n\n" + "— x AAAA\n" * 2000,
            "",
            "origin\n5\nnot base64\n",
            "origin\n99999999999999999999999\n" + "A" * 43 + "=\n",
        ],
        ids=["huge", "control", "signatures", "empty", "base64", "size"],
    )
    def test_malicious_checkpoint(self, case: Case, text: str) -> None:
        """Given a file that is no checkpoint, then it is refused with a reason."""
        verdict = case.verify(keep=text)
        assert found(verdict, "bad_checkpoint") == [None]


class TestProgram:
    """The same through the program."""

    def test_detected(self, case: Case) -> None:
        """Given an edited event, then `audit verify` exits 3 and names place and kind, in words and as JSON."""
        edit_without_hash(case)
        done = program("audit", "verify", "--ledger", str(case.ledger), "--key", case.key.text, cwd=case.ledger.parent)
        assert done.returncode == 3
        assert f"event {MIDDLE}: its text is not what its hash covers" in done.stdout
        value = value_of(
            program("audit", "verify", "--ledger", str(case.ledger), "--json", cwd=case.ledger.parent),
            "audit-verify",
            code=3,
        )
        assert (value["ok"], value["level"]) == (False, 0)
        assert [item["seq"] for item in value["problems"] if item["kind"] == "altered_event"] == [MIDDLE]

    def test_not_continued(self, case: Case, original: Case) -> None:
        """Given a turned back ledger, then the operator's own program does not go on with it: the signer remembers."""
        put_an_older_copy(case)
        case.ledger.chmod(0o600)
        folder = original.ledger.parent.parent
        done = program(
            "run", "--ledger", str(case.ledger), cwd=folder, env={"XDG_CONFIG_HOME": str(folder / "operator")}
        )
        assert done.returncode == 3, done.stderr
