"""Secrets under bad conditions, as the catalogue of `docs/reliability.md` numbers them (1 to 21), with the whole program and real steps."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.counting import count
from tests.programs import (
    PROGRAM,
    data_of,
    ended,
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

pytestmark = pytest.mark.system

SECRET = "correct-horse-battery"
HALF = SECRET[:9]
HEAD = '[pipeline]\nname = "p"\n[env.vars]\nTOKEN = { secret = true }\n[steps.a]\nenv = ["TOKEN"]\n'
PYTHON_STEP = f'{HEAD}command = ["{sys.executable}", "-I", "-S", "step.py"]\n'


def write(folder: Path, definition: str, code: str = "", env: str = f"TOKEN={SECRET}\n") -> Path:
    """Write a definition, the code of its Python step (which finds the secret in `s`), and `.env`; return the folder."""
    (folder / "pipeline.toml").write_text(definition, encoding="utf-8")
    start = "import os, time\ns = os.environb[b'TOKEN']\nhalf = s[:9]\n"
    (folder / "step.py").write_text(start + code, encoding="utf-8")
    (folder / ".env").write_text(env, encoding="utf-8")
    return folder


def only_log(folder: Path) -> Path:
    """Return the one log of an attempt."""
    (log,) = folder.glob(".orchestrate/logs/*/*.log")
    return log


def holders(folder: Path, secret: str = SECRET) -> list[str]:
    """Return the files of the ledger's folder that hold *secret*."""
    files = [path for path in (folder / ".orchestrate").rglob("*") if path.is_file()]
    assert files
    return [path.name for path in files if secret.encode() in path.read_bytes()]


def test_02_one_byte_a_write(tmp_path: Path) -> None:
    """Given a step that writes each byte by itself, then the secret is masked, and nothing around it is lost."""
    write(tmp_path, PYTHON_STEP, "for b in b'key ' + s + b' end\\n': os.write(1, bytes([b]))\n")
    assert program("run", "-q", cwd=tmp_path).returncode == 0
    assert only_log(tmp_path).read_text() == "key *** end\n"


def test_03_half_a_secret_and_a_long_wait(tmp_path: Path) -> None:
    """Given a step that prints half of it and waits, then the half is not in the log until the step has ended without the rest."""
    code = "os.write(1, b'before\\n' + half)\nwhile not os.path.exists('go'): time.sleep(0.01)\n"
    write(tmp_path, PYTHON_STEP, code)
    with started("run", "-q", cwd=tmp_path) as process:
        wait_until(lambda: list(tmp_path.glob(".orchestrate/logs/*/a.1.log")), "no log")
        wait_until(lambda: only_log(tmp_path).stat().st_size, "nothing in the log")
        # Both came with one write, so that whoever has shown the first has seen the second.
        assert only_log(tmp_path).read_text() == "before\n"
        (tmp_path / "go").touch()
        assert ended(process).returncode == 0
    assert only_log(tmp_path).read_text() == f"before\n{HALF}"


def test_04_half_on_each_stream(tmp_path: Path) -> None:
    """Given one half on stdout and the other on stderr, then they meet in one log, and are masked."""
    write(tmp_path, PYTHON_STEP, "os.write(1, half); os.write(2, s[9:] + b'\\n')\n")
    assert program("run", "-q", cwd=tmp_path).returncode == 0
    assert only_log(tmp_path).read_text() == "***\n"


def test_05_killed_in_the_middle_of_a_secret(tmp_path: Path) -> None:
    """Given a step that is killed when it has printed it once and half, then the log ends with the half, and is what is recorded."""
    write(tmp_path, PYTHON_STEP, "os.write(1, s + b' ' + half); os.kill(os.getpid(), 9)\n")
    assert program("run", "-q", cwd=tmp_path).returncode == 1
    assert only_log(tmp_path).read_text() == f"*** {HALF}"
    (event,) = data_of(ledger_of(tmp_path), "attempt.finished")
    assert (event["reason"], event["signal"], event["log"]["bytes"]) == ("signal", 9, len(f"*** {HALF}"))


