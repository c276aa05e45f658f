"""The reference pages that are made from the program are what the program says now."""

from __future__ import annotations

import pytest

from docs.generate import PAGES, REFERENCE


class TestReference:
    """Pages in `docs/reference/` that nobody writes by hand."""

    @pytest.mark.parametrize("name", PAGES)
    def test_a_page_is_up_to_date(self, name: str) -> None:
        """`make docs` would change nothing."""
        assert (REFERENCE / name).read_text(encoding="utf-8") == PAGES[name]()
