"""Tests of what a step owes after a good end: every rule, and what a report says against what is there."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.definition import Dataset, Step
from orchestrator.core.explain import reason_text
from orchestrator.core.outcome import Outcome
from orchestrator.core.output_contract import Extent, held_to_contract, rows_to_count
from orchestrator.core.report import StepReport

STEP = Step("step", ("true",), writes=("out",))
SUCCEEDED = Outcome("succeeded", message="said")
NO_NEW_DATA = Outcome("no_new_data")
DIGEST, FILE, OTHER = (f"sha256:{letter * 64}" for letter in "abc")
FULL = Extent(files=2, bytes=10)
DATASET = Dataset("out", path="data/out")


@attrs.frozen
class Left:
    """What the definition says of the only output, and what is there; by default all is well."""

    dataset: Dataset = DATASET
    extent: Extent = FULL
    digest: str | None = DIGEST
    facts: Mapping[str, str | int | float | bool] | None = None
    outcome: Outcome = SUCCEEDED

    def judged(self) -> Outcome:
        """Return how the attempt ended."""
        report = None if self.facts is None else StepReport(outputs={"out": self.facts})
        return held_to_contract(
            self.outcome,
            STEP,
            {"out": self.dataset},
            report=report,
            digests={"out": self.digest},
            extents={"out": self.extent},
            redact=lambda text: text.replace("123456", "***"),
        )


def dataset(**rules: object) -> Dataset:
    """Return the output with *rules*."""
    return attrs.evolve(DATASET, **rules)  # type: ignore[arg-type]


class TestKept:
    """Given outputs that keep every rule, then the outcome stays what it was."""

    @pytest.mark.parametrize(
        "left",
        [
            Left(),
            Left(facts={}),
            Left(facts={"rows": 0}),
            Left(dataset(allow_empty=True), Extent(files=0)),
            Left(dataset(allow_empty=True), Extent(files=3)),
            Left(dataset(min_files=2)),
            Left(dataset(min_rows=3), facts={"rows": 3}),
            Left(dataset(min_rows=3), attrs.evolve(FULL, rows=3)),
            Left(dataset(min_rows=3), attrs.evolve(FULL, rows=0), facts={"rows": 3.0}),
            Left(facts={"digest": DIGEST}),
            Left(extent=Extent(1, 1, FILE), facts={"digest": FILE}),
            Left(Dataset("out", probe=("probe",)), Extent(bytes=3)),
        ],
    )
    def test_kept(self, left: Left) -> None:
        """It is a success, with the message that it had."""
        assert left.judged() == SUCCEEDED

    @pytest.mark.parametrize("left", [Left(digest=None), Left(extent=Extent()), Left(dataset(min_files=9))])
    def test_nothing_new_owes_nothing(self, left: Left) -> None:
        """A step that found nothing to do need not have written anything."""
        assert attrs.evolve(left, outcome=NO_NEW_DATA).judged() == NO_NEW_DATA


class TestBroken:
    """Given an output that breaks a rule, then the step fails, and what was expected and found is told."""

    @pytest.mark.parametrize(
        ("left", "told"),
        [
            (Left(digest=None), "out does not exist at data/out"),
            (Left(Dataset("out", probe=("x",)), Extent(failure="exit code 3"), None), "out does not exist"),
            (Left(extent=Extent()), "out is empty, which only allow_empty = true allows"),
            (Left(extent=Extent(files=2)), "out is empty, which only allow_empty = true allows"),
            (Left(dataset(min_files=3)), "out has 2 files, expected at least 3"),
            (Left(dataset(min_rows=3), facts={"rows": 2}), "out has 2 rows as reported, expected at least 3"),
            (
                Left(dataset(min_rows=3), attrs.evolve(FULL, rows=2)),
                "out has 2 rows as counted, expected at least 3",
            ),
            (
                Left(dataset(min_rows=3), attrs.evolve(FULL, failure="why")),
                "out is to have at least 3 rows, and how many it has is not known",
            ),
            (
                Left(dataset(min_rows=999_999), facts={"rows": 123_456}),
                "out has *** rows as reported, expected at least 999999",
            ),
        ],
    )
    def test_broken(self, left: Left, told: str) -> None:
        """The message and the words that are made of the evidence say the same."""
        found = left.judged()
        why = "" if left.extent.failure is None else f" ({left.extent.failure})"
        assert (found.status, found.reason, found.error_class) == ("failed", "missing_output", "permanent")
        assert found.message == f"it ended well, but {told}{why}"
        assert reason_text("failed", "missing_output", found.evidence) == told

    def test_each_output_is_named(self) -> None:
        """Two outputs that are not there are both told."""
        step = Step("step", ("true",), writes=("a", "b"))
        datasets = {name: Dataset(name, path=name) for name in "ab"}
        found = held_to_contract(
            SUCCEEDED, step, datasets, report=None, digests={"a": None, "b": None}, extents={}, redact=str
        )
        assert found.message == "it ended well, but a does not exist at a; b does not exist at b"

    def test_words_for_what_an_older_program_recorded(self) -> None:
        """Without evidence there are words all the same."""
        assert reason_text("failed", "missing_output", {}) == "it did not write what it should"
        assert reason_text("failed", "bad_result", {}) == "its report cannot be read, or is not true"


class TestUntrue:
    """Given a report that says of an output what is not so, then it is a bad result, whatever status it tells."""

    @pytest.mark.parametrize("outcome", [SUCCEEDED, NO_NEW_DATA])
    @pytest.mark.parametrize(
        ("extent", "digest", "there"), [(FULL, DIGEST, "aaaaaaaaaaaa"), (Extent(1, 1, FILE), DIGEST, "bbbbbbbbbbbb")]
    )
    def test_digest(self, outcome: Outcome, extent: Extent, digest: str, there: str) -> None:
        """The digest that is there is named."""
        found = Left(extent=extent, digest=digest, facts={"digest": OTHER}, outcome=outcome).judged()
        assert (found.reason, found.error_class) == ("bad_result", "permanent")
        assert (
            found.message
            == f"the report says that out has the digest sha256:cccccccccccc…, what is there has sha256:{there}…"
        )
        assert found.evidence == {"dataset": "out", "actual": DIGEST}
        assert "another digest of out" in reason_text("failed", "bad_result", found.evidence)

    @pytest.mark.parametrize(("writes", "told"), [(("b", "c"), "it writes b, c"), ((), "it writes nothing")])
    def test_dataset_of_others(self, writes: tuple[str, ...], told: str) -> None:
        """A name that the step does not write is told, and with it those that it does."""
        step = Step("step", ("true",), writes=writes)
        found = held_to_contract(
            SUCCEEDED,
            step,
            {name: Dataset(name, path=name) for name in writes},
            report=StepReport(outputs={"a": {}}),
            digests=dict.fromkeys(writes, DIGEST),
            extents=dict.fromkeys(writes, FULL),
            redact=str,
        )
        assert (found.status, found.reason, found.error_class) == ("failed", "bad_result", "permanent")
        assert found.message == f"the report tells of an output a, which is none of the step's: {told}"


class TestLaws:
    """What holds for every dataset."""

    @given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.booleans(), st.integers(0, 3))
    def test_more_is_never_worse(self, files: int, size: int, rows: int, allow_empty: bool, least: int) -> None:  # noqa: FBT001
        """An output that keeps the rules still does with a file, a byte and a row more."""
        rules = dataset(allow_empty=allow_empty, min_files=least, min_rows=least)
        if Left(rules, Extent(files, size, rows=rows)).judged() == SUCCEEDED:
            assert Left(rules, Extent(files + 1, size + 1, rows=rows + 1)).judged() == SUCCEEDED

    def test_rows_are_counted_where_they_are_needed_and_not_reported(self) -> None:
        """Nothing is read for what nobody asks."""
        some = StepReport(outputs={"out": {"rows": 1}})
        assert rows_to_count(STEP, {"out": dataset()}, None) == ()
        assert rows_to_count(STEP, {"out": dataset(min_rows=1)}, some) == ()
        assert rows_to_count(STEP, {"out": dataset(min_rows=1)}, None) == ("out",)
        assert rows_to_count(STEP, {"out": dataset(min_rows=1)}, StepReport()) == ("out",)
