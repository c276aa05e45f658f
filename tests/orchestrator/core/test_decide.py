"""Tests of the decision about a step, and of the page that describes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from orchestrator.core.decide import (
    SUCCESSES,
    Baseline,
    Facts,
    Fail,
    Measure,
    Measurement,
    Run,
    Skip,
    Upstream,
    decide,
)
from orchestrator.core.definition import Step
from orchestrator.core.fingerprint import first_difference, key_components, key_digest

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "decisions.md"


def components(
    *,
    argv: str = "true",
    code: str | None = None,
    variable: str | None = None,
    inputs: dict[str, str | None] | None = None,
    needs: dict[str, str | None] | None = None,
) -> dict[str, object]:
    """Return the material of a key with few parts."""
    return key_components(
        command={"argv": [argv]},
        code={} if code is None else {"a.py": code},
        variables={} if variable is None else {"V": variable},
        inputs=inputs or {},
        needs=needs or {},
    )


def known(material: dict[str, object], **changes: object) -> Baseline:
    """Return the baseline of a step that succeeded with *material*."""
    baseline = Baseline(
        key=key_digest(material),
        components=material,
        success="run-0/1",
        last_status="succeeded",
        last_attempt="run-0/1",
    )
    return attrs.evolve(baseline, **changes)  # type: ignore[arg-type]


def lacks_input(facts: Facts) -> bool:
    """Whether a dataset or a success that the step rests on does not exist."""
    assert facts.measurement is not None
    gone = [name for name, value in facts.measurement.inputs.items() if value is None and name not in facts.sources]
    return bool(gone) or any(value is None for value in facts.measurement.needs.values())


def untrusted(facts: Facts) -> bool:
    """Whether an input is not what its writer, which is not part of the run, last left."""
    assert facts.measurement is not None
    return any(
        facts.trusted[name] != value for name, value in facts.measurement.inputs.items() if name in facts.trusted
    )


def differs(facts: Facts) -> bool:
    """Whether a component of the key differs."""
    assert facts.measurement is not None
    return facts.baseline.key != key_digest(facts.measurement.components)


def touched(facts: Facts) -> str | None:
    """Say what became of the first output that is not as the step left it: `changed`, `gone` or None."""
    assert facts.measurement is not None
    for name, actual in facts.measurement.outputs.items():
        if facts.baseline.outputs.get(name) not in (None, actual):
            return "gone" if actual is None else "changed"
    return None


CASES: tuple[tuple[str, Callable[[Facts], bool]], ...] = (
    ("1", lambda f: not f.selected),
    ("2", lambda f: f.step.when == "on_failure" and f.upstream.failed is None),
    ("3", lambda f: f.step.when == "on_failure"),
    ("4", lambda f: f.step.when == "always" and not f.upstream.attempted),
    ("5", lambda f: f.step.when == "always"),
    ("6", lambda f: f.upstream.failed is not None),
    ("7", lambda f: f.ending is not None),
    ("8", lambda f: f.step.rerun == "never" and f.baseline.last_status == "lost" and not f.forced),
    ("9", untrusted),
    ("10", lacks_input),
    ("11", lambda f: f.forced),
    ("12", lambda f: f.baseline.key is None and f.baseline.last_status in (None, *SUCCESSES)),
    ("13", lambda f: f.baseline.last_status in ("lost", "running")),
    ("14", lambda f: f.baseline.last_status not in SUCCESSES),
    ("15", lambda f: not f.step.reads and not f.step.needs),
    ("16", differs),
    ("17", lambda f: touched(f) == "changed"),
    ("18", lambda f: touched(f) == "gone"),
    ("19", lambda f: bool(f.sources)),
    ("20", lambda f: True),
)


def table() -> dict[str, tuple[str, frozenset[str]]]:
    """Read number, outcome and reasons of each case from the page."""
    rows = re.findall(r"^\| (\d+) \| .+ \| (\w+) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {number: (outcome, frozenset(re.findall(r"`(\w+)`", reasons))) for number, outcome, reasons in rows}


digests = st.sampled_from(["sha256:a", "sha256:b"])
maybe = st.none() | digests


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    """Draw the facts about a step with up to two inputs, one need and one output."""
    reads = draw(st.lists(st.sampled_from(["raw", "bronze"]), unique=True))
    needs = draw(st.lists(st.just("other"), unique=True, max_size=1))
    step = Step(
        name="step",
        command=("true",),
        reads=tuple(reads),
        needs=tuple(needs),
        writes=("out",),
        when=draw(st.sampled_from(["upstream_ok", "upstream_ok", "upstream_ok", "always", "on_failure"])),
        rerun=draw(st.sampled_from(["safe", "never"])),
    )

    def material() -> dict[str, object]:
        return components(
            argv=draw(st.sampled_from(["true", "true", "true", "false"])),
            code=draw(maybe),
            variable=draw(st.none() | st.just("1")),
            inputs={name: draw(maybe) for name in reads},
            needs={name: draw(st.none() | st.just("run-0/1")) for name in needs},
        )

    now = material()
    before = draw(st.sampled_from([now, now, material()]))
    status = draw(
        st.sampled_from([None, "succeeded", "no_new_data", "accepted", "failed", "cancelled", "lost", "running"])
    )
    baseline = Baseline(last_status=status, last_attempt=None if status is None else "run-0/1")
    if draw(st.booleans()):
        baseline = known(before, last_status=status or "succeeded", outputs={"out": draw(maybe)})
    return Facts(
        step=step,
        upstream=Upstream(draw(st.sampled_from([None, None, None, "root"])), draw(st.booleans())),
        baseline=baseline,
        selected=draw(st.sampled_from([True, True, True, False])),
        forced=draw(st.sampled_from([False, False, True])),
        ending=draw(st.sampled_from([None, None, None, "cancelled"])),
        sources=frozenset(reads) & {"raw"},
        trusted={name: draw(maybe) for name in reads if name == "bronze" and draw(st.booleans())},
        measurement=Measurement(now, {"out": draw(maybe)}),
    )


OUTCOMES = {Run: "runs", Skip: "skipped", Fail: "failed"}


class TestTable:
    """The page and the function say the same."""

    @given(facts())
    def test_first_case_that_fits_decides(self, drawn: Facts) -> None:
        """For any facts the function answers what the first fitting row of the page says."""
        number = next(number for number, fits in CASES if fits(drawn))
        outcome, reasons = table()[number]

        decision = decide(drawn)

        assert not isinstance(decision, Measure)
        assert (outcome, True) == (OUTCOMES[type(decision)], decision.reason in reasons)

    @given(facts())
    def test_content_is_only_asked_for_where_it_is_needed(self, drawn: Facts) -> None:
        """Without a measurement the answer is the same, or the wish to measure."""
        answer = decide(attrs.evolve(drawn, measurement=None))

        assert isinstance(answer, Measure) or answer == decide(drawn)

    def test_every_row_of_the_page_has_its_case(self) -> None:
        """No row of the page is without a case here, and none stands in another place."""
        assert [number for number, _ in CASES] == list(table())

    @pytest.mark.parametrize("number", [number for number, _ in CASES])
    def test_every_row_can_be_reached(self, number: str) -> None:
        """Each row is the first that fits for some facts, so that none is dead."""
        found = find(
            facts(),
            lambda drawn: next(other for other, fits in CASES if fits(drawn)) == number,
            settings=settings(max_examples=20_000, database=None, derandomize=True),
        )

        assert found.step.name == "step"


class TestEvidence:
    """A decision says what it rests on."""

    def test_changed_input_names_the_dataset_and_both_digests(self) -> None:
        """Given new content, then the reason is that input, with the number of new files."""
        step = Step(name="s", command=("true",), reads=("raw",))
        before, now = components(inputs={"raw": "sha256:a"}), components(inputs={"raw": "sha256:b"})
        measurement = Measurement(now, files={"raw": {"added": 2}})

        decision = decide(Facts(step=step, baseline=known(before), sources=frozenset({"raw"}), measurement=measurement))

        assert decision == Run(
            "input_changed",
            {"component": "input:raw", "before": "sha256:a", "after": "sha256:b", "added": 2},
        )

    def test_output_changed_by_hand_is_named_even_when_another_reason_comes_first(self) -> None:
        """Given new input and a touched output, then both are in the evidence before the output is overwritten."""
        step = Step(name="s", command=("true",), reads=("raw",), writes=("out",))
        baseline = known(components(inputs={"raw": "sha256:a"}), outputs={"out": "sha256:a"})
        measurement = Measurement(components(inputs={"raw": "sha256:b"}), {"out": "sha256:b"})

        decision = decide(Facts(step=step, baseline=baseline, measurement=measurement))

        assert isinstance(decision, Run)
        assert decision.evidence["output"] == {"dataset": "out", "expected": "sha256:a", "actual": "sha256:b"}

    def test_untrusted_input_names_both_digests(self) -> None:
        """Given a writer outside of the run, then what it left and what is there are both named."""
        step = Step(name="s", command=("true",), reads=("bronze",))
        measurement = Measurement(components(inputs={"bronze": "sha256:b"}))

        decision = decide(Facts(step=step, trusted={"bronze": "sha256:a"}, measurement=measurement))

        assert decision == Skip("input_untrusted", {"dataset": "bronze", "expected": "sha256:a", "actual": "sha256:b"})

    def test_skip_names_the_success_that_it_rests_on(self) -> None:
        """Given an equal key, then the evidence is the key and the attempt that last succeeded with it."""
        step = Step(name="s", command=("true",), needs=("other",))
        material = components(needs={"other": "run-0/1"})

        decision = decide(Facts(step=step, baseline=known(material), measurement=Measurement(material)))

        assert decision == Skip("up_to_date", {"key": key_digest(material), "since": "run-0/1"})

    def test_accepted_before_it_ever_succeeded(self) -> None:
        """Given outputs that somebody accepted, but no success to compare with, then it runs as one that never succeeded."""
        step = Step(name="s", command=("true",), reads=("raw",))
        baseline = Baseline(last_status="accepted", last_attempt="run-0/1")
        measurement = Measurement(components(inputs={"raw": "sha256:a"}))

        assert decide(Facts(step=step, baseline=baseline, measurement=measurement)) == Run("never_succeeded")


class TestFirstDifference:
    """The first differing component of two keys is found by name."""

    @pytest.mark.parametrize(
        ("now", "component"),
        [
            (components(argv="false"), "command"),
            (components(code="sha256:a"), "code:a.py"),
            (components(variable="1"), "variable:V"),
            (components(inputs={"raw": None}), "input:raw"),
            (components(needs={"other": "run-0/1"}), "needs:other"),
            ({**components(), "recipe": 2}, "recipe"),
        ],
    )
    def test_component_is_named(self, now: dict[str, object], component: str) -> None:
        """Given one changed part, then that part is named."""
        difference = first_difference(components(), now)

        assert difference is not None
        assert component == difference.component

    def test_an_empty_table_is_none(self) -> None:
        """Given a component that holds nothing, then it is as if it were not there."""
        assert first_difference({**components(), "inputs": {}}, components()) is None

    @given(facts(), facts())
    def test_no_difference_means_equal_keys(self, one: Facts, other: Facts) -> None:
        """Two keys are equal exactly when no component differs."""
        assert one.measurement is not None
        assert other.measurement is not None
        before, after = one.measurement.components, other.measurement.components

        assert (first_difference(before, after) is None) == (key_digest(before) == key_digest(after))
