"""
The golden corpus of events: real bodies of every type and version that was ever written, below `tests/vectors/events`.

A file of it never changes: `index.json` has the digest of each, and later programs have to read all of them. `python -m tests.event_corpus` runs the
program through all that can happen and adds a file for each type and version of which it has something new; it never writes one that is there.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from orchestrator.core.events import EVENT_TYPES
from tests.programs import kill, pid_in

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "vectors" / "events"
INDEX = CORPUS / "index.json"
OLD_LEDGERS = sorted((ROOT / "tests" / "vectors" / "ledgers").glob("*.db"))

HOST = """
import os, sys
name = os.uname()
other = os.uname_result((name.sysname, sys.argv.pop(1), name.release, name.version, name.machine))
os.uname = lambda: other
from ledger import times
back, now = int(os.environ.get("CLOCK_BACK_SECONDS", "0")), times.time.time_ns
times.utc_now = lambda: times.format_utc(now() // 1000 - back * 1_000_000)
from orchestrator.cli.app import main
main()
"""

DEFINITION = """\
[pipeline]
name = "shop"
[audit]
anchors = ["anchor"]
anchor_command = ["false"]
[alerts.channels.ops]
command = ["true"]
[alerts.channels.chat]
command = ["false"]
[deadman]
success = "http://127.0.0.1:1/"
[telemetry]
file = "telemetry.jsonl"
wait = "30s"
[env.vars]
API_KEY = { secret = true, required = true }
REGION = { default = "nyc" }
[datasets.raw]
path = "raw"
[datasets.bronze]
path = "bronze"
[steps.ingest]
shell = "mkdir -p bronze; cp raw/* bronze/; cat metrics > $ORCHESTRATE_RESULT; echo key $API_KEY"
env = ["API_KEY", "REGION"]
reads = ["raw"]
writes = ["bronze"]
timeout = "1m"
[steps.check]
shell = "test ! -e broken; test ! -e slow || { echo $$ > p; mv p pid; exec sleep 60; }"
reads = ["bronze"]
[steps.mail]
shell = "kill -9 $$"
needs = ["check"]
retry = { attempts = 2 }
"""
METRICS = {"metrics": {"rows": 842, "share": 0.25, "ok": True}, "outputs": {"bronze": {"rows": 842}}}


def known_types() -> dict[str, int]:
    """Return every type that this program writes with its present version: the orchestrator's and the ledger's own."""
    sources = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "ledger").glob("*.py"))]
    own = {name for text in sources for name in re.findall(r'^[A-Z_]+ = "(ledger\.[a-z_]+)"$', text, re.MULTILINE)}
    return {name: version for name, (_, version) in EVENT_TYPES.items()} | dict.fromkeys(sorted(own), 1)


def bodies_of(ledger: Path) -> Iterator[tuple[str, int, str, str]]:
    """Yield type, version, body and leaf hash of each event of *ledger*, in order."""
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?immutable=1", uri=True)) as connection:
        for body, leaf in connection.execute("SELECT body, leaf_hash FROM events ORDER BY seq"):
            envelope = json.loads(body)
            yield envelope["type"], envelope["type_version"], body, bytes(leaf).hex()


def _make_shop(folder: Path) -> tuple[Path, Path]:
    """Make the folder of a pipeline below *folder*, and return it with the definition."""
    shop = folder / "shop"
    (shop / "raw").mkdir(parents=True)
    (shop / "anchor").mkdir()
    (shop / "raw" / "1.csv").write_text("1\n", encoding="utf-8")
    (shop / ".env").write_text("API_KEY=very-secret-4711\n", encoding="utf-8")
    (shop / "metrics").write_text(json.dumps(METRICS), encoding="utf-8")
    definition = shop / "pipeline.toml"
    definition.write_text(DEFINITION, encoding="utf-8")
    return shop, definition


def live_through(folder: Path) -> list[Path]:
    """Let everything happen below *folder* that becomes an event, and return the ledgers that hold it."""
    shop, definition = _make_shop(folder)
    why = ("--reason", "ticket 4711")
    _program(shop, "run")
    _program(shop, "note", "latest/mail", "it kills itself")
    _program(shop, "ack", "latest", *why)
    _program(shop, "reproduce", "latest")  # which differs: `metrics` is declared nowhere
    definition.write_text(DEFINITION.replace('"kill -9 $$"', '"true"'), encoding="utf-8")
    _program(shop, "run", "--for", "2026-01-02", *why)
    _program(shop, "run", "--for", "2026-01-02")
    _program(shop, "reproduce", "latest", *why)  # which cannot be: nothing ran
    _program(shop, "run", "--env-file", "nowhere.env")
    (shop / "broken").touch()
    _program(shop, "run", "--force", "--only", "check")
    _program(shop, "ack", "latest")
    (shop / "broken").unlink()
    (shop / "bronze" / "1.csv").write_text("mended\n", encoding="utf-8")
    _program(shop, "accept", "latest", "ingest", *why)
    _lose_a_run(shop)
    _cancel_and_resume(shop, why)
    _program(shop, "run")
    _program(shop, "note", "latest", "well", *why)
    _program(shop, "run", host="etl2")
    _program(shop, "audit", "keygen")
    _program(shop, "audit", "rotate-key", *why)
    _program(shop, "audit", "keygen", "--lost", *why)
    (shop / "etc").mkdir()
    for name in ("raw", ".env", "metrics", "pipeline.toml", "bronze", "anchor"):
        (shop / name).rename(shop / "etc" / name)
    ledger = shop / ".orchestrate" / "ledger.db"
    _program(shop / "etc", "run", "--moved", "--ledger", str(ledger), *why)
    _program(shop / "etc", "note", "latest", "the clock was wrong", *why, "--ledger", str(ledger), clock_back=3600)
    with contextlib.closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("UPDATE runs SET night = '2026-01-03' WHERE night = '2026-01-02'")
    _program(shop / "etc", "audit", "rebuild", *why, "--ledger", str(ledger))
    _program(shop / "etc", "prune", "--older-than", "0s", "--apply", *why, "--ledger", str(ledger))
    backup, restored = str(folder / "backup.db"), folder / "restored" / "ledger.db"
    _program(shop / "etc", "audit", "backup", backup, "--ledger", str(ledger))
    _program(shop / "etc", "audit", "restore", backup, "--ledger", str(restored), *why)
    found = [ledger, restored]
    for number, old in enumerate([*OLD_LEDGERS, *OLD_LEDGERS]):
        copy = folder / f"old{number}" / "ledger.db"
        copy.parent.mkdir()
        shutil.copyfile(old, copy)
        # On the way to a run, and because somebody said so.
        _program(shop / "etc", *(("run",) if number % 2 else ("audit", "upgrade")), "--ledger", str(copy))
        found.append(copy)
    return found


def add_missing() -> list[str]:
    """Write a file for what the corpus lacks of each type and version, and return the names of these files."""
    index: dict[str, str] = json.loads(INDEX.read_text(encoding="utf-8")) if INDEX.exists() else {}
    known = {(name, version, _shape(body)) for name, version, body, _ in corpus_events(index)}
    found: dict[tuple[str, int], dict[str, dict[str, str]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for ledger in [*OLD_LEDGERS, *live_through(Path(folder))]:
            for name, version, body, leaf in bodies_of(ledger):
                if (name, version, _shape(body)) not in known:
                    event = {"body": body, "leaf_hash": leaf}
                    found.setdefault((name, version), {}).setdefault(_shape(body), event)
    CORPUS.mkdir(parents=True, exist_ok=True)
    added = []
    for (name, version), shapes in sorted(found.items()):
        document = {"type": name, "version": version, "events": list(shapes.values())}
        content = json.dumps(document, indent=1, ensure_ascii=False).encode("utf-8") + b"\n"
        others = sum(file.startswith(f"{name}.{version}.") for file in index)
        file = f"{name}.{version}.{f'{others + 1}.' if others else ''}json"
        with (CORPUS / file).open("xb") as target:
            target.write(content)
        index[file] = sha256(content).hexdigest()
        added.append(file)
    INDEX.write_text(json.dumps(dict(sorted(index.items())), indent=1) + "\n", encoding="utf-8")
    return added


def corpus_events(files: Iterable[str]) -> Iterator[tuple[str, int, str, str]]:
    """Yield type, version, body and leaf hash of each event in *files* of the corpus."""
    for file in files:
        document: dict[str, Any] = json.loads((CORPUS / file).read_text(encoding="utf-8"))
        for event in document["events"]:
            yield document["type"], document["version"], event["body"], event["leaf_hash"]


def _shape(body: str) -> str:
    """Return what two bodies must share to be the same for the corpus: the fields that are there, and what some of them say."""
    data: dict[str, Any] = json.loads(body)["data"]
    telling = [f"{name}={data[name]}" for name in ("status", "format", "exit_code") if name in data]
    return " ".join([*sorted(data), *telling])


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    # Nobody listens there.
    kept["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = "http://127.0.0.1:1/"
    return kept | {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / ".config"), "LOGNAME": "anna"}


def _program(folder: Path, *arguments: str, host: str = "etl1", clock_back: int = 0) -> None:
    subprocess.run(
        [sys.executable, "-c", HOST, host, *arguments],
        cwd=folder,
        env=_environment(folder) | {"PYTHONPATH": str(ROOT), "CLOCK_BACK_SECONDS": str(clock_back)},
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=60,
    )


def _cancel_and_resume(shop: Path, why: Sequence[str]) -> None:
    """Close the run that was lost and go on with it; end another one from outside while a step runs, and go on with that."""
    _program(shop, "cancel", "latest", *why)
    _program(shop, "resume", "latest", *why)
    (shop / "slow").touch()
    (shop / "pid").unlink()
    process = subprocess.Popen(
        [sys.executable, "-c", HOST, "etl1", "run", "--force"],
        cwd=shop,
        env=_environment(shop) | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
    )
    pid_in(shop / "pid")
    _program(shop, "cancel", "latest")
    process.wait()
    (shop / "slow").unlink()
    _program(shop, "resume", "latest")


def _lose_a_run(shop: Path) -> None:
    """Kill the orchestrator while a step runs."""
    (shop / "slow").touch()
    process = subprocess.Popen(
        [sys.executable, "-c", HOST, "etl1", "run", "--force"],
        cwd=shop,
        env=_environment(shop) | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
    )
    step = pid_in(shop / "pid")
    _program(shop, "run")  # which is refused: the other one is on
    process.kill()
    process.wait()
    kill(step)
    (shop / "slow").unlink()


if __name__ == "__main__":
    sys.stdout.write("".join(f"added: tests/vectors/events/{name}\n" for name in add_missing()))
