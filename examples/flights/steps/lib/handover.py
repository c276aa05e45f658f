"""
The handover between a step and the orchestrator: which files there are, and how it went.

Environment variables are all that is used, so that a step also runs by hand: without `$ORCHESTRATE_INPUTS` it looks into its
default folders, without `$ORCHESTRATE_RESULT` it reports to its output alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Metrics = Mapping[str, int | float | str | bool]


class StepError(Exception):
    """
    The step cannot do its work, and a second attempt would not help.

    The message says what, where, expected and actual; *metrics* are reported with it.
    """

    def __init__(self, message: str, metrics: Metrics | None = None) -> None:
        super().__init__(message)
        self.metrics = metrics or {}


@dataclass(frozen=True)
class Outcome:
    """What a step did, and facts about what it wrote; with `changed` false it found nothing to do."""

    message: str
    metrics: Metrics = field(default_factory=dict)
    changed: bool = True
    outputs: Mapping[str, Metrics] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """An input: its folder, and the digest of each file by its name within."""

    path: Path
    files: Mapping[str, str]

    def by_night(self) -> dict[str, str]:
        """Map each night (the stem of a file's name) to the digest of its file."""
        return {Path(name).stem: digest for name, digest in sorted(self.files.items())}


def read_dataset(name: str, default: Path, pattern: str = "*.parquet") -> Dataset:
    """
    Return the dataset *name* as the orchestrator lists it, or *default* as it lies on disk.

    Raises:
        StepError: The list does not name the dataset: the definition's `reads` lacks it.
    """
    listed = os.environ.get("ORCHESTRATE_INPUTS")
    if listed is None:
        files = {path.relative_to(default).as_posix(): file_digest(path) for path in sorted(default.glob(pattern))}
        return Dataset(default, files)
    datasets = json.loads(Path(listed).read_text(encoding="utf-8"))["datasets"]
    if name not in datasets:
        raise StepError(f"the input list has no dataset {name!r}, only {sorted(datasets)}: name it in `reads`")
    entry = datasets[name]
    return Dataset(Path(entry["path"]), {file["path"]: file["digest"] for file in entry["files"]})


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under its name only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(content)
    temporary.replace(path)


def run_step(work: Callable[[], Outcome]) -> None:
    """Do the work of a step, report how it went, and exit: 0, or 1 after a StepError."""
    try:
        outcome = work()
    except StepError as error:
        print(f"failed: {error}", file=sys.stderr)
        _report({"status": "failed", "error_class": "permanent", "message": str(error), "metrics": dict(error.metrics)})
        sys.exit(1)
    print(outcome.message)
    for name, value in outcome.metrics.items():
        print(f"  {name} = {value}")
    status = "succeeded" if outcome.changed else "no_new_data"
    metrics, outputs = dict(outcome.metrics), dict(outcome.outputs)
    _report({"status": status, "message": outcome.message, "metrics": metrics, "outputs": outputs})


def _report(result: Mapping[str, object]) -> None:
    path = os.environ.get("ORCHESTRATE_RESULT")
    if path is not None:
        Path(path).write_text(json.dumps(result), encoding="utf-8")
