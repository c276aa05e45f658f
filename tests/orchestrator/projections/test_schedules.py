"""Tests of what a ledger alone knows of schedules, also one that an older program has written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger import open_ledger
from ledger.canonical import blob_digest, canonical_bytes
from ledger.events import NewEvent
from orchestrator.cli.app import run_command
from orchestrator.core.events import DefinitionChanged, RunStarted, event_data, event_type
from orchestrator.projections.read_models import ReadModels
from orchestrator.projections.schedules import last_values, missing_by_schedule, schedule_rules, zone_of

NOW = datetime(2026, 1, 9, 12, tzinfo=UTC)


def recorded(folder: Path, *definitions: dict[str, object], lost: bool = False, ran: bool = False) -> Path:
    """Make a ledger in which the pipeline `p` had these definitions, one at noon of each day from 2026-01-05 on; their texts may be *lost*; then it *ran*, or did not."""
    path = folder / "ledger.db"
    times = iter([f"2026-01-{day:02d}T12:00:00.000000Z" for day in range(4, 30)])
    with open_ledger(path, projections=[ReadModels()], now=lambda: next(times)) as ledger:
        before = None
        for number, definition in enumerate(definitions):
            document = {"pipeline": {"name": "p"}, "number": number, **definition}
            text = canonical_bytes(document)
            event = DefinitionChanged(
                "p", before, blob_digest(text), (), "../pipeline.toml", None, {"user": "u", "host": "h"}
            )
            blobs = {} if lost else {event.after: text}
            ledger.append(
                "pipeline/p", [NewEvent(*event_type(event), event_data(event))], expected_version=None, blobs=blobs
            )
            before = event.after
        if ran:
            started = run_started("r1", "2026-01-05", pipeline="p", definition=before)
            ledger.append("run/r1", [NewEvent(*event_type(started), event_data(started))], expected_version=None)
    return path


def schedule(cron: str, **keys: str) -> dict[str, object]:
    """Return the table of a schedule."""
    return {"schedule": {"cron": cron, **keys}}


def run_started(run_id: str, night: str, *, pipeline: str, definition: str | None) -> RunStarted:
    """Return the start of a run."""
    return RunStarted(
        run_id=run_id,
        pipeline=pipeline,
        night=night,
        definition=str(definition),
        definition_path="../pipeline.toml",
        graph="sha256:g",
        selection={"only": [], "force": False},
        variables={},
        trigger="unattended",
        actor={"user": "u", "host": "h"},
        git=None,
        host="h",
        boot_id="b",
        pid=1,
        process_start="1",
        max_parallel=1,
        program="0",
    )


class TestRules:
    """Which schedule was in force when."""

    def test_only_changes_of_the_schedule_count(self, tmp_path: Path) -> None:
        """Given definitions with and without one, then one rule for each change of it, from the time of its event on."""
        path = recorded(
            tmp_path,
            {},
            schedule("0 2 * * *"),
            schedule("0 2 * * *"),
            schedule("0 2 * * *", timezone="Europe/Berlin"),
            {},
        )
        with open_ledger(path, read_only=True) as ledger:
            rules = schedule_rules(ledger.connection, "p")
            missing = missing_by_schedule(ledger.connection, "p", rules, NOW, most=31)
        assert [(rule.since[8:10], rule.cron, rule.timezone) for rule in rules] == [
            ("05", None, "UTC"),
            ("06", "0 2 * * *", "UTC"),
            ("08", "0 2 * * *", "Europe/Berlin"),
            ("09", None, "UTC"),
        ]
        assert missing == ["2026-01-09", "2026-01-08", "2026-01-07"]

    @pytest.mark.parametrize("lost", [False, True])
    def test_never_a_schedule(self, lost: bool, tmp_path: Path) -> None:  # noqa: FBT001 - parametrised
        """Given definitions without one, or whose texts are gone, then there is no rule."""
        path = recorded(tmp_path, schedule("0 2 * * *") if lost else {}, lost=lost)
        with open_ledger(path, read_only=True) as ledger:
            assert schedule_rules(ledger.connection, "p") == []
            assert last_values(ledger.connection, "p") == {}

    def test_zone_that_this_machine_lacks(self) -> None:
        """Given a zone that is not known here, then the error names it."""
        with pytest.raises(ValueError, match="this machine does not know the zone Mars/Olympus"):
            zone_of("Mars/Olympus")


class TestStatus:
    """Reading commands go on with what they cannot judge."""

    @pytest.mark.parametrize(
        ("table", "problem"),
        [
            (schedule("99 2 * * *"), "Bad minute"),
            (schedule("0 2 * * *", timezone="Mars/Olympus"), "this machine does not know the zone Mars/Olympus"),
            (schedule("0 2 * * *", timezone="/etc"), "this machine does not know the zone /etc"),
        ],
    )
    def test_schedule_that_is_none(
        self, table: dict[str, object], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Given what was recorded before it was checked, or on another machine, then status says what is wrong with it, and check cannot tell."""
        path = recorded(tmp_path, table, ran=True)
        assert run_command(["status", "--json", "--ledger", str(path)]) == 0
        (entry,) = json.loads(capsys.readouterr().out)
        assert entry["schedule"]["problem"].endswith(f": {problem}")
        assert entry["schedule"]["problem"] in entry["attention"]

    def test_schedule_that_never_fires(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Given a schedule that never fires, then nothing is due, and no next night is named."""
        path = recorded(tmp_path, schedule("0 0 */31 2 MON#5"), ran=True)
        assert run_command(["status", "--json", "--ledger", str(path)]) == 0
        (entry,) = json.loads(capsys.readouterr().out)
        assert (entry["missing_nights"], entry["schedule"]["next"]) == ([], None)

    def test_path_without_a_value(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Given a run that recorded no value for what a path refers to, and nothing is known of its data."""
        folder = tmp_path / "ledger"
        folder.mkdir()
        (tmp_path / "pipeline.toml").touch()
        path = recorded(folder, {"datasets": {"raw": {"path": "${RAW}", "fresh_within": {"warn": "1h"}}}}, ran=True)
        assert run_command(["status", "--json", "--ledger", str(path)]) == 0
        (entry,) = json.loads(capsys.readouterr().out)
        assert [(data["state"], data["basis"]) for data in entry["freshness"]] == [("unknown", "none")]
