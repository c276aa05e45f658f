"""
Bringing an older ledger up to date when it is opened for writing: what its format lacks, and the tables of projections.

The events stay as they are, byte for byte. All of it is one transaction, which ends with the event `ledger.upgraded`; a ledger that would take long
is left alone until somebody says so. Reading needs none of this.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs

from ledger.clock import settled_time
from ledger.errors import NewerLedgerError, UnregisteredProjectionError, UpgradeNeededError
from ledger.events import NewEvent, RecordedEvent
from ledger.projection import Projection, read_events, replay
from ledger.schema import FORMAT, SCRIPTS, ledger_format, ledger_identity, registered_projections, statements
from ledger.writing import INSERT_EVENT, at_their_places, one_writer, stream_version

UPGRADED = "ledger.upgraded"

SMALL_EVENTS = 50_000
"""As many as are taken over in about two seconds; a run does not wait longer for its tables."""


def _nothing(*_: object) -> None:
    return


@attrs.frozen
class Upgrading:
    """
    Say how an older ledger may be brought up to date.

    Attributes:
        most_events: One with more is left alone; None for any.
        facts: Gives what is recorded with it, such as who did it.
        check: Looks at the ledger before anything is changed, within the transaction; raises where it must stay as it is.
        watch: Told how many events are taken in, of how many.
    """

    most_events: int | None = SMALL_EVENTS
    facts: Callable[[], Mapping[str, object]] = dict
    check: Callable[[sqlite3.Connection], None] = _nothing
    watch: Callable[[int, int], None] = _nothing


def bring_up_to_date(
    connection: sqlite3.Connection,
    path: str,
    projections: Sequence[Projection],
    how: Upgrading,
    now: Callable[[], str],
) -> None:
    """
    Make the ledger behind *connection* one of the present format that keeps *projections*; nothing where it is.

    Raises:
        NewerLedgerError: A newer program made it, or tables of it.
        UnregisteredProjectionError: It keeps a projection that is not among *projections*.
        UpgradeNeededError: It has too many events for doing that on the way.
    """
    if _behind(connection, path, projections) is None:
        return
    with one_writer(connection):
        # Somebody else may have done it while we waited.
        behind = _behind(connection, path, projections)
        if behind is None:
            return
        found, known = behind
        (events,) = connection.execute("SELECT coalesce(max(seq) + 1, 0) FROM events").fetchone()
        if how.most_events is not None and events > how.most_events:
            raise UpgradeNeededError(path, events, how.most_events)
        how.check(connection)
        for script in SCRIPTS[FORMAT][len(SCRIPTS[found]) :]:
            for statement in statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        changed = {
            item.name: known[item.name] for item in projections if known.get(item.name, item.version) != item.version
        }
        if found != FORMAT or changed:
            _record(connection, path, found, changed, projections, how, now())
        replay(
            connection,
            [item for item in projections if known.get(item.name) != item.version],
            _watched(read_events(connection), how.watch, events),
        )


def _behind(
    connection: sqlite3.Connection, path: str, projections: Sequence[Projection]
) -> tuple[int, Mapping[str, int]] | None:
    """Return the format of the ledger and its projections' versions, or None where both are what they should be."""
    found, known = ledger_format(connection, path), registered_projections(connection)
    missing = sorted(known.keys() - {item.name for item in projections})
    if missing:
        raise UnregisteredProjectionError(path, missing)
    for item in projections:
        if known.get(item.name, 0) > item.version:
            raise NewerLedgerError(path, known[item.name], item.version)
    if found == FORMAT and all(known.get(item.name) == item.version for item in projections):
        return None
    return found, known


def _record(
    connection: sqlite3.Connection,
    path: str,
    found: int,
    changed: Mapping[str, int],
    projections: Sequence[Projection],
    how: Upgrading,
    now: str,
) -> None:
    versions = {
        item.name: {"from": changed[item.name], "to": item.version} for item in projections if item.name in changed
    }
    data = {"format": {"from": found, "to": FORMAT}, "projections": versions, **how.facts()}
    seq, version, last = _end(connection)
    now, step = settled_time(now, last)
    events = [NewEvent(UPGRADED, 1, data)]
    _, rows = at_their_places(
        "ledger",
        events if step is None else [step, *events],
        ledger=ledger_identity(connection, path),
        seq=seq,
        version=version,
        now=now,
    )
    connection.executemany(INSERT_EVENT, rows)


def _end(connection: sqlite3.Connection) -> tuple[int, int, str]:
    """Return the next place, the next version of the ledger's own stream, and the time of the last event."""
    seq, last = connection.execute("SELECT max(seq) + 1, recorded_at FROM events").fetchone()
    return seq, stream_version(connection, "ledger") + 1, last


def _watched(events: Iterator[RecordedEvent], watch: Callable[[int, int], None], total: int) -> Iterator[RecordedEvent]:
    for number, event in enumerate(events, start=1):
        yield event
        if number % 1000 == 0:
            watch(number, total)
