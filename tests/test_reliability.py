"""The table of faults: every one has its row, and every test that a row names is there."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
ROWS = {int(match[1]): match[0] for match in re.finditer(r"^\| ([0-9]+) \|.*$", PAGE, re.MULTILINE)}
NAMED = re.compile(r"`((?:tests/[a-z_/]+\.py)?)((?:::[A-Za-z0-9_]+)+)?`")


def test_every_fault_has_its_row() -> None:
    """Given the catalogue of 103 faults, then each stands in the table, once, in order."""
    assert [int(number) for number in re.findall(r"^\| ([0-9]+) \|", PAGE, re.MULTILINE)] == [*range(1, 104)]


@pytest.mark.parametrize("number", sorted(ROWS))
def test_what_holds_it_is_there(number: int) -> None:
    """Given the row of a fault, then the tests that it names exist; without any it says what is not done, or why it does not apply."""
    held_by = ROWS[number].rstrip("| ").rpartition("|")[2]
    file, found = "", 0
    for match in NAMED.finditer(held_by):
        file = match[1] or file
        text = (ROOT / file).read_text(encoding="utf-8")
        for name in (match[2] or "").split("::")[1:]:
            assert re.search(rf"(?:class|def) {name}\b", text), f"{file} has no {name}"
        found += 1
    assert found or re.search("not yet|does not apply", ROWS[number], re.IGNORECASE)
