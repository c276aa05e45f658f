"""What somebody tried who wanted to break it: names, bytes and moments that nobody has by accident."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.programs import (
    data_of,
    ended,
    everything_in,
    exists,
    ledger_of,
    pid_in,
    program,
    refused,
    started,
    value_of,
    wait_until,
)

pytestmark = pytest.mark.system

SECRET = "tok-0123456789ab"
PLAIN = '[pipeline]\nname = "p"\n[steps.a]\ncommand = ["true"]\n'


def define(folder: Path, text: str) -> None:
    """Write a definition."""
    (folder / "pipeline.toml").write_text(text, encoding="utf-8")


class TestSecrets:
    """Nowhere but in the environment of the step."""

    def test_names_of_files_and_metrics(self, tmp_path: Path) -> None:
        """Given a step that names a file, a metric and a key of its report after its secret, then no file of ours holds it."""
        work = (
            'mkdir -p out; echo 1 > "out/x_$TOKEN.csv"; '
            'printf \'{"metrics": {"%s": 1}, "outputs": {"out": {"n": "%s"}}}\' "$TOKEN" "$TOKEN" > "$ORCHESTRATE_RESULT"'
        )
        define(
            tmp_path,
            '[pipeline]\nname = "p"\n[env.vars]\nTOKEN = { secret = true }\n[datasets.out]\npath = "out"\n'
            f'[steps.a]\nshell = {json.dumps(work)}\nwrites = ["out"]\nenv = ["TOKEN"]\n'
            '[steps.b]\nshell = "cat $ORCHESTRATE_INPUTS"\nreads = ["out"]\n',
        )
        (tmp_path / ".env").write_text(f"TOKEN={SECRET}\n")

        assert program("run", "-q", cwd=tmp_path).returncode == 0
        assert value_of(program("plan", "--json", cwd=tmp_path), "plan")["steps"][1]["outlook"] != "run"
        kept = [path for path in (tmp_path / ".orchestrate").rglob("*") if path.is_file()]
        assert [path for path in kept if SECRET.encode() in path.read_bytes()] == []
        assert "x_***.csv" in program("logs", "latest", "b", cwd=tmp_path).stdout

    def test_a_wrong_definition_that_holds_one(self, tmp_path: Path) -> None:
        """Given a definition that is refused with the secret in the message, then the ledger keeps the message without it."""
        define(tmp_path, PLAIN)
        (tmp_path / ".env").write_text(f"TOKEN={SECRET}\n")
        program("run", "-q", cwd=tmp_path)
        define(tmp_path, PLAIN + f'timeout = "{SECRET}"\n')

        assert program("run", cwd=tmp_path).returncode == 2

        (problem,) = data_of(ledger_of(tmp_path), "run.refused")[0]["problems"]
        assert "***" in problem["message"]
        assert everything_in(tmp_path / ".orchestrate")
        assert SECRET.encode() not in ledger_of(tmp_path).read_bytes()


class TestNames:
    """One name, one pipeline; a renamed one is still the same."""

    def test_names_that_differ_only_in_case_are_one(self, tmp_path: Path) -> None:
        """Given `shop`, then `Shop` is refused on the same ledger."""
        env = {"ORCHESTRATE_LEDGER": str(tmp_path / "ledger.db")}
        for name in ("shop", "Shop"):
            (tmp_path / name.replace("S", "_s")).mkdir()
            define(tmp_path / name.replace("S", "_s"), PLAIN.replace('"p"', f'"{name}"'))
        assert program("run", "-q", cwd=tmp_path / "shop", env=env).returncode == 0

        done = program("run", "--moved", cwd=tmp_path / "_shop", env=env)

        assert done.returncode == 2
        assert "this ledger has a pipeline shop: names that differ only in case are one name" in done.stderr

    def test_a_pipeline_that_died_before_it_was_renamed(self, tmp_path: Path) -> None:
        """Given a killed run, when the pipeline is renamed and run, then the old run is closed and its step ended."""
        define(tmp_path, '[pipeline]\nname = "old"\n[steps.a]\nshell = "echo $$ > pid; exec sleep 300"\n')
        with started("run", "-q", cwd=tmp_path) as process:
            wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip(), "the step")
            process.send_signal(signal.SIGKILL)
            ended(process)
        step = pid_in(tmp_path / "pid")
        define(tmp_path, '[pipeline]\nname = "new"\nformerly = ["old"]\n[steps.a]\ncommand = ["true"]\n')

        done = program("run", cwd=tmp_path)

        assert "had lost its orchestrator; it is interrupted now" in done.stderr
        assert not exists(step)
        assert [run["status"] for run in value_of(program("runs", "--json", cwd=tmp_path), "runs")] == [
            "succeeded",
            "interrupted",
        ]

    def test_a_renamed_pipeline_waits_for_its_former_self(self, tmp_path: Path) -> None:
        """Given a run under the former name, then one under the new name is refused with exit code 4."""
        define(
            tmp_path,
            '[pipeline]\nname = "old"\n[steps.a]\nshell = "touch up; while [ ! -e go ]; do sleep 0.05; done"\n',
        )
        with started("run", "-q", cwd=tmp_path) as process:
            wait_until((tmp_path / "up").exists, "the step")
            define(tmp_path, PLAIN.replace('name = "p"', 'name = "new"\nformerly = ["old"]'))
            done = program("run", cwd=tmp_path)
            (tmp_path / "go").touch()
            ended(process)
        assert done.returncode == 4
        assert "pipeline old is active: run " in done.stderr


class TestBytes:
    """Bytes that are no text."""

    def test_a_reason_that_is_no_text(self, tmp_path: Path) -> None:
        """Given such an argument, then it is recorded written out."""
        define(tmp_path, PLAIN)
        done = program("run", "-q", "--reason", os.fsdecode(b"a\xff"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert data_of(ledger_of(tmp_path), "run.started")[0]["reason"] == "a\\udcff"

    def test_a_value_that_is_no_text(self, tmp_path: Path) -> None:
        """Given such a plain value, then the run is refused, since it could not be recorded."""
        define(tmp_path, PLAIN + "[params]\nx = {}\n")
        (problem,) = refused(program("run", "--json", "--set", os.fsdecode(b"x=\xff"), cwd=tmp_path))
        assert "the value of x (--set) is not UTF-8" in problem["message"]

    def test_a_file_name_that_is_no_text(self, tmp_path: Path) -> None:
        """Given such a file in a dataset, twice, with the cache of digests, then the run goes on."""
        define(
            tmp_path,
            '[pipeline]\nname = "p"\n[datasets.raw]\npath = "raw"\n[steps.a]\ncommand = ["true"]\nreads = ["raw"]\n',
        )
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / os.fsdecode(b"caf\xe9.csv")).write_text("1")
        os.utime(tmp_path / "raw" / os.fsdecode(b"caf\xe9.csv"), (1, 1))
        for code in (0, 0):
            assert program("run", "-q", cwd=tmp_path).returncode == code

    @pytest.mark.parametrize("command", [("runs",), ("show", "latest"), ("status",), ("run",)], ids=" ".join)
    def test_texts_in_the_ledger_that_are_none(self, tmp_path: Path, command: tuple[str, ...]) -> None:
        """Given tables whose texts were overwritten with bytes that are none, then exit code 3 and no traceback."""
        define(tmp_path, PLAIN)
        program("run", "-q", cwd=tmp_path)
        connection = sqlite3.connect(ledger_of(tmp_path))
        connection.execute("UPDATE runs SET night = CAST(x'ff' AS TEXT), counts = '{', pipeline = CAST(x'70' AS TEXT)")
        connection.execute("UPDATE pipelines SET definition = CAST(x'ff' AS TEXT)")
        connection.commit()
        connection.close()

        done = program(*command, cwd=tmp_path)

        assert done.returncode == 3, done.stderr
        assert "Traceback" not in done.stderr


class TestTerminal:
    """What is shown obeys nobody."""

    def test_an_escape_in_a_value(self, tmp_path: Path) -> None:
        """Given a variable and a path with a control sequence, then both are written out."""
        define(
            tmp_path,
            '[pipeline]\nname = "p"\n[env.vars]\nDIR = { default = "data" }\n[datasets.raw]\npath = "${DIR}/x"\n'
            '[steps.a]\ncommand = ["true"]\nreads = ["raw"]\n',
        )
        (tmp_path / ".env").write_text("DIR='\x1b]0;title\x07'\n")
        done = program("validate", cwd=tmp_path)
        assert "\x1b" not in done.stdout + done.stderr
        assert "\\e]0;title\\x07/x does not exist" in done.stderr


class TestPatience:
    """A signal is heard at any time."""

    def test_a_source_too_big_to_look_at(self, tmp_path: Path) -> None:
        """Given a source of a terabyte (sparse), when the run is told to end, then it does, long before it has read it."""
        define(
            tmp_path,
            '[pipeline]\nname = "p"\n[datasets.raw]\npath = "raw"\n[steps.a]\ncommand = ["true"]\nreads = ["raw"]\n',
        )
        (tmp_path / "raw").mkdir()
        with (tmp_path / "raw" / "big").open("wb") as file:
            file.truncate(1 << 40)
        with started("run", "-q", cwd=tmp_path) as process:
            wait_until(lambda: ledger_of(tmp_path).exists() and data_of(ledger_of(tmp_path), "run.started"), "the run")
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert ended(process).returncode == 143
        assert time.monotonic() - began < 20
        (finished,) = data_of(ledger_of(tmp_path), "run.finished")
        assert finished["status"] == "cancelled"
