"""Tests of `reproduce`: real runs that are run again in a scratch folder, and what is said of them."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from ledger.locks import KernelLock
from orchestrator.cli import scratch_tree
from orchestrator.cli.app import run_command
from orchestrator.cli.holding import reproductions_lock
from tests.namespaces import program_elsewhere
from tests.programs import (
    Done,
    Json,
    data_of,
    ended,
    events_of,
    exists,
    kill,
    ledger_of,
    no_traceback,
    pid_in,
    program,
    refused,
    started,
    value_of,
    wait_until,
)

SECRET = "very-secret-4711"
SHOP = f"""\
[pipeline]
name = "shop"
[env.vars]
API_KEY = {{ secret = true, required = true }}
REGION = {{ default = "nyc" }}
[datasets.raw]
path = "raw"
pattern = "*.csv"
[datasets.bronze]
path = "data/bronze"
[datasets.keys]
path = "data/keys.json"
[datasets.drawn]
path = "data/drawn.csv"
[datasets.late]
path = "data/late.csv"
[datasets.text]
path = "data/text.txt"
[steps.bronze]
command = ["{sys.executable}", "steps/bronze.py"]
reads = ["raw"]
writes = ["bronze"]
env = ["API_KEY", "REGION"]
[steps.keys]
shell = '''if test -e marker; then echo '{{"a": 1, "b": 2}}'; else echo '{{"b": 2, "a": 1}}'; fi > data/keys.json'''
reads = ["bronze"]
writes = ["keys"]
[steps.drawn]
shell = "test -e marker && x=1 || x=2; printf 'id,n\\\\n1,%s\\\\n' $x > data/drawn.csv"
reads = ["bronze"]
writes = ["drawn"]
[steps.late]
shell = "cp data/drawn.csv data/late.csv"
reads = ["drawn"]
writes = ["late"]
[steps.text]
shell = "test -e marker && echo then > data/text.txt || echo now > data/text.txt"
reads = ["bronze"]
writes = ["text"]
[steps.mail]
shell = "echo mailed >> mailed"
needs = ["bronze"]
"""
BRONZE = """\
import os, pathlib, shutil
out = pathlib.Path("data/bronze")
out.mkdir(parents=True, exist_ok=True)
for path in sorted(pathlib.Path("raw").glob("*.csv")):
    shutil.copy(path, out)
(out / "region").write_text(os.environ["REGION"])
"""


class Shop(NamedTuple):
    """A pipeline that has run, one of its reproductions, and what commands said before and after it."""

    folder: Path
    run_id: str
    value: Json
    text: Done
    before: dict[str, object]
    after: dict[str, object]


def write_shop(folder: Path, definition: str = SHOP) -> None:
    """Write the definition, its code, its secret and one delivery."""
    (folder / "steps").mkdir()
    (folder / "raw").mkdir()
    (folder / "data").mkdir()
    (folder / "pipeline.toml").write_text(definition, encoding="utf-8")
    (folder / "steps" / "bronze.py").write_text(BRONZE, encoding="utf-8")
    (folder / "raw" / "1.csv").write_text("id,n\n1,2\n", encoding="utf-8")
    (folder / ".env").write_text(f"API_KEY={SECRET}\n", encoding="utf-8")
    (folder / ".env").chmod(0o600)


def ran(folder: Path, *arguments: str) -> str:
    """Run the pipeline and return the id of the run."""
    value = value_of(program("run", "--json", *arguments, cwd=folder), "run")
    return str(value["run_id"])


def again(folder: Path, *arguments: str, code: int | None = 0, run: str = "latest") -> Json:
    """Run a run again and return what `--json` says."""
    value: Json = value_of(program("reproduce", run, "--json", *arguments, cwd=folder), "reproduce", code=code)
    return value


def what_lies_there(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return content and time of every file of the pipeline, the ledger's folder and the user's left out."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in (".orchestrate", ".config")
    }


def timeless(value: object) -> object:
    """Return *value* without what depends on when one asks."""
    if isinstance(value, dict):
        return {name: timeless(item) for name, item in value.items() if name not in ("age_seconds", "text", "verdicts")}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def what_is_said(folder: Path) -> dict[str, object]:
    """Return what commands say that look at the history, and the data itself."""
    commands = ("runs", "plan", "check --max-age 26h", "alerts", "status", "show latest", "changes")
    said = {command: value_of(program(*command.split(), "--json", cwd=folder), code=None) for command in commands}
    return {command: timeless(value) for command, value in said.items()} | {"files": what_lies_there(folder)}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Give a run whose source has grown and whose code has changed since, and that was run again twice."""
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    (folder / "marker").touch()
    run_id = ran(folder)
    (folder / "raw" / "2.csv").write_text("id,n\n3,4\n", encoding="utf-8")
    (folder / "steps" / "bronze.py").write_text("raise SystemExit('not what ran')\n", encoding="utf-8")
    before = what_is_said(folder)
    value = again(folder, code=1)
    text = program("reproduce", run_id, "-q", "--reason", f"ticket {SECRET}", cwd=folder)
    return Shop(folder, run_id, value, text, before, what_is_said(folder))


def step_of(value: Json, name: str) -> Json:
    """Return what is said of the step *name*."""
    (found,) = [step for step in value["steps"] if step["step"] == name]
    step: Json = found
    return step


