"""Skips of whole histories, recomputed by the program: renamed, resumed, accepted, restored, by night, of an older program, and forged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.events import NewEvent
from ledger.store import open_ledger
from orchestrator.projections.read_models import ReadModels
from tests.nights import SHOP, Nights, live_through, write_shop
from tests.old_ledgers import old_shop
from tests.programs import Json, data_of, ledger_of, program, value_of

pytestmark = pytest.mark.system

NONE_WRONG = {"wrong": 0, "unread": []}


@pytest.fixture(name="shop")
def _shop(tmp_path: Path) -> Path:
    return write_shop(tmp_path / "shop")


def run(shop: Path, *options: str, code: int = 0) -> dict[str, tuple[str, str | None]]:
    """Run and return how each step ended."""
    value = value_of(program("run", "--json", *options, cwd=shop), "run", code=code)
    return {step["step"]: (step["status"], step["reason"]) for step in value["steps"]}


def verified(shop: Path, code: int = 0) -> Json:
    """Return what `audit verify --skips` says."""
    value: Json = value_of(program("audit", "verify", "--skips", "--json", cwd=shop), "audit-verify", code=code)
    assert value["level"] >= 1, value["problems"]
    return value


def counts(shop: Path) -> tuple[int, int, int]:
    """Return how many skips were checked, reported and without a certificate; none of them is wrong."""
    skips = verified(shop)["skips"]
    assert skips | NONE_WRONG == skips
    return skips["checked"], skips["reported"], skips["uncertified"]


SKIPPED = {
    "ingest": ("skipped", "no_new_data"),
    "totals": ("skipped", "up_to_date"),
    "mail": ("skipped", "up_to_date"),
}


class TestTrueSkips:
    """What the program skips rightly is shown to be right."""

    def test_certificates_are_kept_once(self, shop: Path) -> None:
        """Given three idle nights, then each step has one certificate, which all of them name."""
        for _ in range(4):
            run(shop)
        skips = [event for event in data_of(ledger_of(shop), "step.finished") if event["status"] == "skipped"]
        assert len({event["evidence"]["certificate"] for event in skips}) == 3
        assert counts(shop) == (9, 0, 0)

    def test_renamed(self, shop: Path) -> None:
        """Given a pipeline, a step and a dataset with new names, then they are skipped under these, rightly."""
        run(shop)
        text = SHOP.replace('name = "shop"', 'name = "store"\nformerly = ["shop"]')
        text = text.replace("[steps.totals]", '[steps.sums]\nformerly = ["totals"]')
        text = text.replace("[datasets.gold]", '[datasets.figures]\nformerly = ["gold"]').replace(
            '"gold"]\n', '"figures"]\n'
        )
        text = text.replace('formerly = ["figures"]', 'formerly = ["gold"]')
        (shop / "pipeline.toml").write_text(text, encoding="utf-8")
        assert run(shop, "--moved", "--reason", "renamed")["sums"] == ("skipped", "up_to_date")
        assert counts(shop) == (3, 0, 0)

    def test_reported_resumed_and_accepted(self, shop: Path) -> None:
        """Given a step that reports nothing new, a run that goes on, and an output that was accepted, then all skips are right."""
        text = SHOP.replace(
            'command = ["true"]', 'shell = "test -e broken && exit 1 || exit 9"\nexit_codes = { 9 = "no_new_data" }'
        )
        (shop / "pipeline.toml").write_text(text, encoding="utf-8")
        (shop / "broken").touch()
        run(shop, code=1)
        (shop / "broken").unlink()
        assert program("resume", "latest", cwd=shop).returncode == 0
        (shop / "gold/all.csv").write_text("mended\n", encoding="utf-8")
        assert program("accept", "latest", "totals", "--reason", "mended", cwd=shop).returncode == 0
        run(shop)
        assert counts(shop) == (2, 2, 0)

    def test_by_night(self, shop: Path) -> None:
        """Given a step that is counted night by night, then each night is held against itself."""
        text = SHOP.replace('command = ["true"]', 'command = ["true"]\nper_night = true')
        (shop / "pipeline.toml").write_text(text, encoding="utf-8")
        for night in ("2026-01-01", "2026-01-02", "2026-01-01"):
            run(shop, "--for", night)
        assert run(shop, "--for", "2026-01-02") == SKIPPED
        assert counts(shop) == (8, 0, 0)

    def test_large_material(self, shop: Path) -> None:
        """Given more code than stands in an event, then the certificate names the document that has it."""
        for number in range(100):
            (shop / f"code{number}.sql").write_text(str(number))
        (shop / "pipeline.toml").write_text(SHOP.replace('command = ["true"]', 'command = ["true"]\ncode = ["*.sql"]'))
        run(shop)
        assert run(shop) == SKIPPED
        assert counts(shop) == (3, 0, 0)

    def test_restored(self, shop: Path) -> None:
        """Given a ledger that continues a restored one, then its skips are held against what it has carried over, and the former ones are checked too."""
        run(shop)
        run(shop)
        assert program("audit", "backup", "../backup.db", cwd=shop).returncode == 0
        for path in (shop / ".orchestrate").glob("ledger.db*"):
            path.unlink()
        assert program("audit", "restore", "../backup.db", "--reason", "lost", cwd=shop).returncode == 0
        assert run(shop) == SKIPPED
        assert counts(shop) == (6, 0, 0)

    def test_older_program(self, tmp_path: Path) -> None:
        """Given a ledger of an older program, then its skips are checked by their keys alone, and later ones by their certificates."""
        shop = old_shop(tmp_path)
        checked, reported, uncertified = counts(shop)
        assert checked == uncertified > 0
        run(shop)
        assert counts(shop)[2] == uncertified
        assert counts(shop)[0] + counts(shop)[1] > checked + reported


def forged(nights: Nights, **evidence: object) -> None:
    """Record, as a program that lies would, one more night on which `totals` was skipped."""
    run_started: Any = data_of(nights.ledger, "run.started")[0]
    graph: Any = {"status": "skipped", "reason": "up_to_date", "step": "totals", "attempts": 0}
    with open_ledger(nights.ledger, projections=[ReadModels()]) as store:
        events = [
            NewEvent("run.started", 1, {**run_started, "run_id": "20260105T000000Z-000000000", "night": "2026-01-05"}),
            NewEvent("step.finished", 1, {**graph, "evidence": evidence}),
            NewEvent("run.finished", 1, {"status": "nothing_to_do", "exit_code": 0, "duration_us": 1, "counts": {"skipped": 1}}),
        ]  # fmt: skip
        store.append("run/20260105T000000Z-000000000", events, expected_version=-1)


class TestForgedSkip:
    """A skip that should not have been is found in a ledger that verifies otherwise."""

    def test_after_a_failure(self, tmp_path: Path) -> None:
        """Given a step that failed last, and a record of a skip that names its last success, key and certificate, then it is found, with its place."""
        nights = live_through(tmp_path)
        true: Any = next(
            event
            for event in data_of(nights.ledger, "step.finished")
            if event["step"] == "totals" and event["status"] == "skipped"
        )
        forged(nights, **true["evidence"])
        plain = value_of(program("audit", "verify", "--json", cwd=nights.shop), "audit-verify")
        assert (plain["ok"], "skips" in plain) == (True, False)
        value = verified(nights.shop, code=3)
        assert {problem["kind"] for problem in value["problems"]} == {"wrong_skip"}
        assert (value["ok"], value["level"], value["skips"]["wrong"]) == (False, 1, 1)
        told = "had ended as failed: it was to run"
        assert told in value["problems"][0]["detail"]
        done = program("audit", "verify", "--skips", cwd=nights.shop)
        assert done.returncode == 3
        assert told in done.stdout
        assert "skips: 4 decided, 0 reported by the steps themselves; 1 is wrong" in done.stdout

    def test_what_does_not_fit_in(self, tmp_path: Path) -> None:
        """Given an event that makes no sense where it stands, then that is told without a traceback."""
        nights = live_through(tmp_path)
        forged(nights, certificate=5, key={}, since=[])
        with open_ledger(nights.ledger, projections=[ReadModels()]) as store:
            finished = {"step": "totals", "attempt": 7, "status": "succeeded", "killed": [], "survivors": []}
            store.append(
                "run/20260105T000000Z-000000000", [NewEvent("attempt.finished", 1, {**finished, "step": "none"})], expected_version=2
            )  # fmt: skip
        value = verified(nights.shop, code=3)
        assert "this event does not fit in with those before it (KeyError: " in value["problems"][-1]["detail"]
        assert len(value["problems"]) == value["skips"]["wrong"] > 1

    def test_ledger_that_does_not_verify(self, tmp_path: Path) -> None:
        """Given events that were altered, then nothing is told of the skips in them, and that is said."""
        nights = live_through(tmp_path)
        with open_ledger(nights.ledger, projections=[ReadModels()]) as store:
            store.connection.execute("DROP TRIGGER IF EXISTS events_no_update")
            names = [
                row[0] for row in store.connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            ]
            for name in names:
                store.connection.execute(f"DROP TRIGGER {name}")
            store.connection.execute("UPDATE events SET body = replace(body, 'up_to_date', 'up_to_data')")
        value = value_of(program("audit", "verify", "--skips", "--json", cwd=nights.shop), "audit-verify", code=3)
        assert value["skips"] == {
            "checked": 0,
            "reported": 0,
            "uncertified": 0,
            "pruned": 0,
            "wrong": 0,
            "unread": ["ledger.db"],
        }
        assert "not checked in ledger.db" in program("audit", "verify", "--skips", cwd=nights.shop).stdout
