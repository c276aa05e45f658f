"""`orchestrate logs RUN [STEP]`: what the steps have printed, also while they still do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import click

from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.options import json_option, ledger_option, pipeline_option, run_argument, some_step_argument
from orchestrator.cli.reading import View, viewing
from orchestrator.cli.tails import log_blocks, open_log
from orchestrator.core.printable import PrintableStream, printable
from orchestrator.projections.find_run import RunLookupError, check_step
from orchestrator.projections.queries import run_row
from orchestrator.projections.withheld import step_classes

EXAMPLES = """\b
Examples:
  orchestrate logs latest
  orchestrate logs latest bronze --follow
  orchestrate logs latest bronze --attempt 1
  orchestrate logs latest bronze --raw
"""
_POLL_SECONDS = 0.2


@click.command(epilog=EXAMPLES)
@run_argument
@some_step_argument
@pipeline_option
@ledger_option
@click.option("--follow", "-f", is_flag=True, help="Go on until the run has ended.")
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Only this attempt.")
@click.option("--raw", is_flag=True, help="Also on a terminal the bytes as they are, control sequences too.")
@json_option
def command(
    run: str,
    step: str | None,
    pipeline: str | None,
    ledger: str | None,
    attempt: int | None,
    *,
    follow: bool,
    raw: bool,
    as_json: bool,
) -> int:
    """
    Print what the steps of a run have printed, with secrets masked as they are in the files.

    On a terminal, control sequences are written out instead of obeyed; into a pipe or a file go the bytes as they are.

    A log has the class of the data that its step touches, and is shown here whatever that is. With --json a list of the logs: step,
    attempt, class, path, bytes, and their text.
    """
    if follow and as_json:
        raise UsageRefusedError("usage", "--follow prints as it comes; --json waits for the end: choose one")
    screen = _Screen(raw=raw or not render.on_terminal())
    with viewing(pipeline, ledger) as present:
        view, run_id = present.holding(run)
        if step is not None:
            check_step(view.connection, run_id, step)

        def known() -> list[tuple[str, int, Path]]:
            return [entry for entry in _logs(view, run_id, step) if attempt is None or entry[1] == attempt]

        if follow and view.is_active(run_id):
            _follow(known, lambda: view.is_active(run_id), screen, alone=step is not None)
            return 0
        entries = known()
        _check_attempt(run_id, step, attempt, entries)
        _check_folder(view, run_id, entries)
        if as_json:
            classes = step_classes(view.connection, run_id)
            render.out_json([_as_json(view, *entry) | {"class": classes.get(entry[0])} for entry in entries])
            return 0
        _print(entries, screen, alone=step is not None)
        if not any(path.exists() for _, _, path in entries):
            render.err(f"nothing was printed in run {run_id}")
    return 0


class _Screen:
    """Where logs go: as they are, or with what a terminal would act on written out."""

    def __init__(self, *, raw: bool) -> None:
        self._raw = raw
        self._streams: dict[Path, PrintableStream] = {}

    def show(self, path: Path, data: bytes) -> None:
        """Show *data*, which comes next in the log at *path*."""
        if self._raw:
            render.out_raw(data)
            return
        render.out_part(self._streams.setdefault(path, PrintableStream()).feed(data))

    def end(self) -> None:
        """Show what was held back of the logs so far, to which nothing is added."""
        for stream in self._streams.values():
            render.out_part(stream.end())
        self._streams.clear()


def _print(entries: Iterable[tuple[str, int, Path]], screen: _Screen, *, alone: bool) -> None:
    for name, number, path in entries:
        if not alone and path.exists():
            render.out(f"==> {name}, attempt {number} <==")
        for block in _blocks(path):
            screen.show(path, block)
        screen.end()


def _logs(view: View, run_id: str, step: str | None) -> list[tuple[str, int, Path]]:
    """List step, attempt and file of every attempt so far; a file that is not there yet appears with its first byte."""
    rows = view.connection.execute(
        "SELECT step, attempt FROM attempts WHERE run_id = ? AND step = coalesce(?, step) ORDER BY started_at, step, attempt",
        (run_id, step),
    )
    return [(name, number, view.folder / "logs" / run_id / f"{name}.{number}.log") for name, number in rows]


def _check_attempt(run_id: str, step: str | None, attempt: int | None, entries: Sequence[object]) -> None:
    if attempt is not None and not entries:
        what = f"run {run_id}" if step is None else f"step {step} in run {run_id}"
        hint = f"`orchestrate show {run_id}` lists them"
        raise RunLookupError("unknown_attempt", f"there is no attempt {attempt} of {what}; {hint}")


def _check_folder(view: View, run_id: str, entries: Iterable[tuple[str, int, Path]]) -> None:
    """Tell a step that printed nothing from a log that is gone."""
    printed = view.connection.execute(
        "SELECT step, attempt FROM attempts WHERE run_id = ? AND log IS NOT NULL", (run_id,)
    ).fetchall()
    wanted = {(name, number): path for name, number, path in entries}
    gone = [wanted[tuple(key)] for key in printed if tuple(key) in wanted and not wanted[tuple(key)].exists()]
    told = _pruned(view, run_id) if gone else {}
    pruned = [told[path] for path in gone if path in told]
    gone = [path for path in gone if path not in told]
    if gone and not gone[0].parent.exists():
        raise UsageRefusedError("logs_gone", f"the logs of run {run_id} are gone: there is no folder {gone[0].parent}")
    if gone:
        raise UsageRefusedError("log_gone", f"a log of run {run_id} is gone: there is no file {gone[0]}")
    if pruned:
        one = len(pruned) == 1
        what, are = ("the log", "is") if one else (f"{len(pruned)} logs", "are")
        raise UsageRefusedError("log_pruned", f"{what} of run {run_id} {are} not here: {pruned[0]}")


def _pruned(view: View, run_id: str) -> dict[Path, str]:
    """Return for each log of the run that events say was pruned what they say."""
    from orchestrator.projections.pruned import pruned_files, pruned_text

    pipeline = str(run_row(view.connection, run_id)["pipeline"])
    return {
        view.folder / path: pruned_text(row) for path, row in pruned_files(view.connection, pipeline, run_id).items()
    }


def _as_json(view: View, name: str, number: int, path: Path) -> dict[str, object]:
    content = b"".join(_blocks(path))
    return {
        "step": name,
        "attempt": number,
        "path": str(path.relative_to(view.folder)),
        "bytes": len(content),
        "text": content.decode("utf-8", "replace"),
    }


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        yield from log_blocks(path)
    except FileNotFoundError:
        return
    except OSError as error:
        render.err(printable(f"warning: {path} is not shown: {error.strerror}"))


def _follow(
    known: Callable[[], list[tuple[str, int, Path]]], active: Callable[[], bool], screen: _Screen, *, alone: bool
) -> None:
    """Print what is added to the logs until the run has ended and everything is printed."""
    read: dict[Path, int] = {}
    last: Path | None = None
    while True:
        more = active()
        for name, number, path in known():
            content = _added(path, read.get(path, 0))
            if content:
                if not alone and path != last:
                    render.out(f"==> {name}, attempt {number} <==")
                last = path
                read[path] = read.get(path, 0) + len(content)
                screen.show(path, content)
        if not more:
            screen.end()
            return
        time.sleep(_POLL_SECONDS)


def _added(path: Path, offset: int) -> bytes:
    try:
        with open_log(path) as file:
            file.seek(offset)
            return file.read()
    except OSError:
        return b""
