"""Manual actions that need the ledger alone: opened for writing, the reason asked for where the pipeline requires one, secrets masked."""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ledger.errors import WrongExpectedVersionError
from ledger.events import NewEvent, RecordedEvent
from ledger.store import Ledger
from orchestrator.cli import render
from orchestrator.cli.damage import naming_damage
from orchestrator.cli.errors import RefusedError, UsageRefusedError
from orchestrator.cli.opening import open_to_write
from orchestrator.cli.project import Prepared
from orchestrator.cli.reading import View, viewing
from orchestrator.cli.sealing import sealing_after
from orchestrator.core.events import Event, event_data, event_type
from orchestrator.core.manual import missing_reason, text_problem
from orchestrator.core.printable import as_utf8, printable
from orchestrator.core.redaction import Redactor
from orchestrator.projections.environments import last_variables
from orchestrator.projections.manual_actions import recorded_definition, requires_reason
from orchestrator.projections.queries import pipeline_row
from orchestrator.runtime.dotenv import read_env_file
from orchestrator.runtime.environment import DEFAULT_FILE, secrets_of


@contextlib.contextmanager
def acting(pipeline: str | None, ledger: str | None) -> Iterator[tuple[View, Ledger]]:
    """
    Open the ledger that the options name to look into it and to append to it; it is never made here.

    Raises:
        RunLookupError: There is none yet.
    """
    with viewing(pipeline, ledger) as view:
        path, named = view.path, view.pipeline
    with naming_damage(path), open_to_write(path) as store, sealing_after(store, say=render.err):
        yield View(path, store.connection, named), store


def checked_text(text: str, name: str) -> str:
    """
    Return *text* as the ledger can hold it; *name* is how it was given.

    Raises:
        UsageRefusedError: It is empty or too long.
    """
    wrong = text_problem(text, name)
    if wrong is not None:
        raise UsageRefusedError("usage", wrong)
    return as_utf8(text)


def checked_reason(view: View, pipeline: str, reason: str | None, action: str) -> str | None:
    """
    Return the *reason* of *action*, or None where none was given and none is needed.

    Raises:
        RefusedError: *pipeline*, as it last ran, requires one.
        UsageRefusedError: It is too long.
    """
    if reason is not None and reason.strip():
        return checked_text(reason, "--reason")
    if requires_reason(recorded_definition(view.connection, pipeline)):
        raise RefusedError([missing_reason(action)])
    return None


def masking(view: View, pipeline: str, environ: Mapping[str, str]) -> Callable[[str], str]:
    """
    Return what masks the secrets of *pipeline* in a text, as far as they can be known without its definition.

    Which variables are secret, and what else is masked, stands in the definition that last ran; values are looked for in *environ* and in the
    `.env` files that it lists. The first text that is masked warns of secrets without a value, see `warn_of_unmasked`.
    """

    @functools.cache
    def redactor() -> Redactor:
        return _redactor(view.connection, view.folder, [pipeline], environ)

    return lambda text: redactor().redact(text)


def typed_text(connection: sqlite3.Connection, prepared: Prepared, text: str) -> str:
    """Return *text*, which a person typed for what was *prepared*, as it may be recorded: without secrets; warns as `masking` does."""
    pipeline = prepared.project.pipeline
    secrets = (name for name, variable in pipeline.variables.items() if variable.secret)
    warn_of_unmasked(connection, pipeline.name, secrets, secrets_of(pipeline, prepared.environment))
    return prepared.redactor.redact(as_utf8(text))


def warn_of_unmasked(
    connection: sqlite3.Connection, pipeline: str, secrets: Iterable[str], known: Iterable[str]
) -> None:
    """
    Say which of *secrets* had a value when *pipeline* last ran and are not among those that are *known* now: a text that holds one is recorded with it.

    That is no reason to refuse: a secret that only the surroundings of the night have is never known in the morning.
    """
    lost = sorted({*secrets} - {*known})
    lost = [name for name in lost if name in last_variables(connection, [pipeline])] if lost else []
    if lost:
        what = f"{', '.join(lost)} of {pipeline} had a value in the last run and {'has' if len(lost) == 1 else 'have'} none here"
        render.err(printable(f"warning: {what}: in what you type it is not masked, and what is recorded stays"))