class TestVerdict:
    """What comes of a run that is not the same again."""

    def test_first_difference(self, shop: Shop) -> None:
        """Given steps that differ, then the first one is named with its dataset and column, and what lies behind it is said to."""
        assert shop.value["verdict"] == "different"
        assert shop.value["first"] == {"step": "drawn", "dataset": "drawn", "columns": ["n"]}
        (dataset,) = step_of(shop.value, "drawn")["datasets"]
        (file,) = dataset["files"]
        assert (file["rows"], file["rows_removed"], file["rows_added"]) == ([1, 1], 1, 1)
        assert step_of(shop.value, "late")["behind"] == ["drawn"]
        assert "behind" not in step_of(shop.value, "drawn")

    def test_other_bytes_with_the_same_content(self, shop: Shop) -> None:
        """Given JSON whose keys stand in another order, then it is equivalent."""
        step = step_of(shop.value, "keys")
        (dataset,) = step["datasets"]
        assert (step["verdict"], dataset["files"][0]["verdict"]) == ("equivalent", "equivalent")

    def test_unknown_form(self, shop: Shop) -> None:
        """Given a text that differs, then it is different, and it is said that its content was not compared."""
        (dataset,) = step_of(shop.value, "text")["datasets"]
        assert dataset["files"][0]["not_compared"] == "its form is not known"

    def test_grown_source_and_changed_code(self, shop: Shop) -> None:
        """Given files that came later and code that changed on the disk, then the recorded ones are taken, and the step is identical."""
        assert step_of(shop.value, "bronze") == {"step": "bronze", "verdict": "identical"}

    def test_for_people(self, shop: Shop) -> None:
        """Given the text, then it says the same, and names what was not run again."""
        assert shop.text.returncode == 1
        lines = shop.text.stdout.splitlines()
        assert lines[0] == f"run {shop.run_id} of shop: different"
        assert "    drawn: rows: 1 gone, 1 new; columns: n" in lines
        assert "  different: late, behind drawn" in lines
        assert "    keys: other bytes, the same rows" in lines
        assert "    text: other bytes; its form is not known" in lines
        assert "  identical: bronze" in lines
        assert any(line.startswith("  not run again: mail: it writes no dataset") for line in lines)
        assert shop.text.stderr == ""


GATED = """\
[pipeline]
name = "p"
[env.vars]
MAIL_KEY = { secret = true }
[datasets]
a = { path = "a" }
b = { path = "b" }
[steps.a]
shell = "test -e once && rm once && exit 75; echo 1 > a"
writes = ["a"]
retry = { attempts = 2, delay = "0s" }
[steps.gate]
command = ["true"]
needs = ["a"]
[steps.b]
shell = "test -e a || exit 5; exit 4"
reads = ["a"]
needs = ["gate"]
writes = ["b"]
exit_codes = { 4 = "no_new_data" }
[steps.mail]
command = ["sh", "mail.sh"]
needs = ["b"]
env = ["MAIL_KEY"]
"""


