"""Values of every type in every column of a ledger's own tables: verifying names them, and never gives up."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from ledger import NewEvent, open_ledger
from ledger.audit.chain import verify_chain
from ledger.audit.checkpoints import Trust
from ledger.audit.verdict import Options, Verdict
from ledger.canonical import blob_digest
from ledger.checkpoints import origin_of, seal
from ledger.events import RecordedEvent
from ledger.keys import ADDED
from ledger.signing import SigningKey, signed_note
from ledger.verifier import COSIGNATURE
from tests.ledger.test_store import Tally
from tests.tampering import rewrite_schema, unguarded

EVENTS = 260

LOOSE = {
    "ledger_meta": "one INTEGER PRIMARY KEY, ledger, created_at",
    "events": "seq INTEGER PRIMARY KEY, body, leaf_hash, stream, version, UNIQUE (stream, version)",
    "blobs": "digest PRIMARY KEY, bytes",
    "projections": "name PRIMARY KEY, version",
    "checkpoints": "id INTEGER PRIMARY KEY, size, root, note UNIQUE, recorded_at",
    "tree": "level, position, hash, PRIMARY KEY (level, position)) WITHOUT ROWID --",
}
"""The columns as they are stored, each of which takes any value."""

VALUES = (
    "NULL",
    "0",
    "9223372036854775807",
    "-9223372036854775808",
    "1.5",
    "9e999",
    "''",
    "'text'",
    "'a' || char(0) || 'b'",
    "'/etc/passwd'",
    "CAST(x'ff' AS TEXT)",
    "CAST(x'eda080' AS TEXT)",
    "x''",
    "zeroblob(32)",
    "{column} || char(0)",
    "CAST({column} AS BLOB)",
    "CAST({column} AS TEXT)",
)

COLUMNS = [
    (table, name)
    for table, columns in LOOSE.items()
    for name in re.findall(r"(?:^|, )([a-z_]+)", columns.partition(", UNIQUE")[0].partition(", PRIMARY")[0])
]


FREE = {("checkpoints", "id"): {"0", "9223372036854775807", "-9223372036854775808"}}
"""What is as good as what stood there: rows are only told apart by it."""


def key_of(ledger_id: str) -> SigningKey:
    """Return the key of the ledger."""
    return SigningKey(origin_of(ledger_id), 1, bytes(range(32)))


WITNESS = SigningKey("anna", COSIGNATURE, bytes(32))


@pytest.fixture(name="original", scope="module")
def _original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "ledger.db"
    with open_ledger(path, projections=[Tally()]) as ledger:
        key = key_of(ledger.ledger_id)
        ledger.append("ledger", [NewEvent(ADDED, 1, {"after": key.verifier.text})], expected_version=None)
        events = [NewEvent("thing.happened", 1, {"number": number}) for number in range(EVENTS)]
        ledger.append("run/1", events, expected_version=-1, blobs={blob_digest(b"one"): b"one"})
        seal(
            ledger,
            sign=lambda item: signed_note(
                item.text, key.signature_line(item.text), WITNESS.signature_line(item.text, time=4_000_000_000)
            ),
        )
    return path


@pytest.fixture(name="path")
def _path(original: Path, tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    shutil.copyfile(original, path)
    return path


def ledger_id(path: Path) -> str:
    """Return the id of the ledger."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute("SELECT ledger FROM ledger_meta").fetchone()
    return str(found)


def spoil(path: Path, table: str, column: str, value: str) -> bool:
    """Put *value* into the last row of *table*, behind the back of types, rules and guards; say whether SQLite took it."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (strict,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    rewrite_schema(path, table, lambda _: f"CREATE TABLE {table} ({LOOSE[table]}\n)".replace("--\n)", ""))
    try:
        with unguarded(path) as connection:
            row = f"SELECT {column} FROM {table} ORDER BY 1 DESC LIMIT 1"  # noqa: S608 - ours
            before = connection.execute(f"SELECT quote(({row}))").fetchone()
            where = f"{column} IS ({row})"
            connection.execute(f"UPDATE {table} SET {column} = {value.format(column=column)} WHERE {where}")  # noqa: S608
            changed = connection.execute(f"SELECT count(*) FROM {table} WHERE quote({column}) = ?", before).fetchone()  # noqa: S608
    except sqlite3.IntegrityError:
        return False  # A key takes no NULL, a place no text.
    finally:
        rewrite_schema(path, table, lambda _: strict)
    return bool(changed == (0,))


def looked_at(path: Path, origin: str) -> Verdict:
    """Verify with a key and a witness pinned."""
    key = key_of(origin)

    def named(event: RecordedEvent) -> list[str]:
        return [str(event.data["blob"])] if "blob" in event.data else []

    trust = Trust([key.verifier], [], [WITNESS.verifier])
    return verify_chain(path, Options([Tally()], trust, blobs_of=named))


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=[f"{table}.{column}" for table, column in COLUMNS])
def test_any_value(original: Path, tmp_path: Path, table: str, column: str) -> None:
    """Given a value of any type in a column, then verifying comes to its end, and says that something is wrong."""
    origin = ledger_id(original)
    unseen, taken = [], 0
    for number, value in enumerate(VALUES):
        path = tmp_path / str(number) / "ledger.db"
        path.parent.mkdir()
        shutil.copyfile(original, path)
        if not spoil(path, table, column, value):
            continue
        taken += 1
        if looked_at(path, origin).ok and value not in FREE.get((table, column), ()):
            unseen.append(value)
        shutil.rmtree(path.parent)
    assert taken
    assert unseen == []


def test_as_it_was(path: Path) -> None:
    """Given nobody's value, then all is well, with everything that is asked for."""
    verdict = looked_at(path, ledger_id(path))
    assert list(verdict.problems) == []
    assert (verdict.sealed, verdict.levels[4]) == (verdict.events, "held")
