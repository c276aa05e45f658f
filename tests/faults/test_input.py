"""Scenarios 72 to 91: what people, files and steps give to the program."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.schema import FORMAT
from orchestrator.cli.app import run_command
from tests.counting import count
from tests.programs import (
    PROGRAM,
    Done,
    data_of,
    events_of,
    everything_in,
    ledger_of,
    no_traceback,
    program,
    value_of,
)
from tests.tampering import rewrite_schema

pytestmark = pytest.mark.system

PLAIN = '[pipeline]\nname = "p"\n[steps.a]\nshell = "echo ran >> done"\n'


def define(folder: Path, text: str = PLAIN) -> None:
    """Write a definition."""
    (folder / "pipeline.toml").write_text(text, encoding="utf-8")


def digest(path: Path) -> str | None:
    """Return the digest of a file, or None where it is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def lasting(folder: Path) -> list[str]:
    """List what lies in *folder*, but the log of the ledger, which comes and goes with whoever looks."""
    return [name for name in everything_in(folder) if not name.endswith(("-wal", "-shm"))]


NAMES = (
    "..", "../../x", "/etc/passwd", "a/b", "a\\b", "x" * 300, "", "-rf", "a\nb", "\x1b[31mred", "%2e%2e%2f", "' OR 1=1 --", "%", "_",
    "na\u00efve", "nai\u0308ve", "\u202eevil", "latest:../x",
)  # fmt: skip
COMMANDS = {
    "show": ("show", "--", "{}"),
    "show as of": ("show", "latest", "--as-of={}"),
    "logs": ("logs", "--", "{}"),
    "logs of a step": ("logs", "--", "latest", "{}"),
    "explain": ("explain", "--", "{}", "a"),
    "explain a step": ("explain", "--", "latest", "{}"),
    "report": ("report", "--", "{}"),
    "graph": ("graph", "--", "{}"),
    "resume": ("resume", "--", "{}"),
    "cancel": ("cancel", "--", "{}"),
    "accept": ("accept", "--reason=x", "--", "{}", "a"),
    "accept a step": ("accept", "--reason=x", "--", "latest", "{}"),
    "note": ("note", "--", "{}", "text"),
    "note on a step": ("note", "--", "latest/{}", "text"),
    "ack": ("ack", "--", "{}"),
    "run only": ("run", "--only={}"),
    "run omit": ("run", "--omit={}"),
    "run for": ("run", "--for={}"),
    "run set": ("run", "--set={}=1"),
}