class TestHistory:
    """A reproduction is recorded, and is no part of its pipeline's history."""

    def test_linked_run(self, shop: Shop) -> None:
        """Given the ledger, then the run that ran it again names it, has its definition and its night, and the verdict follows."""
        ledger = ledger_of(shop.folder)
        original, first, _ = data_of(ledger, "run.started")
        assert (first["reproduces"], first["run_id"]) == (shop.run_id, shop.value["reproduction"])
        assert (first["definition"], first["night"]) == (original["definition"], original["night"])
        assert first["definition_path"] == original["definition_path"]
        verdict = data_of(ledger, "run.reproduced")[0]
        assert (verdict["run_id"], verdict["reproduction"]) == (shop.run_id, first["run_id"])
        assert verdict["steps"] == shop.value["steps"]

    def test_the_same_keys(self, shop: Shop) -> None:
        """Given both runs, then steps of sources have the same key, since nothing that it is made of differs."""
        ledger = ledger_of(shop.folder)
        keys = {
            (event["stream"], event["data"]["step"]): event["data"]["key"]
            for event in events_of(ledger)
            if event["type"] == "attempt.started"
        }
        for step in ("bronze", "keys", "drawn"):
            assert keys[f"run/{shop.run_id}", step] == keys[f"run/{shop.value['reproduction']}", step]

    def test_nothing_else_changes(self, shop: Shop) -> None:
        """Given status, runs, plan, check, alerts, latest and every file, then they are after it what they were before."""
        for name, before in shop.before.items():
            assert shop.after[name] == before, name
        assert (shop.folder / "mailed").read_text(encoding="utf-8") == "mailed\n"

    def test_it_verifies(self, shop: Shop) -> None:
        """Given the ledger, then it verifies with all its skips, its tables are what the events give, and everything is sealed."""
        done = program("audit", "verify", "--skips", "--json", cwd=shop.folder)
        value = value_of(done, "audit-verify")
        assert (value["ok"], value["projections"], value["unsealed"]) == (True, "held", 0)
        assert value["skips"]["wrong"] == 0

    def test_it_is_handed_over(self, shop: Shop, tmp_path: Path) -> None:
        """Given a period with it, then `audit package` hands it over as events, and whoever checks is told that it has no row."""
        out = tmp_path / "period"
        made = program(
            *("audit", "package", "--from", "0001-01-01", "--to", "9999-12-30", "--out", str(out), "--json"),
            cwd=shop.folder,
        )
        assert value_of(made, "audit-package")["tables"]["runs"] == 1
        checked = subprocess.run(
            [sys.executable, str(out / "verify.py"), str(out)], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout
        assert "2 runs that reproduce another one have no row" in checked.stdout

    def test_it_is_shown(self, shop: Shop) -> None:
        """Given both runs, then `show` tells of each what the other is, by the id and by its beginning."""
        shown = value_of(program("show", shop.run_id, "--json", cwd=shop.folder), "show")
        assert shown["reproduces"] is None
        assert [row["verdict"] for row in shown["verdicts"]] == ["different", "different"]
        linked = value_of(program("show", shop.value["reproduction"], "--json", cwd=shop.folder), "show")
        assert (linked["reproduces"], len(linked["verdicts"]), len(linked["steps"])) == (shop.run_id, 1, 6)
        assert {step["step"] for step in linked["steps"] if step["attempts"]} == {
            step["step"] for step in shop.value["steps"]
        }
        text = program("show", shop.run_id, cwd=shop.folder).stdout
        assert f"verdict:       different, run {shop.value['reproduction']}" in text
        assert f"reproduces:    {shop.run_id}" in program("show", shop.value["reproduction"], cwd=shop.folder).stdout

    def test_it_is_compared_like_a_run(self, shop: Shop) -> None:
        """Given both runs, then `diff` tells what differs between them, the first step that does on top, whichever run is named first."""
        linked = str(shop.value["reproduction"])
        found = value_of(program("diff", shop.run_id, linked, "--json", cwd=shop.folder), "diff")
        assert (found["same"], found["code"], found["variables"], found["run"]) == (False, [], [], [])
        assert [step["step"] for step in found["steps"]] == ["keys", "drawn", "text", "late"]
        assert all(row["part"] != "decision" for step in found["steps"] for row in step["differences"])
        assert (found["first_divergence"]["step"], found["first_divergence"]["part"]) == ("keys", "outputs")
        assert [row["dataset"] for row in found["outputs"]] == ["drawn", "keys", "late", "text"]
        back = value_of(program("diff", linked, shop.run_id, "--json", cwd=shop.folder), "diff")
        assert [step["step"] for step in back["steps"]] == ["keys", "drawn", "text", "late"]
        done = program("diff", shop.run_id, linked, cwd=shop.folder)
        assert "output drawn: sha256:" in done.stdout
        assert "1 changed: ~drawn.csv" in done.stdout

    def test_an_identical_one_is_the_same(self, tmp_path: Path) -> None:
        """Given a run and its identical reproduction, then `diff` finds nothing, though steps were left out, one was tried twice, one wrote nothing and secrets went."""
        (tmp_path / "pipeline.toml").write_text(GATED, encoding="utf-8")
        (tmp_path / "mail.sh").write_text("exit 3\n", encoding="utf-8")
        (tmp_path / "once").touch()
        env = {"MAIL_KEY": SECRET}
        value_of(program("run", "--json", cwd=tmp_path, env=env), "run", code=1)
        value = again(tmp_path)
        assert value["verdict"] == "identical"
        assert set(value["left_out"]) == {"gate", "mail"}
        for sides in (("latest", value["reproduction"]), (value["reproduction"], "latest")):
            found = value_of(program("diff", *sides, "--json", cwd=tmp_path), "diff")
            assert (found["same"], found["first_divergence"], found["steps"]) == (True, None, [])

    def test_it_is_asked_for_in_sql(self, shop: Shop) -> None:
        """Given the view of reproductions, then it has both; no other view of runs has them."""
        sql = "SELECT run_id, verdict, first_step, first_dataset, reason FROM audit_reproductions"
        found = value_of(program("audit", "query", sql, "--json", cwd=shop.folder), "audit-query")["rows"]
        facts = [shop.run_id, "different", "drawn", "drawn"]
        assert found == [[*facts, None], [*facts, "ticket ***"]]
        views = ("audit_runs", "audit_steps", "audit_attempts", "audit_skips", "audit_failures")
        sql = " UNION ".join(f"SELECT run_id FROM {view}" for view in views)  # noqa: S608
        found = value_of(program("audit", "query", sql, "--json", cwd=shop.folder), "audit-query")["rows"]
        assert found == [[shop.run_id]]

    def test_nothing_is_left(self, shop: Shop) -> None:
        """Given the ledger's folder, then neither the scratch folder nor what was handed to steps is left in it; the secret is nowhere."""
        folder = ledger_of(shop.folder).parent
        assert not (folder / "reproductions").exists()
        assert not list((folder / "exchange").iterdir())
        for path in (path for path in shop.folder.rglob("*") if path.is_file() and path.name != ".env"):
            assert SECRET.encode() not in path.read_bytes(), path

    @pytest.mark.parametrize("command", [("resume",), ("ack",), ("reproduce",), ("accept", "bronze")])
    def test_not_for_a_reproduction(self, shop: Shop, command: tuple[str, ...]) -> None:
        """Given the id of a reproduction, then what is done with nights is refused, and it is said what that run is."""
        name, *others = command
        options = ["--reason", "x"] if name == "accept" else []
        linked = str(shop.value["reproduction"])
        (problem,) = refused(program(name, linked, *others, *options, "--json", cwd=shop.folder))
        assert problem["kind"] == "reproduction"
        assert shop.run_id in problem["message"]

    def test_who_needs_the_ledger_alone(self, shop: Shop) -> None:
        """Given that somebody prunes or rebuilds, then no run is run again meanwhile; another reproduction keeps nobody away."""
        lock = KernelLock(reproductions_lock(ledger_of(shop.folder)))
        assert lock.acquire()
        try:
            (problem,) = refused(program("reproduce", shop.run_id, "--json", cwd=shop.folder), code=4)
        finally:
            lock.release()
        assert (problem["kind"], problem["message"].startswith("somebody prunes")) == ("active", True)
        assert lock.acquire(shared=True)
        try:
            done = program("reproduce", str(shop.value["reproduction"]), "--json", cwd=shop.folder)
            assert [problem["kind"] for problem in refused(done)] == ["reproduction"]
        finally:
            lock.release()

    def test_a_note_on_it(self, shop: Shop) -> None:
        """Given a note on a reproduction, then it is kept with it, and its report has what a report has."""
        linked = str(shop.value["reproduction"])
        value_of(program("note", linked, "looked at", "--json", cwd=shop.folder), "note")
        assert "note: looked at" in program("explain", linked, "drawn", cwd=shop.folder).stdout
        report = program("report", linked, "--markdown", "-", cwd=shop.folder)
        assert linked in report.stdout, report


class TestNotReproducible:
    """What is gone or changed is named, and nothing is started."""

    def causes(self, folder: Path, *arguments: str, run: str = "latest") -> list[tuple[str, str]]:
        """Run again what cannot be, and return kinds and messages."""
        starts = data_of(ledger_of(folder), "run.started")
        value = again(folder, *arguments, code=2, run=run)
        assert (value["verdict"], value["reproduction"], value["steps"]) == ("not_reproducible", None, [])
        assert data_of(ledger_of(folder), "run.reproduced")[-1]["causes"] == value["causes"]
        assert data_of(ledger_of(folder), "run.started") == starts
        return [(cause["kind"], cause["message"]) for cause in value["causes"]]

    def test_inputs_secrets_code_and_programs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given one thing after the other that is gone or another one, then each is named; what is put back is taken again."""
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
        tool = tmp_path / "bin" / "tool"
        write_shop(
            tmp_path,
            SHOP.replace(f'["{sys.executable}", "steps/bronze.py"]', '["tool", "steps/bronze.py", "steps/large.bin"]'),
        )
        tool.parent.mkdir()
        tool.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
        tool.chmod(0o755)
        (tmp_path / "steps" / "large.bin").write_bytes(b"x" * (2 << 20))
        path = {"PATH": f"{tool.parent}:/usr/bin:/bin"}
        value_of(program("run", "--json", cwd=tmp_path, env=path), "run")
        assert again_with(tmp_path, path)["verdict"] == "identical"

        assert self.causes(tmp_path) == [("program_missing", "step bronze: there is no program tool today")]
        raw = tmp_path / "raw" / "1.csv"
        content = raw.read_bytes()
        raw.write_bytes(content + b"3,4\n")
        assert self.causes(tmp_path) == [("input_changed", "input raw: 1 of 1 files are not what was read: 1.csv")]
        raw.unlink()
        assert self.causes(tmp_path) == [("input_gone", "input raw: 1 of 1 files are gone: 1.csv")]
        raw.write_bytes(content)
        large = tmp_path / "steps" / "large.bin"
        large.write_bytes(b"y" * (2 << 20))
        what = "code steps/large.bin is not kept in the ledger, and is"
        assert self.causes(tmp_path) == [("code_not_kept", f"{what} not what it was")]
        large.unlink()
        assert self.causes(tmp_path) == [("code_not_kept", f"{what} not there any more")]
        large.write_bytes(b"x" * (2 << 20))
        (tmp_path / ".env").write_text("API_KEY=another-secret-4712\n", encoding="utf-8")
        assert self.causes(tmp_path) == [("variable_differs", "the secret API_KEY is not what the run had")]
        trusted = again_with(tmp_path, path, "--trust-secret", "API_KEY")
        assert (trusted["verdict"], trusted["trusted"]) == ("identical", ["API_KEY"])
        (tmp_path / ".env").unlink()
        assert self.causes(tmp_path)[0][1] == "the secret API_KEY has no value today; the run had one"
        other = tmp_path / "other.env"
        other.write_text(f"API_KEY={SECRET}\n", encoding="utf-8")
        other.chmod(0o600)
        assert again_with(tmp_path, path, "--env-file", "other.env")["verdict"] == "identical"
        (tmp_path / ".config" / "orchestrate" / "rekey-key").unlink()
        ((kind, message),) = self.causes(tmp_path, "--env-file", "other.env")
        assert kind == "variable_differs"
        assert message.startswith("whether the secret API_KEY is what the run had is not known: the key in ")
        for path_ in ledger_of(tmp_path).parent.rglob("*.db*"):
            assert b"another-secret-4712" not in path_.read_bytes()

    def test_what_the_definition_says(self, tmp_path: Path) -> None:
        """Given a step that is not to be run twice and a dataset that is no file, then both are named at once."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[datasets.d]\npath = "d"\n[datasets.t]\nprobe = ["cat", "d"]\n[steps.once]\n'
            'shell = "echo 1 > d"\nwrites = ["d"]\nrerun = "never"\n[steps.load]\nshell = "true"\nreads = ["d"]\nwrites = ["t"]\n',
            encoding="utf-8",
        )
        ran(tmp_path)
        assert self.causes(tmp_path) == [
            ("rerun_never", 'step once says rerun = "never": it is not to be run a second time'),
            ("probe_dataset", "step load: t is measured by a probe, and cannot be laid out in a folder"),
        ]

    def test_absolute_paths(self, tmp_path: Path) -> None:
        """Given outputs, folders and scripts by absolute paths, then they are named: a step would work there."""
        (tmp_path / "script.sh").write_text("echo 1 > a\n", encoding="utf-8")
        (tmp_path / "pipeline.toml").write_text(
            f'[pipeline]\nname = "p"\n[datasets.a]\npath = "a"\n[datasets.b]\npath = "{tmp_path}/b"\n[steps.a]\n'
            f'command = ["sh", "{tmp_path}/script.sh"]\nwrites = ["a"]\n[steps.b]\nshell = "echo 1 > b"\ncwd = "{tmp_path}"\nwrites = ["b"]\n',
            encoding="utf-8",
        )
        ran(tmp_path)
        causes = self.causes(tmp_path)
        assert [kind for kind, _ in causes] == ["outside"] * 3
        assert f"step b writes b to the absolute path {tmp_path}/b" in causes[1][1]

    def test_the_folder_by_its_name(self, tmp_path: Path) -> None:
        """Given the pipeline's folder in a shell line, a part of a word and a variable, then each is named, and what lies there is not written again."""
        (tmp_path / "out.sh").write_text('echo $$ > "${1#--out=}"\n', encoding="utf-8")
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n'
            + "".join(f'[datasets.{name}]\npath = "{name}"\n' for name in "abc")
            + f'[env.vars]\nOUT = {{ default = "{tmp_path}/c" }}\n'
            f'[steps.a]\nshell = "echo $$ > {tmp_path}/a"\nwrites = ["a"]\n'
            f'[steps.b]\ncommand = ["sh", "out.sh", "--out={tmp_path}/b"]\nwrites = ["b"]\n'
            '[steps.c]\nshell = "echo $$ > $OUT"\nenv = ["OUT"]\nwrites = ["c"]\n',
            encoding="utf-8",
        )
        ran(tmp_path)
        before = what_lies_there(tmp_path)
        causes = self.causes(tmp_path)
        assert what_lies_there(tmp_path) == before
        named = f" names the pipeline's folder {tmp_path}, and would be at work there"
        assert causes == [
            ("outside", f"step a: its shell line{named}"),
            ("outside", f"step b: its word 2{named}"),
            ("outside", f"step c: the variable OUT{named}"),
        ]

    def test_what_was_pruned(self, tmp_path: Path) -> None:
        """Given a run of which manifests, code and what a large key is made of were pruned, then each is said to have been, with the event."""
        (tmp_path / "lib").mkdir()
        for number in range(99):
            (tmp_path / "lib" / f"{number}.py").write_text(f"{number}\n", encoding="utf-8")
        (tmp_path / "raw").write_text("1\n", encoding="utf-8")
        (tmp_path / "a.sh").write_text("cp raw a\n", encoding="utf-8")
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[datasets]\nraw = { path = "raw" }\na = { path = "a" }\nb = { path = "b" }\n'
            '[steps.a]\ncommand = ["sh", "a.sh"]\nreads = ["raw"]\nwrites = ["a"]\n'
            '[steps.b]\nshell = "cp raw b"\nreads = ["raw"]\nwrites = ["b"]\ncode = ["lib/*.py"]\n',
            encoding="utf-8",
        )
        small, large = ran(tmp_path, "--only", "a"), ran(tmp_path, "--only", "b")
        (tmp_path / "a.sh").write_text("cp raw a; true\n", encoding="utf-8")
        for number in (2, 3):  # What the newest run was decided by is kept.
            (tmp_path / "raw").write_text(f"{number}\n", encoding="utf-8")
            ran(tmp_path)
        program("prune", "--older-than", "0s", "--apply", cwd=tmp_path)
        (event,) = [event["seq"] for event in events_of(ledger_of(tmp_path)) if event["type"] == "blobs.pruned"]
        causes = [*self.causes(tmp_path, run=small), *self.causes(tmp_path, run=large)]
        assert [kind for kind, _ in causes] == ["input_not_kept", "code_not_kept", "key_not_kept"]
        for (_, message), begin, end in zip(
            causes,
            ("input raw: its manifest", "code a.sh", "step b: what it read and ran"),
            ("", ", and is not what it was", ""),
            strict=True,
        ):
            assert message.startswith(f"{begin} is not kept in the ledger: pruned at 20"), message
            assert message.endswith(f" after 0s (event {event}){end}"), message

    def test_nothing_ran(self, tmp_path: Path) -> None:
        """Given a run in which no step left a dataset, then there is nothing to compare."""
        (tmp_path / "pipeline.toml").write_text('[pipeline]\nname = "p"\n[steps.a]\nshell = "true"\n', encoding="utf-8")
        ran(tmp_path)
        assert [kind for kind, _ in self.causes(tmp_path)] == ["nothing_ran"]


