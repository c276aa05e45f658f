"""
Durations as people write them, and as integer microseconds.

`90s`, `10m`, `2h`, `400d`, `500ms`, `1h30m`: whole numbers with a unit, larger units first, each unit once. There are no
fractions, no signs, no infinity: one spelling only, so that a typo is an error and not another duration.
"""

from __future__ import annotations

import re

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.names import shown

DURATION_US_MAX = 36_500 * 86_400 * 1_000_000
"""A hundred years: what is longer is a typo, and every sum of a few fits 64 bits."""

DURATION_FORM = 'a duration is whole numbers with units, largest first: "500ms", "90s", "1h30m", "400d"'

_UNITS_US = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000}
_DURATION = r"(?:(?P<d>[0-9]{1,9})d)?(?:(?P<h>[0-9]{1,9})h)?(?:(?P<m>[0-9]{1,9})m(?!s))?(?:(?P<s>[0-9]{1,9})s)?(?:(?P<ms>[0-9]{1,9})ms)?"


class InvalidDurationError(OrchestratorError):
    """Raised when a text is no duration."""

    def __init__(self, text: str, message: str) -> None:
        self.text = text
        super().__init__(message)


def parse_duration(text: str, *, zero_allowed: bool = False) -> int:
    """
    Return *text* as microseconds.

    Raises:
        InvalidDurationError: It is not of this form, is zero where that is not allowed, or longer than 100 years.

    >>> parse_duration("1h30m")
    5400000000
    """
    match = re.fullmatch(_DURATION, text)
    if match is None or not text:
        raise InvalidDurationError(text, f"not a duration: {shown(text)}; {DURATION_FORM}")
    microseconds = sum(int(match[unit] or 0) * size for unit, size in _UNITS_US.items())
    if microseconds > DURATION_US_MAX:
        raise InvalidDurationError(text, f"too long a duration: {shown(text)}, at most 36500d are allowed")
    if microseconds == 0 and not zero_allowed:
        raise InvalidDurationError(text, f"the duration is zero: {shown(text)}; it must be longer")
    return microseconds


def format_duration(microseconds: int) -> str:
    """
    Return *microseconds* as people read it: exact below a minute, then its two largest units.

    >>> [format_duration(value) for value in (0, 950, 1_500_000, 65_000_000, 5_400_000_000)]
    ['0s', '0.95ms', '1.5s', '1m5s', '1h30m']
    """
    sign = "-" if microseconds < 0 else ""
    rest = abs(microseconds)
    if rest == 0:
        return "0s"
    if rest < _UNITS_US["s"]:
        return f"{sign}{_decimal(rest, _UNITS_US['ms'])}ms"
    if rest < _UNITS_US["m"]:
        return f"{sign}{_decimal(rest, _UNITS_US['s'])}s"
    parts: list[str] = []
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, _UNITS_US[unit])
        if parts or count:
            parts.append(f"{count}{unit}" if count else "")
    return sign + "".join(parts[:2])


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    fraction = f"{rest * 1_000_000 // unit:06d}"[: len(str(unit)) - 1].rstrip("0")
    return f"{whole}.{fraction}" if fraction else str(whole)
