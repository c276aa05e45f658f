"""Verifying a ledger: every part of it is looked at, and what is found is told by level, place and kind."""
