"""What `audit verify` is asked, and what it answers: as JSON, and in words."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from ledger.audit.chain import verify_chain
from ledger.audit.checkpoints import Given, Trust
from ledger.audit.files import FilesSeen
from ledger.audit.findings import APART, KINDS, Problem
from ledger.audit.verdict import LEVELS, Options, Verdict
from ledger.errors import LedgerNotFoundError
from ledger.outside import read_note
from ledger.verifier import COSIGNATURE, SIGNATURE, VerifierKey
from orchestrator.cli.audit.carried_check import carried_problems
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.keyring import given_key
from orchestrator.cli.locate import definition_path, ledger_path
from orchestrator.cli.older import PATIENCE_SECONDS, counting
from orchestrator.core.printable import printable
from orchestrator.projections.blob_names import blob_names
from orchestrator.projections.find_run import RunLookupError
from orchestrator.projections.log_names import log_names
from orchestrator.projections.read_models import ReadModels
from orchestrator.projections.removed_names import removed_names

Watch = Callable[[int, int], None]

_SHOWN_AT_MOST = 20
_HELD = (
    "the file is a sound one, with the tables and guards of this program",
    "it agrees with itself: every place, hash, stream, time, blob and checkpoint, made anew from the texts",
    "a key that you pinned, or that it vouches for, has sealed it",
    "it continues each checkpoint that you have kept",
    "each witness that you pinned has seen it",
)
_SEALING = 2
_SEALED_IN_PART = "a key that you pinned, or that it vouches for, has sealed the first {} of {} events"
_NOT_ASKED = (
    "",
    "",
    "no key was pinned (--key)",
    "no checkpoint of yours was given (--checkpoint)",
    "no witness was pinned (--witness)",
)
_TABLES = {
    "held": "runs, steps, attempts and the others are what the events give",
    "failed": "they are not what the events give",
    "not_kept": "the ledger keeps none of this version",
}


def verified(
    pipeline: str | None,
    ledger: str | None,
    *,
    keys: Sequence[str],
    checkpoints: Sequence[str],
    witnesses: Sequence[str],
    strict: bool,
    logs: bool,
    quiet: bool,
) -> Verdict:
    """
    Verify the ledger that the options name, with the keys and checkpoints that they name.

    Raises:
        RunLookupError: There is none.
        UsageRefusedError: A checkpoint cannot be read, or a key is of the other kind.
        KeyFileError: A key is none.
        StorageError: The machine does not let it be read.
    """
    path = ledger_path(ledger, definition_path(pipeline))
    trust = Trust(
        [_pinned(key, SIGNATURE) for key in keys],
        [Given(name, _read(name)) for name in checkpoints],
        [_pinned(key, COSIGNATURE) for key in witnesses],
    )
    with watching(f"verifying {os.path.relpath(path)}", "reading logs", quiet=quiet) as (watch, watch_logs):
        options = Options(
            [ReadModels()],
            trust,
            strict=strict,
            blobs_of=blob_names,
            removed_of=removed_names,
            files_of=log_names if logs else None,
            watch=watch,
            watch_files=lambda done, total: watch_logs(done >> 20, total >> 20),
        )
        try:
            verdict = verify_chain(path, options)
        except LedgerNotFoundError:
            raise RunLookupError("no_ledger", f"there is no ledger at {path}: nothing can be verified") from None
    if not verdict.formers:
        return verdict
    wrong = [Problem(APART, "carried_state", what, None) for what in carried_problems(path)]
    return attrs.evolve(verdict, problems=[*verdict.problems, *wrong])


@contextlib.contextmanager
def watching(events: str, bytes_of: str, *, quiet: bool = False, unit: str = "events") -> Iterator[tuple[Watch, Watch]]:
    """
    Give what shows on stderr how far two things have come: one of so many *events*, and the MiB of another.

    A bar on a terminal, a line now and then elsewhere; nothing for what is done in a second.
    """
    if quiet:
        yield (lambda *_: None), (lambda *_: None)
    elif sys.stderr is not None and sys.stderr.isatty():
        with _bars() as bar:
            yield bar(events), bar(bytes_of)
    else:
        yield _lines(events, unit), _lines(bytes_of, "MiB")


def _lines(what: str, unit: str) -> Watch:
    told: list[Callable[[int], None]] = []

    def watch(done: int, total: int) -> None:
        if not told:
            told.append(counting(what, total, unit=unit))
        told[0](done)

    return watch


@contextlib.contextmanager
def _bars() -> Iterator[Callable[[str], Watch]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    from_then_on = time.monotonic() + PATIENCE_SECONDS

    def bar(what: str) -> Watch:
        task = progress.add_task(printable(what), total=None, visible=False)

        def watch(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, visible=True)
            if time.monotonic() >= from_then_on and not progress.live.is_started:
                progress.start()

        return watch

    try:
        yield bar
    finally:
        progress.stop()


def _pinned(text: str, kind: int) -> VerifierKey:
    key = given_key(text)
    if key.kind == kind:
        return key
    whose, option = ("a witness", "--witness") if key.kind == COSIGNATURE else ("the operator of a ledger", "--key")
    raise UsageRefusedError("usage", f"the key {key.name} is the key of {whose}: give it as {option}")


def _read(name: str) -> str:
    try:
        return read_note(Path(name))
    except OSError as error:
        raise UsageRefusedError("no_checkpoint", f"the checkpoint {name} cannot be read: {error.strerror}") from None


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Return what `--json` prints."""
    return {
        "ok": verdict.ok,
        "level": verdict.level,
        "projections": verdict.projections,
        "events": verdict.events,
        "sealed": verdict.sealed,
        "root": verdict.root.hex(),
        "logs": _logs_json(verdict.files),
        "pruned_blobs": verdict.pruned_blobs,
        "problems": [item.as_json() for item in verdict.problems],
        "more": dict(verdict.more),
        "ledger": verdict.ledger_id,
        "levels": {f"L{level}": verdict.levels[level] for level in LEVELS},
        "unsealed": verdict.unsealed,
        "held_by": verdict.held_by,
        "keys": [
            {
                "seq": item.seq,
                "type": item.type,
                "key": item.key.text,
                "vouched": item.is_vouched,
                "trusted": item.is_trusted,
            }
            for item in verdict.keys
        ],
        "witnesses": [{"name": item.witness.name, "size": item.size, "at": item.at} for item in verdict.cosignatures],
        "former": [
            {
                "ledger": item.ledger_id,
                "file": item.path.name,
                "ok": item.ok,
                "level": item.level,
                "events": item.events,
                "root": item.root.hex(),
                "lost": item.lost,
            }
            for item in verdict.formers
        ],
    }


