"""The table of decisions beyond success and failure: every test that a row names is there."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (?!behaviour|---)(.*?)(?<!\\) \|.* \| (.*) \|$", PAGE, re.MULTILINE)
NAMED = re.compile(r"`((?:tests/[a-z_/]+\.py)?)((?:::[A-Za-z0-9_]+)+)?`")


def test_every_row_is_read() -> None:
    """Given the page, then each line of its table but the head is a row."""
    assert len(ROWS) == len(re.findall(r"^\| ", PAGE, re.MULTILINE)) - 1


@pytest.mark.parametrize(("behaviour", "tests"), ROWS)
def test_what_holds_it_is_there(behaviour: str, tests: str) -> None:
    """Given a behaviour, then at least one test holds it, and each that its row names exists."""
    file, found = "", 0
    for match in NAMED.finditer(tests):
        file = match[1] or file
        text = (ROOT / file).read_text(encoding="utf-8")
        for name in (match[2] or "").split("::")[1:]:
            assert re.search(rf"(?:class|def) {name}\b", text), f"{file} has no {name}"
        found += 1
    assert found, behaviour
