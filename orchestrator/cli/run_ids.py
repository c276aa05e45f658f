"""Ids of runs: made, and told from other words."""

from __future__ import annotations

import os
import re
from datetime import datetime

RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{9}")


def new_run_id(now: datetime) -> str:
    """
    Return a new run id: the UTC second, then three digits of its fraction (in 4096ths) and six random ones, all hexadecimal.

    Ids sort by time, also those of one second.
    """
    return f"{now:%Y%m%dT%H%M%SZ}-{now.microsecond * 4096 // 1_000_000:03x}{os.urandom(3).hex()}"


def earliest_run_id(moment: str) -> str:
    """Return what no id of a run that begins at *moment*, a time as the ledger has it, or later comes before."""
    return f"{datetime.fromisoformat(moment):%Y%m%dT%H%M%SZ}"
