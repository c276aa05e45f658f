"""
Hold coverage against the gates: every branch of `ledger/` and `orchestrator/core/`, 95 % of the rest.

Run by `make test` on the JSON report of coverage.py; the exit code is 1 where a gate is missed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

Counts: TypeAlias = Mapping[str, int]

GATES: tuple[tuple[str, int], ...] = (("ledger/", 100), ("orchestrator/core/", 100), ("orchestrator/", 95))
"""Folder and percent; a file belongs to the first folder that it stands in."""


class FileCoverage(NamedTuple):
    """Say how many of a file's lines and branches ran, and which lines did not."""

    path: str
    covered: int
    total: int
    missing: tuple[int, ...]


def read_report(text: str) -> list[FileCoverage]:
    """Read the JSON report of coverage.py; lines and branches count alike."""
    files = []
    for path, entry in sorted(json.loads(text)["files"].items()):
        counts: Counts = entry["summary"]
        covered = counts["covered_lines"] + counts.get("covered_branches", 0)
        total = counts["num_statements"] + counts.get("num_branches", 0)
        partial = {source for source, _ in entry.get("missing_branches", [])}
        files.append(FileCoverage(path, covered, total, tuple(sorted({*entry["missing_lines"], *partial}))))
    return files


def judge(files: Iterable[FileCoverage]) -> tuple[list[str], bool]:
    """Return the lines to print, and whether every gate was reached; a gate that nothing was measured for is missed."""
    remaining, lines, passed = list(files), [], True
    for folder, percent_min in GATES:
        members = [file for file in remaining if file.path.startswith(folder)]
        remaining = [file for file in remaining if not file.path.startswith(folder)]
        covered, total = sum(file.covered for file in members), sum(file.total for file in members)
        reached = bool(members) and covered * 100 >= percent_min * total
        passed = passed and reached
        percent = 100 * covered / total if total else 0.0
        lines.append(f"{folder:<20} {percent:6.2f} %  of {percent_min} %  {'ok' if reached else 'MISSED'}")
        if not reached:
            lines += [_describe(file) for file in sorted(members, key=lambda file: file.covered - file.total)[:20]]
    return lines, passed


def _describe(file: FileCoverage) -> str:
    missing = " ".join(str(line) for line in file.missing[:15])
    more = " …" if len(file.missing) > 15 else ""
    return f"    {file.path}: {file.total - file.covered} of {file.total} did not run, at lines {missing}{more}"


def main(arguments: list[str]) -> int:
    """Print how each gate stands for the report named in *arguments*."""
    (report,) = arguments
    lines, passed = judge(read_report(Path(report).read_text(encoding="utf-8")))
    sys.stdout.write("\n".join(["coverage, lines and branches:", *lines, ""]))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
