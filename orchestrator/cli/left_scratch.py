"""
Scratch folders of reproductions that were killed: nothing is recorded of those that had not begun, and nobody comes back for them.

They hold copies of what lies elsewhere, so that nothing is recorded of their end either.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.cli.run_ids import RUN_ID, earliest_run_id
from orchestrator.runtime.pruning import LeftFile
from orchestrator.runtime.trees import remove_tree
from orchestrator.runtime.usage import SCRATCH, LeftFolder, tree_bytes

_KNOWN = "SELECT run_id FROM runs UNION ALL SELECT run_id FROM reproductions"
_DEAD = "SELECT run_id FROM reproductions WHERE status = 'interrupted'"
_BEGUN = "SELECT recorded_at FROM events WHERE seq = 0"


def left_scratch(connection: sqlite3.Connection, folder: Path) -> list[LeftFolder]:
    """
    Return the scratch folders in *folder*, the ledger's, of which the ledger behind *connection* knows no run, or one that was killed, by name.

    Those from before the ledger began are left out: they may have been kept on purpose by one that it continues. So is what was not named by a reproduction,
    and, where checkpoints of another ledger lie in *folder*, all that this one does not know: it may be that one's.
    """
    try:
        names = {path.name for path in (folder / SCRATCH).iterdir()}
    except OSError:
        return []
    (begun,) = connection.execute(_BEGUN).fetchone()
    known = {run_id for (run_id,) in connection.execute(_KNOWN)}
    first = earliest_run_id(begun)
    dead = {run_id for (run_id,) in connection.execute(_DEAD)}
    others = {name for name in names - known if name >= first}
    if len(list((folder / "checkpoints").glob("*"))) > 1:
        others = set()
    left = sorted(name for name in others | (names & dead) if RUN_ID.fullmatch(name))
    return [LeftFolder(f"{SCRATCH}/{name}", tree_bytes(folder / SCRATCH / name)) for name in left]


def remove_scratch(folder: Path, left: Sequence[LeftFolder]) -> Iterator[LeftFile]:
    """Remove the folders *left* below *folder*, whose reproductions are over for certain, and yield each that cannot be, with the reason."""
    for path, size in left:
        try:
            remove_tree(folder / path)
        except OSError as error:
            yield LeftFile(path.rpartition("/")[2], path, size, problem=f"it cannot be removed: {error.strerror}")
