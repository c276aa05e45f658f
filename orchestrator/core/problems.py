"""A problem of a definition, an environment or a source, as a value that people and programs can read."""

from __future__ import annotations

from collections.abc import Callable

import attrs


@attrs.frozen
class Problem:
    """
    Say what is wrong, where, and what to do.

    Attributes:
        kind: A stable word for programs: `unknown_key`, `cycle`, `missing_variable`, ...
        message: What, which, expected and actual; lower case, no full stop; never a secret's value.
        path: The keys that lead to it in the document, such as ("steps", "bronze", "timeout").
        file: The file it stands in, as the user named it.
        line: 1-based, or None where it is not known.
        column: 1-based, or None where it is not known.
        suggestion: What to write instead, or the next thing to do.
        severity: `error` refuses the run, `warning` is only shown.
    """

    kind: str
    message: str
    path: tuple[str | int, ...] = ()
    file: str | None = None
    line: int | None = None
    column: int | None = None
    suggestion: str | None = None
    severity: str = "error"

    def masked(self, redact: Callable[[str], str]) -> Problem:
        """Return it without the secrets that *redact* masks, wherever in it they stand: a name may hold one."""
        return attrs.evolve(
            self,
            message=redact(self.message),
            path=tuple(redact(part) if isinstance(part, str) else part for part in self.path),
            file=None if self.file is None else redact(self.file),
            suggestion=None if self.suggestion is None else redact(self.suggestion),
        )

    def as_json(self) -> dict[str, object]:
        """Return the fields that `--json` shows and `run.refused` records."""
        return {
            "kind": self.kind,
            "message": self.message,
            "path": list(self.path),
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "suggestion": self.suggestion,
            "severity": self.severity,
        }

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        text = f"{place}: {self.message}" if place else self.message
        return f"{text} ({self.suggestion})" if self.suggestion else text
