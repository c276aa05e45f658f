"""
Older versions of events, carried up to the present one when they are read; what is stored never changes.

An entry of `UPCASTS` is a pure function from the data of one version of a type to that of the next. Each version that was ever written
has one golden file below `tests/vectors/events`, and a test holds that every one of them still comes up to the present class. A new
optional field needs no new version: an absent field and a None field mean the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from orchestrator.core.errors import UnknownEventError

Data: TypeAlias = Mapping[str, object]
Upcast: TypeAlias = Callable[[Data], Data]
Upcasts: TypeAlias = Mapping[tuple[str, int], Upcast]

UPCASTS: Upcasts = {}
"""Stored name and version to what makes the next version of its data; no event has a second version yet."""


def upcast(name: str, version: int, data: Data, *, present: int, upcasts: Upcasts = UPCASTS) -> Data:
    """
    Return *data* of the type *name* and *version* as its *present* version has it, one version after the other.

    Raises:
        UnknownEventError: The version is newer than the present one, or nothing leads from it to the next.
    """
    for older in range(version, present):
        step = upcasts.get((name, older))
        if step is None:
            raise UnknownEventError(name, version)
        data = step(data)
    if version > present:
        raise UnknownEventError(name, version)
    return data
