"""Tests of reading what a step reports."""

from __future__ import annotations

import json

import pytest

from orchestrator.core.report import REPORT_BYTES_MAX, BadReportError, StepReport, parse_report, without_texts


def refused(content: object) -> str:
    """Return why *content*, bytes or a document, is refused."""
    with pytest.raises(BadReportError) as caught:
        parse_report(content if isinstance(content, bytes) else json.dumps(content).encode())
    return str(caught.value)


class TestParseReport:
    """A right report becomes its values."""

    def test_whole(self) -> None:
        """Given every key, then every value."""
        content = {
            "status": "failed",
            "error_class": "transient",
            "message": "no rows",
            "metrics": {"rows": 842, "share": 0.5, "name": "x", "whole": True},
            "outputs": {"bronze": {"rows": 3}, "empty": {}},
        }

        assert StepReport(
            "failed",
            "transient",
            "no rows",
            {"rows": 842, "share": 0.5, "name": "x", "whole": True},
            {"bronze": {"rows": 3}, "empty": {}},
        ) == parse_report(json.dumps(content).encode())

    @pytest.mark.parametrize("content", [b"{}", b' {"message": ""} ', b'{"status":"succeeded","metrics":{}}'])
    def test_everything_is_optional(self, content: bytes) -> None:
        """Given nothing, or what is the default, then a plain success."""
        assert StepReport() == parse_report(content)

    def test_numbers_beyond_what_json_holds_exactly(self) -> None:
        """Given a whole number beyond 2^53, then it is the double that every JSON reader makes of it."""
        assert {"n": 1e16, "m": 9007199254740991} == parse_report(
            b'{"metrics": {"n": 10000000000000000, "m": 9007199254740991}}'
        ).metrics

    def test_limits_themselves_are_fine(self) -> None:
        """Given texts and tables of just the limit, then nothing is wrong."""
        facts = {f"k{number}": 1 for number in range(1_000)}

        report = parse_report(json.dumps({"message": "ä" * 10_000, "metrics": {**facts, "k0": "x" * 1_000}}).encode())

        assert (10_000, 1_000) == (len(report.message or ""), len(report.metrics))
        assert StepReport() == parse_report(b"{" + b" " * (REPORT_BYTES_MAX - 2) + b"}")


class TestRefused:
    """What breaks a rule is told."""

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b" " * (REPORT_BYTES_MAX + 1), "the report has 1048577 bytes, at most 1048576 are allowed"),
            (b'{"message": "\xff"}', "the report is not UTF-8: byte 13 is 0xff"),
            ([], "the report is an array, expected an object with status, error_class, message, metrics, outputs"),
            (None, "the report is null, expected an object with status, error_class, message, metrics, outputs"),
            (
                {"zz\n": 1, "a": 1},
                "the report has an unknown key 'a', expected status, error_class, message, metrics, outputs",
            ),
            ({"status": "ok"}, "status is 'ok', expected one of succeeded, no_new_data, failed"),
            ({"status": None}, "status is None, expected one of succeeded, no_new_data, failed"),
            ({"status": ["failed"]}, "status is ['failed'], expected one of succeeded, no_new_data, failed"),
            ({"error_class": "x"}, "error_class is 'x', expected one of transient, infrastructure, misuse, permanent"),
            ({"message": 5}, "message is a number, expected a text"),
            ({"message": None}, "message is null, expected a text"),
            ({"message": "x" * 10_001}, "message has 10001 characters, at most 10000 are allowed"),
            ({"message": "\ud800"}, "message holds a lone surrogate, which no UTF-8 text can"),
            ({"metrics": []}, "metrics is an array, expected an object"),
            ({"metrics": {"a": None}}, "metrics.a is null, expected a number, a text or a truth value"),
            ({"metrics": {"a": {}}}, "metrics.a is an object, expected a number, a text or a truth value"),
            ({"metrics": {"a": "x" * 1_001}}, "metrics.a has 1001 characters, at most 1000 are allowed"),
            ({"metrics": {"a": "\udfff"}}, "metrics.a holds a lone surrogate, which no UTF-8 text can"),
            (
                b'{"metrics": {"a": 1e999}}',
                "metrics.a is not a finite number, expected a number, a text or a truth value",
            ),
            (
                {"metrics": {f"k{number}": 1 for number in range(1_001)}},
                "metrics has 1001 entries, at most 1000 are allowed",
            ),
            ({"outputs": {"d": 1.5}}, "outputs.d is a number, expected an object"),
            ({"outputs": {"d": True}}, "outputs.d is a truth value, expected an object"),
            ({"outputs": {"d": "x"}}, "outputs.d is a text, expected an object"),
            (
                {"outputs": {"d": {"rows": []}}},
                "outputs.d.rows is an array, expected a number, a text or a truth value",
            ),
            ({"outputs": {"d": {"rows": 1.5}}}, "outputs.d.rows is 1.5, expected a whole number, 0 or more"),
            ({"outputs": {"d": {"rows": True}}}, "outputs.d.rows is True, expected a whole number, 0 or more"),
            (
                {"outputs": {"d": {"digest": "sha256:A"}}},
                "outputs.d.digest is 'sha256:A', expected sha256: and 64 digits from 0 to f",
            ),
        ],
    )
    def test_message(self, content: object, message: str) -> None:
        """Given one broken rule, then which one and where."""
        assert message == refused(content)

    @pytest.mark.parametrize(
        "content",
        [b"", b"{", b"{} {}", b'{"status": NaN}', b'{"a": 1, "a": 1}', b"[" * 100_000, b"\xef\xbb\xbf{}", b"{'a': 1}"],
    )
    def test_no_json(self, content: bytes) -> None:
        """Given what is no JSON, has a key twice or is nested without end, then that is told."""
        assert refused(content).startswith("the report is no JSON: ")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"metrics": {"a b": 1}}, "in metrics: not a name of a metric: 'a b'; "),
            ({"outputs": {"a\n": {}}}, "in outputs: not a name of a dataset: 'a\\n'; "),
            ({"outputs": {"d": {"": 1}}}, "in outputs.d: the name of a fact is empty"),
        ],
    )
    def test_bad_name(self, content: object, message: str) -> None:
        """Given a name that breaks the rule for names, then it is told of what kind it should be."""
        assert refused(content).startswith(message)


class TestWithoutTexts:
    """What may be kept of a report about data that must not be recorded."""

    def test_numbers_stay(self) -> None:
        """Given texts, numbers and truth values, then each text is replaced, and everything else is as it was."""
        report = StepReport(
            "failed",
            "transient",
            "of Ada",
            {"who": "Ada", "rows": 3, "whole": False},
            {"out": {"who": "Ada", "rows": 2.5}},
        )

        kept = without_texts(report, "(withheld)")

        assert ("failed", "transient", "(withheld)") == (kept.status, kept.error_class, kept.message)
        assert {"who": "(withheld)", "rows": 3, "whole": False} == kept.metrics
        assert {"out": {"who": "(withheld)", "rows": 2.5}} == kept.outputs

    def test_nothing_said(self) -> None:
        """Given a report without a message, then it has none."""
        assert StepReport() == without_texts(StepReport(), "(withheld)")

    def test_digest_of_an_output_stays(self) -> None:
        """Given an output with its digest, then that can still be held against what is there, and its other texts are gone."""
        report = StepReport(outputs={"people": {"digest": "sha256:" + "0" * 64, "of": "Ada", "rows": 3}})

        kept = without_texts(report, "(withheld)")

        assert {"people": {"digest": "sha256:" + "0" * 64, "of": "(withheld)", "rows": 3}} == kept.outputs
