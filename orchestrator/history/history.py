"""What analysts call: a ledger, and each kind of thing in it as a dataframe that says at which checkpoint it was read."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ledger.audit.chain import verify_chain
from ledger.audit.verdict import Options, Verdict
from ledger.checkpoints import origin_of
from orchestrator.history.continuity import Chain
from orchestrator.history.due import RULES, RULES_TYPES, missing_of
from orchestrator.history.frames import columns_of
from orchestrator.history.queries import COLUMNS, DATASETS, EVENTS, GRAPH, METRICS
from orchestrator.history.reading import Opened, Roots, opened, opened_former
from orchestrator.projections.blob_names import blob_names
from orchestrator.projections.read_models import ReadModels
from orchestrator.projections.removed_names import removed_names
from orchestrator.projections.views import VIEWS

_LEDGER = "ledger.db"
_PROBLEMS_AT_MOST = 10


class IncompleteHistoryWarning(UserWarning):
    """Given where a ledger continues one that is not there or cannot be read: the history begins later than it did."""


class History:
    """
    Read the ledger at *path*, and those that it continues.

    Each method opens the ledger for a moment and returns a dataframe; a run may be on meanwhile. `attrs` of the dataframe says which moment that was and
    what stands behind it: `origin`, `size`, `root` and `read_at`, `verified` (True, False, or None where nobody asked), `level`, `problems`, and
    the same of each former ledger in `former`.

    Args:
        path: A ledger, or the folder that holds one; a backup or a snapshot of one will do.
        verify: Verify the ledgers first, as `audit verify` does without keys: about forty seconds for a million events. Without it what is read
            is not known to be what was recorded.
        zone: The time zone in which times are given.

    Attributes:
        verdict: What verifying found, or None.

    Raises:
        LedgerNotFoundError: There is no such file.
        UnverifiableLedgerError: It is no ledger, or was made by a newer program.
        StorageError: It cannot be read.
    """

    def __init__(self, path: str | Path, *, verify: bool = True, zone: str = "UTC") -> None:
        path = Path(path)
        self.path = path / _LEDGER if path.is_dir() else path
        self.zone = zone
        self._roots: Roots = {}
        with opened(self.path, self._roots):
            pass  # What is no ledger is said at once.
        self.verdict: Verdict | None = None
        if verify:
            self.verdict = verify_chain(
                self.path, Options([ReadModels()], blobs_of=blob_names, removed_of=removed_names)
            )

    def runs(self) -> pd.DataFrame:
        """Return a row for each run, as the view `audit_runs` has it."""
        return self.view("audit_runs")

    def steps(self) -> pd.DataFrame:
        """Return a row for each step of each run, as the view `audit_steps` has it."""
        return self.view("audit_steps")

    def attempts(self) -> pd.DataFrame:
        """Return a row for each attempt of each step, as the view `audit_attempts` has it."""
        return self.view("audit_attempts")

    def events(self, *, types: Sequence[str] = (), columns: Sequence[str] = ()) -> pd.DataFrame:
        """
        Return a row for each event, as the view `audit_events` has it, with the run and the night that it belongs to.

        Args:
            types: Only events of these types; all where none is given.
            columns: Only these columns, which is quicker; all where none is given.

        Raises:
            ValueError: There is no such column.
        """
        known = COLUMNS["events"]
        if unknown := set(columns) - known.keys():
            raise ValueError(f"events have no column {min(unknown)!r}: there are {', '.join(known)}")
        chosen = {name: kind for name, kind in known.items() if not columns or name in columns}
        where = f" WHERE type IN ({', '.join('?' * len(types))})" if types else ""
        statement = f"SELECT {', '.join(chosen)} FROM ({EVENTS}){where} ORDER BY seq"  # noqa: S608 -- ours
        return self.read(chosen, lambda found: columns_of(found.connection, statement, list(types)), place="seq")

    def datasets(self) -> pd.DataFrame:
        """
        Return a row for each dataset that a step wrote, and each that an attempt read, with digest, files and bytes.

        Files and bytes come from the manifest that the ledger keeps under the digest, and are empty where it keeps none; `rows` is what the step reported.
        """
        return self.read(COLUMNS["datasets"], lambda found: columns_of(found.connection, DATASETS))

    def metrics(self) -> pd.DataFrame:
        """Return a row for each number that an attempt reported: of the step, or of one of the datasets that it wrote."""
        return self.read(COLUMNS["metrics"], lambda found: columns_of(found.connection, METRICS))

    def graph(self, run_ids: Sequence[str]) -> pd.DataFrame:
        """Return the graphs of some runs: a row for each step and each step upstream of it."""
        chosen = json.dumps(list(run_ids))
        return self.read(COLUMNS["graph"], lambda found: columns_of(found.connection, GRAPH, [chosen]))

    def missing_nights(self, runs: pd.DataFrame | None = None) -> pd.DataFrame:
        """
        Return a row for each night without a run between the first and the last night of a pipeline: `pipeline`, `night`.

        They are judged as `status` judges them: where the ledger knows a schedule, by the one that was in force then; where it knows none, every night
        counts. Nights before the first schedule are judged by that one.

        Args:
            runs: Look at these alone, as `runs` gives them; else at all, of nights that are not more than 20 years apart.

        Raises:
            MissingExtraError: A schedule is recorded, and what knows cron's fields is not installed.
        """
        seen = self.runs() if runs is None else runs
        rules = self.read(RULES_TYPES, lambda found: columns_of(found.connection, RULES), place="seq")
        frame = missing_of(seen, rules, datetime.fromisoformat(str(rules.attrs["read_at"])))
        frame.attrs.update(rules.attrs)
        return frame

    def view(self, name: str) -> pd.DataFrame:
        """
        Return the view *name* of the data dictionary, of this ledger and of those that it continues.

        Raises:
            ValueError: There is no such view.
        """
        if name not in VIEWS:
            raise ValueError(f"there is no view {name!r}: there are {', '.join(VIEWS)}")
        view = VIEWS[name]
        types = {column: kind for column, (kind, _) in view.columns.items()}
        statement = f"SELECT * FROM {name} ORDER BY {view.sort}"  # noqa: S608 -- ours
        return self.read(types, lambda found: columns_of(found.connection, statement), place=view.place)

    def ledgers(self) -> Iterator[Opened]:
        """Yield each ledger of the chain that is there, the oldest first, open while it is looked at."""
        with opened(self.path, self._roots) as newest:
            for item in newest.formers():
                with opened_former(item, self._roots) as found:
                    if not isinstance(found, str):
                        yield found
            yield newest

    def read(
        self, types: Mapping[str, str], read: Callable[[Opened], list[list[Any]]], *, place: str | None = None
    ) -> pd.DataFrame:
        """
        Return what *read* gives of each ledger of the chain, the oldest first, under present names; for questions that no view answers.

        Args:
            types: The columns that *read* gives, with `text`, `integer` or `real`.
            place: The column that says which event a row begins with, where it has one.
        """
        chain = Chain(types, self.zone, place)
        with opened(self.path, self._roots) as newest:
            former: list[dict[str, object]] = []
            for item in newest.formers():
                with opened_former(item, self._roots) as found:
                    if isinstance(found, str):
                        former.append({"origin": item.continues.origin, "problem": found})
                        continue
                    former.append({**self._facts(found), "problem": None})
                    chain.take(found, read(found))
            chain.take(newest, read(newest))
            facts = self._facts(newest)
        frame = chain.frame()
        frame.attrs.update(facts, ledger=str(self.path), former=former)
        for told in former:
            if told["problem"] is not None:
                warnings.warn(f"a part of the history is not there: {told['problem']}", IncompleteHistoryWarning, 3)
        return frame

    def _facts(self, found: Opened) -> dict[str, object]:
        """Return which moment of a ledger was read, and what verifying it has shown."""
        facts: dict[str, object] = {**found.moment._asdict(), "verified": None, "level": None, "problems": []}
        verdict = self._verdict_of(found.moment.origin)
        if verdict is None:
            return facts
        problems = [item.detail for item in verdict.problems[:_PROBLEMS_AT_MOST]]
        if found.root_at(verdict.events) != verdict.root.hex():
            problems.append(f"its first {verdict.events} events are not those that were verified")
        return facts | {
            "verified": not problems,
            "level": verdict.level,
            "problems": problems,
            "verified_size": verdict.events,
            "sealed": verdict.sealed,
            "tables": verdict.projections,
        }

    def _verdict_of(self, origin: str) -> Verdict | None:
        known = () if self.verdict is None else (self.verdict, *self.verdict.formers)
        return next((item for item in known if item.ledger_id and origin_of(item.ledger_id) == origin), None)
