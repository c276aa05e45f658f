"""Tests of the decision about a step, and of the page that describes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from orchestrator.core import fingerprint
from orchestrator.core.decide import (
    LOST,
    SUCCESSES,
    Baseline,
    Decision,
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
from orchestrator.core.fingerprint import Material, first_difference, key_components, key_digest, known_recipe

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "decisions.md"


def material(
    *,
    argv: str = "true",
    code: str | None = None,
    variable: str | None = None,
    inputs: dict[str, str | None] | None = None,
    needs: dict[str, str | None] | None = None,
) -> Material:
    """Return the material of a key with few parts."""
    return Material(
        command={"argv": [argv]},
        code={} if code is None else {"a.py": code},
        variables={} if variable is None else {"V": variable},
        inputs=inputs or {},
        needs=needs or {},
    )


def components(**parts: Any) -> dict[str, object]:  # noqa: ANN401 - as `material` takes them
    """Return the components of a key with few parts."""
    return key_components(material(**parts))


def known(made_of: Material, recipe: int | None = None, **changes: object) -> Baseline:
    """Return the baseline of a step that succeeded with the material *made_of*, recorded under *recipe* or the newest."""
    components = key_components(made_of, recipe)
    baseline = Baseline(
        key=key_digest(components),
        components=components,
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


def forced(facts: Facts) -> bool:
    """Whether `--force` asks for an attempt that this run has not made yet."""
    return facts.forced and not facts.attempted


CASES: tuple[tuple[str, Callable[[Facts], bool]], ...] = (
    ("1", lambda f: not f.selected),
    ("2", lambda f: f.step.when == "on_failure" and f.upstream.failed is None),
    ("3", lambda f: f.step.when == "on_failure"),
    ("4", lambda f: f.step.when == "always" and not f.upstream.attempted),
    ("5", lambda f: f.step.when == "always"),
    ("6", lambda f: f.upstream.failed is not None),
    ("7", lambda f: f.ending is not None),
    (
        "8",
        lambda f: f.step.rerun == "never" and f.baseline.last_status in LOST and f.retried is None and not forced(f),
    ),
    ("9", untrusted),
    ("10", lacks_input),
    ("11", lambda f: f.retried is not None),
    ("12", forced),
    ("13", lambda f: f.baseline.key is None and f.baseline.last_status in (None, *SUCCESSES)),
    ("14", lambda f: f.baseline.last_status in LOST),
    ("15", lambda f: f.baseline.last_status not in SUCCESSES),
    ("16", lambda f: not f.step.reads and not f.step.needs and not f.attempted and not f.vouched),
    ("17", lambda f: not f.vouched and differs(f)),
    ("18", lambda f: touched(f) == "changed"),
    ("19", lambda f: touched(f) == "gone"),
    ("20", lambda f: "out" not in f.baseline.outputs),
    ("21", lambda f: bool(f.sources)),
    ("22", lambda f: True),
)


def table() -> dict[str, tuple[str, frozenset[str]]]:
    """Read number, outcome and reasons of each case from the page."""
    rows = re.findall(r"^\| (\d+) \| .+ \| (\w+) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {number: (outcome, frozenset(re.findall(r"`(\w+)`", reasons))) for number, outcome, reasons in rows}


digests = st.sampled_from(["sha256:a", "sha256:b"])
maybe = st.none() | digests


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    """Draw the facts about a step with up to two inputs, one need and one output; in half of them hardly anything is unusual, so that the last rows are met as well."""
    calm = draw(st.booleans())

    def among(usual: Any, others: st.SearchStrategy[Any]) -> Any:  # noqa: ANN401 - whatever is chosen from
        return usual if calm and draw(st.integers(0, 15)) else draw(others)

    reads = draw(st.lists(st.sampled_from(["raw", "bronze"]), unique=True))
    needs = draw(st.lists(st.just("other"), unique=True, max_size=1))
    step = Step(
        name="step",
        command=("true",),
        reads=tuple(reads),
        needs=tuple(needs),
        writes=("out",),
        when=among("upstream_ok", st.sampled_from(["upstream_ok", "always", "on_failure"])),
        rerun=draw(st.sampled_from(["safe", "never"])),
    )

    def drawn() -> Material:
        return material(
            argv=draw(st.sampled_from(["true", "true", "true", "false"])),
            code=draw(maybe),
            variable=draw(st.none() | st.just("1")),
            inputs={name: among("sha256:a", maybe) for name in reads},
            needs={name: among("run-0/1", st.none() | st.just("run-0/1")) for name in needs},
        )

    now = drawn()
    before = now if among(True, st.booleans()) else drawn()
    actual = draw(maybe)
    status = among(
        "succeeded",
        st.sampled_from([None, "succeeded", "no_new_data", "accepted", "failed", "cancelled", "lost", "running"]),
    )
    baseline = Baseline(last_status=status, last_attempt=None if status is None else "run-0/1")
    if among(True, st.booleans()):
        outputs = st.sampled_from([{"out": actual}, {"out": "sha256:a"}, {"out": "sha256:b"}, {"out": None}, {}])
        baseline = known(before, last_status=status or "succeeded", outputs=draw(outputs))
    return Facts(
        step=step,
        upstream=Upstream(among(None, st.sampled_from([None, "root"])), draw(st.booleans())),
        baseline=baseline,
        selected=among(True, st.booleans()),
        forced=among(False, st.booleans()),
        attempted=draw(st.booleans()),
        vouched=draw(st.booleans()),
        retried=among(None, st.sampled_from([None, "run-1/1"])),
        ending=among(None, st.sampled_from([None, "cancelled"])),
        sources=frozenset(reads) & {"raw"},
        trusted={name: among(now.inputs[name], maybe) for name in reads if name == "bronze" and draw(st.booleans())},
        measurement=Measurement(now, {"out": actual}),
    )


OUTCOMES = {Run: "runs", Skip: "skipped", Fail: "failed"}
COMPARED = ("component", "before", "after")
EVIDENCE: Mapping[str, tuple[str, ...]] = {
    "upstream_failed": ("step",),
    "run_ended": ("cause",),
    "lost": ("attempt",),
    "retry": ("attempt",),
    "last_attempt_lost": ("attempt", "status"),
    "last_attempt_failed": ("attempt", "status"),
    "input_untrusted": ("dataset", "expected", "actual"),
    "output_changed": ("dataset", "expected", "actual"),
    "output_missing": ("dataset", "expected", "actual"),
    "output_new": ("dataset", "actual"),
    "no_new_data": ("key", "since"),
    "up_to_date": ("key", "since"),
    **{f"{kind}_changed": COMPARED for kind in ("recipe", "command", "code", "variables", "input", "needs")},
}
"""What the evidence of a reason holds always; that of any other one may be empty."""


def evidence_of(number: str, reason: str) -> tuple[str, ...]:
    """Return what the evidence of *reason* holds where the row *number* gives it."""
    return {"6": ("root",), "4": ()}.get(number, EVIDENCE.get(reason, ()))


def disagreement(drawn: Facts, number: str, rows: Mapping[str, tuple[str, frozenset[str]]]) -> str | None:
    """Say in what the answer to *drawn* is not what the row *number* of the page says; None where it is."""
    decision = decide(drawn)
    outcome, reasons = rows[number]
    if isinstance(decision, Measure) or (OUTCOMES[type(decision)], decision.reason in reasons) != (outcome, True):
        return f"row {number} says {outcome} ({', '.join(sorted(reasons))}), the function {decision}"
    missing = set(evidence_of(number, decision.reason)) - decision.evidence.keys()
    return f"row {number}: the evidence of {decision} lacks {missing}" if missing else None


class TestTable:
    """The page and the function say the same."""

    @given(facts())
    def test_first_case_that_fits_decides(self, drawn: Facts) -> None:
        """For any facts the function answers what the first fitting row of the page says."""
        assert disagreement(drawn, next(number for number, fits in CASES if fits(drawn)), table()) is None

    @given(facts())
    def test_content_is_only_asked_for_where_it_is_needed(self, drawn: Facts) -> None:
        """Without a measurement the answer is the same, or the wish to measure."""
        answer = decide(attrs.evolve(drawn, measurement=None))

        assert isinstance(answer, Measure) or answer == decide(drawn)

    def test_every_row_of_the_page_has_its_case(self) -> None:
        """No row of the page is without a case here, and none stands in another place."""
        assert [number for number, _ in CASES] == list(table())

    def test_every_row_decides(self) -> None:
        """Each row is the first that fits for some facts, so that none is dead, and the function answers what it says."""
        met, rows = set(), table()

        @settings(max_examples=2_000, phases=[Phase.generate])
        @given(facts())
        def meet(drawn: Facts) -> None:
            number = next(number for number, fits in CASES if fits(drawn))
            met.add(number)
            assert disagreement(drawn, number, rows) is None

        meet()
        assert met == {number for number, _ in CASES}


class TestEvidence:
    """A decision says what it rests on."""

    def test_changed_input_names_the_dataset_and_both_digests(self) -> None:
        """Given new content, then the reason is that input, with the number of new files."""
        step = Step(name="s", command=("true",), reads=("raw",))
        before, now = material(inputs={"raw": "sha256:a"}), material(inputs={"raw": "sha256:b"})
        measurement = Measurement(now, files={"raw": {"added": 2}})

        decision = decide(Facts(step=step, baseline=known(before), sources=frozenset({"raw"}), measurement=measurement))

        assert decision == Run(
            "input_changed",
            {"component": "input:raw", "before": "sha256:a", "after": "sha256:b", "added": 2},
        )

    def test_output_changed_by_hand_is_named_even_when_another_reason_comes_first(self) -> None:
        """Given new input and a touched output, then both are in the evidence before the output is overwritten."""
        step = Step(name="s", command=("true",), reads=("raw",), writes=("out",))
        baseline = known(material(inputs={"raw": "sha256:a"}), outputs={"out": "sha256:a"})
        measurement = Measurement(material(inputs={"raw": "sha256:b"}), {"out": "sha256:b"})

        decision = decide(Facts(step=step, baseline=baseline, measurement=measurement))

        assert isinstance(decision, Run)
        assert decision.evidence["output"] == {"dataset": "out", "expected": "sha256:a", "actual": "sha256:b"}

    @pytest.mark.parametrize("strength", ["listing", "probe"])
    def test_what_is_weaker_than_content_is_named(self, strength: str) -> None:
        """Given datasets that are not compared by content, then each decision that rests on them says by what."""
        step = Step(name="s", command=("true",), reads=("raw",), writes=("out",))
        was = material(inputs={"raw": "sha256:a"})
        facts = Facts(
            step=step,
            baseline=known(was, outputs={"out": "sha256:a"}),
            sources=frozenset({"raw"}),
            weak={"raw": strength, "out": strength},
        )

        def evidence(
            now: Material, output: str, trusted: Mapping[str, str | None] | None = None
        ) -> Mapping[str, object]:
            measured = attrs.evolve(facts, measurement=Measurement(now, {"out": output}), trusted=trusted or {})
            decision = decide(measured)
            assert isinstance(decision, Run | Skip)
            return decision.evidence

        assert evidence(was, "sha256:a")["strength"] == {"raw": strength, "out": strength}
        assert evidence(was, "sha256:b")["strength"] == strength
        assert evidence(material(inputs={"raw": "sha256:b"}), "sha256:a")["strength"] == strength
        assert evidence(was, "sha256:a", {"raw": "sha256:z"})["strength"] == strength
        assert "strength" not in evidence(attrs.evolve(was, code={"a.py": "1"}), "sha256:a")

    def test_untrusted_input_names_both_digests(self) -> None:
        """Given a writer outside of the run, then what it left and what is there are both named."""
        step = Step(name="s", command=("true",), reads=("bronze",))
        measurement = Measurement(material(inputs={"bronze": "sha256:b"}))

        decision = decide(Facts(step=step, trusted={"bronze": "sha256:a"}, measurement=measurement))

        assert decision == Skip("input_untrusted", {"dataset": "bronze", "expected": "sha256:a", "actual": "sha256:b"})

    def test_what_does_not_exist_is_named(self) -> None:
        """Given a step that needs a success, or reads a dataset, that there is none of, then that is named."""
        step = Step(name="s", command=("true",), reads=("bronze",), needs=("other",))
        lacking = Measurement(material(inputs={"bronze": "sha256:b"}, needs={"other": None}))
        assert decide(Facts(step=step, measurement=lacking)) == Skip("upstream_skipped", {"step": "other"})
        gone = Measurement(material(inputs={"bronze": None}, needs={"other": None}))
        assert decide(Facts(step=step, measurement=gone)) == Skip("upstream_skipped", {"dataset": "bronze"})

    def test_first_attempt_of_a_night(self) -> None:
        """Given a step with a history of its own for each night, then its first run says so."""
        facts = Facts(step=Step(name="s", command=("true",), per_night=True), measurement=Measurement(material()))
        assert decide(facts) == Run("never_succeeded", {"per_night": True})

    def test_skip_names_the_success_that_it_rests_on(self) -> None:
        """Given an equal key, then the evidence is the key and the attempt that last succeeded with it."""
        step = Step(name="s", command=("true",), needs=("other",))
        now = material(needs={"other": "run-0/1"})

        decision = decide(Facts(step=step, baseline=known(now), measurement=Measurement(now)))

        assert decision == Skip("up_to_date", {"key": key_digest(key_components(now)), "since": "run-0/1"})

    @pytest.mark.parametrize("when", ["upstream_ok", "always", "on_failure"])
    def test_another_attempt_names_the_one_before(self, when: Literal["upstream_ok", "always", "on_failure"]) -> None:
        """Given an attempt of this run that failed, then the next one says so, whatever the step had been started for."""
        failed = None if when == "upstream_ok" else "root"
        step = Step(name="s", command=("true",), when=when)
        facts = Facts(step=step, upstream=Upstream(failed, attempted=True), retried="run-1/1", attempted=True)

        assert decide(attrs.evolve(facts, measurement=Measurement(material()))) == Run("retry", {"attempt": "run-1/1"})

    def test_nothing_read_and_nothing_needed(self) -> None:
        """Given a step whose input is the outside world, then it runs, though its key is the same."""
        decision = decide(
            Facts(
                step=Step(name="s", command=("true",)), baseline=known(material()), measurement=Measurement(material())
            )
        )

        assert decision == Run("no_inputs")

    def test_accepted_in_place_of_a_lost_attempt(self) -> None:
        """Given another key than the attempt had that was accepted in its place, then the evidence of the skip is the key that was accepted."""
        step = Step(name="s", command=("true",), rerun="never")
        baseline = known(material(), last_status="accepted")
        facts = Facts(step=step, vouched=True, baseline=baseline, measurement=Measurement(material(argv="false")))

        assert decide(facts) == Skip("up_to_date", {"key": baseline.key, "since": "run-0/1"})

    def test_accepted_before_it_ever_succeeded(self) -> None:
        """Given outputs that somebody accepted, but no success to compare with, then it runs as one that never succeeded."""
        step = Step(name="s", command=("true",), reads=("raw",))
        baseline = Baseline(last_status="accepted", last_attempt="run-0/1")
        measurement = Measurement(material(inputs={"raw": "sha256:a"}))

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
            ({**components(), "zone": "UTC"}, "zone"),
            ({**components(), "tools": {"python": "3.12"}}, "tools:python"),
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


def _recipe_2(of: Material) -> dict[str, object]:
    """A recipe that also takes in which interpreter runs, and says the command in another way."""
    older = fingerprint.RECIPES[1](of)
    return {**older, "recipe": 2, "command": {"words": of.command["argv"]}, "tools": {"python": "3.12"}}


class TestRecipes:
    """A success is compared under the recipe that it was recorded under."""

    STEP = Step(name="s", command=("true",), reads=("raw",))

    @pytest.fixture(autouse=True)
    def _two_recipes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(fingerprint.RECIPES, 2, _recipe_2)

    def decided(self, baseline: Baseline, **now: object) -> Decision | Measure:
        """Return the decision about a step with one source."""
        measurement = Measurement(material(**{"inputs": {"raw": "sha256:a"}} | now))  # type: ignore[arg-type]
        return decide(Facts(step=self.STEP, sources=frozenset({"raw"}), baseline=baseline, measurement=measurement))

    def test_a_success_is_recorded_under_the_newest(self) -> None:
        """Given two recipes, then what is measured now becomes a key of the second."""
        assert Measurement(material()).components["recipe"] == 2
        assert "tools" in Measurement(material()).components

    @pytest.mark.parametrize("recipe", [1, 2])
    def test_equal_material_is_skipped_under_either(self, recipe: int) -> None:
        """Given a success under either recipe, then a new recipe alone is no reason to run; the evidence is the key that was compared."""
        baseline = known(material(inputs={"raw": "sha256:a"}), recipe)

        assert self.decided(baseline) == Skip("no_new_data", {"key": baseline.key, "since": "run-0/1"})

    @pytest.mark.parametrize("recipe", [1, 2])
    def test_a_difference_is_found_under_either(self, recipe: int) -> None:
        """Given other content, then that is the reason, not the recipe."""
        decision = self.decided(known(material(inputs={"raw": "sha256:b"}), recipe))

        assert decision == Run("input_changed", {"component": "input:raw", "before": "sha256:b", "after": "sha256:a"})

    def test_what_only_the_newer_recipe_sees(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a change in what the second recipe added, then it counts for a success under the second alone."""
        old, new = (known(material(inputs={"raw": "sha256:a"}), recipe) for recipe in (1, 2))
        monkeypatch.setitem(fingerprint.RECIPES, 2, lambda of: _recipe_2(of) | {"tools": {"python": "3.13"}})

        assert isinstance(self.decided(old), Skip)
        assert self.decided(new) == Run(
            "tools_changed", {"component": "tools:python", "before": "3.12", "after": "3.13"}
        )

    @pytest.mark.parametrize("recipe", [3, None, "2"])
    def test_an_unknown_recipe_runs_and_is_named(self, recipe: object) -> None:
        """Given a key of a recipe that this program does not know, then it runs, and the reason names both."""
        made = {**key_components(material(inputs={"raw": "sha256:a"})), "recipe": recipe}
        baseline = attrs.evolve(known(material()), components=made, key=key_digest(made))

        assert known_recipe(made) is None
        assert self.decided(baseline) == Run("recipe_changed", {"component": "recipe", "before": recipe, "after": 2})
