"""
Which programs that tests start are measured for coverage.

Measuring a program takes as long as the program itself. Those that tests of whole nights start are not measured, since that says no more of lines than
that they ran; nor those of a test's cases but the first; nor what a file of tests types for the third time, which is how most of them begin.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

_CONFIGURATION = "COVERAGE_PROCESS_CONFIG"
"""What coverage hands to processes; without it they are not measured."""

_GIVEN = os.environ.get(_CONFIGURATION)
_UNMEASURED = ("examples", "faults", "system", "test_docs.py")
_TIMES = 2

_typed: Counter[tuple[str, ...]] = Counter()


def measure_programs_of(item: pytest.Item, tests: Path) -> None:
    """Let the programs that *item* is about to start be measured, or not; *tests* is the folder of all tests."""
    cases = getattr(item, "callspec", None)
    is_first = cases is None or not any(cases.indices.values())
    if _GIVEN is not None and is_first and item.path.relative_to(tests).parts[0] not in _UNMEASURED:
        os.environ[_CONFIGURATION] = _GIVEN
    else:
        os.environ.pop(_CONFIGURATION, None)


def environment_for(arguments: tuple[str, ...]) -> dict[str, str]:
    """Return the environment of this process for a program with *arguments*, without the measuring where the file of tests has measured them often enough."""
    environment = dict(os.environ)
    file, _, _ = environment.get("PYTEST_CURRENT_TEST", "").partition("::")
    _typed[file, *arguments] += 1
    if _typed[file, *arguments] > _TIMES:
        environment.pop(_CONFIGURATION, None)
    return environment
