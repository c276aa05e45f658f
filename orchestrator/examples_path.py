"""Where the example pipelines lie: below this package once installed, at the top of a checkout."""

from __future__ import annotations

from pathlib import Path


def example_folder(name: str) -> Path:
    """
    Return the folder of the example *name*.

    Raises:
        FileNotFoundError: It is in neither place; the message names both.
    """
    package = Path(__file__).resolve().parent
    places = [package / "examples" / name, package.parent / "examples" / name]
    for place in places:
        if (place / "pipeline.toml").is_file():
            return place
    looked = " and ".join(str(place) for place in places)
    raise FileNotFoundError(f"the example {name!r} is not there; looked into {looked}: install orchestrate again")
