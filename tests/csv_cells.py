"""Reading back the cells that `csv_line` wrote, as the how-to on queries tells everybody to do."""

from __future__ import annotations


def read_back(text: str) -> str:
    """Return the text of a cell as it was before `csv_line`, given what a reader of CSV makes of it."""
    return text.removeprefix("'")
