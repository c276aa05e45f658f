"""Tests of what is to be told, and to whom."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.alerts import (
    Occasion,
    RunEnd,
    digest_occasion,
    due_alerts,
    lost_occasion,
    missing_occasions,
    refusal_occasion,
    run_occasion,
    stale_occasion,
    told_channels,
)
from orchestrator.core.definition import AlertRule, Alerts, Channel

OPS, CHAT = Channel("ops", command=("mail",)), Channel("chat", webhook="https://example.org")
BOTH = {"ops": OPS, "chat": CHAT}
END = RunEnd("shop", "run-1", "2026-01-31", "failed", 41, 7, {"step": "ingest", "reason": "exit"})
KINDS = ("failed", "recovered", "refused", "deadline", "stale", "missing", "digest")

PROBLEM: dict[str, object] = {"kind": "missing_source", "message": "source raw: no", "path": ["datasets", "raw"]}
RULES = st.builds(
    AlertRule,
    on=st.lists(st.sampled_from(KINDS), min_size=1, unique=True).map(tuple),
    to=st.lists(st.sampled_from(["ops", "chat"]), unique=True).map(tuple),
    nights=st.integers(1, 3),
    at=st.sampled_from(["00:00", "07:00", "23:59"]),
)
OCCASIONS = st.one_of(
    st.builds(Occasion, kind=st.sampled_from(KINDS[:6]), subject=st.sampled_from(["1", "2", "x"]), what=st.text()),
    st.builds(
        lambda day, time: digest_occasion("shop", day, time), st.sampled_from("ab"), st.sampled_from(["06:00", "08:00"])
    ),
    st.integers(1, 3).map(
        lambda count: missing_occasions("shop", [f"2026-01-0{day}" for day in range(1, count + 1)], None)[0]
    ),
)


def ended(**changes: Any) -> Occasion | None:  # noqa: ANN401 - any field
    """Return what there is to tell of a run that ended so."""
    return run_occasion(attrs.evolve(END, **changes))


class TestRun:
    """How a run ended is one occasion."""

    @pytest.mark.parametrize(
        ("status", "kind", "also", "what"),
        [
            ("failed", "failed", (), "shop failed, night 2026-01-31: ingest (exit)"),
            ("cancelled", "failed", (), "shop was cancelled, night 2026-01-31: ingest (exit)"),
            ("timed_out", "deadline", ("failed",), "shop ran out of time, night 2026-01-31: ingest (exit)"),
        ],
    )
    def test_not_well(self, status: str, kind: str, also: tuple[str, ...], what: str) -> None:
        """Given a run that did not end well, then that is told, with the first failure, under the place of its end."""
        occasion = ended(status=status)
        assert occasion == Occasion(kind, "41", what, also, "run-1", 41)  # type: ignore[arg-type]

    def test_lost(self) -> None:
        """Given a run that lost its orchestrator, then that is told under the place of its start, whoever sees it first, and again where it is lost again."""
        before = lost_occasion("shop", "run-1", "2026-01-31", 7)
        assert before.what == "shop was interrupted, night 2026-01-31: its orchestrator is gone"
        occasion = ended(status="interrupted")
        assert occasion is not None
        assert (occasion.kind, occasion.subject, occasion.about) == ("failed", before.subject, 41)
        assert occasion.what == "shop was interrupted, night 2026-01-31: ingest (exit)"
        again = ended(status="interrupted", begun=50)
        assert again is not None
        assert again.subject != before.subject

    def test_without_a_cause(self) -> None:
        """Given a run that was cancelled before anything failed, then none is named."""
        occasion = ended(status="cancelled", cause=None)
        assert occasion is not None
        assert occasion.what == "shop was cancelled, night 2026-01-31"

    @pytest.mark.parametrize("status", ["succeeded", "nothing_to_do"])
    @pytest.mark.parametrize(
        ("before", "whole", "resumed", "recovered"),
        [
            (None, True, False, False),
            ("succeeded", True, False, False),
            ("failed", True, False, True),
            ("interrupted", True, False, True),
            ("failed", False, False, False),
            ("succeeded", True, True, True),
            (None, False, True, True),
        ],
    )
    def test_well(self, status: str, before: str | None, whole: bool, resumed: bool, recovered: bool) -> None:  # noqa: FBT001 - the table
        """Given a run that ended well, then that is news after one that did not: for a whole run, or for the run itself."""
        occasion = ended(status=status, cause=None, before=before, whole=whole, resumed=resumed)
        assert (occasion is not None) == recovered
        if occasion is not None:
            assert (occasion.kind, occasion.what) == ("recovered", "shop is well again, night 2026-01-31")


class TestRefusal:
    """A refusal is one occasion as long as its problems are the same, for a day, until something runs."""

    def subject(self, *problems: dict[str, object], code: int = 2, since: int | None = 7, day: str = "d") -> str:
        """Return what makes it one occasion."""
        return refusal_occasion("shop", code, problems, since=since, day=day).subject

    def test_other_words_are_the_same(self) -> None:
        """Given the same problem in other words, such as with another number, then it is the same occasion."""
        same = PROBLEM | {"message": "source raw: still no"}
        assert self.subject(PROBLEM) == self.subject(same)

    def test_what_is_another_occasion(self) -> None:
        """Given another kind, place, exit code, day, or a run in between, then it is another one."""
        other = [
            self.subject(PROBLEM | {"kind": "other"}),
            self.subject(PROBLEM | {"path": ["datasets", "x"]}),
            self.subject(PROBLEM, PROBLEM | {"path": []}),
            self.subject(PROBLEM, code=4),
            self.subject(PROBLEM, since=None),
            self.subject(PROBLEM, day="e"),
            self.subject(PROBLEM),
        ]
        assert len(set(other)) == len(other)

    def test_what_is_told(self) -> None:
        """Given several problems, then the first is told, the others are counted, and ten are kept."""
        occasion = refusal_occasion("shop", 2, [PROBLEM] * 12, since=None, day="d", about=3)
        assert occasion.what == "shop was not started, exit code 2: source raw: no (and 11 more)"
        assert (occasion.kind, occasion.also, occasion.about) == ("refused", (), 3)
        assert occasion.facts is not None
        assert occasion.facts["problems"] == [{"kind": "missing_source", "message": "source raw: no"}] * 10

    @pytest.mark.parametrize("code", [3, 5, 70])
    def test_what_broke_is_told_to_who_hears_of_failures(self, code: int) -> None:
        """Given a ledger, a disk or a program that failed, then it answers to both kinds of rules."""
        occasion = refusal_occasion("shop", code, [], since=None, day="d")
        assert (occasion.kind, occasion.also) == ("failed", ("refused",))
        assert occasion.what == f"shop could not go on, exit code {code}: no reason is known"


class TestFindings:
    """What is found without a run."""

    def test_stale(self) -> None:
        """Given a dataset that is stale, then it is one occasion a day."""
        occasion = stale_occasion("shop", "raw", text="dataset raw is 51h old, at most 50h", day="2026-01-31")
        assert (occasion.kind, occasion.subject) == ("stale", "raw-2026-01-31")
        assert occasion.what == "shop: dataset raw is 51h old, at most 50h"

    def test_missing(self) -> None:
        """Given nights without a run before and after the last one, then both are told, each by its newest night."""
        since, before = missing_occasions("shop", ["2026-01-31", "2026-01-30", "2026-01-27"], "2026-01-29")
        assert since.what == "shop: 2 nights have no run, 2026-01-30 to 2026-01-31"
        assert before.what == "shop: night 2026-01-27 has no run"
        assert (since.subject, before.subject) == ("2026-01-31", "2026-01-27")
        alerts = Alerts({"ops": OPS}, (AlertRule(on=("missing",), nights=2),))
        assert [told_channels(alerts, occasion) for occasion in (since, before)] == [["ops"], ["ops"]]

    @pytest.mark.parametrize(
        ("missing", "expected"), [(["2026-01-05", "2026-01-07"], ["05", "07"]), (["2026-01-05"], [])]
    )
    def test_missing_nights_that_are_not_adjacent(self, missing: list[str], expected: list[str]) -> None:
        """Given a rule for two nights, then two that are missing before and after a run are two; one alone is not told."""
        alerts = Alerts({"ops": OPS}, (AlertRule(on=("missing",), nights=2),))
        told = [
            occasion for occasion in missing_occasions("p", missing, "2026-01-06") if told_channels(alerts, occasion)
        ]
        assert sorted(occasion.subject[-2:] for occasion in told) == expected

    def test_nights_that_are_missing_are_told_again_only_with_another(self) -> None:
        """Given nights that are missing, when one more is, then that is news; when a run comes after them, or nothing is missing, nothing is."""
        first = missing_occasions("shop", ["2026-01-30"], "2026-01-29")
        more = missing_occasions("shop", ["2026-01-31", "2026-01-30"], "2026-01-29")
        after = missing_occasions("shop", ["2026-01-31", "2026-01-30"], "2026-02-01")
        assert [occasion.subject for occasion in (*first, *more, *after)] == ["2026-01-30", "2026-01-31", "2026-01-31"]
        assert missing_occasions("shop", [], None) == []
        assert [occasion.nights for occasion in missing_occasions("shop", ["2026-01-30"], None)] == [1]


class TestRules:
    """Who is told."""

    def test_channels_alone_are_told_everything_but_the_digest(self) -> None:
        """Given channels and no rules, then each is told all that happens; given none, nobody is."""
        occasions = [Occasion(kind, "1", "x") for kind in KINDS[:6]]  # type: ignore[arg-type]
        assert [told_channels(Alerts(BOTH), occasion) for occasion in occasions] == [["ops", "chat"]] * 6
        assert told_channels(Alerts(BOTH), digest_occasion("shop", "d", "12:00")) == []
        assert told_channels(Alerts(), occasions[0]) == []

    def test_a_digest_waits_for_its_time(self) -> None:
        """Given a rule with a time, then the digest is due from then on."""
        alerts = Alerts(BOTH, (AlertRule(on=("digest",), to=("ops",), at="07:00"),))
        due = [told_channels(alerts, digest_occasion("shop", "d", time)) for time in ("06:59", "07:00", "23:00")]
        assert due == [[], ["ops"], ["ops"]]

    def test_who_hears_of_failures_hears_of_deadlines(self) -> None:
        """Given rules for failed and for deadline, then a run that ran out of time is told to both, and one that failed to the first."""
        rules = (AlertRule(on=("failed",), to=("ops",)), AlertRule(on=("deadline",), to=("chat",)))
        late, broken = ended(status="timed_out"), ended()
        assert late is not None
        assert broken is not None
        assert [told_channels(Alerts(BOTH, rules), item) for item in (late, broken)] == [["ops", "chat"], ["ops"]]

    @given(st.lists(RULES, max_size=4), st.lists(OCCASIONS, max_size=6), st.data())
    def test_nothing_is_raised_twice(
        self, rules: list[AlertRule], occasions: list[Occasion], data: st.DataObject
    ) -> None:
        """For any rules and occasions: whoever looks at them in parts, again and again, raises what one who looks once does, each once."""
        alerts = Alerts(BOTH, tuple(rules))
        at_once = due_alerts("shop", alerts, occasions, ())
        known: list[str] = []
        for _ in range(3):
            part = data.draw(st.lists(st.sampled_from(occasions))) if occasions else []
            known += [raised.alert for raised in due_alerts("shop", alerts, part, known)]
        known += [raised.alert for raised in due_alerts("shop", alerts, occasions, known)]

        assert sorted(known) == sorted({raised.alert for raised in at_once})
        assert len(known) == len(set(known))
        for raised in at_once:
            matching = [rule for rule in alerts.effective if not rule.to or raised.channel in rule.to]
            assert any(raised.kind in rule.on for rule in matching)