def again_with(folder: Path, env: dict[str, str], *arguments: str) -> Json:
    """Run the only run again in the environment *env*; it comes to what it came to."""
    (run_id,) = {event["run_id"] for event in data_of(ledger_of(folder), "run.started") if "reproduces" not in event}
    done = program("reproduce", run_id, "--json", *arguments, cwd=folder, env=env)
    value: Json = value_of(done, "reproduce")
    return value


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a pipeline that reads outside of its folder and has run for two nights, the second of which failed."""
    top = tmp_path_factory.mktemp("same")
    folder = top / "etl" / "shop"
    folder.mkdir(parents=True)
    definition = SHOP.replace('path = "raw"', 'path = "../raw"').replace(
        "env = [", 'exit_codes = { 3 = "no_new_data" }\nenv = ['
    )
    write_shop(folder, definition)
    (folder / "raw").rename(folder.parent / "raw")
    script = (
        BRONZE.replace('Path("raw")', 'Path("../raw")')
        + "if pathlib.Path('../raw/9.csv').exists(): raise SystemExit(4)\n"
    )
    (folder / "steps" / "bronze.py").write_text(script, encoding="utf-8")
    ran(folder, "--for", "2026-01-01")
    (folder.parent / "raw" / "9.csv").write_text("id,n\n", encoding="utf-8")
    program("run", "-q", "--for", "2026-01-02", cwd=folder)
    return folder


FAILING = '[pipeline]\nname = "p"\n' + "".join(
    f'[datasets.{name}]\npath = "{name}"\n[steps.{name}]\nwrites = ["{name}"]\nshell = \'{shell}\'\ntimeout = "{limit}"\n'
    for name, shell, limit in (
        ("exit", "exit 3", "1m"),
        ("missing_output", "true", "1m"),
        ("reported", """echo "{\\"status\\": \\"failed\\"}" > $ORCHESTRATE_RESULT""", "1m"),
        ("bad_result", "echo { > $ORCHESTRATE_RESULT", "1m"),
        ("signal", "kill -SEGV $$", "1m"),
        ("timeout", "exec sleep 60", "100ms"),
        ("another", "test -e then && kill -SEGV $$; kill -ABRT $$", "1m"),
    )
)
"""A step for each reason for which one fails, called like it."""


def shown_steps(folder: Path) -> list[Json]:
    """Return what is said of the steps of the newest run."""
    steps: list[Json] = value_of(program("show", "latest", "--json", cwd=folder), "show")["steps"]
    return steps


class TestSame:
    """Runs that come to the same."""

    def test_identical_in_a_folder_of_choice(self, two_nights: Path, tmp_path: Path) -> None:
        """Given the first night and a folder for it, then it is identical, and what it left lies there, with the source beside it."""
        first = value_of(program("runs", "--json", cwd=two_nights), "runs")[-1]["run_id"]
        target = tmp_path / "again"
        value = again(two_nights, "--into", str(target), run=first)
        assert (value["verdict"], value["folder"], value["status"]) == ("identical", str(target), "succeeded")
        assert [step["step"] for step in value["steps"]] == ["bronze", "keys", "drawn", "text", "late"]
        assert (target / "raw" / "1.csv").exists()
        assert not (target / "raw" / "9.csv").exists()
        assert (target / "shop" / "data" / "bronze" / "1.csv").read_bytes() == b"id,n\n1,2\n"
        assert target.stat().st_mode & 0o777 == 0o700
        (problem,) = refused(program("reproduce", first, "--into", str(target), "--json", cwd=two_nights))
        assert problem["kind"] == "not_empty"
        (problem,) = refused(program("reproduce", first, "--into", "x" * 300, "--json", cwd=two_nights))
        assert (problem["kind"], "File name too long" in problem["message"]) == ("no_folder", True)

    def test_a_failure_is_had_again(self, two_nights: Path) -> None:
        """Given a run whose step failed, then it fails alike, and that is identical; what was skipped then is not run."""
        value = again(two_nights, "--keep")
        assert (value["verdict"], value["status"]) == ("identical", "failed")
        assert [step["step"] for step in value["steps"]] == ["bronze"]
        kept = Path(value["folder"])
        assert kept.parent.name == "reproductions"
        assert (kept / "raw" / "9.csv").exists()
        assert program("status", cwd=two_nights).stdout.count("failed") >= 1
        left = kept.parent / "left" / "deeper"
        left.mkdir(parents=True)
        (left / "copy").write_bytes(bytes(1 << 20))
        usage = value_of(program("doctor", "--json", cwd=two_nights), "doctor", code=None)["usage"]
        (taken,) = [row for row in usage["runs"] if row["run_id"] == value["reproduction"]]
        assert taken["scratch_bytes"] >= sum(path.stat().st_size for path in kept.rglob("*") if path.is_file()) > 0
        assert usage["pipelines"][0]["scratch_bytes"] >= taken["scratch_bytes"]
        assert usage["pipelines"][0]["runs"] == 2
        (folder,) = usage["left_folders"]
        assert (folder["path"], folder["bytes"] >> 20) == ("reproductions/left", 1)
        assert "reproductions/left takes 1.0 MiB: no run is recorded of it" in program("doctor", cwd=two_nights).stdout

    def test_every_failure_is_had_again(self, tmp_path: Path) -> None:
        """Given steps that failed in every way in which one can, then each fails alike; one that another signal ends does not."""
        (tmp_path / "pipeline.toml").write_text(FAILING, encoding="utf-8")
        (tmp_path / "then").touch()
        value_of(program("run", "--json", cwd=tmp_path), "run", code=1)
        reasons = {step["step"]: step["reason"] for step in shown_steps(tmp_path) if step["step"] != "another"}
        assert {name: reason for name, reason in reasons.items() if name != reason} == {}
        value = again(tmp_path, code=1)
        assert {step["step"]: step["verdict"] for step in value["steps"]} == {
            **dict.fromkeys(reasons, "identical"),
            "another": "different",
        }
        assert step_of(value, "another")["outcome"] == {
            "expected": f"failed (signal {signal.SIGSEGV:d})",
            "actual": f"failed (signal {signal.SIGABRT:d})",
        }

    def test_what_is_kept_is_not_seen(self, tmp_path: Path) -> None:
        """Given globs and a dataset that take in the folder with everything below it, then a reproduction that is kept changes no decision."""
        (tmp_path / "x.py").write_text("", encoding="utf-8")
        (tmp_path / "1.csv").write_text("1\n", encoding="utf-8")
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[datasets.raw]\npath = "."\npattern = "**/*.csv"\n[datasets.a]\npath = "a"\n'
            '[steps.a]\nshell = "cat 1.csv > a"\ncode = ["**/*.py"]\nreads = ["raw"]\nwrites = ["a"]\n',
            encoding="utf-8",
        )
        ran(tmp_path)
        before = value_of(program("plan", "--json", cwd=tmp_path), "plan")["steps"]
        kept = Path(again(tmp_path, "--keep")["folder"])
        assert {path.name for path in kept.rglob("*.*")} >= {"x.py", "1.csv"}
        assert (tmp_path / ".orchestrate") in kept.parents
        assert value_of(program("plan", "--json", cwd=tmp_path), "plan")["steps"] == before
        assert before[0]["outlook"] == "skip"
        assert again(tmp_path)["verdict"] == "identical"

    def test_it_is_not_told(self, two_nights: Path) -> None:
        """Given a reproduction that failed, then nobody is asked to acknowledge it, and the night that failed is the run's."""
        (status,) = value_of(program("status", "--json", cwd=two_nights), "status")
        failed = value_of(program("runs", "--json", cwd=two_nights), "runs")[0]["run_id"]
        assert [row["run_id"] for row in status["unacknowledged"]] == [failed]

    def test_equivalent(self, tmp_path: Path) -> None:
        """Given a run whose only difference is the order of keys, then it is equivalent, exit code 0; its trace stands in the file of the pipeline, without metrics."""
        write_shop(tmp_path, SHOP + '[telemetry]\nfile = "otel.jsonl"\n')
        (tmp_path / "marker").touch()
        ran(tmp_path, "--until", "keys")
        told = tmp_path / "otel.jsonl"
        (before,) = [text for text in told.read_text(encoding="utf-8").splitlines() if '"resourceMetrics"' in text]
        value = again(tmp_path, "--keep")
        assert (value["verdict"], value["first"]) == ("equivalent", None)
        lines = told.read_text(encoding="utf-8").splitlines()
        assert any('"resourceSpans"' in text and value["reproduction"] in text for text in lines)
        assert [text for text in lines if '"resourceMetrics"' in text] == [before]
        assert list(Path(value["folder"]).rglob("otel.jsonl")) == []

    def test_another_end(self, tmp_path: Path) -> None:
        """Given a step that reads what nobody declares, then it fails in the scratch folder, and it is said what that means."""
        (tmp_path / "helper").write_text("1\n", encoding="utf-8")
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[datasets.a]\npath = "a"\n[steps.a]\nshell = "cp helper a"\nwrites = ["a"]\n',
            encoding="utf-8",
        )
        ran(tmp_path)
        done = program("reproduce", "latest", cwd=tmp_path)
        assert done.returncode == 1
        assert "it ended as succeeded then, as failed (exit, exit code 1) now" in done.stdout
        assert "a file that is not in the record: declare it in reads, or in code;" in done.stdout
        assert "or an interpreter or a package: those are what PATH finds today" in done.stdout


