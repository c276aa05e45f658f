"""Times and durations as people read them; what is stored stays UTC and exact."""

from __future__ import annotations

_MINUTE = 60


def shown_time(utc: object, *, local: bool = False) -> str:
    """Return the stored time *utc* to the second, in UTC or in the local zone with its offset; `-` for None."""
    if not isinstance(utc, str):
        return "-"
    if not local:
        return utc[:19].replace("T", " ") + "Z"
    from datetime import datetime

    return datetime.fromisoformat(utc).astimezone().strftime("%Y-%m-%d %H:%M:%S%z")


def shown_seconds(seconds: object) -> str:
    """Return *seconds* with its unit; `-` for None."""
    if not isinstance(seconds, int | float):
        return "-"
    from orchestrator.core.durations import format_duration

    return format_duration(round(seconds * 1e6, -3 if seconds < _MINUTE else -6).__trunc__())
