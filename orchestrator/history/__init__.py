"""
The history of a ledger as dataframes, for those who explore years of nights.

    from orchestrator.history import History
    runs = History(".orchestrate/ledger.db").runs()

Needs the extra `notebooks`. Nothing is written to the ledger, and each reading is over before the dataframe is handed out.
"""

from __future__ import annotations

from orchestrator.history.history import History, IncompleteHistoryWarning

__all__ = ["History", "IncompleteHistoryWarning"]