HANGING = """\
[pipeline]
name = "p"
[datasets.a]
path = "a"
[steps.a]
shell = "test ! -e {0}/hang || {{ echo $$ > {0}/p; mv {0}/p {0}/pid; exec sleep 60; }}; echo 1 > a"
writes = ["a"]
"""


def away(folder: Path) -> Path:
    """Return a folder that does not belong to the pipeline in *folder*, where its step says that it is there."""
    return Path(f"{folder}-away")


class TestCutOff:
    """What is ended in the middle."""

    @pytest.fixture
    def hanging(self, tmp_path: Path) -> Path:
        """Give a pipeline that has run, and whose step hangs from now on."""
        (tmp_path / "pipeline.toml").write_text(HANGING.format(away(tmp_path)), encoding="utf-8")
        away(tmp_path).mkdir()
        ran(tmp_path)
        (away(tmp_path) / "hang").touch()
        return tmp_path

    def test_killed(self, hanging: Path) -> None:
        """Given a reproduction that is on, then a night runs beside it; once it is killed, it is interrupted, the next start closes it and clears up."""
        with started("reproduce", "latest", "-q", cwd=hanging) as process:
            step = pid_in(away(hanging) / "pid")
            assert program("audit", "checkpoint", cwd=hanging).returncode == 0
            linked = data_of(ledger_of(hanging), "run.started")[-1]["run_id"]
            assert value_of(program("show", linked, "--json", cwd=hanging), "show")["status"] == "running"
            (problem,) = refused(program("prune", "--older-than", "0s", "--apply", "--json", cwd=hanging), code=4)
            assert (problem["kind"], "is being run again" in problem["message"]) == ("active", True)
            (away(hanging) / "hang").unlink()
            assert program("run", "-q", cwd=hanging).returncode == 0
            assert exists(step)
            process.kill()
            ended(process)
        assert "interrupted" in program("show", linked, cwd=hanging).stdout.splitlines()[0]
        assert program("resume", linked, cwd=hanging).returncode == 2
        scratch = ledger_of(hanging).parent / "reproductions" / linked
        assert scratch.exists()
        done = program("run", "-q", cwd=hanging)
        assert f"reproduction {linked} had lost its orchestrator; it is interrupted now" in done.stderr
        wait_until(lambda: not exists(step), "the step lives on")
        assert not scratch.exists()
        verified = value_of(program("audit", "verify", "--skips", "--json", cwd=hanging), "audit-verify")
        assert (verified["ok"], verified["projections"]) == (True, "held")
        shown = value_of(program("show", linked, "--json", cwd=hanging), "show")
        assert (shown["status"], shown["verdicts"]) == ("interrupted", [])
        kill(step)

    def test_killed_before_prune(self, hanging: Path) -> None:
        """Given a reproduction that was killed, then `prune --apply` closes it and clears up like a start does; without --apply nothing changes."""
        with started("reproduce", "latest", "-q", cwd=hanging) as process:
            step = pid_in(away(hanging) / "pid")
            process.kill()
            ended(process)
        linked = data_of(ledger_of(hanging), "run.started")[-1]["run_id"]
        scratch = ledger_of(hanging).parent / "reproductions" / linked
        assert program("prune", "--older-than", "30d", cwd=hanging).stderr == ""
        assert scratch.exists()
        done = program("prune", "--older-than", "30d", "--apply", "--json", cwd=hanging)
        assert value_of(done, "prune")["events"] == []
        assert done.stderr == f"reproduction {linked} had lost its orchestrator; it is interrupted now\n"
        assert not scratch.exists()
        wait_until(lambda: not exists(step), "the step lives on")
        assert data_of(ledger_of(hanging), "run.finished")[-1]["status"] == "interrupted"
        verified = value_of(program("audit", "verify", "--json", cwd=hanging), "audit-verify")
        assert (verified["ok"], verified["projections"], verified["unsealed"]) == (True, "held", 0)

    def test_told_to_end(self, hanging: Path) -> None:
        """Given a TERM, then it ends with that exit code, without a verdict, and nothing is left."""
        with started("reproduce", "latest", "--json", cwd=hanging) as process:
            pid_in(away(hanging) / "pid")
            process.send_signal(signal.SIGTERM)
            value = value_of(ended(process), "reproduce", code=143)
        assert (value["verdict"], value["status"]) == (None, "cancelled")
        assert data_of(ledger_of(hanging), "run.reproduced") == []
        assert not (ledger_of(hanging).parent / "reproductions").exists()

    def test_cancelled(self, hanging: Path) -> None:
        """Given a `cancel` from another terminal, then it ends as by a TERM, and who asked for it is recorded; then there is nothing to cancel."""
        with started("reproduce", "latest", "--json", cwd=hanging) as process:
            step = pid_in(away(hanging) / "pid")
            linked = data_of(ledger_of(hanging), "run.started")[-1]["run_id"]
            done = program("cancel", linked, "--reason", "ticket 4711", "--json", cwd=hanging)
            value = value_of(ended(process), "reproduce", code=143)
        assert value_of(done, "cancel")["status"] == "cancelled"
        assert f"waiting for the end of run {linked}: 1 step runs (a)\n" in done.stderr
        assert (value["verdict"], value["status"]) == (None, "cancelled")
        assert not exists(step)
        (request,) = data_of(ledger_of(hanging), "run.cancel_requested")
        assert (request["run_id"], request["reason"]) == (linked, "ticket 4711")
        verified = value_of(program("audit", "verify", "--json", cwd=hanging), "audit-verify")
        assert (verified["ok"], verified["projections"]) == (True, "held")
        (problem,) = refused(program("cancel", linked, "--json", cwd=hanging))
        assert problem["kind"] == "has_ended"

    def test_cancelled_after_it_was_killed(self, hanging: Path) -> None:
        """Given a reproduction that is dead, then `cancel` closes it and clears up, also where it dies while it is waited for."""
        with started("reproduce", "latest", "-q", cwd=hanging) as process:
            step = pid_in(away(hanging) / "pid")
            process.kill()
            ended(process)
        linked = data_of(ledger_of(hanging), "run.started")[-1]["run_id"]
        value = value_of(program("cancel", linked, "--json", cwd=hanging), "cancel")
        assert (value["status"], value["ended"]) == ("interrupted", True)
        assert not exists(step)
        scratch = ledger_of(hanging).parent / "reproductions" / linked
        assert not scratch.exists()
        scratch.mkdir(parents=True)  # As where `cancel` was killed before it had removed it.
        value_of(program("prune", "--apply", "--json", cwd=hanging), "prune")
        assert not scratch.exists()

    def test_looked_at_from_another_container(self, hanging: Path) -> None:
        """Given a reproduction whose process cannot be seen, then `cancel` is refused, and a night runs beside it, as where it is seen."""
        with started("reproduce", "latest", "--json", cwd=hanging) as process:
            step = pid_in(away(hanging) / "pid")
            linked = data_of(ledger_of(hanging), "run.started")[-1]["run_id"]
            (problem,) = refused(program_elsewhere("cancel", linked, "--json", cwd=hanging))
            (away(hanging) / "hang").unlink()
            night = program_elsewhere("run", "-q", cwd=hanging)
            assert (night.returncode, night.stderr) == (0, "")
            assert (ledger_of(hanging).parent / "reproductions" / linked).exists()
            kill(step)
            value = value_of(ended(process), "reproduce", code=1)
        assert problem["kind"] == "not_seen"
        assert (value["reproduction"], value["verdict"]) == (linked, "different")
        assert list((ledger_of(hanging).parent / "locks").glob("*.reproduction")) == []
        assert value_of(program("audit", "verify", "--json", cwd=hanging), "audit-verify")["ok"]

    def test_a_run_that_is_on(self, hanging: Path) -> None:
        """Given a run without an end, then it cannot be had again yet."""
        with started("run", "-q", cwd=hanging) as process:
            step = pid_in(away(hanging) / "pid")
            (problem,) = refused(program("reproduce", "latest", "--json", cwd=hanging))
            assert (problem["kind"], "is still on" in problem["message"]) == ("not_ended", True)
            process.kill()
            ended(process)
        kill(step)
        (problem,) = refused(program("reproduce", "latest", "--json", cwd=hanging))
        assert "lost its orchestrator" in problem["message"]


