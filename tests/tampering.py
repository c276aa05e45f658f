"""
A real ledger for attackers, and what they attack it with: SQLite itself, the bytes of the file, and stolen keys.

The ledger was made by runs of the program: sealed and signed, with checkpoints beside it, one that an auditor kept, and one that a witness
cosigned. Each attacker gets a copy.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

from ledger import NewEvent, open_ledger
from ledger.audit.chain import verify_chain
from ledger.audit.checkpoints import Given, Trust
from ledger.audit.verdict import Options, Verdict
from ledger.canonical import canonical_text
from ledger.merkle import Frontier, leaf_hash
from ledger.signing import SigningKey, signed_note
from ledger.times import utc_now
from ledger.tree import extend_tree
from ledger.verifier import Checkpoint, VerifierKey
from orchestrator.projections.blob_names import blob_names
from orchestrator.projections.read_models import ReadModels
from tests.programs import program

STEPS = 60


@attrs.frozen
class Case:
    """
    Hold one copy of the ledger, and what its auditor has.

    Attributes:
        key: Of the operator; *stolen* is its secret half.
        mine: A checkpoint that the auditor kept, of an earlier size than the last one.
        last: The last checkpoint, kept as well by whoever asked at the end.
        cosigned: A checkpoint that the witness has cosigned, between the two.
        older: A copy of the ledger as it was when *mine* was kept.
    """

    ledger: Path
    key: VerifierKey
    stolen: SigningKey
    witness: VerifierKey
    mine: str
    last: str
    cosigned: str
    older: Path

    def verify(
        self,
        *,
        key: bool = False,
        keep: str | None = None,
        witness: bool = False,
        now: Callable[[], str] = utc_now,
    ) -> Verdict:
        """Verify it with what an auditor may have."""
        trust = Trust(
            [self.key] if key else [],
            [Given("mine.checkpoint", keep)] if keep is not None else [],
            [self.witness] if witness else [],
        )
        return verify_chain(self.ledger, Options([ReadModels()], trust, blobs_of=blob_names, now=now))

    def forget_outside(self) -> None:
        """Remove the checkpoints beside the ledger, as an attacker would."""
        shutil.rmtree(self.ledger.parent / "checkpoints", ignore_errors=True)


def make_case(folder: Path) -> Case:
    """Run nights in *folder*, with a key and a witness."""
    steps = "".join(f'[steps.s{number}]\ncommand = ["true"]\n' for number in range(STEPS))
    (folder / "pipeline.toml").write_text(f'[pipeline]\nname = "p"\nmax_parallel = 4\n{steps}', encoding="utf-8")
    operator = {"XDG_CONFIG_HOME": str(folder / "operator")}
    anna = {"XDG_CONFIG_HOME": str(folder / "anna")}
    ledger = folder / ".orchestrate" / "ledger.db"

    def done(*words: str, env: dict[str, str] = operator) -> str:
        finished = program(*words, cwd=folder, env=env)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    done("run", "-q", "--for", "2026-01-01")
    key = folder / "operator.vkey"
    key.write_text(done("audit", "keygen"), encoding="utf-8")
    done("run", "-q", "--for", "2026-01-02")
    mine = done("audit", "checkpoint", "--last")
    older = folder / "older.db"
    done("audit", "backup", str(older))
    witness = VerifierKey.parse(done("audit", "keygen", "--witness", "anna", env=anna))
    done("run", "-q", "--for", "2026-01-03", "--force")
    done("audit", "cosign", "--key", str(key), env=anna)
    (cosigned,) = ledger.parent.glob("checkpoints/*/*.cosigned")
    done("run", "-q", "--for", "2026-01-04")
    last = done("audit", "checkpoint", "--last")
    with open_ledger(ledger, projections=[ReadModels()]) as store:
        store.append(
            "ledger", [NewEvent("ledger.noted", 1, {"text": "written after the last seal"})], expected_version=None
        )
    (secret,) = (folder / "operator").rglob("key")
    stolen = SigningKey.parse(secret.read_text(encoding="utf-8"), "key")
    return Case(ledger, stolen.verifier, stolen, witness, mine, last, cosigned.read_text(encoding="utf-8"), older)


def copied(case: Case, folder: Path) -> Case:
    """Return a copy of *case* in *folder*."""
    place = folder / "copy"
    shutil.copytree(case.ledger.parent, place)
    return attrs.evolve(case, ledger=place / case.ledger.name)


@contextlib.contextmanager
def unguarded(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection on which the guards are gone; they are put back as they were, so that nobody sees it."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        guards = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("BEGIN")
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        for _, sql in guards:
            connection.execute(sql)
        connection.execute("COMMIT")
    finally:
        connection.close()


def body_of(connection: sqlite3.Connection, seq: int) -> dict[str, Any]:
    """Return the text of an event as a value."""
    value: dict[str, Any] = json.loads(
        connection.execute("SELECT body FROM events WHERE seq = ?", (seq,)).fetchone()[0]
    )
    return value


def write_body(connection: sqlite3.Connection, seq: int, body: dict[str, Any], *, rehash: bool) -> None:
    """Put another text in the place of an event's, with the hash that belongs to it or with the old one."""
    text = canonical_text(body)
    connection.execute("UPDATE events SET body = ? WHERE seq = ?", (text, seq))
    if rehash:
        connection.execute("UPDATE events SET leaf_hash = ? WHERE seq = ?", (leaf_hash(text.encode()), seq))


