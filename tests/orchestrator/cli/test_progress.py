"""Tests of what a run shows while it is on."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest
from rich.console import Console

from ledger.events import RecordedEvent
from orchestrator.cli.observing import Watching, _Guarded
from orchestrator.cli.progress import Live, PlainLines, Silent
from orchestrator.core.definition import Dataset
from tests.nights import write_shop
from tests.pipelines import data_pipeline, pipeline_of
from tests.programs import PATIENCE_SECONDS, PROGRAM
from tests.simulation import simulated_plan

RUN = {"run_id": "20260131T020000Z-000abcdef", "pipeline": "p", "night": "2026-01-31"}
TOUCHED = {"dataset": "gold", "expected": "sha256:" + "a" * 64, "actual": "sha256:" + "b" * 64}


def event(kind: str, **data: object) -> RecordedEvent:
    """Return a recorded event."""
    return RecordedEvent(
        seq=1,
        stream="run/r",
        version=0,
        type=kind,
        type_version=1,
        recorded_at="2026-01-31T02:00:00.000000Z",
        id="0" * 32,
        data=data,
    )


class TestPlainLines:
    """One line for each step that ran."""

    def test_lines(self) -> None:
        """Given the events of a run, then its start, each end but the skipped ones, and what is overwritten."""
        stream = io.StringIO()
        lines = PlainLines(stream, total=3)
        for item in (
            event("run.started", **RUN),
            event("attempt.started", step="a", attempt=1, reason="output_changed", evidence=TOUCHED),
            event("step.finished", step="a", status="succeeded", duration_us=1_500_000),
            event("step.finished", step="b", status="skipped", reason="up_to_date"),
            event("step.finished", step="c\x1b[31m", status="failed", reason="exit", evidence={"exit_code": 3}),
            event("run.finished", status="failed"),
        ):
            lines.recorded(item)
        assert lines.tick() is None
        lines.close()
        assert stream.getvalue().splitlines() == [
            "run 20260131T020000Z-000abcdef of p, night 2026-01-31, 3 steps",
            f"note: a: output gold was changed by hand: {'sha256:' + 'b' * 12}…, the step had left {'sha256:' + 'a' * 12}…; it is overwritten",
            "[1/3] a succeeded in 1.5s",
            "[3/3] c\\e[31m failed: exit code 3",
        ]


class TestSilent:
    """Nothing, ever."""

    def test_shows_nothing(self) -> None:
        """Given events, then nothing is shown and no redrawing asked for."""
        silent = Silent()
        silent.recorded(event("run.started", **RUN))
        assert silent.tick() is None
        silent.close()


class TestLive:
    """A picture of what runs, redrawn."""

    def drawn(self, steps: int, events: list[RecordedEvent], usual: Mapping[str, int] | None = None) -> str:
        """Return what a terminal is sent for *events*, without its escape sequences."""
        console = Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None)
        plan = simulated_plan(pipeline_of({f"s{number}": [] for number in range(steps)}))
        live = Live(console, plan=plan, expected_us=usual or {}, last_line=lambda step: f"line of {step}\x07")
        for item in events:
            live.recorded(item)
        assert live.tick() == 250_000
        live.close()
        assert isinstance(console.file, io.StringIO)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())

    def test_running_steps_with_their_last_lines(self) -> None:
        """Given a step that runs, then its name, what it usually takes, its last line made harmless, and what is left."""
        text = self.drawn(
            2,
            [
                event("run.started", **RUN),
                event("attempt.started", step="s0", attempt=1, reason="never_succeeded", evidence={}),
                event("attempt.started", step="s1", attempt=1, reason="output_changed", evidence=TOUCHED),
                event("step.finished", step="s1", status="succeeded", duration_us=5),
            ],
            {"s0": 3_000_000},
        )
        assert "p 2026-01-31" in text
        assert "1/2" in text
        assert "1 succeeded" in text
        assert re.search(r"running +s0 +0\.\ds +usually 3\.0s +line of s0\\x07", text)
        assert re.search(r"about [23]\.\ds left", text)
        assert "note: s1: output gold was changed by hand" in text

    def test_output_of_personal_data_is_not_shown(self) -> None:
        """Given a step that touches personal data, then its last line is not asked for, and the picture says so."""
        console = Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None)
        pipeline = data_pipeline({"s0": ["people"]})
        classed = {**pipeline.datasets, "people": Dataset("people", path="p", classification="personal")}
        plan = simulated_plan(attrs.evolve(pipeline, datasets=classed))
        live = Live(console, plan=plan, expected_us={}, last_line=pytest.fail)
        live.recorded(event("attempt.started", step="s0", attempt=1, reason="never_succeeded", evidence={}))
        live.tick()
        live.close()
        assert isinstance(console.file, io.StringIO)
        assert "(output withheld: personal data)" in console.file.getvalue()

    def test_failures_stay(self) -> None:
        """Given a step that failed, then its line is printed above the picture."""
        text = self.drawn(
            1, [event("step.finished", step="s0", status="failed", reason="exit", evidence={"exit_code": 3})]
        )
        assert "failed s0 failed: exit code 3" in text
        assert "left" not in text

    def test_many_steps_are_cut(self) -> None:
        """Given more running steps than fit, then the rest is counted."""
        started = [event("attempt.started", step=f"s{number}", attempt=1, reason="forced") for number in range(15)]
        assert "and 3 more" in self.drawn(15, started)


class TestGuard:
    """A picture that cannot be drawn any more does not stop the run."""

    @pytest.mark.parametrize("error", [OSError("gone"), ValueError("closed")])
    def test_goes_silent(self, error: Exception) -> None:
        """Given a terminal that has gone away, then nothing more is shown and nothing raised."""

        class Broken(Silent):
            def recorded(self, event: RecordedEvent) -> None:
                raise error

            def tick(self) -> int | None:
                raise error

        told = _Guarded(Broken())
        told.recorded(event("run.started", **RUN))
        assert told.tick() is None
        redrawn = _Guarded(Broken())
        assert redrawn.tick() is None
        redrawn.recorded(event("run.started", **RUN))

    def test_close_that_fails_is_no_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a picture that cannot be taken away, then that is passed over."""

        class Broken(Silent):
            def close(self) -> None:
                raise OSError("gone")

        watching = Watching(log_file=None, verbose=False, silent=True)
        monkeypatch.setattr(watching, "_progress", lambda *_: Broken())
        with watching.observers(simulated_plan(pipeline_of({"a": []})), None, lambda _: None) as observers:  # type: ignore[arg-type]
            assert len(observers) == 1