def test_06_orchestrator_killed_while_it_holds_half_back(tmp_path: Path) -> None:
    """Given a killed orchestrator, then what it held back is lost, the step is ended before it could go on, and the attempt is lost."""
    code = "open('p', 'w').write(f'{os.getpid()}\\n'); os.rename('p', 'pid')\nos.write(1, b'before\\n' + half)\ntime.sleep(100)\n"
    write(tmp_path, PYTHON_STEP, code)
    with started("run", "-q", cwd=tmp_path) as process:
        step = pid_in(tmp_path / "pid")
        wait_until(lambda: list(tmp_path.glob(".orchestrate/logs/*/a.1.log")), "no log")
        wait_until(lambda: only_log(tmp_path).stat().st_size, "nothing in the log")
        process.kill()
        ended(process)
    try:
        value_of(program("cancel", "latest", "--json", cwd=tmp_path), "cancel")
        assert not exists(step)
    finally:
        kill(step)
    assert only_log(tmp_path).read_text() == "before\n"
    assert [event["reason"] for event in data_of(ledger_of(tmp_path), "attempt.finished")] == ["lost"]
    assert holders(tmp_path, HALF) == []


def test_10_much_output_without_a_line_break(tmp_path: Path) -> None:
    """Given 256 MiB without a line break and the secret in their middle, then it is masked, in hardly more memory than one MiB takes."""
    peaks = {}
    for size in (1, 256):
        folder = tmp_path / str(size)
        folder.mkdir()
        code = f"x = b'x' * (1 << 19)\nout = open(1, 'wb')\nfor n in range({size}): out.write(x + s + x)\n"
        write(folder, PYTHON_STEP, code)
        process = subprocess.Popen([PROGRAM, "run", "-q"], cwd=folder, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        peaks[size] = usage.ru_maxrss
        (event,) = data_of(ledger_of(folder), "attempt.finished")
        assert event["masked"] == {"TOKEN": size}
        assert only_log(folder).stat().st_size == size * ((1 << 20) + 3)
        only_log(folder).unlink()
        count("bytes redacted", size << 20)
    assert peaks[256] - peaks[1] < 32 * 1024  # KiB


def test_12_bytes_that_are_no_text_around_a_secret(tmp_path: Path) -> None:
    """Given NUL, half characters and UTF-16 around it, then they are kept byte by byte, and what reads the log prints valid JSON."""
    write(
        tmp_path,
        PYTHON_STEP,
        "os.write(1, b'\\x00\\xff\\xc3' + s + b'\\xfe\\xffa\\x00b\\x00\\n\\xe2\\x82')\nraise SystemExit(3)\n",
    )
    value_of(program("run", "--json", cwd=tmp_path), "run", code=1)
    assert only_log(tmp_path).read_bytes() == b"\x00\xff\xc3***\xfe\xffa\x00b\x00\n\xe2\x82"
    done = program("logs", "latest", "a", "--json", cwd=tmp_path)
    assert "***" in str(value_of(done, "logs"))


@pytest.mark.parametrize(
    ("value", "warned"), [("abcde", True), ("", False), ("'   '", False)], ids=["short", "empty", "blank"]
)
def test_13_secret_that_is_too_short(tmp_path: Path, value: str, *, warned: bool) -> None:
    """Given fewer than six bytes, then a warning names the variable and not its value; nothing is masked. Given none, no warning."""
    write(tmp_path, PYTHON_STEP, "os.write(1, b'abcde\\n')\n", env=f"TOKEN={value}\n")
    done = program("run", cwd=tmp_path)
    assert done.returncode == 0
    assert ("the secret TOKEN is shorter than 6 bytes" in done.stderr) == warned
    assert "abcde" not in done.stdout + done.stderr
    assert only_log(tmp_path).read_text() == "abcde\n"


def test_13_secret_that_is_an_everyday_word(tmp_path: Path) -> None:
    """Given a secret that is a word of every log, then it is masked everywhere; names of steps and the run's own words stay."""
    write(tmp_path, PYTHON_STEP, "os.write(1, b'it succeeded\\n')\n", env="TOKEN=succeeded\n")
    done = program("run", "--json", cwd=tmp_path)
    value = value_of(done, "run")
    assert only_log(tmp_path).read_text() == "it ***\n"
    assert value["status"] == "succeeded"
    assert "the secret TOKEN looks like an everyday word" in done.stderr


def test_15_everything_that_can_be_shown(tmp_path: Path) -> None:
    """Given a step that fails with its secret in its last line and all over its report, then nothing that reads or exports shows it."""
    report = {"status": "failed", "message": f"no {SECRET}", "metrics": {SECRET: 1}}
    code = f"os.write(1, b'last ' + s)\nopen(os.environ['ORCHESTRATE_RESULT'], 'w').write({json.dumps(report)!r})\n"
    write(tmp_path, PYTHON_STEP, code)
    value_of(program("run", "--json", cwd=tmp_path), "run", code=1)
    shown = [
        program(*command, cwd=tmp_path)
        for command in (
            ("status", "--json"),
            ("runs",),
            ("show", "latest", "--json"),
            ("explain", "latest", "a"),
            ("logs", "latest"),
            ("graph", "latest", "--format", "svg"),
            ("report", "latest", "--json"),
            ("report", "latest", "--html", "-"),
            ("report", "latest", "--markdown", "-"),
            ("plan", "--json"),
            ("changes", "--json"),
            ("audit", "query", "SELECT * FROM attempts"),
            ("audit", "export", "--csv", str(tmp_path / "export")),
        )
    ]
    assert [done.args for done in shown if done.returncode not in (0, 1)] == []
    assert "***" in shown[2].stdout
    assert [done.args for done in shown if SECRET in done.stdout + done.stderr] == []
    exported = [path for path in (tmp_path / "export").rglob("*") if path.is_file()]
    assert [path for path in exported if SECRET.encode() in path.read_bytes()] == []
    assert holders(tmp_path) == []


@pytest.mark.parametrize(
    "env",
    [f"TOKEN=ok\nTOKEN {SECRET}\n", f"TOKEN='{SECRET}\n", f"{SECRET}\n", f"TOKEN={SECRET}\nTOKEN={SECRET}x\n"],
    ids=["no equals sign", "open quote", "value alone", "twice"],
)
def test_16_broken_line_of_the_environment_file(tmp_path: Path, env: str) -> None:
    """Given a line that is none, then the error names file and line, and nothing of it."""
    write(tmp_path, PYTHON_STEP, env=env)
    done = program("run", "--json", cwd=tmp_path)
    assert ".env" in str(refused(done))
    assert HALF not in done.stdout + done.stderr
    assert HALF not in program("validate", cwd=tmp_path).stderr


BUG = """
import sys
from orchestrator.cli import running
def broken(*_, **__):
    raise ZeroDivisionError("no TOKEN=%s here, " + {also})
running.make_plan = broken
{more}
from orchestrator.cli.app import main
main()
"""


def reported_bug(folder: Path, script: str) -> str:
    """Run a program with a bug in it, and return what its report says."""
    (folder / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", script, "run"],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 70
    assert SECRET not in done.stdout + done.stderr
    (report,) = (folder / "tmp").iterdir()
    return report.read_text(encoding="utf-8")


def test_16_report_of_a_bug(tmp_path: Path) -> None:
    """Given a bug whose message holds the secret and a token, then both are masked in its report, and the rest is there."""
    write(tmp_path, PYTHON_STEP)

    text = reported_bug(tmp_path, BUG.replace("%s", SECRET).format(also="'AKIAIOSFODNN7EXAMPLE'", more=""))

    assert "ZeroDivisionError: no TOKEN=*** here, ***" in text
    assert "Traceback" in text


def test_16_bug_of_what_masks(tmp_path: Path) -> None:
    """Given a bug in masking itself, then the report has the places and no text."""
    write(tmp_path, PYTHON_STEP)
    more = "from orchestrator.core.redaction import Redactor\nRedactor.redact = broken\nrunning.check_redactor = lambda *_: []"

    text = reported_bug(tmp_path, BUG.replace("%s", SECRET).format(also="''", more=more))

    assert SECRET not in text
    assert "ZeroDivisionError: its text is left out, since it could not be masked" in text
    assert "running.py" in text


def test_17_secret_that_is_replaced_before_a_resume(tmp_path: Path) -> None:
    """Given a new value, then the resumed run masks it; the former log stays as it is, and the old value is in none of them."""
    write(tmp_path, PYTHON_STEP, "os.write(1, b'key ' + s)\nraise SystemExit(not os.path.exists('go'))\n")
    assert program("run", "-q", cwd=tmp_path).returncode == 1
    former = only_log(tmp_path).read_bytes()
    (tmp_path / "go").touch()
    (tmp_path / ".env").write_text("TOKEN=another-stapled-horse\n", encoding="utf-8")
    assert program("resume", "latest", "-q", cwd=tmp_path).returncode == 0
    first, second = sorted(tmp_path.glob(".orchestrate/logs/*/a.*.log"))
    assert (former, first.read_bytes(), second.read_bytes()) == (b"key ***", b"key ***", b"key ***")
    assert (holders(tmp_path), holders(tmp_path, "another-stapled-horse")) == ([], [])


def test_18_secret_that_the_step_reads_itself(tmp_path: Path) -> None:
    """Given one that nobody declared, then it is shown, as documented; a pattern masks it."""
    (tmp_path / "vault").write_text("vault-4711-value\n", encoding="utf-8")
    definition = HEAD + 'shell = "cat vault"\n'
    write(tmp_path, definition)
    assert program("run", "-q", cwd=tmp_path).returncode == 0
    assert only_log(tmp_path).read_text() == "vault-4711-value\n"
    write(tmp_path, definition + '[redact]\npatterns = ["vault-[0-9]{4}-value"]\n')
    assert program("run", "-q", cwd=tmp_path).returncode == 0
    assert program("logs", "latest", "a", cwd=tmp_path).stdout.endswith("***\n")


def test_19_mask_that_takes_nothing_away(tmp_path: Path) -> None:
    """Given umask 000, then all that a run writes is its owner's alone."""
    write(tmp_path, PYTHON_STEP, "os.write(1, b'hello')\n")
    done = subprocess.run(["sh", "-c", 'umask 000; exec "$0" run -q', PROGRAM], cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 0
    kept = [tmp_path / ".orchestrate", *(tmp_path / ".orchestrate").rglob("*")]
    assert len(kept) > 6
    assert {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in kept if path.stat().st_mode & 0o077} == {}


def test_20_what_the_parent_has_in_its_environment(tmp_path: Path) -> None:
    """Given keys and loader variables in the parent's, then none is in the environment that the step was started with."""
    write(tmp_path, PYTHON_STEP, "os.write(1, open('/proc/self/environ', 'rb').read())\n")
    env = {"AWS_SECRET_ACCESS_KEY": "x", "PYTHONPATH": "/nowhere", "LD_LIBRARY_PATH": "/nowhere", "OTHER_SECRET": "x"}
    assert program("run", "-q", cwd=tmp_path, env=env).returncode == 0
    names = {entry.partition("=")[0] for entry in only_log(tmp_path).read_text().split("\0") if entry}
    given = {name for name in names if not name.startswith("ORCHESTRATE_")}
    assert given <= {"PATH", "HOME", "LANG", "TOKEN", "TRACEPARENT", "BAGGAGE"}
    assert {"PATH", "TOKEN"} <= names
    assert "TOKEN=***" in only_log(tmp_path).read_text()


@pytest.mark.parametrize(("word", "kind"), [("${TOKEN}", "secret_reference"), (f"-p{SECRET}", "holds_secret")])
def test_21_secret_on_a_command_line(tmp_path: Path, word: str, kind: str) -> None:
    """Given a command that refers to it or holds it, then nothing is started: others could read it in a list of processes."""
    write(tmp_path, HEAD + f'command = ["touch", "ran", "{word}"]\n')
    done = program("run", "--json", cwd=tmp_path)
    assert [problem["kind"] for problem in refused(done)] == [kind]
    assert SECRET not in done.stdout + done.stderr
    assert not (tmp_path / "ran").exists()
    no_traceback(done)
