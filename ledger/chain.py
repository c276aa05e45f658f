"""
Ledgers that continue former ones: after a loss, history goes on in a new ledger whose first event names the old one and its last known checkpoint.

The old origin is never continued: two histories under one name could not be told apart. The former ledger stays beside the new one as a file that
can only be read, and may itself continue one before it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ledger.errors import DamagedLedgerError, LedgerError
from ledger.reader import LedgerReader
from ledger.schema import is_identity, ledger_identity

_ID_DIGITS = 8


class Continues(NamedTuple):
    """
    Hold what the first event of a ledger says about the one that it continues.

    Attributes:
        ledger: Id of the former one.
        origin: Under which its checkpoints speak of it.
        size: How many of its events were saved; *root* is the root over them, in hexadecimal.
        checkpoint: The last checkpoint of it that was known, as a note; it may cover more than was saved.
        lost: Which events are lost, and what is known of them; None where nothing is known to be.
    """

    ledger: str
    origin: str
    size: int
    root: str
    checkpoint: str | None
    lost: Mapping[str, Any] | None


class Former(NamedTuple):
    """
    Hold a former ledger of a chain.

    Attributes:
        path: Where it lies, or should.
        continues: What the ledger after it says about it.
        problem: Why it cannot be read, or None.
    """

    path: Path
    continues: Continues
    problem: str | None


def continues(connection: sqlite3.Connection) -> Continues | None:
    """Return what the ledger behind *connection* continues, or None where it is the first; one whose first event cannot be read is for verifying."""
    row = connection.execute("SELECT CAST(body AS BLOB) FROM main.events WHERE seq = 0").fetchone()
    try:
        told = None if row is None else json.loads(row[0])["data"].get("continues")
        if told is None:
            return None
        ledger, lost = str(told["ledger"]), told.get("lost")
        if not is_identity(ledger) or not isinstance(lost, dict | None):
            return None
        return Continues(
            ledger, str(told["origin"]), int(told["size"]), str(told["root"]), told.get("checkpoint"), lost
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def archive_path(ledger: Path, ledger_id: str) -> Path:
    """Return where the former ledger *ledger_id* lies beside the ledger at the path *ledger*: `ledger.<first 8 of its id>.db`."""
    return ledger.with_name(f"{ledger.stem}.{ledger_id[:_ID_DIGITS]}{ledger.suffix}")


def former_ledgers(path: Path, connection: sqlite3.Connection) -> list[Former]:
    """
    Return the former ledgers of the one at *path*, behind *connection*, the newest first.

    The chain ends with the first one of all, or with one that is not there: nobody else knows what came before it.
    """
    # They stand beside the file itself, wherever a link to it may stand.
    return list(_formers(path.resolve(), continues(connection)))


def _formers(path: Path, told: Continues | None) -> Iterator[Former]:
    seen: set[str] = set()
    while told is not None and told.ledger not in seen:
        seen.add(told.ledger)
        place = archive_path(path, told.ledger)
        problem, before = _look_into(place, told.ledger)
        yield Former(place, told, problem)
        told = before


def _look_into(place: Path, ledger_id: str) -> tuple[str | None, Continues | None]:
    try:
        with LedgerReader(place) as reader:
            found = ledger_identity(reader.connection, str(place))
            if found != ledger_id:
                raise DamagedLedgerError(str(place), [f"it is the ledger {found}, not {ledger_id}"])
            return None, continues(reader.connection)
    except LedgerError as error:
        return str(error), None
    except sqlite3.Error as error:
        return f"{place} cannot be read: {error}", None
