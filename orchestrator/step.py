"""
For steps that are Python programs: what the orchestrator tells them, and how to report back. Standard library only; may be copied.

    from orchestrator import step

    for file in step.new_files("raw_flights"):
        ...
    step.report(metrics={"rejected": 3}, outputs={"clean": {"rows": 842, "digest": step.digest("data/clean")}})

By hand, outside of a run, `inputs()` is empty and `report()` prints to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["changed_files", "digest", "fail", "files", "inputs", "new_files", "night", "no_new_data", "report"]

Facts = Mapping[str, "str | int | float | bool"]


def night() -> str | None:
    """Return the night of the run as an ISO date, or None outside of a run."""
    return os.environ.get("ORCHESTRATE_NIGHT")


def inputs() -> dict[str, Any]:
    """
    Return what `$ORCHESTRATE_INPUTS` says: dataset to `{"path", "digest", "files", "removed"}`; empty outside of a run.

    Each file is `{"path", "size", "digest", "change"}` with change `added`, `changed` or `same` since this step last succeeded.
    """
    listed = os.environ.get("ORCHESTRATE_INPUTS")
    if listed is None:
        return {}
    datasets: dict[str, Any] = json.loads(Path(listed).read_text(encoding="utf-8"))["datasets"]
    return datasets


def files(dataset: str, *, change: tuple[str, ...] = ("added", "changed", "same")) -> list[Path]:
    """
    Return the files of *dataset*, or those of them with one of the given changes.

    Raises:
        KeyError: The step does not read *dataset*.
    """
    entry = inputs()[dataset]
    # Where the dataset is one file, its name within itself is empty.
    return [Path(entry["path"], file["path"]) for file in entry["files"] if file["change"] in change]


def new_files(dataset: str) -> list[Path]:
    """Return the files of *dataset* that were added since this step last succeeded."""
    return files(dataset, change=("added",))


def changed_files(dataset: str) -> list[Path]:
    """Return the files of *dataset* that were added or changed since this step last succeeded."""
    return files(dataset, change=("added", "changed"))


def report(
    *,
    status: str = "succeeded",
    error_class: str | None = None,
    message: str | None = None,
    metrics: Facts | None = None,
    outputs: Mapping[str, Facts] | None = None,
) -> None:
    """
    Write the report of this attempt; a later call replaces an earlier one.

    Args:
        status: `succeeded`, `no_new_data` or `failed`.
        error_class: `transient`, `infrastructure`, `misuse` or `permanent`.
        outputs: Facts about datasets that this step writes; `rows` and `digest` are held against what is there.
    """
    fields = {"error_class": error_class, "message": message, "metrics": metrics, "outputs": outputs}
    document = {"status": status, **{name: value for name, value in fields.items() if value is not None}}
    text = json.dumps(document, allow_nan=False)
    target = os.environ.get("ORCHESTRATE_RESULT")
    if target is None:
        sys.stderr.write(f"report: {text}\n")
        return
    # Whoever reads it sees all of it or nothing.
    unfinished = Path(f"{target}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(target)


def digest(path: str | os.PathLike[str], pattern: str = "**/*") -> str:
    """
    Return the digest of the file or of the files below the folder *path*, as a report may state it of a dataset that lies there.

    Args:
        pattern: That of the dataset; names of folders that are links are not looked into.
    """
    place = Path(path)
    if not place.is_dir():
        return _file_digest(place)
    found = sorted(
        (_as_text(file.relative_to(place).as_posix()), file.stat().st_size, _file_digest(file))
        for file in place.glob("**/*" if pattern == "**" else pattern)
        if file.is_file()
    )
    manifest = {"files": found, "recipe": 1, "strength": "content"}
    text = json.dumps(manifest, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def _as_text(name: str) -> str:
    """Return the *name* of a file with the bytes that are no UTF-8 written out, as it stands in a manifest."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _file_digest(path: Path) -> str:
    content = sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            content.update(chunk)
    return f"sha256:{content.hexdigest()}"


def no_new_data(message: str | None = None) -> NoReturn:
    """Report that there was nothing to do, and end."""
    report(status="no_new_data", message=message)
    sys.exit(0)


def fail(message: str, *, error_class: str = "permanent", exit_code: int = 1) -> NoReturn:
    """Report a failure with its class, print *message* to standard error, and end."""
    report(status="failed", message=message, error_class=error_class)
    sys.stderr.write(message + "\n")
    sys.exit(exit_code)
