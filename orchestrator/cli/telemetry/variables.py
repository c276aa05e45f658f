"""Variables of the environment, read as the specification of OpenTelemetry has it, with what was wrong with them."""

from __future__ import annotations

import re
from collections.abc import Mapping


class Variables:
    """Read variables: an empty one counts as none, and what is wrong with one is noted."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def text(self, *names: str) -> str | None:
        """Return the value of the first of *names* that is set."""
        return next((value for name in names if (value := self._environ.get(name, "").strip())), None)

    def name(self, *names: str) -> str:
        """Return the first of *names* that is set, for a message."""
        return next((name for name in names if self._environ.get(name, "").strip()), names[0])

    def flag(self, name: str) -> bool:
        """Return whether *name* is `true`; whatever else it says means no."""
        value = (self.text(name) or "false").lower()
        if value not in ("true", "false"):
            self.wrong(name, "is neither true nor false, which counts as false")
        return value == "true"

    def choice(self, name: str, known: tuple[str, ...]) -> str | None:
        """Return the one of *known* that *name* says."""
        value = (self.text(name) or "").lower()
        if value and value not in known:
            self.wrong(name, f"says none of {', '.join(known)}, and is ignored")
            return None
        return value or None

    def number(self, *names: str, least: int = 0, default: int | None) -> int | None:
        """Return the whole number that the first of *names* says."""
        value = self.text(*names)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,12}", value) or int(value) < least:
            self.wrong(self.name(*names), f"is no whole number from {least} on, and is ignored")
            return default
        return int(value)

    def wrong(self, name: str, what: str) -> None:
        """Note that something is wrong with the variable *name*."""
        problem = f"{name} {what}"
        if problem not in self.problems:
            self.problems.append(problem)
