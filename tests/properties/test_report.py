"""The reader of reports accepts exactly what the published schema accepts."""

from __future__ import annotations

import copy
import json

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from orchestrator.core.report import BadReportError, parse_report
from orchestrator.schemas import load_schema

VALIDATOR = Draft202012Validator(load_schema("result"))

NAMES = st.sampled_from(
    ["rows", "digest", "a-b_1", "9", "x" * 128, "x" * 129, "", "a b", "-x", "é", "status", "metrics"]
)
SCALARS = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none()
    | st.sampled_from(["x" * 1_000, "x" * 1_001, "é" * 1_000, f"sha256:{'0a' * 32}", f"sha256:{'0A' * 32}", 1e300])
)
FACTS = st.dictionaries(NAMES, SCALARS, max_size=3)
MANY = st.sampled_from([1_000, 1_001]).map(lambda count: {f"k{number}": 1 for number in range(count)})
ANY = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2), max_leaves=4
)
REPORTS: st.SearchStrategy[dict[str, object]] = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["succeeded", "no_new_data", "failed", "ok"]) | ANY,
        "error_class": st.sampled_from(["transient", "infrastructure", "misuse", "permanent", "x"]) | ANY,
        "message": st.sampled_from(["", "x" * 10_000, "x" * 10_001]) | ANY,
        "metrics": FACTS | MANY | ANY,
        "outputs": st.dictionaries(NAMES, FACTS | MANY | ANY, max_size=2)
        | MANY.map(lambda many: {key: {} for key in many})
        | ANY,
        "unknown": st.just(1),
    },
)


def accepted(document: object) -> bool:
    """Whether the reader takes *document*."""
    try:
        parse_report(json.dumps(document).encode())
    except BadReportError:
        return False
    return True


class TestAgreement:
    """One contract, two ways to check it."""

    @given(REPORTS | ANY)
    def test_reader_and_schema(self, document: object) -> None:
        """For any JSON document both accept it, or both refuse it."""
        assert VALIDATOR.is_valid(document) == accepted(document)

    @given(REPORTS)
    def test_reading_changes_nothing(self, document: dict[str, object]) -> None:
        """For any report that is accepted, what was read says what was written."""
        before = copy.deepcopy(document)
        if accepted(document):
            report = parse_report(json.dumps(document).encode())
            metrics = before.get("metrics", {})
            assert isinstance(metrics, dict)
            assert {key: float(value) if type(value) is int else value for key, value in metrics.items()} == {
                key: float(value) if type(value) is int else value for key, value in report.metrics.items()
            }
            assert (before.get("status", "succeeded"), before.get("message") or None) == (report.status, report.message)
