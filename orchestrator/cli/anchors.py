"""
Handing the checkpoint of a run to the anchors of its pipeline: folders elsewhere, and a command that takes it on its standard input.

An anchor that cannot be reached fails by itself: what happened is returned for each, to be recorded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from ledger.checkpoints import Seal
from ledger.outside import checkpoint_folder, write_outside
from orchestrator.cli.handing import hand_over
from orchestrator.core.definition import Pipeline


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
        detail = hand_over(
            audit.anchor_command,
            found.note.encode(),
            folder=folder,
            environment=environment,
            timeout_us=audit.anchor_timeout_us,
        )
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