def _logs_json(files: FilesSeen | None) -> dict[str, object]:
    if files is None:
        return {"status": "not_asked"} | dict.fromkeys(("named", *FilesSeen._fields), 0)
    return {"status": "failed" if files.changed or files.missing else "held", "named": files.named, **files._asdict()}


def verdict_lines(verdict: Verdict) -> Iterator[str]:
    """Yield what people read."""
    yield f"ledger {verdict.ledger_id or '(without an id)'}: {verdict.events} events"
    yield f"  root {verdict.root.hex()}"
    for level in LEVELS:
        yield f"  L{level} {_level_text(verdict, level)}"
    yield f"  tables: {verdict.projections.replace('_', ' ')}: {_TABLES[verdict.projections]}"
    yield f"  logs: {_logs_text(verdict.files)}"
    if verdict.pruned_blobs:
        yield f"  blobs: {verdict.pruned_blobs} are not here: pruned, as events say"
    for former in verdict.formers:
        ok = "ok" if former.ok else "not ok"
        yield printable(f"  continues {former.path.name}: {former.events} events, {ok}{_lost_text(former)}")
    yield f"level {verdict.level}; behind it stands {verdict.held_by}"
    yield f"sealed: {verdict.sealed} events; unsealed: {verdict.unsealed}{_unsealed_hint(verdict)}"
    yield from _key_lines(verdict)
    for seen in verdict.cosignatures:
        after = verdict.events - seen.size
        yield printable(f"witness {seen.witness.name}: saw {seen.size} events at {seen.at}; {after} came after them")
    yield from _problem_lines(verdict)


def _logs_text(files: FilesSeen | None) -> str:
    if files is None:
        return "not asked"
    if not files.named:
        return "held: no event names one"
    ok = (
        f"held: {files.same} of {files.named} are"
        if not files.changed + files.missing
        else f"FAILED: {files.changed + files.missing} of {files.named} are not"
    )
    rest = [
        (files.missing, "missing"),
        (files.pruned, "pruned"),
        (files.elsewhere, "kept elsewhere: their folder is not here"),
        (files.unread, "not for this user to read"),
    ]
    return f"{ok} what was recorded" + "".join(f"; {count} {what}" for count, what in rest if count)


def _lost_text(former: Verdict) -> str:
    lost = former.lost
    if lost is None:
        return ""
    end = f" to {lost['last']}" if "last" in lost else " on"
    return f"; lost, as this one says: events from {lost.get('first')}{end}, recorded after {lost.get('after')}"


def _level_text(verdict: Verdict, level: int) -> str:
    status = verdict.levels[level]
    if status == "held":
        is_part = level == _SEALING and verdict.unsealed
        return f"held: {_SEALED_IN_PART.format(verdict.sealed, verdict.events) if is_part else _HELD[level]}"
    if status == "not_asked":
        return f"not asked: {_NOT_ASKED[level] or 'the file cannot be read'}"
    count = sum(1 for item in verdict.problems if item.level == level)
    return f"FAILED: {count} {'problem' if count == 1 else 'problems'}"


def _unsealed_hint(verdict: Verdict) -> str:
    if not verdict.unsealed:
        return ""
    return ", which nothing but the file speaks for; the next run seals them, or orchestrate audit checkpoint"


def _key_lines(verdict: Verdict) -> Iterator[str]:
    for item in verdict.keys:
        what = {"ledger.key_added": "the first key", "ledger.key_rotated": "rotated, signed by both keys"}.get(
            item.type
        )
        if item.type != "ledger.key_added" and not item.is_vouched:
            what = "replaced without the signature of the one before: a gap"
        trusted = ", trusted" if item.is_trusted else ""
        yield printable(f"key {item.key.id.hex()} since event {item.seq}: {what}{trusted}")
    if verdict.keys and verdict.levels[2] == "not_asked":
        yield "no key was pinned, and none is trusted for standing in the file: have its owner confirm the last one, then"
        yield f"  orchestrate audit verify --key {verdict.keys[-1].key.text}"


def _problem_lines(verdict: Verdict) -> Iterator[str]:
    if verdict.ok:
        yield "no problem was found"
        return
    kinds = list(dict.fromkeys(item.kind for item in verdict.problems))
    for kind in kinds:
        items = [item for item in verdict.problems if item.kind == kind]
        count = len(items) + verdict.more.get(kind, 0)
        yield f"{kind} ({count}): {KINDS[kind].meaning}"
        yield from (f"  {printable(item.detail)}" for item in items[:_SHOWN_AT_MOST])
        if count > _SHOWN_AT_MOST:
            yield f"  and {count - _SHOWN_AT_MOST} more; --json lists the first hundred"
        yield f"  what to do: {KINDS[kind].remedy}"