def on_terminal(folder: Path, *arguments: str, until: str, env: Mapping[str, str]) -> tuple[str, int]:
    """Run the program on a terminal; touch `go` as soon as it has shown *until*; return what it showed and its exit code."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "120", "LINES": "40", **env},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    shown, deadline = b"", time.monotonic() + PATIENCE_SECONDS
    try:
        while True:
            assert time.monotonic() < deadline, shown
            try:
                block = os.read(master, 65536)
            except OSError:
                break  # Nobody holds the other end any more.
            shown += block
            if until.encode() in shown:
                (folder / "go").touch()
        return shown.decode(), process.wait(PATIENCE_SECONDS)
    finally:
        os.close(master)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()


class TestTerminal:
    """A terminal gets the live picture; others get plain lines."""

    DEFINITION = """\
[pipeline]
name = "p"
[steps.waits]
shell = "echo waiting here; while ! test -e go; do sleep 0.01; done"
[steps.fails]
shell = "exit 3"
needs = ["waits"]
"""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Give the folder of a pipeline that goes on when there is a file `go`."""
        (tmp_path / "pipeline.toml").write_text(self.DEFINITION, encoding="utf-8")
        return tmp_path

    def test_live_picture_with_colours(self, folder: Path) -> None:
        """Given a terminal, then the picture shows the running step and its last line, in colour, and the summary follows."""
        env = {"TERM": "xterm-256color", "NO_COLOR": ""}
        text, code = on_terminal(folder, "run", until="waiting here", env=env)
        assert code == 1
        assert re.search("\x1b\\[[0-9;]*36m", text)
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
        assert re.search(r"running +waits +\d+\.\ds +waiting here", plain)
        assert "failed fails failed" in plain
        assert "first failure: fails: exit code 3" in plain
        (folder / "go").unlink()
        text, code = on_terminal(folder, "run", "--force", until="waiting here", env=env)
        assert "usually" in text

    def test_no_color(self, folder: Path) -> None:
        """Given NO_COLOR on a terminal, then the picture is drawn without colours."""
        text, _ = on_terminal(folder, "run", until="waiting here", env={"TERM": "xterm-256color", "NO_COLOR": "1"})
        assert not re.search("\x1b\\[[0-9;]*[349][0-7]m", text)

    @pytest.mark.parametrize(
        ("options", "env"),
        [((), {"TERM": "dumb"}), (("-v",), {"TERM": "xterm", "NO_COLOR": ""}), (("--quiet",), {"TERM": "xterm"})],
        ids=["dumb", "verbose", "quiet"],
    )
    def test_plain_lines(self, folder: Path, options: tuple[str, ...], env: Mapping[str, str]) -> None:
        """Given a terminal that cannot draw, or records of the log between, then no escape sequence is sent."""
        (folder / "go").touch()
        text, code = on_terminal(folder, "run", *options, until="never", env=env)
        assert code == 1
        assert "\x1b" not in text
        assert ("[1/2] waits succeeded" in text) == ("--quiet" not in options)

    def test_terminal_that_goes_away_does_not_end_the_run(self, tmp_path: Path) -> None:
        """Given a stderr that nobody reads any more, then the run goes on to its end."""
        write_shop(tmp_path / "shop")
        done = subprocess.run(
            ["sh", "-c", '"$0" run 2>&1 >/dev/null | head -c 1 >/dev/null; "$0" runs --json', PROGRAM],
            cwd=tmp_path / "shop",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert '"status": "succeeded"' in done.stdout
