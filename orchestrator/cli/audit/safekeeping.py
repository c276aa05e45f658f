"""What `audit backup` and `audit upgrade` do: a checked copy of a ledger, and an older ledger brought to the present format."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import attrs

from ledger.audit.verdict import Options
from ledger.backup import Backup, Contents, check_file, write_backup
from ledger.chain import former_ledgers
from ledger.errors import InconsistentHistoryError, KeyFileError, LedgerExistsError, LedgerNotFoundError
from ledger.reader import LedgerReader
from ledger.schema import FORMAT, registered_projections
from orchestrator.cli import render
from orchestrator.cli.damage import naming_damage
from orchestrator.cli.errors import RefusedError, UsageRefusedError
from orchestrator.cli.ledger_files import keep_off_ledger
from orchestrator.cli.locate import definition_path, ledger_path
from orchestrator.cli.manual import ledger_reason
from orchestrator.cli.older import counting
from orchestrator.cli.opening import open_to_write
from orchestrator.cli.reading import show_present
from orchestrator.cli.sealing import sealing_after
from orchestrator.projections.blob_names import blob_names
from orchestrator.projections.find_run import RunLookupError
from orchestrator.projections.read_model_tables import NAME, VERSION
from orchestrator.projections.removed_names import removed_names


@attrs.frozen
class BackedUp:
    """
    Hold what was backed up.

    Attributes:
        former: Former ledgers that the ledger continues, which are files of their own.
    """

    backup: Backup
    former: tuple[Path, ...]

    def as_json(self) -> dict[str, object]:
        """Return what `--json` prints."""
        backup, contents = self.backup, self.backup.contents
        return {
            "file": str(backup.path),
            "bytes": backup.bytes,
            "sha256": backup.sha256,
            **contents_json(contents),
            "former": [str(path) for path in self.former],
        }

    def lines(self) -> Iterator[str]:
        """Yield what people read."""
        backup, contents = self.backup, self.backup.contents
        yield f"{backup.path}: {backup.bytes} bytes, {contents.events} events, checked"
        yield f"  ledger:     {contents.ledger_id}"
        yield f"  last event: {contents.last_at}"
        yield f"  root:       {contents.root.hex()}"
        yield f"  sha256:     {backup.sha256}"
        if contents.checkpoint is None:
            yield "  checkpoint: none; orchestrate audit checkpoint makes one"
            return
        unsealed = contents.events - contents.sealed
        yield f"  checkpoint: over {contents.sealed} events" + (f", {unsealed} came after it" if unsealed else "")
        yield from (f"    {line}" for line in contents.checkpoint.splitlines())


@attrs.frozen
class Upgraded:
    """
    Hold what became of an older ledger.

    Attributes:
        before: Its format and the version of its tables, before.
        backup: The ledger as it was, or None where nothing was to be done.
    """

    path: Path
    before: tuple[int, int]
    contents: Contents
    backup: Path | None

    def as_json(self) -> dict[str, object]:
        """Return what `--json` prints."""
        return {
            "ledger": str(self.path),
            "upgraded": self.backup is not None,
            "format": {"before": self.before[0], "after": FORMAT},
            "tables": {"before": self.before[1], "after": VERSION},
            "events": self.contents.events,
            "root": self.contents.root.hex(),
            "backup": None if self.backup is None else str(self.backup),
        }


def contents_json(contents: Contents) -> dict[str, object]:
    """Return what a checked file holds, as commands print it."""
    return {
        "ledger": contents.ledger_id,
        "format": contents.format,
        "events": contents.events,
        "last_at": contents.last_at,
        "root": contents.root.hex(),
        "sealed": contents.sealed,
        "checkpoint": contents.checkpoint,
    }


def back_up(pipeline: str | None, ledger: str | None, target: Path, *, force: bool) -> BackedUp:
    """
    Write a checked copy of the ledger that the options name to *target*.

    Raises:
        UsageRefusedError: *target* is the ledger itself, a folder, or there already and *force* is not set.
        DamagedLedgerError: The ledger is not right; no copy is left.
    """
    path = existing_ledger(pipeline, ledger)
    if target.exists() and target.samefile(path):
        raise UsageRefusedError("same_file", f"{target} is the ledger itself: name another file")
    keep_off_ledger(pipeline, ledger, target)
    if target.is_dir():
        raise UsageRefusedError("usage", f"{target} is a folder: name a file in it")
    with naming_damage(path):
        try:
            done = write_backup(path, target, force=force, options=_options("checking the copy"))
        except LedgerExistsError as error:
            raise UsageRefusedError("file_exists", f"{error}: --force puts the backup in its place") from None
        with LedgerReader(target) as reader:
            former = tuple(item.path for item in former_ledgers(path, reader.connection))
    return BackedUp(done, former)


def upgrade(pipeline: str | None, ledger: str | None, *, reason: str | None) -> Upgraded:
    """
    Bring the ledger that the options name to the present format, after a backup beside it, and seal it; nothing where it is of that format.

    Args:
        reason: Why; recorded.

    Raises:
        RefusedError: A run of the older program is on, or a reason is required and none was given.
        DamagedLedgerError: The ledger is not right; it stays as it is.
        InconsistentHistoryError: It is not what was sealed last; it stays as it is.
        NewerLedgerError: A newer program made it.
    """
    path = existing_ledger(pipeline, ledger)
    with naming_damage(path):
        with LedgerReader(path) as reader:
            before = (reader.format, registered_projections(reader.connection).get(NAME, 0))
        place = None if before == (FORMAT, VERSION) else _upgraded(path, reason)
        contents = check_file(path, options=_options("checking the ledger"))
    return Upgraded(path, before, contents, place)


def _upgraded(path: Path, reason: str | None) -> Path:
    """Upgrade the older ledger at *path* and return its backup."""
    place = free_name(path, "before-upgrade")
    # First of all, since what the tables are made of has to be right.
    write_backup(path, place, options=_options("checking the backup"))
    try:
        with LedgerReader(path) as reader:
            show_present(reader.connection, path)
            why = ledger_reason(reader.connection, path.parent, reason, "audit upgrade", os.environ)
        store = open_to_write(path, large=True, watch=told("making the tables anew"), reason=why)
    except (RefusedError, UsageRefusedError, InconsistentHistoryError, KeyFileError):
        place.unlink()
        raise
    with store, sealing_after(store, say=render.err):
        return place


def _options(what: str) -> Options:
    return Options(blobs_of=blob_names, removed_of=removed_names, watch=told(what))


def existing_ledger(pipeline: str | None, ledger: str | None) -> Path:
    """
    Return where the ledger is that the options name.

    Raises:
        RunLookupError: There is none yet.
    """
    path = ledger_path(ledger, definition_path(pipeline))
    try:
        LedgerReader(path).close()
    except LedgerNotFoundError:
        raise RunLookupError("no_ledger", f"there is no ledger at {path} yet; `orchestrate run` makes it") from None
    return path


def free_name(path: Path, what: str) -> Path:
    """Return a name beside *path* that nothing has: with *what* and the present second, and a number where that is needed."""
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    candidates = (
        path.with_name(f"{path.name}.{what}-{stamp}{end}") for end in ("", *(f".{n}" for n in range(2, 1000)))
    )
    return next(candidate for candidate in candidates if not os.path.lexists(candidate))


def told(what: str) -> Callable[[int, int], None]:
    """Return what tells on stderr how far *what* has come, where it takes longer than a second."""
    tell: list[Callable[[int], None]] = []

    def watch(done: int, total: int) -> None:
        if not tell:
            tell.append(counting(what, total))
        tell[0](done)

    return watch
