"""The published JSON Schemas, as package data; `pipeline.schema.json` is what editors use for `pipeline.toml`."""

from __future__ import annotations

import json
from pathlib import Path


def load_schema(name: str) -> dict[str, object]:
    """Return the schema *name* (`pipeline`, `cli/run`, ...) as plain values; reads one file that is part of the program."""
    schema: dict[str, object] = json.loads((Path(__file__).parent / f"{name}.schema.json").read_bytes())
    return schema
