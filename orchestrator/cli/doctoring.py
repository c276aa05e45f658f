"""What `orchestrate doctor` looks at: SQLite, the ledger's folder and its file system, the room on it, the extras, the key."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import attrs

from ledger.errors import KeyFileError, LedgerError, LedgerNotFoundError, MissingExtraError
from ledger.reader import LedgerReader
from ledger.schema import ledger_identity
from ledger.signer import KEY
from orchestrator.cli.damage import naming_damage
from orchestrator.cli.errors import exit_code_of, problems_of
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.keyring import CONFIG_HOME, digest_key_path, operator_folder, signer_of
from orchestrator.cli.lost_ledgers import refuse_lost
from orchestrator.cli.opening import other_owner, user_name
from orchestrator.cli.reading import show_present
from orchestrator.cli.sealing import missing_key
from orchestrator.core.errors import DefinitionError
from orchestrator.core.problems import Problem
from orchestrator.core.sizes import parse_size
from orchestrator.projections.manual_actions import recorded_definition
from orchestrator.runtime.definition_file import read_definition
from orchestrator.runtime.environment import file_problems
from orchestrator.runtime.place import file_system_of, file_system_problems, held_log
from orchestrator.runtime.room import (
    DAYS_WARNED,
    NO_GROWTH,
    Growth,
    days_left,
    existing,
    free_bytes,
    needed_bytes,
    recent_growth,
    shown_bytes,
)
from orchestrator.runtime.usage import Usage, usage_of

Facts = dict[str, object]

WAL_RESET_BUG = ((3, 7, 0), (3, 51, 2))
"""The first and the last release of SQLite in which a checkpoint may meet a writer at the wrong moment and lose pages of the log."""

_EXTRA = re.compile(r"""([A-Za-z0-9._-]+).*;.*\bextra == ["']([a-z]+)["']""")


@attrs.frozen
class Known:
    """
    Hold what a ledger says of itself.

    Attributes:
        ledger_id: None where there is none yet, or where it cannot be read.
        needed_bytes: What the pipelines of it want free before a run, the most demanding of them.
        usage: What it and what lies beside it take; None where there is none yet, or where it cannot be read.
        missing_key: What there is to say where it is signed, this user is to go on with it, and has no key for it; else None.
        error: What kept it from being read, or None.
    """

    ledger_id: str | None = None
    growth: Growth = NO_GROWTH
    needed_bytes: int = needed_bytes(NO_GROWTH)
    usage: Usage | None = None
    missing_key: str | None = None
    error: LedgerError | None = None


def look_into(ledger: Path) -> Known:
    """Return what *ledger* says of itself; one that is not there yet says nothing, and is no error, unless this user has signed it."""
    try:
        with LedgerReader(ledger) as reader, naming_damage(ledger):
            show_present(reader.connection, ledger)
            identity = ledger_identity(reader.connection, str(ledger))
            growth = recent_growth(reader.connection, ledger.parent)
            known = Known(
                identity,
                growth,
                _needed(reader.connection, growth),
                usage_of(reader.connection, ledger.parent),
                missing_key(reader.connection, identity) if other_owner(ledger) is None else None,
            )
            refuse_lost(ledger, reader.connection)
            reader.check_unchanged()
            return known
    except LedgerNotFoundError:
        return _missing(ledger)
    except LedgerError as error:
        return Known(error=error)


def _missing(ledger: Path) -> Known:
    """Return what there is to say where *ledger* is not there: nothing, unless this user has signed one at this place."""
    try:
        refuse_lost(ledger)
    except LedgerError as error:
        return Known(error=error)
    return Known()


def examine(ledger: Path, *, today: date) -> tuple[Facts, list[Problem], ExitCode]:
    """
    Return what is of interest about this machine and *ledger*, what of it may bite, and the exit code.

    The code is that of what keeps the ledger from being read, else `STORAGE` where a run could not leave anything there, else `OK`: warnings do not count.
    """
    known = look_into(ledger)
    facts: Facts = {"ledger": str(ledger), "exists": known.ledger_id is not None, "sqlite": sqlite_facts()}
    found: list[Problem] = []
    code = ExitCode.OK
    if known.error is not None:
        code = exit_code_of(known.error) or ExitCode.STORAGE
        found += [Problem(str(item["kind"]), str(item["message"])) for item in problems_of(known.error)]
    for name, (part, problems) in {
        "place": place_facts(ledger),
        "room": room_facts(ledger, known, today),
        "key": key_facts(known.ledger_id, known.missing_key),
    }.items():
        facts[name] = part
        found += problems
    facts["usage"] = usage_facts(known.usage)
    found += digest_key_problems()
    facts["extras"] = extras()
    if code == ExitCode.OK and any(problem.severity == "error" for problem in found):
        code = ExitCode.STORAGE
    return facts, found, code


def sqlite_facts(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> Facts:
    """Return the *version* of SQLite and whether it has the WAL-reset bug."""
    first, last = WAL_RESET_BUG
    return {"version": ".".join(map(str, version)), "wal_reset_bug": first <= version <= last}


def place_facts(ledger: Path, mounts: str | None = None) -> tuple[Facts, list[Problem]]:
    """Return owner, modes and file system of the folder of *ledger*, or of where it will be, and what is wrong with them."""
    folder = existing(ledger.parent)
    status = folder.stat()
    kind = file_system_of(folder, mounts)
    facts: Facts = {
        "folder": str(folder),
        "owner": user_name(status.st_uid),
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "file_system": kind,
    }
    held = held_log(ledger)
    others = [] if held is None else [held]
    return facts, [*file_system_problems(folder, kind), *others, *_owner_problems(ledger, folder)]


def _owner_problems(ledger: Path, folder: Path) -> Iterator[Problem]:
    made = folder == ledger.parent
    modes = {place: status for place in (folder, ledger) if (status := _status(place)) is not None} if made else {}
    found = other_owner(ledger)
    if found is not None:
        place, name = ledger if made else found[0], user_name(found[1])
        message = f"{place} belongs to the user {name}, and this is {user_name(os.geteuid())}: writing is refused"
        yield Problem(
            "other_user", message, suggestion=f"sudo -u {shlex.quote(name)} orchestrate …", severity="warning"
        )
    elif not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        yield Problem("not_writable", f"nothing can be written to {folder}", suggestion="look at its owner and mount")
    for place, status in modes.items():
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            message = f"others than its owner may write to {place} ({stat.S_IMODE(status.st_mode):04o})"
            yield Problem("open_to_others", message, suggestion=f"chmod go-w {place}", severity="warning")


def environment_problems(definition: Path) -> list[Problem]:
    """Return who else may read or write the files that the definition at *definition* takes variables from; nothing where it cannot be used."""
    try:
        pipeline = read_definition(definition).pipeline
    except DefinitionError:
        return []
    return file_problems(pipeline, definition.parent)


def _status(place: Path) -> os.stat_result | None:
    try:
        return place.stat()
    except OSError:
        return None  # It is not there, or not for this user to see.


def room_facts(ledger: Path, known: Known, today: date) -> tuple[Facts, list[Problem]]:
    """Return what is free, what is needed, and for how many days it lasts, together and for each of what grows alone."""
    free, needed, growth = free_bytes(ledger.parent), known.needed_bytes, known.growth
    places = {"ledger": ledger.parent, "logs": ledger.parent / "logs", "reports": ledger.parent / "reports"}
    parts: Facts = {}
    for name, taken in growth.parts.items():
        a_day, here = growth.a_day(taken, today), free_bytes(places[name])
        parts[name] = {"free_bytes": here, "bytes_a_day": a_day, "days_left": days_left(here, a_day)}
    left = growth.days_left(free, today)
    facts: Facts = {"free_bytes": free, "needed_bytes": needed, "days_left": left, "parts": parts}
    where = existing(ledger.parent)
    if free < needed:
        message = f"{shown_bytes(free)} are free where {where} lies, {shown_bytes(needed)} are needed: runs are refused"
        return facts, [Problem("disk_space", message, suggestion="make room, or set min_free in [pipeline]")]
    if left is not None and left < DAYS_WARNED:
        message = f"{shown_bytes(free)} are free where {where} lies, about {left} days of runs like the latest"
        return facts, [Problem("disk_soon_full", message, suggestion="make room", severity="warning")]
    return facts, []


def usage_facts(usage: Usage | None) -> Facts | None:
    """Return what the ledger and what lies beside it take, the largest pipelines and runs first; None where nothing is known."""
    if usage is None:
        return None
    largest = {name: [item.as_json() for item in getattr(usage, name)] for name in ("pipelines", "runs")}
    return {**usage._asdict(), **largest, "left_folders": [item._asdict() for item in usage.left_folders]}


def _needed(connection: sqlite3.Connection, growth: Growth) -> int:
    found = [0]
    for (name,) in connection.execute("SELECT pipeline FROM pipelines").fetchall():
        head = recorded_definition(connection, name).get("pipeline")
        given = head.get("min_free") if isinstance(head, Mapping) else None
        given = parse_size(given) if isinstance(given, str) else given
        found.append(given if isinstance(given, int) else needed_bytes(growth))
    return max(found) if len(found) > 1 else needed_bytes(growth)


def key_facts(ledger_id: str | None, missing: str | None = None) -> tuple[Facts, list[Problem]]:
    """Return whether this user signs the ledger *ledger_id*, and what is wrong with the key and its memory, such as that it is *missing*."""
    if ledger_id is None:
        return {"folder": None, "state": "none"}, []
    folder = operator_folder(ledger_id)
    facts: Facts = {"folder": str(folder), "state": "none"}
    try:
        signer = signer_of(ledger_id)
        if signer is None:
            hint = f"set {CONFIG_HOME} as it was when the key was made"
            lost = [] if missing is None else [Problem("no_key", missing, suggestion=hint, severity="warning")]
            return facts, lost
        signer.remembered()
        mode = stat.S_IMODE((folder / KEY).stat().st_mode)
    except (KeyFileError, MissingExtraError, OSError) as error:
        ((item),) = problems_of(error)
        problem = Problem(str(item["kind"]), str(item["message"]), severity="warning")
        return {**facts, "state": "unusable"}, [problem]
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        message = f"others than its owner may use the key {folder / KEY} ({mode:04o})"
        problem = Problem("open_to_others", message, suggestion=f"chmod 600 {folder / KEY}", severity="warning")
        return {**facts, "state": "usable"}, [problem]
    return {**facts, "state": "usable"}, []


def digest_key_problems() -> Iterator[Problem]:
    """Yield a warning where others may use the key of keyed digests: with the ledger they could try guesses of secrets."""
    path = digest_key_path()
    status = _status(path)
    if status is not None and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        message = f"others than its owner may use the key {path} ({stat.S_IMODE(status.st_mode):04o})"
        yield Problem("open_to_others", message, suggestion=f"chmod 600 {path}", severity="warning")


def extras() -> dict[str, bool]:
    """Return each extra of this program, and whether all that it names is installed."""
    found: dict[str, bool] = {}
    for requirement in importlib.metadata.requires("orchestrate") or ():
        match = _EXTRA.match(requirement)
        if match is not None:
            found[match[2]] = found.get(match[2], True) and _is_installed(match[1])
    return dict(sorted(found.items()))


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
