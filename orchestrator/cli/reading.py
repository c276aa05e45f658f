"""Opening a ledger to look into it: found by the options, checked, and with a message where there is nothing to look at."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ledger.errors import LedgerNotFoundError
from ledger.reader import LedgerReader
from orchestrator.cli import render
from orchestrator.cli.damage import naming_damage
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.locate import definition_path, ledger_path, relative_to_ledger, where
from orchestrator.projections.find_run import RunLookupError, find_run
from orchestrator.projections.older_tables import older_format
from orchestrator.projections.queries import (
    pipeline_of_path,
    pipeline_overview,
    pipeline_row,
    run_detail,
    run_process,
    run_row,
)
from orchestrator.projections.trusted import refuse_untrusted
from orchestrator.runtime.liveness import is_alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.cli.as_of import Moment

Row = Mapping[str, object]

_CONTINUES = "SELECT count(*) FROM events WHERE seq = 0 AND json_type(data, '$.continues') = 'object'"
_NOT_HERE = ("unknown_run", "no_runs", "unknown_pipeline")
"""Why a run is not found that a former ledger may hold."""


class View:
    """
    An open ledger and what the options have restricted it to.

    Attributes:
        path: Of the ledger.
        connection: For queries.
        pipeline: The one whose definition `--pipeline` names, or None for all.
        older: An older program made it, and the tables stand beside the stored ones.
        moment: What it is shown as of, or None for the present.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        pipeline: str | None,
        *,
        older: bool = False,
        moment: Moment | None = None,
    ) -> None:
        self.path = path
        self.connection = connection
        self.pipeline = pipeline
        self.older = older
        self.moment = moment
        self._former: Sequence[View] | None = None

    @property
    def folder(self) -> Path:
        """The folder of the ledger, in which logs and reports lie."""
        return self.path.parent

    @property
    def now(self) -> datetime:
        """The time that it is in this view."""
        return datetime.now(UTC) if self.moment is None else self.moment.now

    def find(self, word: str) -> str:
        """Return the id of the run of this ledger that *word* means; see `find_run`."""
        try:
            return find_run(self.connection, word, pipeline=self.pipeline)
        except RunLookupError as error:
            of = "" if self.pipeline is None else f" of {self.pipeline}"
            what = {"no_runs": of, "unknown_run": f" {word}"}.get(error.kind)
            if self.moment is None or what is None:
                raise
            message = f"at that moment, event {self.moment.seq}, the ledger held no run{what}; `orchestrate runs` lists those of now"
            raise RunLookupError(error.kind, message) from None

    def holding(self, word: str) -> tuple[View, str]:
        """Return the id of the run that *word* means, and the view of the ledger that holds it: this one, or one that it continues."""
        try:
            return self, self.find(word)
        except RunLookupError as error:
            for view in self.former() if error.kind in _NOT_HERE else ():
                with contextlib.suppress(RunLookupError):
                    return view, view.find(word)
            raise

    def former(self) -> Sequence[View]:
        """Return views of the ledgers that this one continues, the newest first; paths and commands in them are those of this one."""
        if self._former is None and not self.connection.execute(_CONTINUES).fetchone()[0]:
            self._former = ()
        elif self._former is None:
            from orchestrator.cli.former import former_views

            self._former = former_views(self)
        return self._former

    def along_the_chain(self, rows: Callable[[View, int | None], Sequence[Row]], most: int | None) -> list[Row]:
        """Return what *rows* gives of this ledger, and then of those that it continues: *most* of them altogether, or all."""
        found = list(rows(self, most))
        for view in self.former():
            if most is not None and len(found) >= most:
                break
            found += rows(view, None if most is None else most - len(found))
        return found

    def close_former(self) -> None:
        """Let go of the ledgers that this one continues."""
        for view in self._former or ():
            view.connection.close()

    def is_active(self, run_id: str) -> bool:
        """
        Whether the run *run_id* is on; one that counts as running but lost its orchestrator is not.

        Nobody can tell any more which processes there were at an earlier moment: then one that counted as running was.
        """
        row = run_row(self.connection, run_id)
        if row["status"] != "running" or self.moment is not None:
            return bool(row["status"] == "running")
        process = run_process(self.connection, run_id)
        if is_alive(**process):
            return True
        from orchestrator.runtime.at_work import is_at_work

        return is_at_work(self.path.resolve().parent, run_id, str(row["pipeline"]), **process)

    def detail(self, run_id: str, *, history: bool = True, recorded: bool = False) -> dict[str, object]:
        """
        Return `run_detail` as people should see it, or with *recorded* exactly as it stands in the ledger.

        A run that lost its orchestrator is shown as interrupted, though the next start is what records it; `where` and `folder` let commands and
        paths be typed in the present folder.
        """
        from orchestrator.projections.pruned import pruned_files

        detail = run_detail(self.connection, run_id, history=history)
        if not recorded and detail["status"] == "running" and not self.is_active(run_id):
            detail["status"] = "interrupted"
        detail["pruned"] = pruned_files(self.connection, str(detail["pipeline"]), run_id)
        detail["where"] = self.where(str(detail["pipeline"]))
        detail["folder"] = os.path.relpath(self.folder)
        return detail

    def where(self, pipeline: str) -> str:
        """Return the options that a command typed in the present folder needs to find *pipeline* and this ledger."""
        row = pipeline_row(self.connection, pipeline)
        definition = self.folder / str(row["definition_path"]) if row else Path()
        return where(Path(os.path.normpath(definition)), self.path)


