"""Ledgers that older programs made, each with the project that it belongs to."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from tests.nights import SHOP, write_shop

FOLDER = Path(__file__).resolve().parent / "vectors" / "ledgers"
INDEX: dict[str, str] = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
FORMAT_1 = FOLDER / "format-1.db"


def digest_of(path: Path) -> str:
    """Return the SHA-256 of the file *path*."""
    return sha256(path.read_bytes()).hexdigest()


def old_shop(folder: Path, ledger: Path = FORMAT_1) -> Path:
    """Write the project that *ledger* tells of, as its last night left it, with a copy of the ledger, and return its folder."""
    shop = write_shop(folder / "shop", SHOP)
    for name in ("raw", "bronze"):
        (shop / name).mkdir(exist_ok=True)
        for number in (1, 2):
            (shop / name / f"{number}.csv").write_text(f"{number}\n", encoding="utf-8")
    (shop / "gold").mkdir()
    (shop / "gold" / "all.csv").write_text("1\n2\ncorrected\n", encoding="utf-8")
    (shop / ".orchestrate").mkdir()
    shutil.copyfile(ledger, shop / ".orchestrate" / "ledger.db")
    return shop


def make_older(ledger: Path) -> None:
    """Take from *ledger* what the first format had not."""
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("DROP TABLE checkpoints")
        connection.execute("DROP TABLE tree")
        connection.execute("PRAGMA user_version = 1")


def rows_of(ledger: Path, table: str) -> list[tuple[object, ...]]:
    """Return the rows of *table* in the file *ledger*."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()  # noqa: S608 - a test's own name
