"""Tests of recomputing skips: nothing is found in true histories, and every way of forging one is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import attrs
import pytest

from ledger.canonical import blob_digest, canonical_bytes
from ledger.events import RecordedEvent
from ledger.store import open_ledger
from orchestrator.projections.skip_audit import TYPES, SkipAudit
from tests.nights import Nights
from tests.programs import program

pytestmark = pytest.mark.system

Data = dict[str, Any]


@attrs.define
class History:
    """The events of a true history, and the blobs that it keeps, to be changed."""

    events: list[RecordedEvent]
    blobs: dict[str, bytes]
    audit: SkipAudit = attrs.field(init=False)

    @classmethod
    def of(cls, nights: Nights) -> History:
        """Read the history of two small pipelines."""
        with closing(open_ledger(nights.ledger, read_only=True)) as ledger:
            blobs = dict(ledger.connection.execute("SELECT digest, bytes FROM blobs").fetchall())
            return cls([event for event in ledger.read_all() if event.type in TYPES], blobs)

    def problems(self) -> list[str]:
        """Return what is wrong with its skips."""
        self.audit = SkipAudit(self.blobs.get)
        return [what for event in self.events for what in self.audit.take(event)]

    def place(self, type_: str, step: str, *, last: bool = False, skipped: bool = False) -> int:
        """Return where the first or the last event of *type_* about *step* stands."""
        found = [
            number
            for number, event in enumerate(self.events)
            if event.type == type_ and event.data.get("step") == step and (not skipped or event.data["status"] == "skipped")
        ]  # fmt: skip
        return found[-1 if last else 0]

    def change(self, number: int, change: Callable[[Data], object]) -> None:
        """Change the data of an event."""
        data = json.loads(json.dumps(self.events[number].data))
        change(data)
        self.events[number] = attrs.evolve(self.events[number], data=data)

    def skip(self, change: Callable[[Data], object]) -> None:
        """Change the skip of `totals`."""
        self.change(self.place("step.finished", "totals", skipped=True), change)

    def certify(self, change: Callable[[Data], object]) -> None:
        """Give the skip of `totals` a certificate that was changed."""
        place = self.place("step.finished", "totals", skipped=True)
        evidence: Any = self.events[place].data["evidence"]
        certificate = json.loads(self.blobs[evidence["certificate"]])
        change(certificate)
        content = canonical_bytes(certificate)
        self.blobs[blob_digest(content)] = content
        self.change(place, lambda data: data["evidence"].update(certificate=blob_digest(content)))


@pytest.fixture(name="history")
def _history(nights: Nights) -> History:
    return History.of(nights)


def about(step: str, nights: Nights, what: str) -> str:
    """Return the problem *what* of the idle night."""
    return f"run {nights.idle}, step {step}: {what}"


class TestTrueHistory:
    """What the program has recorded is found right."""

    def test_nothing_is_wrong(self, history: History) -> None:
        """Given nights that were good, idle and failed, then every skip was right, and all have certificates."""
        assert history.problems() == []
        assert (history.audit.checked, history.audit.reported, history.audit.uncertified) == (3, 0, 0)

    def test_many_nights(self, history: History) -> None:
        """Given the same nights again and again, then what is kept of them is one run of each pipeline."""
        audit = SkipAudit(history.blobs.get)
        for time in range(20):
            for event in history.events:
                run_id = event.data.get("run_id")
                data = event.data if run_id is None else {**event.data, "run_id": f"{run_id}.{time}"}
                stream = f"{event.stream}.{time}" if event.stream.startswith("run/") else event.stream
                audit.take(attrs.evolve(event, stream=stream, data=data))
        pipelines = {str(event.data["pipeline"]) for event in history.events if event.type == "run.started"}
        assert sorted(run.pipeline for run in audit._runs.values()) == sorted(pipelines)

    def test_certificate(self, history: History) -> None:
        """Given a skip, then its certificate holds the whole material, the extent of each input and the digest of each output, and is kept under its digest."""
        event = history.events[history.place("step.finished", "ingest", skipped=True)]
        evidence: Any = event.data["evidence"]
        certificate = json.loads(history.blobs[evidence["certificate"]])
        assert blob_digest(canonical_bytes(certificate["components"])) == evidence["key"]
        assert certificate["components"]["variables"] == {"API_KEY": {"secret": True}, "REGION": {"value": "nyc"}}
        assert certificate["inputs"] == {"raw": {"files": 1, "bytes": 2}}
        assert certificate["outputs"].keys() == {"bronze"}
        assert certificate["components"]["inputs"]["raw"] in history.blobs


OTHER = "sha256:" + "0" * 64


class TestForgery:
    """Each thing that makes a skip wrong is found, by its place."""

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            (lambda data: data["evidence"].update(since="x/1"), "it names x/1 as its last success, which was "),
            (lambda data: data["evidence"].update(key=OTHER), "its key is sha256:000000000000…, the material of its last success has sha256:"),
            (lambda data: data["evidence"].pop("certificate"), "it has no certificate, and skips before it have"),
            (lambda data: data["evidence"].update(certificate=OTHER), "its certificate sha256:000000000000… is not there"),
            (lambda data: data.update(reason="no_new_data"), "its reason is no_new_data, by what it reads it is up_to_date"),
            (lambda data: data.update(step="other"), "it names "),
        ],
    )  # fmt: skip
    def test_skip(self, history: History, nights: Nights, change: Callable[[Data], object], what: str) -> None:
        """Given a skip whose event says something else, then that is told."""
        history.skip(change)
        problems = history.problems()
        assert any(what in problem for problem in problems), problems
        assert all(problem.startswith(f"run {nights.idle}, step ") for problem in problems)

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            (lambda data: data["components"]["command"].update({"shell": "other"}), ", which differs from that of its last success, first in command"),
            (lambda data: data["components"]["inputs"].update(bronze=OTHER), "the manifest sha256:000000000000… of its input bronze is not there"),
            (lambda data: data["inputs"]["bronze"].update(bytes=3), "its input bronze was {'bytes': 3, 'files': 1}, its manifest says {'files': 1, 'bytes': 2}"),
            (lambda data: data.update(inputs={}), "its input bronze was None, its manifest says"),
            (lambda data: data["outputs"].update(gold=OTHER), "output gold was sha256:000000000000…, its last success had left sha256:"),
            (lambda data: data["outputs"].update(gold=None), "output gold was nothing, its last success had left sha256:"),
        ],
    )  # fmt: skip
    def test_certificate(self, history: History, nights: Nights, change: Callable[[Data], object], what: str) -> None:
        """Given a certificate that was made up, then what differs from the last success, or from the manifests, is told."""
        history.certify(change)
        problems = history.problems()
        assert any(what in problem for problem in problems), problems
        assert all(problem.startswith(f"run {nights.idle}, step totals: ") for problem in problems)

    def test_blob_that_is_another(self, history: History) -> None:
        """Given a certificate or a manifest that is not what its digest says, then it counts as not there."""
        evidence: Any = history.events[history.place("step.finished", "totals", skipped=True)].data["evidence"]
        history.blobs[evidence["certificate"]] += b" "
        assert ["is not there" in problem for problem in history.problems()] == [True]

    @pytest.mark.parametrize(("status", "reason", "ended"), [("failed", "exit", "failed"), ("failed", "lost", "lost")])
    def test_last_attempt_failed(self, history: History, nights: Nights, status: str, reason: str, ended: str) -> None:
        """Given a step whose last attempt ended in anything but success, then it was to run."""
        success = history.place("step.finished", "totals")
        run = history.events[success].stream.removeprefix("run/")
        started = history.events[history.place("attempt.started", "totals")]
        finished = history.events[history.place("attempt.finished", "totals")]
        again = attrs.evolve(started, data={**started.data, "attempt": 2})
        failed = attrs.evolve(finished, data={**finished.data, "attempt": 2, "status": status, "reason": reason})
        history.events[success + 1 : success + 1] = [again, failed]
        assert (
            about("totals", nights, f"its last attempt, {run}/2, had ended as {ended}: it was to run")
            in history.problems()
        )

    def test_success_whose_outputs_nobody_measured(self, history: History, nights: Nights) -> None:
        """Given an attempt that ended well, and an orchestrator that died before it looked at what that left, then the step was to run."""
        success = history.place("step.finished", "totals")
        started = history.events[history.place("attempt.started", "totals")]
        finished = history.events[history.place("attempt.finished", "totals")]
        history.events[success + 1 : success + 1] = [
            attrs.evolve(event, data={**event.data, "attempt": 2}) for event in (started, finished)
        ]
        assert any("had ended as succeeded: it was to run" in problem for problem in history.problems())
        assert history.audit.checked == 3

    def test_forced(self, history: History, nights: Nights) -> None:
        """Given a run that was started with --force, then nothing that was not attempted in it may be skipped."""
        (place,) = (
            number
            for number, event in enumerate(history.events)
            if event.type == "run.started" and event.data["run_id"] == nights.idle
        )
        history.change(place, lambda data: data["selection"].update(force=True))
        forced = "the run was started with --force: it was to run"
        assert history.problems() == [about(step, nights, forced) for step in ("ingest", "totals", "mail")]

    def test_material_of_a_success(self, history: History) -> None:
        """Given a success whose key is not that of its material, then that is told, and with it the skip that rests on it."""
        history.change(
            history.place("attempt.started", "totals"), lambda data: data["components"].update(code={"x": "y"})
        )
        problems = history.problems()
        assert "of its success is not that of the material of attempt" in problems[0]
        assert any("the key of its last success is not that of the material" in problem for problem in problems)

    def test_step_without_inputs(self, history: History, nights: Nights) -> None:
        """Given a step that neither reads nor needs, then it was never to be skipped."""

        def strip(data: Data) -> None:
            del data["components"]["inputs"]

        def rekey(data: Data) -> None:
            strip(data)
            data["key"] = blob_digest(canonical_bytes(data["components"]))

        history.change(history.place("attempt.started", "totals"), rekey)
        started: Any = history.events[history.place("attempt.started", "totals")].data
        history.change(history.place("step.finished", "totals"), lambda data: data.update(key=started["key"]))
        history.skip(lambda data: data["evidence"].update(key=started["key"]))
        history.certify(strip)
        assert about("totals", nights, "it reads and needs nothing: it was to run") in history.problems()

    def test_run_that_is_not_under_way(self, history: History) -> None:
        """Given a skip in a run that another one of its pipeline has followed, then it is no skip that anybody decided."""
        skip = history.events[history.place("step.finished", "totals", skipped=True)]
        history.events.append(attrs.evolve(skip, stream="run/20260101T000000Z-000000000"))
        (problem,) = history.problems()
        assert problem.endswith("its run never began, or is not the newest of its pipeline")

    def test_older_program(self, history: History) -> None:
        """Given a history without any certificate, then the keys are checked, and that they alone were is counted."""
        for number, event in enumerate(history.events):
            evidence: Any = event.data.get("evidence")
            if isinstance(evidence, Mapping) and "certificate" in evidence:
                history.change(number, lambda data: data["evidence"].pop("certificate"))
        assert history.problems() == []
        assert (history.audit.checked, history.audit.uncertified) == (3, 3)


def test_accepted_by_hand(nights: Nights) -> None:
    """Given an output that was mended and accepted, then it is what later skips are held against; the step's name alone is never enough."""
    history = History.of(nights)
    stream = "pipeline/shop"
    place = history.place("step.finished", "totals")
    success: Any = history.events[place].data
    accepted = {
        "pipeline": "shop",
        "run_id": nights.good,
        "step": "totals",
        "night": "",
        "actor": {},
        "reason": "mended",
    }
    event = attrs.evolve(
        history.events[place],
        stream=stream,
        type="output.accepted",
        data={**accepted, "outputs": {"gold": OTHER}, "before": success["outputs"], "key": success["key"]},
    )
    unknown = attrs.evolve(event, data={**event.data, "step": "never"})
    history.events[place + 1 : place + 1] = [event, unknown]
    (problem,) = history.problems()
    assert "its last success had left sha256:000000000000…: it was to run" in problem
    history.certify(lambda data: data["outputs"].update(gold=OTHER))
    assert history.problems() == []


def test_nights_were_lived_through(nights: Nights) -> None:
    """Given the ledger of these nights, then the command says the same."""
    done = program("audit", "verify", "--skips", cwd=nights.shop)
    assert done.returncode == 0
    assert "skips: 3 decided, 0 reported by the steps themselves; all right" in done.stdout