def edit_event(connection: sqlite3.Connection, seq: int, *, rehash: bool, **fields: object) -> None:
    """Change fields of an event's envelope."""
    write_body(connection, seq, {**body_of(connection, seq), **fields}, rehash=rehash)


def remake_tree(connection: sqlite3.Connection) -> None:
    """Make the table of subtrees anew from the leaf hashes."""
    connection.execute("DELETE FROM tree")
    extend_tree(connection, connection.execute("SELECT count(*) FROM events").fetchone()[0])


def sign_anew(connection: sqlite3.Connection, key: SigningKey | None) -> None:
    """Replace every checkpoint by one of the present events, signed with *key* or by nobody; those beyond them vanish."""
    frontier, roots = Frontier(), {}
    for size, (leaf,) in enumerate(connection.execute("SELECT leaf_hash FROM events ORDER BY seq").fetchall(), start=1):
        frontier.add(leaf)
        roots[size] = frontier.root()
    rows = connection.execute("SELECT id, size, note, recorded_at FROM checkpoints").fetchall()
    (ledger,) = connection.execute("SELECT ledger FROM ledger_meta").fetchone()
    connection.execute("DELETE FROM checkpoints")
    for number, size, _, at in rows:
        if size in roots:
            checkpoint = Checkpoint(f"orchestrate-ledger/{ledger}", size, roots[size])
            note = checkpoint.text if key is None else signed_note(checkpoint.text, key.signature_line(checkpoint.text))
            connection.execute(
                "INSERT OR IGNORE INTO checkpoints VALUES (?, ?, ?, ?, ?)", (number, size, roots[size], note, at)
            )


def rewrite_schema(path: Path, name: str, change: Callable[[str], str]) -> None:
    """Change the text of an object in the schema, behind SQLite's back."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
        assert change(sql) != sql
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (change(sql), name))
        (version,) = connection.execute("PRAGMA schema_version").fetchone()
        connection.execute(f"PRAGMA schema_version = {version + 1}")
    finally:
        connection.close()


def fold(path: Path) -> None:
    """Fold the log into the file, so that its bytes are all there is."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def replace_bytes(path: Path, old: bytes, new: bytes) -> None:
    """Change bytes in the file, as an editor for bytes does."""
    assert len(old) == len(new)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def truncate(path: Path, size: int) -> None:
    """Cut the file off."""
    os.truncate(path, size)