def test_without_a_ledger(tmp_path: Path) -> None:
    """Given no ledger, or no such run, then that is said."""
    (tmp_path / "pipeline.toml").write_text('[pipeline]\nname = "p"\n[steps.a]\nshell = "true"\n', encoding="utf-8")
    (problem,) = refused(program("reproduce", "latest", "--json", cwd=tmp_path))
    assert problem["kind"] == "no_ledger"
    done = program("reproduce", "nothing", cwd=tmp_path)
    no_traceback(done)
    assert done.returncode == 2


def test_its_logs_are_pruned(tmp_path: Path) -> None:
    """Given a reproduction past its retention, then its log goes, though its run is the newest of the pipeline and keeps its own; it is still shown."""
    write_shop(tmp_path, SHOP.replace('shell = "cp data/drawn', 'shell = "echo said; cp data/drawn'))
    ran(tmp_path)
    linked = str(again(tmp_path)["reproduction"])
    logs = ledger_of(tmp_path).parent / "logs"
    assert len(list(logs.rglob("*.log"))) == 2
    done = program("prune", "--older-than", "0s", "--apply", "--kind", "logs", "--json", cwd=tmp_path)
    assert done.returncode == 0, done
    (kept,) = logs.rglob("*.log")
    assert linked not in str(kept)
    assert value_of(program("show", linked, "--json", cwd=tmp_path), "show")["status"] == "succeeded"
    verified = value_of(program("audit", "verify", "--json", cwd=tmp_path), "audit-verify")
    assert (verified["ok"], verified["projections"]) == (True, "held")


