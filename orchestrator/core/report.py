"""
What a step may report about its attempt: a small JSON document, read strictly.

The published form is `schemas/result.schema.json`; a property test holds this reader and that schema together. Everything is optional, everything is
bounded, and a document that breaks the rules fails the step: a report that nobody can read is worse than none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, TypeAlias

import attrs

from ledger.canonical import DIGEST, parse_canonical
from ledger.errors import CanonicalError
from orchestrator.core.definition import ErrorClass
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.names import check_name, shown

REPORT_BYTES_MAX = 1 << 20
MESSAGE_LENGTH_MAX = 10_000
ENTRIES_MAX = 1_000
TEXT_LENGTH_MAX = 1_000

Scalar: TypeAlias = str | int | float | bool
ReportStatus: TypeAlias = Literal["succeeded", "no_new_data", "failed"]

_STATUSES = ("succeeded", "no_new_data", "failed")
_ERROR_CLASSES = ("transient", "infrastructure", "misuse", "permanent")
_KEYS = ("status", "error_class", "message", "metrics", "outputs")


class BadReportError(OrchestratorError):
    """Raised when a report breaks its rules; says which one and where."""


@attrs.frozen
class StepReport:
    """
    Hold what a step has reported.

    Attributes:
        metrics: Name to a number, a text or a truth value.
        outputs: Dataset to facts about it; `rows` and `digest` are held against what is there, see `core.output_contract`.
    """

    status: ReportStatus = "succeeded"
    error_class: ErrorClass | None = None
    message: str | None = None
    metrics: Mapping[str, Scalar] = attrs.field(factory=dict)
    outputs: Mapping[str, Mapping[str, Scalar]] = attrs.field(factory=dict)


def parse_report(content: bytes) -> StepReport:
    """
    Read the JSON document *content*.

    Raises:
        BadReportError: It is too large, no JSON, not UTF-8, or breaks the published schema.
    """
    if len(content) > REPORT_BYTES_MAX:
        raise BadReportError(f"the report has {len(content)} bytes, at most {REPORT_BYTES_MAX} are allowed")
    try:
        document = parse_canonical(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadReportError(f"the report is not UTF-8: byte {error.start} is 0x{content[error.start]:02x}") from None
    except CanonicalError as error:
        what = str(error).removeprefix("not a canonical text: ")
        raise BadReportError(f"the report is no JSON: {what}") from None
    if not isinstance(document, dict):
        raise BadReportError(f"the report is {_kind(document)}, expected an object with {', '.join(_KEYS)}")
    unknown = sorted(document.keys() - set(_KEYS))
    if unknown:
        raise BadReportError(f"the report has an unknown key {shown(unknown[0])}, expected {', '.join(_KEYS)}")
    return StepReport(
        status=_one_of(document, "status", _STATUSES) or "succeeded",  # type: ignore[arg-type]
        error_class=_one_of(document, "error_class", _ERROR_CLASSES),  # type: ignore[arg-type]
        message=_message(document),
        metrics=_facts(document.get("metrics", {}), "metrics"),
        outputs=_outputs(document.get("outputs", {})),
    )


def without_texts(report: StepReport, instead: str) -> StepReport:
    """
    Return *report* without its texts: what a step says of data that must not be recorded; numbers, truth values, names and digests of outputs stay.

    Args:
        instead: What stands in the place of each.
    """

    def cut(facts: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {name: instead if isinstance(value, str) else value for name, value in facts.items()}

    def cut_output(facts: Mapping[str, Scalar]) -> dict[str, Scalar]:
        # A digest has been found to be one, and that of what is there is recorded anyway.
        return cut(facts) | {name: value for name, value in facts.items() if name == "digest"}

    return attrs.evolve(
        report,
        message=None if report.message is None else instead,
        metrics=cut(report.metrics),
        outputs={name: cut_output(facts) for name, facts in report.outputs.items()},
    )


def _one_of(document: Mapping[str, object], key: str, allowed: tuple[str, ...]) -> str | None:
    if key not in document:
        return None
    value = document[key]
    if not isinstance(value, str) or value not in allowed:
        raise BadReportError(f"{key} is {shown(value)}, expected one of {', '.join(allowed)}")
    return value


def _message(document: Mapping[str, object]) -> str | None:
    message = document.get("message", "")
    if not isinstance(message, str):
        raise BadReportError(f"message is {_kind(message)}, expected a text")
    _check_text(message, "message", MESSAGE_LENGTH_MAX)
    return message or None


def _outputs(outputs: object) -> dict[str, dict[str, Scalar]]:
    found = {name: _facts(facts, f"outputs.{name}") for name, facts in _entries(outputs, "outputs").items()}
    for name, facts in found.items():
        _check_claims(facts, f"outputs.{name}")
    return found


def _check_claims(facts: Mapping[str, Scalar], where: str) -> None:
    """Refuse what is said of an output and could not be checked: rows that are no count, a digest that is none."""
    rows, digest = facts.get("rows", 0), facts.get("digest")
    is_count = not isinstance(rows, bool | str) and rows >= 0 and rows == int(rows)
    if not is_count:
        raise BadReportError(f"{where}.rows is {shown(rows)}, expected a whole number, 0 or more")
    if digest is not None and not (isinstance(digest, str) and DIGEST.fullmatch(digest)):
        raise BadReportError(f"{where}.digest is {shown(digest)}, expected sha256: and 64 digits from 0 to f")


def _facts(facts: object, where: str) -> dict[str, Scalar]:
    return {name: _scalar(value, f"{where}.{name}") for name, value in _entries(facts, where).items()}


def _entries(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise BadReportError(f"{where} is {_kind(value)}, expected an object")
    if len(value) > ENTRIES_MAX:
        raise BadReportError(f"{where} has {len(value)} entries, at most {ENTRIES_MAX} are allowed")
    for name in value:
        wrong = check_name({"metrics": "metric", "outputs": "dataset"}.get(where, "fact"), name)
        if wrong is not None:
            raise BadReportError(f"in {where}: {wrong}")
    return value


def _scalar(value: object, where: str) -> Scalar:
    if isinstance(value, str):
        _check_text(value, where, TEXT_LENGTH_MAX)
        return value
    if isinstance(value, int):  # a bool too; what is beyond 2^53 comes as a float
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise BadReportError(f"{where} is {_kind(value)}, expected a number, a text or a truth value")


def _check_text(text: str, where: str, length_max: int) -> None:
    if len(text) > length_max:
        raise BadReportError(f"{where} has {len(text)} characters, at most {length_max} are allowed")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise BadReportError(f"{where} holds a lone surrogate, which no UTF-8 text can")


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {
        dict: "an object",
        list: "an array",
        str: "a text",
        bool: "a truth value",
        int: "a number",
        float: "a number",
    }
    name = names[type(value)]
    return "not a finite number" if isinstance(value, float) and not math.isfinite(value) else name
