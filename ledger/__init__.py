"""
An append-only event store in one SQLite file, whose history an outsider can verify.

It knows nothing of pipelines. `import ledger` is free; what is used is loaded when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledger.errors import LedgerError
    from ledger.events import NewEvent, RecordedEvent
    from ledger.store import Ledger, open_ledger

__all__ = ["Ledger", "LedgerError", "NewEvent", "RecordedEvent", "open_ledger"]

_HOMES = {
    "Ledger": "ledger.store",
    "LedgerError": "ledger.errors",
    "NewEvent": "ledger.events",
    "RecordedEvent": "ledger.events",
    "open_ledger": "ledger.store",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ledger' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(home), name)