class TestAsked:
    """What is asked for wrongly is refused before anything is recorded; what runs is told."""

    def test_files_and_names_of_secrets(self, shop: Shop) -> None:
        """Given an --env-file that is not there, is a pipe, or may be written by all, or a --trust-secret of no secret, then each is named."""
        os.mkfifo(shop.folder / "pipe.env")
        (shop.folder / "open.env").write_text("API_KEY=x\n", encoding="utf-8")
        (shop.folder / "open.env").chmod(0o666)
        before = data_of(ledger_of(shop.folder), "run.reproduced")
        found = {}
        for option in ("--env-file nowhere.env", "--env-file pipe.env", "--env-file open.env", "--trust-secret REGION"):
            (problem,) = refused(program("reproduce", shop.run_id, *option.split(), "--json", cwd=shop.folder))
            found[option.split()[1]] = (problem["kind"], problem["message"])
        assert {name: kind for name, (kind, _) in found.items()} == {
            "nowhere.env": "env_missing",
            "pipe.env": "env_not_a_file",
            "open.env": "env_writable",
            "REGION": "unknown_secret",
        }
        assert found["REGION"][1].endswith("which is no secret of the definition that the run had: there are API_KEY")
        assert data_of(ledger_of(shop.folder), "run.reproduced") == before

    def test_progress_names_both_runs(self, two_nights: Path) -> None:
        """Given progress, then it begins with the run that is run again, and goes on with the one that does it."""
        first = value_of(program("runs", "--json", cwd=two_nights), "runs")[-1]["run_id"]
        done = program("reproduce", first, cwd=two_nights)
        told = [line for line in done.stderr.splitlines() if line.startswith("run ")]
        assert told[0] == f"run {first} of shop, night 2026-01-01, is run again"
        assert [first in line for line in told] == [True, False], told

    def test_nothing_is_laid_out_for_nothing(self, two_nights: Path, tmp_path: Path) -> None:
        """Given a cause that is found while the folder is filled, then it is what it was before: not there, or empty."""
        first = value_of(program("runs", "--json", cwd=two_nights), "runs")[-1]["run_id"]
        source, target = two_nights.parent / "raw" / "1.csv", tmp_path / "again"
        source.rename(tmp_path / "1.csv")
        try:
            os.mkfifo(source)
            causes = again(two_nights, "--into", str(target), code=2, run=first)["causes"]
            assert [cause["kind"] for cause in causes] == ["input_changed"]
            assert not target.exists()
            target.mkdir()
            assert again(two_nights, "--into", str(target), code=2, run=first)["folder"] is None
            assert list(target.iterdir()) == []
        finally:
            (tmp_path / "1.csv").replace(source)

    @pytest.mark.parametrize(
        ("number", "code", "told"),
        [
            (signal.SIGINT, 130, "interrupted: there is no verdict"),
            (signal.SIGTERM, 143, "told to end: there is no verdict"),
            (signal.SIGHUP, 129, "told to end: there is no verdict"),
        ],
    )
    def test_told_to_end_while_it_prepares(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int, told: str
    ) -> None:
        """Given Ctrl-C, TERM or HUP before anything runs, then that is said, the exit code is the signal's, and the folder is empty again."""
        target = shop.folder / "interrupted"
        target.mkdir()

        def interrupted(*_: object, **__: object) -> None:
            assert list(target.iterdir())
            os.kill(os.getpid(), number)
            wait_until(lambda: False, "the signal has not come")

        monkeypatch.setattr(scratch_tree, "lay_out_code", interrupted)
        monkeypatch.chdir(shop.folder)
        said = io.StringIO()
        with contextlib.redirect_stderr(said), pytest.raises(SystemExit) as ending:
            raise SystemExit(run_command(["reproduce", shop.run_id, "-q", "--into", "interrupted"]))
        assert ending.value.code == code
        assert said.getvalue().strip() == told
        assert list(target.iterdir()) == []
        target.rmdir()
