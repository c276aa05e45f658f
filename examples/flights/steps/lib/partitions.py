"""
One output per night, rebuilt only where something it was built from has changed.

A year has 365 nights; a step that rebuilt them all every night would be slow and would touch files for nothing. What each
night was built from (the digests of its inputs and of the step's own code) and what came out is kept in `data/state/`, outside
of every dataset, so that an unchanged output keeps its bytes. Outputs are hashed again: one changed by hand is rebuilt.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from lib.handover import file_digest, write_atomically

STATE = Path("data/state")


class Partitions:
    """
    Decide which nights of an output are to be built, and remember what they were built from.

    Args:
        name: Of the state file; one for each step and table.
        settings: Values besides code and inputs that the output depends on.
    """

    def __init__(self, name: str, settings: Iterable[str] = ()) -> None:
        self._path = STATE / f"{name}.json"
        self._recipe = _recipe(settings)
        self._built: dict[str, dict[str, object]] = {}
        if self._path.exists():
            self._built = json.loads(self._path.read_text(encoding="utf-8"))

    def stale(self, wanted: Mapping[str, list[str]]) -> list[str]:
        """List the nights of *wanted* (night to the digests of its inputs) that have to be built, in order."""
        return [night for night in sorted(wanted) if not self._is_current(night, wanted[night])]

    def built(self, night: str, inputs: list[str], outputs: Iterable[Path]) -> None:
        """Remember that *night* was built from *inputs* into the files *outputs*."""
        made = {path.as_posix(): file_digest(path) for path in outputs}
        for former in self._outputs(night) - made.keys():
            Path(former).unlink(missing_ok=True)
        self._built[night] = {"inputs": [self._recipe, *inputs], "outputs": made}

    def refused(self, night: str, outputs: Iterable[Path]) -> None:
        """Remember that *night* could not be built: it keeps its former outputs, has *outputs* besides, and stays stale."""
        kept = dict.fromkeys(self._outputs(night).union(path.as_posix() for path in outputs), "")
        self._built[night] = {"inputs": [], "outputs": kept}

    def remove_others(self, wanted: Iterable[str]) -> list[str]:
        """Remove the outputs of nights that are no longer wanted; returns these nights."""
        gone = sorted(self._built.keys() - set(wanted))
        for night in gone:
            for path in self._outputs(night):
                Path(path).unlink(missing_ok=True)
            del self._built[night]
        return gone

    def save(self) -> None:
        """Write down what was built."""
        write_atomically(self._path, json.dumps(self._built, sort_keys=True).encode())

    def _is_current(self, night: str, inputs: list[str]) -> bool:
        known = self._built.get(night)
        if known is None or known["inputs"] != [self._recipe, *inputs]:
            return False
        outputs = known["outputs"]
        assert isinstance(outputs, dict)
        return all(Path(path).is_file() and file_digest(Path(path)) == digest for path, digest in outputs.items())

    def _outputs(self, night: str) -> set[str]:
        outputs = self._built.get(night, {}).get("outputs", {})
        assert isinstance(outputs, dict)
        return set(outputs)


def _recipe(settings: Iterable[str]) -> str:
    """Return a digest over the step's script, this library and *settings*."""
    script = Path(sys.argv[0])
    digest = hashlib.sha256()
    for path in [script, *sorted(Path(__file__).parent.glob("*.py"))]:
        digest.update(path.read_bytes())
    for setting in settings:
        digest.update(f"\0{setting}".encode())
    return f"recipe:{digest.hexdigest()}"
