"""Which notebooks there are and where they lie: below this package once installed, at the top of a checkout."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from ledger.errors import MissingExtraError
from orchestrator import __file__ as _package

NOTEBOOKS: Mapping[str, str] = {
    "audit": "What stands behind the ledger, who did what by hand and why, what failed, what is missing.",
    "reproducibility": "Which definitions, code and environments made the results, and whether they can be had again.",
    "history": "Nights, durations, one run second by second, data, retries.",
}
"""Each with what it shows."""

_NEEDED = ("altair", "cronsim", "ipykernel", "nbconvert", "pandas", "papermill", "vl_convert")


def shipped_notebook(name: str) -> Path:
    """
    Return the notebook *name*, one of `NOTEBOOKS`.

    Raises:
        FileNotFoundError: It is in neither place; the message names both.
    """
    package = Path(_package).resolve().parent
    places = [folder / "notebooks" / f"{name}.ipynb" for folder in (package, package.parent)]
    for place in places:
        if place.is_file():
            return place
    looked = " and ".join(str(place) for place in places)
    raise FileNotFoundError(f"the notebook {name!r} is not there; looked for {looked}: install orchestrate again")


def need_extra() -> None:
    """
    Make sure that what executes notebooks is installed.

    Raises:
        MissingExtraError: It is not.
    """
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        raise MissingExtraError("notebooks", "a notebook")
