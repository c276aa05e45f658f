"""Tests of the comparison of two runs as a function of its two sides: what whole runs do not bring about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.projections.manifest_diff import FILES_MAX, manifest_diff
from orchestrator.projections.run_diff import ENTRIES_MAX, run_diff
from orchestrator.projections.run_diff_pages import diff_html, diff_lines
from orchestrator.projections.run_sides import Side, StepSide
from orchestrator.projections.text_diff import BYTES_MAX, LINES_MAX, SHOWN_MAX, text_diff
from tests.programs import follows

ENVIRONMENT: dict[str, Any] = {
    "definition_text": "sha256:t",
    "code": [{"path": "a.py", "digest": "sha256:a", "size": 1, "kept": True}],
    "interpreter": {"version": "3.11.7"},
    "platform": {"kernel": "6.1"},
    "packages": {"attrs": "25.1"},
    "commands": {"load": "/bin/sh"},
    "programs": {"/bin/sh": {"size": 1}},
    "secrets": {},
}
RUN = {
    "run_id": "20260131T020000Z-000abcdef", "pipeline": "p", "night": "2026-01-31", "status": "succeeded", "exit_code": 0,
    "started_at": "2026-01-31T02:00:00.000000Z", "finished_at": None, "duration_us": 5, "definition": "sha256:d", "graph": "sha256:g",
}  # fmt: skip
START = {"program": "0.1.0", "host": "h", "max_parallel": 2, "variables": {}}


def step(**changes: Any) -> StepSide:  # noqa: ANN401 - of any attribute
    """Return a step that succeeded."""
    made = StepSide(
        "succeeded", "forced", {}, {"recipe": 1, "command": {"argv": ["a"]}}, {"status": "succeeded"}, {}, 1.0
    )
    return made._replace(**changes)


def side(
    *,
    texts: Mapping[str, bytes] | None = None,
    environment: Mapping[str, Any] | None = ENVIRONMENT,
    start: Mapping[str, Any] = START,
    **changes: Any,  # noqa: ANN401 - of any attribute
) -> Side:
    """Return a run of one step."""
    made = Side(RUN, start, {}, {"steps": []}, environment, {"load": step()}, (texts or {}).get)
    return made._replace(**changes)


def compared(before: Side, after: Side) -> dict[str, Any]:
    """Return the comparison; it follows the schema, and both pages can be made of it."""
    found = run_diff(before, after)
    follows(json.loads(json.dumps(found)), "diff")
    assert list(diff_lines(found))
    assert diff_html(found).startswith("<!doctype html>")
    return found


AGAIN = {**RUN, "run_id": "20260201T020000Z-000abcdef", "reproduces": RUN["run_id"]}


def reproduced(before: StepSide, after: StepSide) -> dict[str, Any]:
    """Return the comparison of a run of one step with its reproduction, which is the same in both directions."""
    run = side(run={**RUN, "reproduces": None}, steps={"load": before, "mail": step()}, definition=None)
    start = START | {"selection": {"only": ["load"]}}
    linked = side(run=AGAIN, start=start, steps={"load": after, "mail": step(status="skipped")}, environment=None)
    run = run._replace(environment=None)
    found = compared(run, linked)
    assert compared(linked, run)["same"] == found["same"]
    return found


def outcome(status: str, attempts: int, **facts: object) -> dict[str, object]:
    """Return how a step ended."""
    return {"status": status, "error_class": None, "exit_code": None, "signal": None, "attempts": attempts, **facts}


def failed(attempts: int, **facts: object) -> StepSide:
    """Return a step that failed."""
    return step(status="failed", decision="never_succeeded", outcome=outcome("failed", attempts, **facts), outputs=None)


class TestReproduction:
    """A run and what ran it again: what lies in that alone is no difference."""

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (step(decision="never_succeeded", outcome=outcome("succeeded", 3, exit_code=0), is_done=True), step(is_done=True)),
            (step(status="skipped", outcome=outcome("skipped", 1, exit_code=4), is_done=True), step(is_done=True)),
            (failed(1, reason="bad_result", exit_code=0), failed(2, reason="bad_result", exit_code=0)),
            (failed(1, reason="timeout", signal=15), failed(1, reason="timeout", signal=9)),
            (step(components={"needs": {"gate": f"{RUN['run_id']}/1"}}), step(components={"needs": {"gate": f"{RUN['run_id']}/1"}})),
        ],
    )  # fmt: skip
    def test_alike(self, before: StepSide, after: StepSide) -> None:
        """Given a step that came to the same, by whichever decision, after how many attempts, then nothing differs."""
        found = reproduced(before, after)
        assert (found["same"], found["first_divergence"]) == (True, None)

    def test_another_end(self) -> None:
        """Given another failure, then that is told, and not how often it took."""
        found = reproduced(failed(1, reason="exit", exit_code=3), failed(2, reason="exit", exit_code=4))
        assert [(row["component"], row["after"]) for row in found["steps"][0]["differences"]] == [("exit_code", 4)]
        found = reproduced(
            step(outcome=outcome("succeeded", 1), is_done=True), step(status="skipped", outcome=outcome("skipped", 0))
        )
        assert [row["component"] for row in found["steps"][0]["differences"]] == ["status"]

    def test_variables_and_code_of_others(self) -> None:
        """Given secrets and files of steps that were not run again, then they are not compared; those of others are."""
        definition = {"steps": {"load": {"env": ["KEY"]}, "mail": {"env": ["MAIL_KEY"]}}}
        secret = {"origin": ".env"}
        start = START | {"variables": {"KEY": secret, "MAIL_KEY": secret, "X": {"origin": "default", "value": "1"}}}
        coded = step(components={"recipe": 1, "code": {"a.py": "sha256:a"}})
        more = {**ENVIRONMENT, "code": [*ENVIRONMENT["code"], {"path": "mail.py", "digest": "sha256:m"}]}
        run = side(start=start, definition=definition, environment=more, steps={"load": coded, "mail": step()})
        linked = side(
            run=AGAIN, start=START | {"selection": {"only": ["load"]}}, definition=definition, steps={"load": coded}
        )
        found = compared(run, linked)
        assert found["code"] == []
        assert [row["name"] for row in found["variables"]] == ["KEY", "X"]
        unknown = linked._replace(steps={"load": step(components=None)})
        assert compared(run, unknown)["code"] == []


class TestSides:
    """What one side lacks."""

    def test_a_run_is_what_it_is(self) -> None:
        """Given a run and itself, then nothing differs."""
        assert compared(side(), side())["same"]

    def test_an_older_program(self) -> None:
        """Given a run of an older program, then what it did not record is told once, and files of code are those of its steps' keys."""
        old = side(environment=None, steps={"load": step(components={"recipe": 1, "code": {"a.py": "sha256:b"}})})
        found = compared(old, side(steps={"load": step(components=None)}))

        assert found["environment"] == [{"what": "recorded", "before": False, "after": True}]
        assert [(row["path"], row["before"], row["after"]) for row in found["code"]] == [
            ("a.py", "sha256:b", "sha256:a")
        ]
        assert found["code"][0]["text"]["why"] == "not_kept"
        assert "only of the second run" in "\n".join(diff_lines(found))
        assert "only of the first run" in "\n".join(diff_lines(compared(side(), old)))

    def test_definitions_that_are_not_kept(self) -> None:
        """Given a definition that is not kept, then its digests are told where they differ, and nothing where they are the same."""
        lost = side(definition=None)
        assert compared(lost, side())["definition"] == {"changes": [], "text": None}
        other = lost._replace(run=RUN | {"definition": "sha256:e"})
        (change,) = compared(other, side())["definition"]["changes"]
        assert (change["before"], change["after"]) == ("sha256:e", "sha256:d")

    def test_the_text_alone(self) -> None:
        """Given another comment, then the text differs and no value does."""
        texts = {"sha256:t": b"a = 1\n", "sha256:u": b"a = 1  # one\n"}
        after = side(texts=texts, environment=ENVIRONMENT | {"definition_text": "sha256:u"})
        found = compared(side(texts=texts), after)

        assert found["definition"]["changes"] == []
        assert found["definition"]["text"]["lines"][1:] == ["-a = 1", "+a = 1  # one"]
        assert not found["same"]
        assert compared(side(), side(environment=ENVIRONMENT | {"definition_text": None}))["definition"]["text"] is None

    def test_steps_of_one_side(self) -> None:
        """Given steps that only one run has, then each is named with the side that has it."""
        both = {"load": step(), "new": step()}
        found = compared(side(steps={"old": step(), "load": step()}), side(steps=both))

        assert [entry["step"] for entry in found["steps"]] == ["new", "old"]
        text = "\n".join(diff_lines(found))
        assert "new  only in the second run" in text
        assert "old  only in the first run" in text
        assert [row["step"] for row in found["durations"]] == ["load", "new"]

    def test_files_of_one_side(self) -> None:
        """Given files of code that only one run has, then they are added and removed."""
        entry = {"path": "b.py", "digest": "sha256:b", "size": 1, "kept": False}
        more = side(environment=ENVIRONMENT | {"code": [*ENVIRONMENT["code"], entry]})

        assert [row["kind"] for row in compared(side(), more)["code"]] == ["added"]
        assert [row["kind"] for row in compared(more, side())["code"]] == ["removed"]

    def test_the_surroundings(self) -> None:
        """Given another package, kernel, host and commit, then each is named by where it stands; programs are compared where both runs have them."""
        other = ENVIRONMENT | {
            "packages": {"attrs": "26.1"}, "platform": {"kernel": "6.2"}, "commands": {"load": "/bin/dash", "more": "/bin/ls"},
            "programs": {"/bin/dash": {"size": 2}},
        }  # fmt: skip
        found = compared(
            side(), side(environment=other, start=START | {"host": "i", "git": {"commit": "c", "dirty": False}})
        )

        named = {"host", "git.commit", "git.dirty", "platform.kernel", "packages.attrs", "commands.load"}
        assert {row["what"] for row in found["environment"]} == named

    def test_more_than_is_listed(self) -> None:
        """Given very many differences, then the first are listed and the others counted."""
        many = ENVIRONMENT | {"packages": {f"p{number}": "1" for number in range(ENTRIES_MAX + 10)}}
        files = [{"path": f"{number:04}.py", "digest": "sha256:x"} for number in range(ENTRIES_MAX + 5)]
        data = {f"d{number}": "sha256:x" for number in range(ENTRIES_MAX + 3)}
        found = compared(
            side(environment=ENVIRONMENT | {"packages": {}, "code": []}),
            side(environment=many | {"code": files}, steps={"load": step(outputs=data)}),
        )

        assert [found[name][-1] for name in ("environment", "code", "outputs")] == [
            {"more": 10},
            {"more": 5},
            {"more": 3},
        ]
        assert "and 10 more" in "\n".join(diff_lines(found))