def ledger_reason(
    connection: sqlite3.Connection, folder: Path, reason: str | None, action: str, environ: Mapping[str, str]
) -> str | None:
    """
    Return the *reason* of *action*, which is about all of a ledger, with the secrets of each of its pipelines masked; None where none is needed.

    Args:
        connection: Shows the ledger's tables as this program makes them.
        folder: Of the ledger.
        environ: As of `masking`.

    Raises:
        RefusedError: None was given, and a pipeline, as it last ran, requires one.
        UsageRefusedError: It is too long.
    """
    pipelines = [name for (name,) in connection.execute("SELECT pipeline FROM pipelines ORDER BY pipeline")]
    if reason is None or not reason.strip():
        if any(requires_reason(recorded_definition(connection, name)) for name in pipelines):
            raise RefusedError([missing_reason(action)])
        return None
    text = checked_text(reason, "--reason")
    return _redactor(connection, folder, pipelines, environ).redact(text)


def masking_known(view: View, environ: Mapping[str, str]) -> Callable[[str], str]:
    """Return what masks the secrets of every pipeline in the ledger of *view* that have a value in *environ* or their `.env` files; of others nothing is said."""
    names = [name for (name,) in view.connection.execute("SELECT pipeline FROM pipelines ORDER BY pipeline")]
    return _redactor(view.connection, view.folder, names, environ, warn=False).redact


def _redactor(
    connection: sqlite3.Connection,
    folder: Path,
    pipelines: Sequence[str],
    environ: Mapping[str, str],
    *,
    warn: bool = True,
) -> Redactor:
    secrets = [value for name in pipelines for value in _secrets(connection, folder, name, environ, warn=warn)]
    tables = [recorded_definition(connection, name).get("redact") for name in pipelines]
    rules = [table if isinstance(table, dict) else {} for table in tables]
    patterns = [pattern for table in rules for pattern in table.get("patterns", ())]
    return Redactor(secrets, patterns=patterns, builtin=not rules or any(table.get("builtin", True) for table in rules))


def _secrets(
    connection: sqlite3.Connection, folder: Path, pipeline: str, environ: Mapping[str, str], *, warn: bool
) -> list[str]:
    """Return the values of the secrets of *pipeline* wherever they are found, and where that is wished for *warn* of those that are found nowhere."""
    document = recorded_definition(connection, pipeline)
    env = document.get("env")
    variables = env.get("vars") if isinstance(env, dict) else None
    if not isinstance(env, dict) or not isinstance(variables, dict):
        return []
    names = [name for name, entry in variables.items() if isinstance(entry, dict) and entry.get("secret")]
    row = pipeline_row(connection, pipeline)
    assert row is not None  # whoever has a definition has a row
    place = Path(os.path.normpath(folder / str(row["definition_path"]))).parent
    sources = [environ, *(read_env_file(place / file, shown=file).values for file in env.get("files", [DEFAULT_FILE]))]
    found = [(name, source[name]) for source in sources for name in names if name in source]
    if warn:
        warn_of_unmasked(connection, pipeline, names, (name for name, _ in found))
    return [value for _, value in found]


def append_checked(store: Ledger, pipeline: str, make: Callable[[], Event]) -> RecordedEvent:
    """
    Append what *make* returns to the stream of *pipeline*, made again where somebody else appended meanwhile.

    So what *make* has looked up, and refuses by raising, still holds when the event is recorded.
    """
    stream = f"pipeline/{pipeline}"
    while True:
        version = store.stream_version(stream)
        event = make()
        new = NewEvent(*event_type(event), event_data(event))
        with contextlib.suppress(WrongExpectedVersionError):
            return store.append(stream, [new], expected_version=version)[0]
