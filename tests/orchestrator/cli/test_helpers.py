"""Tests of the small parts: where things are, tails of logs, times, the program's own log."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.event_log import EventLog
from orchestrator.cli.locate import definition_path, ledger_path, relative_to_ledger
from orchestrator.cli.tails import failed_tails, last_lines
from orchestrator.cli.times import shown_seconds, shown_time
from orchestrator.core.tracing import span_id_of
from orchestrator.projections.log_records import RunLog
from tests.orchestrator.cli.test_progress import RUN, event


class TestLocate:
    """Options, then the environment, then the folder."""

    def test_definition(self, tmp_path: Path) -> None:
        """Given nothing, a file, a folder or a name that is too long, then where the definition would be."""
        assert definition_path(None) == Path("pipeline.toml")
        assert definition_path("other.toml") == Path("other.toml")
        assert definition_path(str(tmp_path)) == tmp_path / "pipeline.toml"
        assert definition_path("x" * 300) == Path("x" * 300)

    def test_ledger(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given an option, a variable or neither, then the option goes first, and the folder of the definition last."""
        definition = tmp_path / "pipeline.toml"
        assert ledger_path(None, definition) == tmp_path / ".orchestrate" / "ledger.db"
        monkeypatch.setenv("ORCHESTRATE_LEDGER", str(tmp_path))
        assert ledger_path(None, definition) == tmp_path / "ledger.db"
        assert ledger_path(str(tmp_path / "l.db"), definition) == tmp_path / "l.db"
        monkeypatch.setenv("ORCHESTRATE_LEDGER", "")
        assert ledger_path(None, definition) == tmp_path / ".orchestrate" / "ledger.db"

    def test_path_in_the_ledger_is_relative_to_it(self) -> None:
        """Given both places, then the definition's path from the ledger's folder."""
        assert relative_to_ledger(Path("/a/b/pipeline.toml"), Path("/a/b/.orchestrate/ledger.db")) == "../pipeline.toml"

    def test_bytes_that_are_no_utf8(self) -> None:
        """Given a name that no ledger can hold, then it is refused."""
        with pytest.raises(UsageRefusedError, match="is no UTF-8"):
            ledger_path(os.fsdecode(b"/caf\xe9/l.db"), Path("pipeline.toml"))


class TestTails:
    """The ends of logs, read from their end."""

    def test_short_file(self, tmp_path: Path) -> None:
        """Given fewer lines than asked for, then all of them; bytes that are no UTF-8 are replaced."""
        path = tmp_path / "log"
        path.write_bytes(b"a\n\xff\nc")
        assert last_lines(path, 5) == ["a", "\ufffd", "c"]
        assert last_lines(path, 2) == ["\ufffd", "c"]

    def test_no_file(self, tmp_path: Path) -> None:
        """Given no file, then nothing."""
        assert last_lines(tmp_path / "none", 5) == []

    def test_large_file_is_read_from_its_end(self, tmp_path: Path) -> None:
        """Given more than 64 KiB, then whole lines of its end; one endless line is cut."""
        path = tmp_path / "log"
        path.write_text("".join(f"{number:06d}\n" for number in range(20_000)))
        assert last_lines(path, 2) == ["019998", "019999"]
        lines = last_lines(path, 20_000)
        assert all(len(line) == 6 for line in lines)
        assert len(lines) < 10_000
        path.write_text("x" * 100_000)
        assert last_lines(path, 3) == ["x" * 65_536]

    def test_of_failed_steps(self, tmp_path: Path) -> None:
        """Given a run, then the tails of the first three failed steps that printed something and whose log is there."""
        steps = [
            {"step": name, "status": status, "log": log}
            for name, status, log in (
                ("good", "succeeded", "good.log"),
                ("silent", "failed", None),
                ("gone", "failed", "gone.log"),
                ("bad", "failed", "bad.log"),
            )
        ]
        (tmp_path / "bad.log").write_text("oh\n")
        assert failed_tails({"run_id": "R", "classes": {}, "steps": steps}, tmp_path) == {"bad": ["oh"]}


class TestTimes:
    """Times as people read them."""

    def test_times(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a stored time, then UTC to the second, or the local zone with its offset; nothing for none."""
        import time

        utc = "2026-01-31T02:00:00.123456Z"
        assert (shown_time(utc), shown_time(None)) == ("2026-01-31 02:00:00Z", "-")
        monkeypatch.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        try:
            assert shown_time(utc, local=True) == "2026-01-31 07:30:00+0530"
        finally:
            monkeypatch.undo()
            time.tzset()

    def test_seconds(self) -> None:
        """Given seconds, then with a unit, milliseconds below a minute only."""
        assert [shown_seconds(value) for value in (None, 0.0021, 1.5, 75.4)] == ["-", "2ms", "1.5s", "1m15s"]


class TestEventLog:
    """A record for each event, as JSON lines or as text."""

    def test_file(self, tmp_path: Path) -> None:
        """Given a file, then a JSON line with run, step and level; after closing nothing more is written."""
        path = tmp_path / "own.log"
        log = EventLog(str(path), verbose=False)
        log.recorded(event("step.finished", step="a", status="failed"))
        assert log.tick() is None
        log.close()
        log.recorded(event("run.finished"))
        (line,) = path.read_text().splitlines()
        record = json.loads(line)["record"]
        assert (record["message"], record["level"]["name"]) == ("step.finished", "ERROR")
        place = RunLog().apply(event("step.finished", step="a", status="failed")).place
        ids = {"trace_id": place.trace_id, "span_id": place.span_id}
        assert record["extra"] == {"run": "r", "seq": 1, "step": "a", "status": "failed", **ids}

    def test_text(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Given verbose, then stderr gets a line of text."""
        log = EventLog(None, verbose=True)
        log.recorded(event("run.started", **RUN, host="h"))
        log.close()
        place = RunLog().apply(event("run.started", **RUN, host="h")).place
        line = f"Z INFO run.started run=r seq=1 trace_id={place.trace_id} span_id={place.span_id}\n"
        assert line in capsys.readouterr().err

    def test_json_on_stderr(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Given `-` for the file, then the JSON lines go to stderr, and no file has that name."""
        log = EventLog("-", verbose=False)
        log.recorded(event("run.started", **RUN, host="h"))
        log.close()
        (line,) = capsys.readouterr().err.splitlines()
        assert json.loads(line)["record"]["extra"]["run"] == "r"
        assert not Path("-").exists()

    def test_a_resumed_run(self, tmp_path: Path) -> None:
        """Given the events of before, then records lie in the part of the trace that has begun, and those events have none."""
        before = [event("run.started", **RUN, host="h"), event("run.finished", status="failed")]
        log = EventLog(str(tmp_path / "own.log"), verbose=False, before=before)
        log.recorded(event("run.resumed", **RUN, host="h"))
        log.close()
        (line,) = (tmp_path / "own.log").read_text().splitlines()
        assert json.loads(line)["record"]["extra"]["span_id"] == span_id_of("r", part=1)

    def test_file_that_cannot_be(self, tmp_path: Path) -> None:
        """Given a folder in place of the file, then it is refused with its name."""
        with pytest.raises(UsageRefusedError, match=f"--log-file {tmp_path}: Is a directory"):
            EventLog(str(tmp_path), verbose=False)