class TestVariables:
    """Values, origins, secrets."""

    def of(self, before: Any, after: Any, *, secrets: tuple[Any, Any] = ({}, {})) -> Any:  # noqa: ANN401 - entries
        """Return what is said of variables with these entries."""
        sides = [
            side(start=START | {"variables": entries}, environment=ENVIRONMENT | {"secrets": known})
            for entries, known in zip((before, after), secrets, strict=True)
        ]
        return compared(*sides)["variables"]

    def test_that_came(self) -> None:
        """Given a variable that only the second run has, then it changed."""
        (row,) = self.of({}, {"A": {"origin": "--set", "value": "x"}})
        assert (row["before"], row["after"], row["changed"]) == (None, "x", True)

    def test_from_elsewhere(self) -> None:
        """Given an equal value of another origin, then the origins are told, and that it did not change."""
        (row,) = self.of({"A": {"origin": "default", "value": "x"}}, {"A": {"origin": ".env", "value": "x"}})
        assert row["changed"] is False
        (row,) = self.of(
            {"S": {"origin": "a.env"}}, {"S": {"origin": "b.env"}}, secrets=({"S": "keyed:k:1"}, {"S": "keyed:k:1"})
        )
        assert (row["secret"], row["changed"]) == (True, False)

    @pytest.mark.parametrize(
        ("before", "after", "changed"),
        [
            ("keyed:k:1", "keyed:k:2", True),
            ("keyed:k:1", "keyed:l:1", None),
            ("keyed:none", "keyed:none", None),
            ("keyed:k:1", "keyed:none", None),
        ],
    )
    def test_secrets(self, before: str, after: str, changed: bool | None) -> None:  # noqa: FBT001 - an expectation
        """Given two digests of a secret, then they tell whether it changed only where both have one key."""
        (row,) = self.of({"S": {"origin": "e"}}, {"S": {"origin": "e"}}, secrets=({"S": before}, {"S": after}))
        assert row["changed"] is changed

    def test_a_secret_that_went(self) -> None:
        """Given a secret that the second run lacks, then it changed."""
        (row,) = self.of({"S": {"origin": "e"}}, {}, secrets=({"S": "keyed:k:1"}, {}))
        assert row["changed"] is True

    def test_of_an_older_program(self) -> None:
        """Given runs without an environment, then the digests of secrets that are in keys are compared, and of others nothing is known."""
        entries = {"R": {"origin": "e", "keyed": "keyed:k:1"}, "S": {"origin": "e"}}
        old = side(start=START | {"variables": entries}, environment=None)
        assert [(row["name"], row["changed"]) for row in compared(old, old)["variables"]] == [("S", None)]


