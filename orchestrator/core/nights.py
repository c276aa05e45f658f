"""Nights: ISO dates, in one form only."""

from __future__ import annotations

import re
from datetime import date


def parse_date(text: str) -> date | None:
    """Return the ISO date *text* (`2026-01-31`, no other form), or None."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
