"""The environment of a run, as its start records it: code by digest and kept, interpreter, machine, packages, programs, secrets by keyed digests."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path

from ledger.canonical import blob_digest
from orchestrator.cli.project import Prepared
from orchestrator.core.capture import FILE_BYTES_MAX, Captured, CodeFile, captured, keep
from orchestrator.core.redaction import Redactor
from orchestrator.core.run_plan import RunPlan
from orchestrator.projections.environments import held_blobs
from orchestrator.runtime.digests import FileDigester
from orchestrator.runtime.files import UnreadableFileError, read_bounded
from orchestrator.runtime.machine import Programs, interpreter_facts, packages_in, platform_facts


def capture(
    prepared: Prepared,
    plan: RunPlan,
    connection: sqlite3.Connection,
    digester: FileDigester,
    environment: Mapping[str, Mapping[str, str]],
    secrets: Mapping[str, str],
    *,
    is_ending: Callable[[], bool] = lambda: False,
) -> Captured:
    """
    Return what a run of *plan* is about to run with.

    Where nothing changed, no file is read: the digests are those that the cache remembers, and the ledger keeps the contents.

    Args:
        connection: To the ledger.
        environment: For each step, the variables that reach it.
        secrets: What stands for the value of each, see `keying.secret_digests`.
    """
    redactor = prepared.redactor
    kept = keep(
        prepared.project.content,
        (file for file in takewhile(lambda _: not is_ending(), digester.code()) if file is not None),
        held=lambda digests: held_blobs(connection, digests),
        read=_content,
        is_clean=lambda content: _is_clean(redactor, content),
    )
    facts: dict[str, object] = {
        "interpreter": interpreter_facts(),
        "platform": platform_facts(),
        "packages": packages_in(dict.fromkeys(sys.path)),
        **Programs(prepared.project.folder, digester).facts(plan, environment),
        "secrets": dict(secrets),
    }
    return captured(kept, _masked(facts, redactor))


def _content(file: CodeFile) -> bytes | None:
    try:
        content = read_bounded(Path(file.path), most=FILE_BYTES_MAX)
    except UnreadableFileError:
        return None
    return content if blob_digest(content) == file.digest else None


def _is_clean(redactor: Redactor, content: bytes) -> bool:
    stream = redactor.stream()
    return stream.feed(content) + stream.flush() == content


def _masked(facts: dict[str, object], redactor: Redactor) -> dict[str, object]:
    """Return *facts* without declared secrets in the names of programs; looked at one by one only where one is there."""
    if redactor.redact_name("\n".join(_texts(facts))) == "\n".join(_texts(facts)):
        return facts
    masked = _without(facts, redactor)
    assert isinstance(masked, dict)
    return masked


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _texts(item)


def _without(value: object, redactor: Redactor) -> object:
    if isinstance(value, str):
        return redactor.redact_name(value)
    if isinstance(value, dict):
        return {redactor.redact_name(name): _without(item, redactor) for name, item in value.items()}
    return value