class TestData:
    """Inputs and outputs."""

    def test_without_manifests(self) -> None:
        """Given a dataset that is gone, or whose manifests are not kept, then its digests are told."""
        found = compared(
            side(steps={"load": step(outputs={"gold": "sha256:a", "gone": "sha256:b"})}),
            side(steps={"load": step(outputs={"gold": "sha256:c", "gone": None})}),
        )
        assert [(row["dataset"], row["files"]) for row in found["outputs"]] == [("gold", None), ("gone", None)]
        assert found["first_divergence"]["component"] == "output:gold"
        assert "output gone: sha256:b… -> nothing" in "\n".join(diff_lines(found))

    def test_renamed(self) -> None:
        """Given a dataset with a new name, then it is compared with what it was, also where it is an input."""
        named = {"recipe": 1, "inputs": {"raw": "sha256:a"}}
        before = side(
            definition={"datasets": {"raw": {}}}, steps={"load": step(components=named, outputs={"raw": "sha256:o"})}
        )
        after = side(
            definition={"datasets": {"source": {"formerly": ["raw"]}}},
            steps={
                "load": step(components={"recipe": 1, "inputs": {"source": "sha256:a"}}, outputs={"source": "sha256:o"})
            },
        )
        found = compared(before, after)
        assert (found["inputs"], found["outputs"], found["steps"]) == ([], [], [])

    def test_needs_of_the_run_itself(self) -> None:
        """Given steps that need another one, then an attempt of the run itself is the same in both runs, and that of an earlier run is not."""
        other = RUN | {"run_id": "20260201T020000Z-000abcdef"}

        def needing(of: str) -> dict[str, StepSide]:
            return {"load": step(components={"recipe": 1, "needs": {"a": of}})}

        before = side(steps=needing(f"{RUN['run_id']}/1"))
        assert compared(before, side(run=other, steps=needing(f"{other['run_id']}/1")))["same"]
        assert (
            compared(before, side(run=other, steps=needing(f"{RUN['run_id']}/1")))["first_divergence"]["component"]
            == "needs:a"
        )

    @given(
        st.dictionaries(st.text("abc", max_size=2), st.integers(0, 1)),
        st.dictionaries(st.text("abc", max_size=2), st.integers(0, 1)),
    )
    def test_files(self, old: dict[str, int], new: dict[str, int]) -> None:
        """Given two manifests, then each file that differs is counted once, by its kind, and at most twenty are named."""
        texts = [
            json.dumps({"files": [[name, size, "d"] for name, size in files.items()]}).encode() for files in (old, new)
        ]
        found = manifest_diff(*texts)

        kinds = {
            name: "added" if name not in old else "removed" if name not in new else "changed" for name in {**old, **new}
        }
        expected = sorted((name, kind) for name, kind in kinds.items() if old.get(name) != new.get(name))
        assert found["first"] == [{"path": name, "change": kind} for name, kind in expected[:FILES_MAX]]
        assert [found[kind] for kind in ("added", "changed", "removed")] == [
            sum(kind == of for _, of in expected) for kind in ("added", "changed", "removed")
        ]

    def test_a_file_alone(self) -> None:
        """Given datasets that are a file each, then that is named as the definition calls it, or as the dataset where that is not kept."""
        texts = {f"sha256:{size}": json.dumps({"files": [["", size, "d"]]}).encode() for size in (1, 2)}
        definition = {"datasets": {"a": {"path": "out/a.csv"}, "b": {"path": "out/"}}}
        sides = [
            side(steps={"load": step(outputs=dict.fromkeys("abc", digest))}, texts=texts, definition=definition)
            for digest in texts
        ]
        found = compared(*sides)
        assert [row["files"]["first"] for row in found["outputs"]] == [
            [{"path": path, "change": "changed"}] for path in ("a.csv", "b", "c")
        ]
        assert any(line.rstrip().endswith("1 changed: ~a.csv") for line in diff_lines(found))
        (row, *_) = compared(*(item._replace(definition=None) for item in sides))["outputs"]
        assert row["files"]["first"] == [{"path": "a", "change": "changed"}]

    def test_what_a_probe_said(self) -> None:
        """Given the answers of probes, then there are no files."""
        assert manifest_diff(b'{"strength":"probe"}', b'{"strength":"probe"}')["first"] == []