@contextlib.contextmanager
def viewing(pipeline: str | None, ledger: str | None, as_of: str | None = None) -> Iterator[View]:
    """
    Open the ledger that the options name.

    Args:
        as_of: The moment that it is to be shown as of, as `--as-of` has it; which one that is is told on stderr.

    Raises:
        RunLookupError: There is none yet.
        UnverifiableLedgerError, StorageError: It is none, is newer, is damaged, or cannot be read.
    """
    definition = definition_path(pipeline)
    path = ledger_path(ledger, definition)
    try:
        reader = LedgerReader(path)
    except LedgerNotFoundError:
        raise RunLookupError("no_ledger", f"there is no ledger at {path} yet; `orchestrate run` makes it") from None
    with reader, naming_damage(path):
        older, moment = False, None
        if as_of is None:
            older = show_present(reader.connection, path)
        else:
            from orchestrator.cli.as_of import show_as_of

            moment = show_as_of(reader.connection, path, as_of)
            render.err(str(moment))
        named = None
        if pipeline is not None:
            named = pipeline_of_path(reader.connection, relative_to_ledger(definition, path))
            if named is None:
                message = f"the ledger {path} knows no pipeline of {definition}; `orchestrate run` makes it known"
                raise UsageRefusedError("unknown_pipeline", message)
        view = View(path, reader.connection, named, older=older, moment=moment)
        try:
            yield view
        finally:
            view.close_former()
        reader.check_unchanged()


@contextlib.contextmanager
def viewing_if_any(pipeline: str | None, ledger: str | None, as_of: str | None = None) -> Iterator[View | None]:
    """Do as `viewing`, with None where there is no ledger yet: what lists then lists nothing."""
    with contextlib.ExitStack() as stack:
        try:
            view = stack.enter_context(viewing(pipeline, ledger, as_of))
        except RunLookupError:
            view = None
        yield view


def complete_from_former(entry: dict[str, object], view: View, *, today: str) -> View:
    """Complete *entry* with what ledgers know that the one of *view* continues, and return the view that holds its last run."""
    holder = view
    for former in view.former():
        overview = pipeline_overview(former.connection, today=today)
        for known in (found for found in overview if found["pipeline"] == entry["pipeline"]):
            if entry["last_run"] is None and known["last_run"] is not None:
                holder = former
                # Nobody can acknowledge any more what a ledger holds that is closed.
                entry.update({key: known[key] for key in known if not key.startswith("unacknowledged")})
            entry["last_success"] = entry["last_success"] or known["last_success"]
    return holder


def show_present(connection: sqlite3.Connection, path: Path) -> bool:
    """
    Make *connection* show the tables of this program, also where an older one made the ledger at *path*; return whether one did.

    Raises:
        NewerLedgerError: A newer program made the tables.
        ComputingSchemaError: A table or view is not as it was made, and would compute what it shows.
    """
    found = older_format(connection, path)
    if found is None:
        refuse_untrusted(connection, path)
        return False
    # What that needs is much, and a ledger of this program needs none of it.
    from orchestrator.cli.older import show_as_present

    # Open from here on: what is read of the events belongs to the tables that were just made of them.
    connection.execute("BEGIN")
    show_as_present(connection, path, found)
    return True
