"""
Handing the checkpoint of a run to the anchors of its pipeline: folders elsewhere, and a command that takes it on its standard input.

An anchor that cannot be reached fails by itself: what happened is returned for each, to be recorded.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from ledger.checkpoints import Seal
from ledger.outside import checkpoint_folder, write_outside
from orchestrator.core.definition import Pipeline

_ENDING = (signal.SIGTERM, signal.SIGHUP)


def anchored(
    found: Seal, pipeline: Pipeline, folder: Path, ledger_id: str, clean: Callable[[str], str]
) -> list[Mapping[str, object]]:
    """
    Hand *found* to every anchor of *pipeline* and return what became of each.

    Args:
        folder: Which anchors are relative to, and where the command runs. It sees of the environment what `[env] pass` lists.
        clean: Masks secrets in the names.
    """
    audit = pipeline.audit
    outcomes: list[Mapping[str, object]] = []
    for anchor in audit.anchors:
        place = folder / os.path.expanduser(anchor)  # noqa: PTH111 - which never fails
        outcomes.append(_outcome(clean(anchor), _to_folder(place, ledger_id, found)))
    if audit.anchor_command:
        environment = {name: os.environ[name] for name in pipeline.env_pass if name in os.environ}
        detail = _to_command(audit.anchor_command, found.note, folder, environment, audit.anchor_timeout_us)
        outcomes.append(_outcome(clean(audit.anchor_command[0]), detail))
    return outcomes


def _outcome(anchor: str, failure: str | None) -> dict[str, object]:
    return {"anchor": anchor, "ok": failure is None} | ({} if failure is None else {"detail": failure})


def _to_folder(place: Path, ledger_id: str, found: Seal) -> str | None:
    # An anchor that is not there is a disk that is not mounted: making the folder would hide that.
    try:
        if not place.is_dir():
            return "there is no such folder"
        write_outside(checkpoint_folder(place / "ledger.db", ledger_id), found.checkpoint, found.note)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _to_command(
    command: Sequence[str], note: str, folder: Path, environment: Mapping[str, str], timeout_us: int
) -> str | None:
    """Hand *note* to *command*; what has not ended in time, or when this program is told to end, is killed with its session."""
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        return f"it could not be started: {error.strerror}"
    with _no_survivor(process):
        try:
            process.communicate(note.encode(), timeout=timeout_us / 1e6)
        except subprocess.TimeoutExpired:
            return f"it did not end within {timeout_us / 1e6:g} s"
    return None if process.returncode == 0 else f"it ended with exit code {process.returncode}"


@contextlib.contextmanager
def _no_survivor(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill *process* and what it has started in its session where it has not ended with the block, which TERM and HUP end too."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    former = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        # Only while its first process is not waited for is the id of the group certainly its own.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