class TestTexts:
    """Within bounds."""

    def test_bounds(self) -> None:
        """Given what is no text, or too large, then it says so."""
        assert text_diff(b"a", None)["why"] == "not_kept"
        assert text_diff(b"\xff", b"a")["why"] == "not_text"
        assert text_diff(b"a" * (BYTES_MAX + 1), b"a")["why"] == "too_large"
        assert text_diff(b"a\n" * (LINES_MAX + 1), b"a")["why"] == "too_large"

    def test_many_lines(self) -> None:
        """Given more lines than are shown, then the others are counted."""
        found = text_diff(b"", b"a\n" * (SHOWN_MAX + 10))
        assert (len(found["lines"]), found["more"]) == (SHOWN_MAX, 11)  # type: ignore[arg-type]

    def test_in_words(self) -> None:
        """Given texts of each kind, then the pages say what they are."""
        texts = {"sha256:a": b"1\n", "sha256:b": b"2\n" * (SHOWN_MAX + 9), "sha256:c": b"\xff", "sha256:d": b"1\r\n"}

        def lines(digest: str) -> str:
            code = [{"path": "a.py", "digest": digest}]
            return "\n".join(
                diff_lines(compared(side(texts=texts), side(texts=texts, environment=ENVIRONMENT | {"code": code})))
            )

        assert "more lines" in lines("sha256:b")
        assert "a.py: it is no text" in lines("sha256:c")
        assert "a.py: only line ends differ" in lines("sha256:d")