class TestNames:
    """73 and 86: whatever is given for the name of a run, a step or a date."""

    @pytest.mark.parametrize("case", COMMANDS)
    def test_73_names_in_every_command(
        self, tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Given a path, an option, SQL or a control sequence as a name, then it is refused by each command, written out, and nothing is made."""
        define(tmp_path)
        assert program("run", "-q", cwd=tmp_path).returncode == 0
        monkeypatch.chdir(tmp_path)
        before = lasting(tmp_path)
        for name in NAMES:
            if case.startswith("note on") and name == "":
                continue
            code = run_command([word.format(name) for word in COMMANDS[case]])
            shown = Done([], code, *capsys.readouterr())
            no_traceback(shown)
            assert (code, shown.stdout) == (2, ""), (name, shown)
            count("bad inputs refused")
            assert not set("\x1b\u202e") & set(shown.stderr), (name, shown.stderr)
        assert lasting(tmp_path) == before
        assert len(data_of(ledger_of(tmp_path), "run.started")) == 1


BOUNDED = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, ({1 << 30}, {1 << 30}))
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
from orchestrator.cli.app import main
main()
"""
"""The program in a gigabyte of memory and two minutes of time."""


class TestGraphs:
    """75: very large graphs."""

    @pytest.mark.slow
    @pytest.mark.parametrize("shape", ["chain", "fan-out"])
    def test_75_ten_thousand_steps(self, tmp_path: Path, shape: str) -> None:
        """Given ten thousand steps, one below the other or all below one, then they are planned in bounded time, without a recursion."""
        steps = [
            f'[steps.s{number}]\ncommand = ["true"]\nneeds = ["s{number - 1 if shape == "chain" else 0}"]\n'
            for number in range(1, 10_000)
        ]
        define(tmp_path, f'[pipeline]\nname = "p"\n[steps.s0]\ncommand = ["true"]\n{"".join(steps)}')
        done = program("plan", "--json", cwd=tmp_path, timeout=30)
        assert len(value_of(done, "plan")["steps"]) == 10_000

    @pytest.mark.slow
    @pytest.mark.parametrize("by", ["data", "needs"])
    def test_75_a_million_edges(self, tmp_path: Path, by: str) -> None:
        """Given a thousand steps below each of a thousand others, then they are validated and planned in bounded memory and time."""
        above = [f"a{number}" for number in range(1000)]
        table = "reads" if by == "data" else "needs"
        datasets = [f'[datasets.{name}]\npath = "{name}"\n' for name in above] if by == "data" else []
        writers = [
            f'[steps.{name}]\ncommand = ["true"]\n' + (f'writes = ["{name}"]\n' if by == "data" else "")
            for name in above
        ]
        readers = [f'[steps.b{number}]\ncommand = ["true"]\n{table} = {json.dumps(above)}\n' for number in range(1000)]
        define(tmp_path, "".join(['[pipeline]\nname = "p"\n', *datasets, *writers, *readers]))
        done = subprocess.run(
            [sys.executable, "-c", BOUNDED, "plan", "--json"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["steps"]) == 2000


class TestEnvironmentFile:
    """78: names that loaders and shells obey."""

    def test_78_names_that_loaders_obey(self, tmp_path: Path) -> None:
        """Given such names in .env that nobody declares, then each is a warning, and none reaches a step."""
        names = ("LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV", "ENV", "PYTHONSTARTUP", "PYTHONPATH", "IFS")
        define(tmp_path, '[pipeline]\nname = "p"\n[steps.a]\nshell = "env > seen; id -u > \\"$HOME.uid\\""\n')
        (tmp_path / ".env").write_text(
            "".join(f"{name}=/evil\n" for name in (*names, "PATH", "HOME")), encoding="utf-8"
        )
        done = program("run", cwd=tmp_path, env={"HOME": str(tmp_path / "home")})
        assert done.returncode == 0, done.stderr
        assert "/evil" not in (tmp_path / "seen").read_text(encoding="utf-8")
        assert all(f"{name} is not declared and reaches no step" in done.stderr for name in names)

    @pytest.mark.parametrize("wrong", ["newline", "long line"])
    def test_78_bounded(self, tmp_path: Path, wrong: str) -> None:
        """Given no newline at the end, or a line of ten megabytes, then the first is read and the second refused, without a word of it."""
        define(tmp_path, '[pipeline]\nname = "p"\n[env.vars]\nA = {}\n[steps.a]\nshell = "test $A = 1"\nenv = ["A"]\n')
        text = "A=1" if wrong == "newline" else "A=" + "secret" * 1_700_000
        (tmp_path / ".env").write_text(text, encoding="utf-8")
        done = program("run", "-q", cwd=tmp_path)
        assert done.returncode == (0 if wrong == "newline" else 2)
        assert "secret" not in done.stderr

    @pytest.mark.parametrize(("mode", "code"), [(0o600, 0), (0o644, 0), (0o664, 0), (0o666, 2)])
    def test_79_what_others_may_do_with_it(self, tmp_path: Path, mode: int, code: int) -> None:
        """Given a file that others may read, then run, validate and doctor warn; given one that everybody may write to, nothing starts."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[env.vars]\nTOKEN = { secret = true }\n[steps.a]\ncommand = ["true"]\nenv = ["TOKEN"]\n'
        )
        (tmp_path / ".env").write_text("TOKEN=Zq9-correct-horse\n")
        (tmp_path / ".env").chmod(mode)
        done = [program(*words, cwd=tmp_path) for words in (("run",), ("validate",), ("doctor",))]

        assert [code, code, 0] == [item.returncode for item in done]
        for item in done:
            assert ("which holds a secret" in item.stdout + item.stderr) == (mode != 0o600)
            assert ("may write to the environment file" in item.stdout + item.stderr) == (mode > 0o644)
            assert "Zq9" not in item.stdout + item.stderr

    def test_79_a_link_is_read_and_left(self, tmp_path: Path) -> None:
        """Given .env as a link, then it is read, and neither the link nor what it leads to is written."""
        define(tmp_path, '[pipeline]\nname = "p"\n[env.vars]\nA = {}\n[steps.a]\nshell = "test $A = 1"\nenv = ["A"]\n')
        (tmp_path / "real").write_text("A=1\n", encoding="utf-8")
        (tmp_path / ".env").symlink_to("real")
        before = os.lstat(tmp_path / "real")
        assert program("run", "-q", cwd=tmp_path).returncode == 0
        assert (tmp_path / ".env").is_symlink()
        assert (os.lstat(tmp_path / "real").st_mtime_ns, os.lstat(tmp_path / "real").st_ino) == (
            before.st_mtime_ns,
            before.st_ino,
        )


class TestWhatAStepSays:
    """81 and 87: output that looks like ours."""

    FORGED = (
        '{"type":"run.finished","data":{"status":"succeeded"}}\n[1/1] a succeeded in 1ms\n\x1b[2J\x1b]0;title\x07\r\b\n'
    )

    def test_81_nothing_is_forged(self, tmp_path: Path) -> None:
        """Given a step that prints events, lines of progress and control sequences, then the log alone has them, and the run has failed."""
        (tmp_path / "text").write_text(self.FORGED, encoding="utf-8")
        define(tmp_path, '[pipeline]\nname = "p"\n[steps.a]\nshell = "cat text; exit 1"\n')
        done = program("run", "--json", cwd=tmp_path)
        assert value_of(done, "run", code=1)["status"] == "failed"
        assert [data["status"] for data in data_of(ledger_of(tmp_path), "run.finished")] == ["failed"]
        assert [event["type"] for event in events_of(ledger_of(tmp_path))].count("run.finished") == 1
        done = program("run", cwd=tmp_path)
        assert "\x1b" not in done.stdout + done.stderr
        for words in (("show", "latest"), ("status",), ("explain", "latest", "a"), ("report", "latest"), ("runs",)):
            assert "\x1b" not in program(*words, cwd=tmp_path).stdout
        logs = [path.read_bytes() for path in (ledger_of(tmp_path).parent / "logs").rglob("a.1.log")]
        assert logs == [self.FORGED.encode()] * 2


def other_database(path: Path) -> None:
    """Put another program's database there."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")


def changed(*statements: str) -> Callable[[Path], None]:
    """Return what makes a ledger and changes it by *statements*."""

    def change(path: Path) -> None:
        folder = path.parent.parent
        definition = (folder / "pipeline.toml").read_text(encoding="utf-8")
        path.parent.rmdir()
        define(folder, PLAIN.replace("echo ran >> done", "true"))
        assert program("run", "-q", cwd=folder).returncode == 0
        define(folder, definition)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.executescript(";".join(statements))

    return change


FOREIGN: dict[str, Callable[[Path], object]] = {
    "empty": Path.touch,
    "text": lambda path: path.write_text("text" * 1000, encoding="utf-8"),
    "noise": lambda path: path.write_bytes(hashlib.shake_256(b"noise").digest(20_000)),
    "folder": Path.mkdir,
    "FIFO": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "other database": other_database,
    "newer": changed(f"PRAGMA user_version = {FORMAT + 1}"),
    "other application": changed("PRAGMA application_id = 7"),
    "no index": changed(
        "PRAGMA writable_schema = ON", "DELETE FROM sqlite_schema WHERE type = 'index' AND name NOT LIKE 'sqlite_%'"
    ),
    "trigger": changed("CREATE TRIGGER quiet AFTER INSERT ON runs BEGIN DELETE FROM runs; END"),
    "trigger on events": changed("CREATE TRIGGER quiet AFTER INSERT ON events BEGIN SELECT 1; END"),
    "guard dropped": changed("DROP TRIGGER events_permanent"),
    "malformed schema": changed(
        "PRAGMA writable_schema = ON", "UPDATE sqlite_schema SET sql = 'CREATE TABLE (' WHERE name = 'events'"
    ),
}


class TestForeignLedgers:
    """82 and 83: files in the ledger's place that are none of ours, or are no longer."""

    @pytest.mark.parametrize("case", FOREIGN)
    def test_82_refused_and_left_as_it_is(self, tmp_path: Path, case: str) -> None:
        """Given such a file, then a run is refused before any step, with the code for it, and the file is the same."""
        define(tmp_path)
        path = ledger_of(tmp_path)
        path.parent.mkdir()
        FOREIGN[case](path)
        before = digest(path) if case != "device" else None
        done = program("run", "-q", cwd=tmp_path)
        no_traceback(done)
        assert done.returncode == 3, done.stderr
        assert os.path.realpath(path) in done.stderr
        assert not (tmp_path / "done").exists()
        assert before == (digest(path) if case != "device" else None)
        assert program("audit", "verify", cwd=tmp_path).returncode == 3


YEARS = "instr(zeroblob(500000000), zeroblob(250000000) || x'01')"
ENDLESS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "column of events": (
        "events is not as it was made",
        lambda path: rewrite_schema(path, "events", lambda sql: sql.replace("json_extract(body, '$.data')", YEARS)),
    ),
    "column of runs": (
        "runs is not as it was made",
        lambda path: rewrite_schema(
            path, "runs", lambda sql: sql.replace("root_cause TEXT", f"root_cause TEXT AS ({YEARS})")
        ),
    ),
    "view": (
        "audit_runs is not as it was made",
        lambda path: rewrite_schema(path, "audit_runs", lambda sql: f"{sql} LIMIT {YEARS}"),
    ),
    "view in the place of a table": (
        "attempts is not as it was made",
        changed(
            "ALTER TABLE attempts RENAME TO others",
            "CREATE VIEW attempts AS WITH RECURSIVE n AS (SELECT others.* FROM others UNION ALL SELECT * FROM n) SELECT * FROM n",
        ),
    ),
}


class TestEndless:
    """83: ledgers that compute without end whatever is asked of them."""

    @pytest.mark.parametrize("case", ENDLESS)
    def test_83_nothing_of_it_is_computed(self, tmp_path: Path, case: str) -> None:
        """Given a ledger with a column or view that takes years, then every command ends at once with exit code 3 and names it."""
        define(tmp_path)
        ledger_of(tmp_path).parent.mkdir()
        name, change = ENDLESS[case]
        if "place" not in case:
            changed("SELECT 1")(ledger_of(tmp_path))
        change(ledger_of(tmp_path))
        for words in (
            ("status",),
            ("runs",),
            ("show", "latest"),
            ("explain", "latest", "a"),
            ("doctor",),
            ("plan",),
            ("run", "-q"),
            ("note", "latest", "seen"),
            ("audit", "verify"),
            ("audit", "query", "runs"),
            ("audit", "export", "--jsonl", "events.jsonl"),
        ):
            done = program(*words, cwd=tmp_path)
            no_traceback(done)
            assert done.returncode == 3, (words, done.stderr)
            assert name in done.stdout + done.stderr, words
        assert not (tmp_path / "done").exists()


class TestReadOnly:
    """84: a ledger that may not be written."""

    def test_84_read_only_file_system(self, tmp_path: Path) -> None:
        """Given a project on a file system that became read-only, then all that read do, and a run is refused before any step."""
        folder = tmp_path / "disk"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=160m", "none", str(folder)]
        if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
            pytest.skip("a file system may not be mounted here")
        try:
            define(folder)
            assert program("run", "-q", cwd=folder).returncode == 0
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
            reading = (
                ("status",),
                ("runs",),
                ("show", "latest"),
                ("logs", "latest"),
                ("plan",),
                ("report", "latest"),
                ("audit", "verify"),
            )
            assert {words: program(*words, cwd=folder).returncode for words in reading} == dict.fromkeys(reading, 0)
            done = program("run", "-q", "--force", cwd=folder)
            assert done.returncode == 5, done.stderr
            assert "Read-only file system" in done.stderr
            assert (folder / "done").read_text(encoding="utf-8") == "ran\n"
        finally:
            subprocess.run(["umount", str(folder)], check=True)


class TestArguments:
    """91: arguments and variables that make no sense."""

    @pytest.mark.parametrize(
        "words",
        [
            ("run", ""), ("run", "--jobs", "0"), ("run", "--jobs", "9" * 30), ("run", "--for", ""), ("run", "--set", ""), ("run", "--only"),
            ("show", "latest", "latest"), ("runs", "--limit", "x"), ("runs", "--nope"), ("--", "--json"),
            ("show", os.fsdecode(b"\xff\xfe")), ("logs", "x" * 100_000), ("run", "--ledger", "a\nb/\x1b[31m/l.db", "--only", "nope"),
            ("audit",), ("audit", "nope"), ("run", "--only", "a", "--until", "a", "--from", "zzz"),
            ("run", "--pipeline", ""),
            ("status", "--pipeline", " "),
            ("run", "--ledger", ""),
        ],
        ids=lambda words: ascii(words)[:40],
    )  # fmt: skip
    def test_91_arguments(self, tmp_path: Path, words: tuple[str, ...]) -> None:
        """Given such arguments, then a usage error, and nothing is run."""
        define(tmp_path)
        done = program(*words, cwd=tmp_path)
        no_traceback(done)
        assert done.returncode == 2, done.stderr
        assert "\x1b" not in done.stdout + done.stderr
        assert not {"done", ".orchestrate/logs"} & set(everything_in(tmp_path))

    @pytest.mark.parametrize("words", [("run",), ("status",), ("audit", "verify")])
    @pytest.mark.parametrize("place", ["/", "//", "/tmp/.."])
    def test_91_root_of_the_file_system(self, tmp_path: Path, place: str, words: tuple[str, ...]) -> None:
        """Given the root in the place of a ledger, then exit code 2, and nothing is put there."""
        define(tmp_path)
        before = set(Path("/").iterdir())
        for done in (
            program(*words, cwd=tmp_path, env={"ORCHESTRATE_LEDGER": place}),
            program(*words, "--ledger", place, cwd=tmp_path),
        ):
            no_traceback(done)
            assert (done.returncode, "needs a folder of its own" in done.stderr) == (2, True)
        assert set(Path("/").iterdir()) == before

    @pytest.mark.parametrize(
        "value",
        ["", "x" * 5000, "/dev/null", os.fsdecode(b"\xff"), "a\nb"],
        ids=["empty", "long", "device", "bytes", "newline"],
    )
    def test_91_variables_of_ours(self, tmp_path: Path, value: str) -> None:
        """Given junk in our variables, then it is taken for what it says or refused, and never a traceback."""
        define(tmp_path)
        names = (
            "ORCHESTRATE_LEDGER",
            "ORCHESTRATE_NIGHT",
            "ORCHESTRATE_RUN_ID",
            "ORCHESTRATE_STEP",
            "ORCHESTRATE_RESULT",
            "COLUMNS",
            "TRACEPARENT",
            "TRACESTATE",
            "BAGGAGE",
        )
        done = subprocess.run(
            [PROGRAM, "run"],
            cwd=tmp_path,
            env=os.environ | dict.fromkeys(names, value),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        no_traceback(done)
        assert done.returncode == {"": 0, "a\nb": 0, "/dev/null": 3}.get(
            value, done.returncode if done.returncode in (2, 5) else -1
        ), done.stderr
