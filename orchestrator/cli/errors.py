"""
From an error to what the user sees: a message that says what to do, and the documented exit code.

Errors are known by their class's home and name, so that a command that only reads need not load the modules that could have raised something
else.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from orchestrator.cli import render
from orchestrator.cli.exit_codes import ExitCode


class _HasJson(Protocol):
    def as_json(self) -> dict[str, object]:
        """Return the fields."""
        ...


class RefusedError(Exception):
    """
    Raised when a command is refused before it has done anything.

    Args:
        problems: `core.problems.Problem`, each of them printed on a line of its own.
        code: `REFUSED`, or `ACTIVE` where another run holds the pipeline.
    """

    def __init__(self, problems: Sequence[_HasJson], code: ExitCode = ExitCode.REFUSED) -> None:
        self.problems = tuple(problems)
        self.code = code
        super().__init__("; ".join(str(problem) for problem in problems))


class UsageRefusedError(Exception):
    """Raised for a single mistake in how a command was called; *kind* is a word for programs."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class DiskRefusedError(Exception):
    """Raised where the disk keeps a file from being written: it is full, read-only, broken or over a quota."""

    kind = "storage"


_EXIT_CODES: dict[str, ExitCode] = {
    "LedgerNotFoundError": ExitCode.REFUSED,
    "LedgerExistsError": ExitCode.REFUSED,
    "UnverifiableLedgerError": ExitCode.UNVERIFIED,
    "UnknownEventError": ExitCode.UNVERIFIED,
    "ChangedWhileReadingError": ExitCode.STORAGE,
    "StorageError": ExitCode.STORAGE,
    "UnregisteredProjectionError": ExitCode.UNVERIFIED,
    "DatabaseError": ExitCode.STORAGE,
    "OrchestratorError": ExitCode.REFUSED,
    "RunLookupError": ExitCode.REFUSED,
    "UsageRefusedError": ExitCode.REFUSED,
    "MissingExtraError": ExitCode.REFUSED,
    "UpgradeNeededError": ExitCode.REFUSED,
    "OutputError": ExitCode.STORAGE,
    "DiskRefusedError": ExitCode.STORAGE,
    "OSError": ExitCode.STORAGE,
    "InvalidEventError": ExitCode.REFUSED,
    "QueryRefusedError": ExitCode.QUERY_REFUSED,
    "KeyFileError": ExitCode.REFUSED,
    "ProofError": ExitCode.UNVERIFIED,
}
"""Name of a class, or of one that it derives from, to exit code; the most derived one counts."""


def exit_code_of(error: BaseException) -> ExitCode | None:
    """Return the exit code that *error* stands for, or None where it is a bug."""
    for cls in type(error).__mro__:
        code = _EXIT_CODES.get(cls.__name__)
        if code is not None:
            return code
    return None


def problems_of(error: BaseException) -> list[dict[str, object]]:
    """Return *error* as the list of problems that `--json` prints."""
    problems = getattr(error, "problems", None)
    if problems:
        return [problem.as_json() for problem in problems]
    kind = getattr(error, "kind", None)
    if not isinstance(kind, str):
        kind = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in type(error).__name__)
        kind = kind.strip("_").removesuffix("_error")
    return [{"kind": kind, "message": _message(error), "severity": "error"}]


def show_error(error: BaseException, code: int, *, as_json: bool) -> None:
    """Tell the user about *error*: one JSON value on stdout, or lines on stderr."""
    if as_json:
        show_refusal(code, problems_of(error))
    if getattr(error, "problems", None):
        for problem in error.problems:  # type: ignore[attr-defined]
            render.err(_printable(f"{problem.severity}: {problem}"))
    else:
        render.err(f"error: {_printable(_message(error))}")


def show_refusal(code: int, problems: Sequence[Mapping[str, object]]) -> None:
    """Print the JSON value of a command that is refused."""
    with render.reader_may_leave():
        render.out_json({"run_id": None, "status": "refused", "exit_code": int(code), "problems": problems})


_MASKS: list[Callable[[str], str]] = []


def mask_bugs_with(redact: Callable[[str], str]) -> None:
    """Let *redact* take secrets out of the report of a bug from now on; called where secrets become known."""
    _MASKS[:] = [redact]


def _traceback(error: BaseException) -> str:
    """Return the traceback of *error* without secrets; where that fails too, which may be the bug, the places alone."""
    import traceback

    text = "".join(traceback.format_exception(error))
    try:
        for redact in _MASKS:
            text = redact(text)
    except Exception:  # noqa: BLE001 - whatever it is, nothing may come out unmasked
        places = "".join(traceback.format_tb(error.__traceback__))
        return f"{places}{type(error).__name__}: its text is left out, since it could not be masked\n"
    return text


def show_bug(error: BaseException, *, as_json: bool) -> None:
    """Write a short report of a bug into a private file and say where it is."""
    import tempfile

    place = "nowhere: it could not be written"
    with contextlib.suppress(OSError):
        descriptor, place = tempfile.mkstemp(prefix="orchestrate-bug-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            from orchestrator import __version__

            file.write(f"orchestrate {__version__}, Python {sys.version}\n\n")
            file.write(_traceback(error))
    message = f"this is a bug of orchestrate: {type(error).__name__}; the report is in {place}"
    if as_json:
        show_refusal(ExitCode.BUG, [{"kind": "bug", "message": message, "severity": "error"}])
    render.err(f"error: {message}")


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)} cannot be used: {error.strerror}"
    return str(error)


def _printable(text: str) -> str:
    from orchestrator.core.printable import printable

    return printable(text)