class TestWhatDidNotRun:
    """A step that was skipped left what was there as it was."""

    RAN = step(outcome={"status": "succeeded", "attempts": 1, "exit_code": 0}, outputs={"gold": "sha256:a"})

    def skipped(self, **changes: Any) -> Side:  # noqa: ANN401 - of any attribute
        """Return a run whose only step was not attempted."""
        facts = {"status": "skipped", "attempts": 0, "exit_code": None}
        return side(steps={"load": self.RAN._replace(decision="no_new_data", outcome=facts, **changes)})

    def test_with_a_certificate(self) -> None:
        """Given the outputs that its certificate names, then these are compared; it has no exit code, and none is missed."""
        ran = side(steps={"load": self.RAN})
        found = compared(ran, self.skipped())
        assert [entry["component"] for entry in found["steps"][0]["differences"]] == ["decision", "status"]
        assert found["outputs"] == []
        (row,) = compared(ran, self.skipped(outputs={"gold": "sha256:b"}))["outputs"]
        assert (row["dataset"], row["before"], row["after"]) == ("gold", "sha256:a", "sha256:b")

    @pytest.mark.parametrize("backwards", [False, True])
    def test_without_one(self, *, backwards: bool) -> None:
        """Given one that was skipped since another failed, then neither what it read nor what it wrote is said to have vanished."""
        components = {"recipe": 1, "inputs": {"raw": "sha256:i"}}
        pair = [side(steps={"load": self.RAN._replace(components=components)})]
        pair.append(self.skipped(outputs=None, components=None))
        found = compared(*pair[:: -1 if backwards else 1])
        assert (found["inputs"], found["outputs"]) == ([], [])
        assert "nothing" not in "\n".join(diff_lines(found))

    def test_not_yet_decided(self) -> None:
        """Given a step that is not decided yet, then that is said, in either direction."""
        undecided = self.skipped(outputs=None)
        load = undecided.steps["load"]._replace(status="pending", decision=None)
        pair = [side(steps={"load": self.RAN}), undecided._replace(steps={"load": load})]
        assert "load: decision: forced -> not yet decided" in "\n".join(diff_lines(compared(*pair)))
        assert "load: decision: not yet decided -> forced" in "\n".join(diff_lines(compared(*reversed(pair))))

    def test_a_secret_that_came(self) -> None:
        """Given a secret that only one run has, then it came, or is gone, and no value of nothing is told of."""
        having, lacking = (side(start=START | {"variables": entries}) for entries in ({"S": {"origin": ".env"}}, {}))
        assert "S  a secret; it came with the second run, from .env" in "\n".join(diff_lines(compared(lacking, having)))
        assert "S  a secret; it is gone in the second run" in "\n".join(diff_lines(compared(having, lacking)))
