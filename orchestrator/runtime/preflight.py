"""Looking at sources and disk before anything starts: is what nobody writes there, is it enough, and is there room for what a run leaves."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from ledger.errors import LedgerError
from ledger.reader import LedgerReader
from orchestrator.core.definition import Dataset, Pipeline
from orchestrator.core.freshness import Limits, freshness_text, state_of
from orchestrator.core.interpolation import UnresolvedReferenceError, resolve
from orchestrator.core.problems import Problem
from orchestrator.runtime.assembly import Surroundings
from orchestrator.runtime.digests import DatasetPlace
from orchestrator.runtime.freshness import age_by_files
from orchestrator.runtime.room import NO_GROWTH, Growth, existing, free_bytes, needed_bytes, recent_growth, shown_bytes
from orchestrator.runtime.walking import walk_files

_SCRIPTS = (".py", ".sh", ".sql", ".r", ".R", ".jl", ".pl", ".rb", ".js")


def check_sources(pipeline: Pipeline, places: Mapping[str, DatasetPlace], *, selected: Iterable[str]) -> list[Problem]:
    """
    Return what is wrong with the sources that the *selected* steps read, in the order of the file.

    Counts at most as many files as are expected, and opens none.
    """
    read = {name for step in selected for name in pipeline.steps[step].reads}
    found: list[Problem] = []
    for name in pipeline.sources():
        place = places[name]
        if name in read and place.path is not None:
            found += _check(pipeline.datasets[name], place.path, place.pattern)
    return found


def _check(dataset: Dataset, path: str, pattern: str) -> Iterator[Problem]:
    where = ("datasets", dataset.name, "path")
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        what = "does not exist" if missing else f"cannot be looked at: {error}"
        hint = "deliver it, or correct the path" if missing else None
        kind = "missing_source" if missing else "unreadable_source"
        yield Problem(kind, f"source {dataset.name}: {path} {what}", where, suggestion=hint)
        return
    if stat.S_ISDIR(mode):
        if not os.access(path, os.R_OK | os.X_OK):
            yield Problem("unreadable_source", f"source {dataset.name}: {path} cannot be read", where)
            return
        count = _count(Path(path), pattern, dataset.min_files)
    elif stat.S_ISREG(mode):
        count = 1
    else:
        yield Problem("unreadable_source", f"source {dataset.name}: {path} is neither a file nor a folder", where)
        return
    if count < dataset.min_files:
        message = (
            f"source {dataset.name}: {path} has {count} files like {pattern}, expected at least {dataset.min_files}"
        )
        yield Problem("too_few_files", message, ("datasets", dataset.name, "min_files"))


def _count(folder: Path, pattern: str, enough: int) -> int:
    if enough == 0:
        return 0
    found = (name for name in walk_files(str(folder), pattern) if name is not None and os.path.isfile(folder / name))
    return sum(1 for _ in islice(found, enough))


def check_freshness(
    pipeline: Pipeline, places: Mapping[str, DatasetPlace], *, selected: Iterable[str], now_us: int
) -> list[Problem]:
    """
    Return what is older than its `fresh_within` of the datasets that the *selected* steps read and none of them writes.

    It is an error where the dataset says `refuse` and `error` is passed, else a warning.
    """
    steps = [pipeline.steps[step] for step in selected]
    read = {name for step in steps for name in step.reads} - {name for step in steps for name in step.writes}
    found: list[Problem] = []
    for name, dataset in pipeline.datasets.items():
        place, fresh = places.get(name), dataset.fresh_within
        if name not in read or fresh is None or place is None or place.path is None:
            continue
        age, limits = age_by_files(place.path, place.pattern, now_us), Limits(fresh.warn_us, fresh.error_us)
        if age is None or state_of(age, limits) == "fresh" or not os.path.lexists(place.path):
            continue  # What is not there or cannot be looked at is said elsewhere.
        refuses = fresh.refuse and state_of(age, limits) == "error"
        where = ("datasets", name, "fresh_within")
        hint = f"deliver it; a run goes on without it where {name} says refuse = false" if refuses else None
        severity = "error" if refuses else "warning"
        message = freshness_text(name, age, limits)
        found.append(Problem("stale_dataset", message, where, suggestion=hint, severity=severity))
    return found


def missing_files(pipeline: Pipeline, around: Surroundings, selected: Iterable[str]) -> list[Problem]:
    """
    Return a warning for each script that a *selected* step's command names and for each `cwd` that is not there.

    A script is a word with the ending of one; it may be made by a step before, so that nothing is refused for it.
    """
    found: list[Problem] = []
    chosen = frozenset(selected)
    for name, step in pipeline.steps.items():
        if name not in chosen:
            continue
        try:
            folder = around.folder / resolve(step.cwd or "", around.values)
            words = [resolve(word, around.values) for word in step.command[1:]]
        except UnresolvedReferenceError:
            continue  # That a value is missing is said elsewhere.
        if not folder.is_dir():
            message = f"steps.{name}: its folder {folder} does not exist; a run would fail there as not_started"
            found.append(Problem("missing_folder", message, ("steps", name, "cwd"), severity="warning"))
            continue
        for place, word in enumerate(words, 1):
            if word.endswith(_SCRIPTS) and not word.startswith("-") and not (folder / word).exists():
                message = f"steps.{name}: there is no file {folder / word}"
                found.append(Problem("missing_script", message, ("steps", name, "command", place), severity="warning"))
    return found


def check_room(pipeline: Pipeline, ledger: Path) -> list[Problem]:
    """
    Return the problem of too little room on the file system of *ledger* for what a run of *pipeline* leaves there; none where there is enough.

    What the definition does not say is taken from the runs that stand in the ledger.
    """
    try:
        free = free_bytes(ledger.parent)
    except OSError:
        return []  # Whoever opens the ledger says what is wrong with the place.
    given = pipeline.min_free_bytes
    needed = needed_bytes(_growth(ledger)) if given is None else given
    if free >= needed:
        return []
    why = "as twice the largest of the latest runs, or 64 MiB" if given is None else "by min_free"
    message = f"too little room: {shown_bytes(free)} are free where {existing(ledger.parent)} lies, {shown_bytes(needed)} are needed {why}"
    hint = "make room, or state another need with min_free in [pipeline]; `orchestrate doctor` shows what grows"
    return [Problem("disk_space", message, ("pipeline", "min_free"), suggestion=hint)]


def _growth(ledger: Path) -> Growth:
    # What is wrong with a ledger, or too old for being asked, is told when it is opened in earnest.
    with contextlib.suppress(LedgerError, sqlite3.Error), LedgerReader(ledger) as reader:
        return recent_growth(reader.connection, ledger.parent)
    return NO_GROWTH
