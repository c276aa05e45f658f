"""Tests of alerts from outside: real runs, a real server, real commands, and what breaks between them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import jsonschema
import pytest

from orchestrator.cli import alerting
from orchestrator.cli.alerting import raise_alerts, tell_lateness
from orchestrator.cli.direct_alerts import send_directly
from orchestrator.cli.opening import open_to_write
from orchestrator.cli.reach import read_reach
from orchestrator.core.alerts import Occasion
from orchestrator.core.definition import Alerts, Channel
from orchestrator.schemas import load_schema
from tests.loopback import Loopback, loopback, refusing_url
from tests.programs import (
    Done,
    Json,
    data_of,
    ended,
    events_of,
    ledger_of,
    no_traceback,
    program,
    refused,
    started,
    value_of,
    wait_until,
)

TOKEN = "very-secret-token-4711"
STEPS = """
[steps.ingest]
shell = "echo working; test -e ok || { echo 'no delivery'; exit 3; }"
[steps.clean]
command = ["true"]
needs = ["ingest"]
[steps.gold]
command = ["true"]
needs = ["clean"]
"""
HEAD = """
[pipeline]
name = "shop"
[env.vars]
TOKEN = { secret = true }
"""

KILLED_BEFORE_RAISING = (
    '[audit]\nanchor_command = ["sh", "-c", "test -e killed || { touch killed; kill -9 $PPID; sleep 5; }"]\n'
)


@pytest.fixture
def server() -> Iterator[Loopback]:
    """Give a server that takes everything."""
    with loopback() as served:
        yield served


def write(folder: Path, alerts: str, *, steps: str = STEPS) -> Path:
    """Write a pipeline that fails until there is a file `ok`, with these *alerts*."""
    (folder / "pipeline.toml").write_text(HEAD + alerts + steps, encoding="utf-8")
    (folder / ".env").write_text(f"TOKEN={TOKEN}\n", encoding="utf-8")
    return folder


def to_file(rest: str = "") -> str:
    """Return a channel `ops` that appends each message, as JSON, to `told`."""
    return f"""
[alerts.channels.ops]
command = ["sh", "-c", 'cat > text; printf "%s\\n" "$ORCHESTRATE_ALERT" >> told']
{rest}
"""


def to_server(served: Loopback, rest: str = "", *, timeout: str = "30s") -> str:
    """Return a channel `chat` that posts to *served*, with a secret in its address."""
    return f'[alerts.channels.chat]\nwebhook = "{served.url}/${{TOKEN}}"\ntimeout = "{timeout}"\n{rest}\n'


def told(folder: Path) -> list[Json]:
    """Return the messages that the channel `ops` was given, in order; each of them follows the published schema."""
    path = folder / "told"
    messages = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    for message in messages:
        follows_schema(message)
    return messages


def follows_schema(message: Json) -> None:
    """Assert that *message* is of the published form."""
    jsonschema.Draft202012Validator(load_schema("alert")).validate(message)


def kinds(folder: Path) -> list[str]:
    """Return what the channel `ops` was told of, in order."""
    return [message["kind"] for message in told(folder)]


def kinds_of(folder: Path) -> list[str]:
    """Return the types of the events about alerts, in order."""
    return [event["type"] for event in events_of(ledger_of(folder)) if event["type"].startswith("alert.")]


def listed(folder: Path) -> list[Json]:
    """Return what `alerts` lists, oldest first."""
    return list(reversed(value_of(program("alerts", "--json", cwd=folder), "alerts")))


def nowhere(folder: Path, secret: str) -> None:
    """Assert that *secret* stands in no file but `.env`."""
    for path in folder.rglob("*"):
        if path.is_file() and path.name != ".env":
            assert secret.encode() not in path.read_bytes(), path


class TestRun:
    """How a run ended is told once to each channel, the cause first."""

    def test_failure(self, tmp_path: Path) -> None:
        """Given a step that fails, then one message has the cause, what follows from it, what to type, the end of the log and the checkpoint."""
        write(tmp_path, to_file())
        run = value_of(program("run", "--json", "--for", "2026-01-31", cwd=tmp_path), "run", code=1)

        (message,) = told(tmp_path)
        assert message["title"] == "shop failed, night 2026-01-31: ingest (exit)"
        assert (message["run_id"], message["night"], message["status"]) == (run["run_id"], "2026-01-31", "failed")
        assert message["root_cause"]["text"] == "ingest: exit code 3 (permanent)"
        assert message["skipped"] == 2
        assert message["tail"]["lines"] == ["working", "no delivery"]
        definition = tmp_path / "pipeline.toml"
        assert message["next"][0] == f"orchestrate logs {run['run_id']} ingest --pipeline {definition}"
        shown = value_of(program("show", run["run_id"], "--json", cwd=tmp_path), "show")
        assert message["checkpoint"] == shown["checkpoint"]
        text = (tmp_path / "text").read_text(encoding="utf-8")
        assert text == message["text"] + "\n"
        assert text.splitlines()[:3] == [
            "shop failed, night 2026-01-31: ingest (exit)",
            "first failure: ingest: exit code 3 (permanent)",
            "2 steps were skipped because of it",
        ]

    def test_what_is_to_be_typed_works_anywhere(self, tmp_path: Path) -> None:
        """Given a ledger elsewhere, when each command of the message is typed in another folder, then it finds the run."""
        write(tmp_path, to_file())
        ledger = tmp_path / "ledgers" / "ledger.db"
        assert program("run", "--quiet", "--ledger", str(ledger), cwd=tmp_path).returncode == 1

        (message,) = told(tmp_path)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        codes = [program(*line.split()[1:], cwd=elsewhere).returncode for line in message["next"]]
        assert codes == [0, 0, 1]

    def test_recovery_is_told_once_and_success_not_at_all(self, tmp_path: Path) -> None:
        """Given two failures and two successes, then each failure is told, the first success as recovery, the second not."""
        write(tmp_path, to_file())
        program("run", cwd=tmp_path)
        program("run", cwd=tmp_path)
        (tmp_path / "ok").touch()
        program("run", cwd=tmp_path)
        program("run", cwd=tmp_path)

        assert kinds(tmp_path) == ["failed", "failed", "recovered"]
        assert told(tmp_path)[-1]["title"].startswith("shop is well again, night ")

    def test_a_part_that_succeeds_is_no_recovery(self, tmp_path: Path) -> None:
        """Given a failure, when another step alone is run, then nobody is told that all is well; the next whole run tells it."""
        write(tmp_path, to_file(), steps=STEPS + '[steps.other]\ncommand = ["true"]\n')
        program("run", cwd=tmp_path)
        program("run", "--only", "other", "--force", cwd=tmp_path)
        assert kinds(tmp_path) == ["failed"]
        (tmp_path / "ok").touch()
        program("run", cwd=tmp_path)
        assert kinds(tmp_path) == ["failed", "recovered"]

    def test_a_resumed_run_that_ends_well_is_a_recovery(self, tmp_path: Path) -> None:
        """Given a failed run, when it is resumed in vain and then with success, then each end is told."""
        write(tmp_path, to_file())
        program("run", cwd=tmp_path)
        program("resume", "latest", cwd=tmp_path)
        (tmp_path / "ok").touch()
        assert program("resume", "latest", cwd=tmp_path).returncode == 0

        assert kinds(tmp_path) == ["failed", "failed", "recovered"]
        assert len({message["run_id"] for message in told(tmp_path)}) == 1

    def test_events_are_sealed_after_the_run(self, tmp_path: Path) -> None:
        """Given a failure that is told, then the run's checkpoint comes before the alert's events, and another one covers these."""
        write(tmp_path, to_file())
        program("run", cwd=tmp_path)

        types = [event["type"] for event in events_of(ledger_of(tmp_path))]
        assert types[-3:] == ["run.finished", "alert.raised", "alert.delivered"]
        with contextlib.closing(sqlite3.connect(ledger_of(tmp_path))) as connection:
            sizes = [size for (size,) in connection.execute("SELECT size FROM checkpoints ORDER BY size")]
        assert sizes == [len(types) - 2, len(types)]
        verdict = value_of(program("audit", "verify", "--json", cwd=tmp_path), "audit-verify")
        assert (verdict["ok"], verdict["unsealed"]) == (True, 0)

    def test_no_log_of_personal_data(self, tmp_path: Path) -> None:
        """Given a step that writes personal data, then the message has no line of its log."""
        steps = '[datasets.people]\npath = "people"\nclassification = "personal"\n' + STEPS.replace(
            "[steps.clean]", 'writes = ["people"]\n[steps.clean]', 1
        )
        write(tmp_path, to_file(), steps=steps)
        program("run", cwd=tmp_path)

        (message,) = told(tmp_path)
        (line,) = message["tail"]["lines"]
        assert line.startswith("withheld, as the step touches personal data")
        assert "no delivery" not in message["text"]

    def test_rules_choose_channels(self, tmp_path: Path, server: Loopback) -> None:
        """Given rules, then each channel is told what they say and nothing else."""
        rules = '[[alerts.rules]]\non = ["failed"]\nto = ["chat"]\n[[alerts.rules]]\non = ["recovered"]\nto = ["ops"]\n'
        write(tmp_path, to_file() + to_server(server) + rules)
        program("run", cwd=tmp_path)
        (tmp_path / "ok").touch()
        program("run", cwd=tmp_path)

        assert [body["kind"] for body in server.bodies] == ["failed"]
        assert kinds(tmp_path) == ["recovered"]

    def test_without_alerts_nothing_is_recorded(self, tmp_path: Path) -> None:
        """Given a definition without alerts, then a failure is no more than that."""
        write(tmp_path, "")
        program("run", cwd=tmp_path)
        assert [event for event in events_of(ledger_of(tmp_path)) if event["type"].startswith("alert.")] == []
        assert listed(tmp_path) == []

    def test_a_digest_goes_out_once_a_day_also_on_success(self, tmp_path: Path) -> None:
        """Given a rule for a digest, when two nights succeed on a day, then it comes once and has each pipeline of the ledger."""
        (tmp_path / "ok").touch()
        write(tmp_path, to_file('[[alerts.rules]]\non = ["digest"]\n'))
        mart = tmp_path / "mart"
        mart.mkdir()
        (mart / "pipeline.toml").write_text('[pipeline]\nname = "mart"\n[steps.a]\ncommand = ["false"]\n', "utf-8")
        ledger = str(ledger_of(tmp_path))
        program("run", "--for", "2026-01-30", "--ledger", ledger, cwd=mart)
        program("run", "--for", "2026-01-31", cwd=tmp_path)
        program("run", "--for", "2026-02-01", cwd=tmp_path)

        (message,) = told(tmp_path)
        assert message["kind"] == "digest"
        assert message["pipelines"] == [
            "mart: failed, night 2026-01-30, no good night yet, 1 failure not acknowledged",
            "shop: succeeded, night 2026-01-31",
        ]


class TestDelivery:
    """What a channel does not take waits in the ledger, and changes nothing for the run."""

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (503, "HTTP 503 Service Unavailable"),
            (404, "HTTP 404 Not Found"),
            ("redirect", "HTTP 302 Found"),
            ("drop", "the connection was dropped, or what came was no HTTP"),
            ("hang", "it did not end within 0.5 s"),
            ("drip", "it did not end within 0.5 s"),
        ],
    )
    def test_an_address_that_fails(self, answer: int | str, error: str, tmp_path: Path, server: Loopback) -> None:
        """Given a server that fails, then the run is what it is, the failure is an event, and the alert goes out once at the next start."""
        write(tmp_path, to_server(server, timeout="500ms" if answer in ("hang", "drip") else "30s"))
        server.answer = answer
        begun = time.monotonic()
        done = program("run", "--json", cwd=tmp_path)
        assert time.monotonic() - begun < 10
        value = value_of(done, "run", code=1)
        assert value["status"] == "failed"
        (row,) = listed(tmp_path)
        assert (row["state"], row["attempts"], row["error"]) == ("waiting", 1, error)
        assert f"not delivered: {error}" in done.stderr

        write(tmp_path, to_server(server))
        server.answer = 200
        server.requests.clear()
        (tmp_path / "ok").touch()
        program("run", cwd=tmp_path)
        assert [body["kind"] for body in server.bodies] == ["failed", "recovered"]
        for body in server.bodies:
            follows_schema(body)
        assert [row["state"] for row in listed(tmp_path)] == ["delivered", "delivered"]
        assert "since then" not in server.bodies[0]["text"]
        nowhere(tmp_path, TOKEN)
        assert TOKEN not in done.stdout + done.stderr

    def test_an_address_where_nobody_listens(self, tmp_path: Path) -> None:
        """Given no server, then the error says so."""
        write(tmp_path, f'[alerts.channels.chat]\nwebhook = "{refusing_url()}/${{TOKEN}}"\n')
        assert program("run", cwd=tmp_path).returncode == 1
        (row,) = listed(tmp_path)
        assert (row["state"], row["error"]) == ("waiting", "no connection: Connection refused")

    @pytest.mark.parametrize(
        ("command", "error"),
        [
            ('["sh", "-c", "echo bad token $TOKEN >&2; exit 3"]', "it ended with exit code 3: bad token ***"),
            ('["sh", "-c", "sleep 60 & exec sleep 60"]', "it did not end within 0.5 s"),
            ('["sh", "-c", "while :; do echo nonsense >&2; done"]', "it did not end within 0.5 s"),
            ('["./nothing"]', "it could not be started: No such file or directory"),
            ('["sh", "-c", "kill -9 $$"]', "it ended with exit code -9"),
        ],
    )
    def test_a_command_that_fails(self, command: str, error: str, tmp_path: Path) -> None:
        """Given a command that fails or hangs, then the run is what it is, and the failure is an event without secrets."""
        write(tmp_path, f'[alerts.channels.ops]\ncommand = {command}\nenv = ["TOKEN"]\ntimeout = "500ms"\n')
        value = value_of(program("run", "--json", cwd=tmp_path), "run", code=1)
        assert value["status"] == "failed"
        (failed,) = data_of(ledger_of(tmp_path), "alert.failed")
        assert (failed["attempt"], failed["error"]) == (1, error)
        nowhere(tmp_path, TOKEN)

    def test_a_command_sees_what_it_should(self, tmp_path: Path) -> None:
        """Given a command channel, then its environment is what env.pass lists, what env names, and the alert."""
        write(tmp_path, '[alerts.channels.ops]\ncommand = ["sh", "-c", "env > seen"]\nenv = ["TOKEN"]\n')
        program("run", cwd=tmp_path, env={"OTHER": "x"})
        seen = {line.partition("=")[0] for line in (tmp_path / "seen").read_text(encoding="utf-8").splitlines()}
        expected = {"ORCHESTRATE_ALERT", *(f"ORCHESTRATE_ALERT_{key}" for key in ("ID", "KIND", "PIPELINE", "TITLE"))}
        assert {"TOKEN", "PATH", "HOME"} | expected <= seen
        assert "OTHER" not in seen

    def test_a_message_that_fits_into_no_environment(self, tmp_path: Path) -> None:
        """Given words in signs of four bytes, more than the environment of a process takes, then the text is whole and the variable is shorter."""
        many = "\N{GRINNING FACE}" * 900
        steps = f"[steps.ingest]\nshell = \"for i in $(seq 15); do echo '{many}'; done; exit 3\"\n"
        write(tmp_path, to_file(), steps=steps)
        assert program("run", cwd=tmp_path).returncode == 1
        (message,) = told(tmp_path)
        assert message["tail"] is None
        assert (tmp_path / "text").read_text(encoding="utf-8").count(many) > 10

    def test_headers_and_id_of_a_request(self, tmp_path: Path, server: Loopback) -> None:
        """Given headers with a secret, then the request has them, and the id under which it may come again, wherever the ledger lies by then."""
        write(tmp_path, to_server(server, 'headers = { Authorization = "Bearer ${TOKEN}" }'))
        program("run", cwd=tmp_path)
        (request,) = server.requests
        assert request["path"] == f"/{TOKEN}"
        assert request["headers"]["Authorization"] == f"Bearer {TOKEN}"
        key = request["headers"]["Idempotency-Key"]
        assert len(key) == 32
        server.answer = 503
        program("run", cwd=tmp_path)
        server.answer = 200
        moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))
        program("alerts", "send", cwd=moved)
        keys = [(request["body"]["alert"], request["headers"]["Idempotency-Key"]) for request in server.requests]
        assert keys[1] == keys[2]
        assert keys[0][1] != keys[1][1]

    def test_a_secret_without_a_value_is_a_warning(self, tmp_path: Path, server: Loopback) -> None:
        """Given an address that needs a secret that has no value, then the run warns and goes on, and the alert waits."""
        write(tmp_path, to_server(server))
        (tmp_path / ".env").unlink()
        done = program("run", cwd=tmp_path)
        assert done.returncode == 1
        assert (
            "alerts.channels.chat.webhook refers to TOKEN, which has no value: nobody can be told there" in done.stderr
        )
        (row,) = listed(tmp_path)
        assert row["error"] == "no value for ${TOKEN}"

    def test_a_slow_channel_does_not_keep_another_waiting(self, tmp_path: Path, server: Loopback) -> None:
        """Given a channel that hangs and many alerts for it, then it is tried once a round, and the other one is told."""
        write(tmp_path, to_server(server, timeout="500ms") + to_file())
        server.answer = "hang"
        for _ in range(3):
            program("run", cwd=tmp_path)
        assert kinds(tmp_path) == ["failed"] * 3
        # Once at the end of the first run, then at the start and at the end of each.
        waiting = [row["attempts"] for row in listed(tmp_path) if row["channel"] == "chat"]
        assert sum(waiting) == 5

    def test_one_attempt_a_round_and_what_was_tried_least_first(self, tmp_path: Path, server: Loopback) -> None:
        """Given a channel that refuses what it was sent first, then that is tried once a round, and what is new is not kept waiting by it."""
        rules = '[[alerts.rules]]\non = ["failed"]\n'
        write(tmp_path, to_server(server, rules))
        server.answer = 400
        program("run", cwd=tmp_path)
        assert program("run", cwd=tmp_path).returncode == 1
        assert [row["attempts"] for row in listed(tmp_path)] == [2, 1]
        server.requests.clear()
        server.answer = 200
        assert program("alerts", "send", cwd=tmp_path).returncode == 0
        first, second = listed(tmp_path)
        assert [body["alert"] for body in server.bodies] == [second["alert"], first["alert"]]

    def test_apprise(self, tmp_path: Path, server: Loopback) -> None:
        """Given an address of apprise, then the package hands the message over."""
        host = server.url.removeprefix("http://")
        write(tmp_path, f'[alerts.channels.phone]\napprise = ["json://{host}/${{TOKEN}}"]\ntimeout = "30s"\n')
        done = program("run", cwd=tmp_path)
        assert done.returncode == 1
        (body,) = server.bodies
        assert body["title"].startswith("shop failed, night ")
        assert [row["state"] for row in listed(tmp_path)] == ["delivered"]
        server.answer = 500
        program("run", cwd=tmp_path)
        assert listed(tmp_path)[-1]["error"] == "apprise could not deliver it"
        nowhere(tmp_path, TOKEN)


class TestOutbox:
    """What waits is sent by whoever comes next."""

    def test_another_pipeline_of_the_ledger(self, tmp_path: Path, server: Loopback) -> None:
        """Given an alert that waits, when another pipeline of the ledger starts, then it goes out as its own definition says."""
        write(tmp_path, to_server(server))
        server.answer = 503
        program("run", cwd=tmp_path)
        server.answer = 200
        server.requests.clear()
        mart = tmp_path / "mart"
        mart.mkdir()
        (mart / "pipeline.toml").write_text('[pipeline]\nname = "mart"\n[steps.a]\ncommand = ["true"]\n', "utf-8")
        assert program("run", "--ledger", str(ledger_of(tmp_path)), cwd=mart).returncode == 0
        assert server.paths == [f"/{TOKEN}"]
        (tmp_path / "pipeline.toml").unlink()
        assert [row["state"] for row in listed(tmp_path)] == ["delivered"]

    def test_what_cannot_be_sent_keeps_nothing_waiting(self, tmp_path: Path) -> None:
        """Given alerts of a run that is not there, of a pipeline that is not, and for a channel that is gone, then each says so, and others go out."""
        write(tmp_path, to_file("[alerts.channels.gone]\ncommand = ['false']\n"))
        program("run", cwd=tmp_path)
        write(tmp_path, to_file())
        lost = Occasion("failed", "x", "of a lost run", run_id="20260131T020000Z-000abcdef")
        alerts = Alerts({"ops": Channel("ops", command=("true",))})
        with open_to_write(ledger_of(tmp_path)) as ledger:
            for name in ("shop", "ghost"):
                (raised,) = raise_alerts(ledger, name, alerts, [lost])
                assert raised.alert == f"{name}:failed:x:ops"
                assert raise_alerts(ledger, name, alerts, [lost]) == []
        (tmp_path / "ok").touch()
        program("run", cwd=tmp_path)
        assert {
            (row["alert"].split(":")[0], row["channel"]): row["error"] for row in listed(tmp_path) if row["error"]
        } == {
            ("shop", "gone"): "the definition has no channel gone now",
            ("shop", "ops"): "it could not be made: ValueError",
            ("ghost", "ops"): "the ledger does not know its definition any more",
        }
        assert kinds(tmp_path) == ["failed", "recovered"]


class TestCrash:
    """What was cut off is made up for at the next start, once."""

    def test_killed_between_raising_and_delivering(self, tmp_path: Path) -> None:
        """Given an orchestrator that is killed before the channel has taken the alert, then the next start delivers it once."""
        command = "test -e killed || { touch killed; kill -9 $PPID; exit 1; }; cat > text; printf '%s\\\\n' \\\"$ORCHESTRATE_ALERT\\\" >> told"
        write(tmp_path, f'[alerts.channels.ops]\ncommand = ["sh", "-c", "{command}"]\n')
        assert program("run", cwd=tmp_path).returncode == -9
        assert [row["state"] for row in listed(tmp_path)] == ["waiting"]
        (tmp_path / "ok").touch()
        assert program("run", cwd=tmp_path).returncode == 0

        assert kinds(tmp_path) == ["failed", "recovered"]
        assert [row["state"] for row in listed(tmp_path)] == ["delivered", "delivered"]

    def test_killed_between_the_end_of_the_run_and_raising(self, tmp_path: Path) -> None:
        """Given an orchestrator that is killed when its run was recorded and nothing raised, then the next start raises it by the rules of that run."""
        write(tmp_path, to_file() + KILLED_BEFORE_RAISING)
        assert program("run", cwd=tmp_path).returncode == -9
        assert listed(tmp_path) == []
        program("run", cwd=tmp_path)
        program("run", cwd=tmp_path)
        assert kinds(tmp_path) == ["failed", "failed", "failed"]
        assert len({message["run_id"] for message in told(tmp_path)}) == 3

    def test_a_run_that_lost_its_orchestrator_is_told_by_the_next(self, tmp_path: Path) -> None:
        """Given an orchestrator that is killed within a step, then the next start tells that its run was interrupted, and its own end that all is well."""
        slow = '[steps.ingest]\nshell = "test -e ok || { touch here; exec sleep 60; }"\n'
        write(tmp_path, to_file(), steps=slow)
        with started("run", cwd=tmp_path) as process:
            wait_until((tmp_path / "here").exists, "the step did not start")
            process.kill()
            ended(process)
        (tmp_path / "ok").touch()
        assert program("run", cwd=tmp_path).returncode == 0
        assert kinds(tmp_path) == ["failed", "recovered"]
        assert "was interrupted" in told(tmp_path)[0]["title"]

    @pytest.mark.parametrize("words", [("check",), ("alerts", "send")])
    def test_a_run_that_lost_its_orchestrator_is_told_where_nothing_starts(
        self, words: tuple[str, ...], tmp_path: Path
    ) -> None:
        """Given an orchestrator that is killed within a step, and a start that a timer never makes, then a second cron tells it, once, also after the run was closed."""
        write(tmp_path, to_file(), steps='[steps.ingest]\nshell = "test -e ok || { touch here; exec sleep 60; }"\n')
        with started("run", "--for", "2026-01-31", cwd=tmp_path) as process:
            wait_until((tmp_path / "here").exists, "the step did not start")
            assert program(*words, cwd=tmp_path).returncode in (0, 2)
            assert kinds(tmp_path) == []
            process.kill()
            ended(process)
        program(*words, cwd=tmp_path)
        program(*words, cwd=tmp_path)
        (message,) = told(tmp_path)
        assert message["title"] == "shop was interrupted, night 2026-01-31: its orchestrator is gone"
        assert (message["kind"], message["status"]) == ("failed", "interrupted")
        assert message["next"][0].startswith("orchestrate run --for 2026-01-31 ")
        (tmp_path / "ok").touch()
        assert program("run", "--for", "2026-01-31", cwd=tmp_path).returncode == 0
        assert kinds(tmp_path) == ["failed", "recovered"]

    @pytest.mark.parametrize("words", [("check",), ("alerts", "send")])
    def test_killed_between_the_end_of_the_run_and_raising_and_never_started_again(
        self, words: tuple[str, ...], tmp_path: Path
    ) -> None:
        """Given a failed run whose program was killed before it told, then a second cron tells it, once."""
        write(tmp_path, to_file() + KILLED_BEFORE_RAISING)
        assert program("run", cwd=tmp_path).returncode == -9
        for _ in range(2):
            program(*words, cwd=tmp_path)
            assert kinds(tmp_path) == ["failed"]

    def test_rules_that_are_new_say_nothing_of_the_past(self, tmp_path: Path) -> None:
        """Given a failed night, when a channel is defined after it, then the next start tells nothing of it; the recovery is news."""
        write(tmp_path, "")
        program("run", cwd=tmp_path)
        write(tmp_path, to_file())
        (tmp_path / "ok").touch()
        program("run", cwd=tmp_path)
        assert kinds(tmp_path) == ["recovered"]


class TestRefusal:
    """Alerting does not depend on what has failed."""

    def refuse(self, folder: Path, *arguments: str, code: int = 2) -> Done:
        """Start a run that is refused."""
        done = program("run", *arguments, cwd=folder)
        assert done.returncode == code, done.stderr
        no_traceback(done)
        return done

    def test_the_same_refusal_is_told_once_until_something_has_run(self, tmp_path: Path) -> None:
        """Given a start that is refused again and again, then it is told once; after a run in between, and for another reason, again."""
        write(tmp_path, to_file())
        (tmp_path / "ok").touch()
        for _ in range(3):
            self.refuse(tmp_path, "--env-file", "nowhere")
        assert kinds(tmp_path) == ["refused"]
        (message,) = told(tmp_path)
        assert message["title"] == "shop was not started, exit code 2: the environment file: there is no such file"
        assert message["problems"] == ["nowhere: the environment file: there is no such file"]
        assert message["next"] == [f"orchestrate validate --pipeline {tmp_path / 'pipeline.toml'}"]

        assert program("run", cwd=tmp_path).returncode == 0
        self.refuse(tmp_path, "--env-file", "nowhere")
        self.refuse(tmp_path, "--set", "NOTHING=1")
        assert kinds(tmp_path) == ["refused"] * 3
        assert len(data_of(ledger_of(tmp_path), "run.refused")) == 5
        refusals = [event["seq"] for event in events_of(ledger_of(tmp_path)) if event["type"] == "run.refused"]
        assert [row["about"] for row in listed(tmp_path)] == [refusals[0], refusals[3], refusals[4]]

    def test_a_definition_that_is_wrong_is_told_by_the_last_right_one(self, tmp_path: Path) -> None:
        """Given a definition that nobody can read, then the rules that last ran tell it, with the place."""
        write(tmp_path, to_file())
        (tmp_path / "ok").touch()
        program("run", cwd=tmp_path)
        with (tmp_path / "pipeline.toml").open("a", encoding="utf-8") as file:
            file.write("nonsense = \n")
        self.refuse(tmp_path)
        (message,) = told(tmp_path)
        assert message["kind"] == "refused"
        assert message["problems"][0].startswith("pipeline.toml:")

    def test_a_definition_that_was_never_right_has_nobody_to_tell(self, tmp_path: Path) -> None:
        """Given no ledger and a wrong definition, then it is refused as ever."""
        write(tmp_path, to_file(), steps="nonsense = \n")
        self.refuse(tmp_path)
        assert not (tmp_path / ".orchestrate").exists()

    def test_another_run_is_active(self, tmp_path: Path) -> None:
        """Given a run that is on, then a second start is told, and does not disturb it."""
        slow = '[steps.ingest]\nshell = "touch here; until test -e ok; do sleep 0.02; done"\n'
        write(tmp_path, to_file(), steps=slow)
        with started("run", cwd=tmp_path) as process:
            wait_until((tmp_path / "here").exists, "the step did not start")
            self.refuse(tmp_path, code=4)
            self.refuse(tmp_path, code=4)
            (tmp_path / "ok").touch()
            assert ended(process).returncode == 0
        (message,) = told(tmp_path)
        assert "exit code 4" in message["title"]
        assert message["next"] == [f"orchestrate status --pipeline {tmp_path / 'pipeline.toml'}"]

    def test_a_damaged_ledger_is_told_without_it(self, tmp_path: Path) -> None:
        """Given a ledger that is none any more, then it is told directly, and once a day."""
        write(tmp_path, to_file())
        program("run", cwd=tmp_path)
        ledger_of(tmp_path).write_bytes(b"nothing of a ledger" * 1000)
        for leftover in ledger_of(tmp_path).parent.glob("ledger.db-*"):
            leftover.unlink()
        self.refuse(tmp_path, code=3)
        self.refuse(tmp_path, code=3)
        assert kinds(tmp_path) == ["failed", "failed"]
        message = told(tmp_path)[-1]
        assert "could not go on, exit code 3" in message["title"]
        assert message["next"] == [f"orchestrate audit verify --pipeline {tmp_path / 'pipeline.toml'}"]

    def test_what_is_told_directly_and_not_taken_is_told_again(self, tmp_path: Path) -> None:
        """Given a damaged ledger and a channel that is down, then the next start tells it, and the one after that not."""
        command = "test -e up || exit 3; printf '%s\\\\n' \\\"$ORCHESTRATE_ALERT\\\" >> told"
        write(tmp_path, f'[alerts.channels.ops]\ncommand = ["sh", "-c", "{command}"]\n')
        ledger_of(tmp_path).parent.mkdir()
        ledger_of(tmp_path).write_bytes(b"nothing of a ledger" * 1000)
        done = self.refuse(tmp_path, code=3)
        assert "was not delivered: it ended with exit code 3" in done.stderr
        (tmp_path / "up").touch()
        self.refuse(tmp_path, code=3)
        self.refuse(tmp_path, code=3)
        assert kinds(tmp_path) == ["failed"]

    def test_a_ledger_that_can_no_longer_be_read(self, tmp_path: Path) -> None:
        """Given a ledger that fails while a message of a run is made, then what the alert itself says is sent."""
        write(tmp_path, to_file())
        program("run", cwd=tmp_path)
        ledger = open_to_write(ledger_of(tmp_path))
        ledger.close()
        reach = read_reach(tmp_path / "pipeline.toml", ledger_of(tmp_path))
        assert reach is not None
        run_id = told(tmp_path)[0]["run_id"]
        send_directly(reach, [Occasion("failed", "x", "it failed", run_id=run_id)], ledger=ledger, say=print)
        message = told(tmp_path)[-1]
        assert (message["title"], message["run_id"], message["root_cause"]) == ("it failed", run_id, None)

    def test_a_ledger_that_was_turned_back_is_told_and_not_touched(self, tmp_path: Path) -> None:
        """Given an older copy in the ledger's place, then exit code 3 is told, and nothing is appended to the copy."""
        write(tmp_path, to_file())
        (tmp_path / "ok").touch()
        program("run", cwd=tmp_path)
        ledger = ledger_of(tmp_path)
        older = ledger.read_bytes()
        program("run", "--force", cwd=tmp_path)
        ledger.write_bytes(older)
        before = len(events_of(ledger))
        self.refuse(tmp_path, code=3)
        assert len(events_of(ledger)) == before
        assert kinds(tmp_path) == ["failed"]

    def test_a_ledger_that_cannot_be_written(self, tmp_path: Path) -> None:
        """Given no room for a ledger, then exit code 5 is told directly, once a day though nothing beside the ledger can be written."""
        write(tmp_path, to_file())
        (tmp_path / ".orchestrate").touch()
        settings = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
        for _ in range(2):
            done = program("run", cwd=tmp_path, env=settings)
            assert done.returncode == 5, done.stderr
            no_traceback(done)
        (message,) = told(tmp_path)
        assert "shop could not go on, exit code 5" in message["title"]
        assert message["next"] == [f"orchestrate doctor --pipeline {tmp_path / 'pipeline.toml'}"]

    def test_a_ledger_that_fails_within_a_run(self, tmp_path: Path) -> None:
        """Given a ledger in whose place a step puts another file, then the run ends with exit code 5, and that is told."""
        steps = '[steps.ingest]\nshell = "cd .orchestrate; mv ledger.db l; cp l ledger.db"\n'
        write(tmp_path, to_file(), steps=steps)
        self.refuse(tmp_path, code=5)
        (message,) = told(tmp_path)
        assert "shop could not go on, exit code 5: the ledger" in message["title"]
        assert message["kind"] == "failed"

    def test_a_ledger_that_fails_after_a_run(self, tmp_path: Path) -> None:
        """Given a ledger in whose place an anchor puts another file, then how the run ended is told without the outbox, and that it is not sealed."""
        anchor = '[audit]\nanchor_command = ["sh", "-c", "cd .orchestrate; mv ledger.db l; cp l ledger.db"]\n'
        write(tmp_path, to_file() + anchor)
        done = self.refuse(tmp_path, code=1)
        assert "warning: alerts could not be recorded, and are sent without: " in done.stderr
        failed, unsealed = told(tmp_path)
        assert failed["title"].startswith("shop failed, night ")
        assert failed["tail"]["lines"] == ["working", "no delivery"]
        assert "shop could not go on, exit code 5: the ledger" in unsealed["title"]

    def test_secrets_in_a_refusal_are_masked(self, tmp_path: Path) -> None:
        """Given a problem that repeats a secret, then neither the message nor the ledger holds it."""
        write(tmp_path, to_file())
        (tmp_path / "ok").touch()
        program("run", cwd=tmp_path)
        write(tmp_path, to_file(), steps=STEPS + f'[datasets.raw]\npath = "{TOKEN}"\n')
        self.refuse(tmp_path)
        (message,) = told(tmp_path)
        assert message["kind"] == "refused"
        assert TOKEN not in json.dumps(message)
        assert TOKEN.encode() not in ledger_of(tmp_path).read_bytes()

    def test_a_value_that_a_wrong_definition_repeats(self, tmp_path: Path) -> None:
        """Given a definition that is wrong and repeats a value of `.env` that no definition has called secret yet, then nobody is told the value."""
        write(tmp_path, to_file())
        (tmp_path / "ok").touch()
        program("run", cwd=tmp_path)
        value = "another-secret-4712"
        with (tmp_path / ".env").open("a", encoding="utf-8") as file:
            file.write(f"NEW={value}\n")
        with (tmp_path / "pipeline.toml").open("a", encoding="utf-8") as file:
            file.write(f'[steps.new]\ncommand = ["true"]\nneeds = ["{value}"]\n')
        self.refuse(tmp_path)
        (message,) = told(tmp_path)
        assert "no such step: '***'" in message["problems"][0]
        assert value.encode() not in (tmp_path / "told").read_bytes() + ledger_of(tmp_path).read_bytes()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root is another user")
    def test_commands_of_another_user_are_not_run(self, tmp_path: Path) -> None:
        """Given the ledger of another user, when root starts a run, then it is refused, and no command of his definition runs as root."""
        write(tmp_path, to_file())
        (tmp_path / "ok").touch()
        program("run", cwd=tmp_path)
        os.chown(ledger_of(tmp_path), 65534, 65534)
        os.chown(tmp_path / "pipeline.toml", 65534, 65534)
        self.refuse(tmp_path)
        self.refuse(tmp_path, "--env-file", "nowhere")
        with (tmp_path / "pipeline.toml").open("a", encoding="utf-8") as file:
            file.write("nonsense = \n")
        self.refuse(tmp_path)
        assert program("alerts", "test", cwd=tmp_path).returncode == 2
        assert program("alerts", "send", cwd=tmp_path).returncode == 2
        assert told(tmp_path) == []

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to somebody else")
    def test_ones_own_definition_beside_the_ledger_of_another_user(self, tmp_path: Path) -> None:
        """Given one's own definition and a ledger that has become somebody else's, then the refusal is told by it, once, and nothing is left in his folder."""
        write(tmp_path, to_file())
        (tmp_path / "ok").touch()
        program("run", cwd=tmp_path)
        folder = ledger_of(tmp_path).parent
        shutil.rmtree(folder / "locks")
        for place in (folder, *folder.rglob("*")):
            os.chown(place, 65534, 65534)
        for _ in range(2):
            self.refuse(tmp_path)
        (message,) = told(tmp_path)
        assert message["kind"] == "refused"
        assert "belongs to the user" in message["problems"][0]
        assert {place.stat().st_uid for place in folder.rglob("*")} == {65534}

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to somebody else")
    def test_a_wrong_definition_beside_the_ledger_of_another_user(self, tmp_path: Path) -> None:
        """Given one's own definition with a mistake, then no command of the definition that somebody else's ledger holds is run."""
        write(tmp_path, to_file())
        (tmp_path / "ok").touch()
        program("run", cwd=tmp_path)
        os.chown(ledger_of(tmp_path), 65534, 65534)
        with (tmp_path / "pipeline.toml").open("a", encoding="utf-8") as file:
            file.write("nonsense = \n")
        self.refuse(tmp_path)
        assert told(tmp_path) == []

    def test_what_a_person_mistypes_is_told_to_nobody_else(self, tmp_path: Path) -> None:
        """Given a command line that cannot be, then whoever typed it is told."""
        write(tmp_path, to_file())
        self.refuse(tmp_path, "--for", "yesterday")
        self.refuse(tmp_path, "--only", "nothing")
        assert told(tmp_path) == []


class TestDeadman:
    """Whoever watches from outside is asked at the start and at the end."""

    def addresses(self, served: Loopback, *, timeout: str = "10s") -> str:
        """Return a `[deadman]` with all addresses."""
        base = f"{served.url}/${{TOKEN}}"
        lines = [f'{event} = "{base}/{event}"' for event in ("start", "success", "failure")]
        return f"[deadman]\ntimeout = '{timeout}'\n" + "\n".join(lines) + "\n"

    def test_each_event(self, tmp_path: Path, server: Loopback) -> None:
        """Given a failure, a success and a refusal, then the addresses are asked for, and the ledger says so without them."""
        write(tmp_path, self.addresses(server))
        program("run", cwd=tmp_path)
        (tmp_path / "ok").touch()
        program("run", cwd=tmp_path)
        program("run", "--env-file", "nowhere", cwd=tmp_path)

        asked = [path.removeprefix(f"/{TOKEN}/") for path in server.paths]
        assert asked == ["start", "failure", "start", "success", "failure"]
        pinged = data_of(ledger_of(tmp_path), "deadman.pinged")
        assert [(ping["on"], ping["ok"]) for ping in pinged] == [(event, True) for event in asked]
        nowhere(tmp_path, TOKEN)

    @pytest.mark.parametrize("answer", [503, "hang", "drop"])
    def test_an_address_that_fails_changes_nothing(self, answer: int | str, tmp_path: Path, server: Loopback) -> None:
        """Given a server that fails, then the run succeeds, in time, and the failure is recorded."""
        write(tmp_path, self.addresses(server, timeout="500ms"))
        (tmp_path / "ok").touch()
        server.answer = answer
        begun = time.monotonic()
        assert program("run", cwd=tmp_path).returncode == 0
        assert time.monotonic() - begun < 10
        pinged = data_of(ledger_of(tmp_path), "deadman.pinged")
        assert [(ping["on"], ping["ok"]) for ping in pinged] == [("start", False), ("success", False)]


class TestCommand:
    """`orchestrate alerts`."""

    def test_send(self, tmp_path: Path, server: Loopback) -> None:
        """Given an alert that waits, when `send` is called, then it goes out once, and the exit code says whether all did."""
        write(tmp_path, to_server(server))
        server.answer = 503
        program("run", cwd=tmp_path)
        (row,) = value_of(program("alerts", "send", "--json", cwd=tmp_path), "alerts", code=1)
        assert (row["state"], row["attempts"]) == ("waiting", 2)
        server.answer = 200
        server.requests.clear()
        (row,) = value_of(program("alerts", "send", "--json", cwd=tmp_path), "alerts")
        assert (row["state"], row["attempts"]) == ("delivered", 3)
        assert value_of(program("alerts", "send", "--json", cwd=tmp_path), "alerts") == []
        assert len(server.bodies) == 1
        verdict = value_of(program("audit", "verify", "--json", cwd=tmp_path), "audit-verify")
        assert (verdict["ok"], verdict["unsealed"]) == (True, 0)

    def test_send_has_the_digest(self, tmp_path: Path) -> None:
        """Given a rule for a digest, when a second cron calls `send`, then it goes out without a run, once a day."""
        write(tmp_path, "")
        (tmp_path / "ok").touch()
        program("run", cwd=tmp_path)
        write(tmp_path, to_file('[[alerts.rules]]\non = ["digest"]\n'))
        assert program("alerts", "send", cwd=tmp_path).returncode == 0
        assert program("alerts", "send", cwd=tmp_path).returncode == 0
        assert kinds(tmp_path) == ["digest"]

    def test_two_at_once_send_once(self, tmp_path: Path, server: Loopback) -> None:
        """Given several that send at once, then each alert goes out once."""
        write(tmp_path, to_server(server))
        server.answer = 503
        program("run", cwd=tmp_path)
        server.answer = 200
        server.requests.clear()
        with contextlib.ExitStack() as stack:
            senders = [stack.enter_context(started("alerts", "send", cwd=tmp_path)) for _ in range(3)]
            codes = [ended(sender).returncode for sender in senders]
        assert codes == [0, 0, 0]
        assert len(server.bodies) == 1

    def test_trial(self, tmp_path: Path, server: Loopback) -> None:
        """Given channels, when they are tried, then each gets a message that says so, and nothing is recorded."""
        write(tmp_path, to_file() + to_server(server))
        value = value_of(program("alerts", "test", "--json", cwd=tmp_path), "alerts-test")
        assert value == [{"channel": name, "ok": True, "error": None} for name in ("ops", "chat")]
        assert kinds(tmp_path) == ["test"]
        assert not (tmp_path / ".orchestrate").exists()
        server.answer = 503
        done = program("alerts", "test", "--channel", "chat", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "chat: not taken: HTTP 503 Service Unavailable\n")

    def test_list(self, tmp_path: Path) -> None:
        """Given alerts, then people see when, to whom, and what became of it; without a ledger there are none."""
        write(tmp_path, to_file())
        assert program("alerts", cwd=tmp_path).stdout == ""
        program("run", "--for", "2026-01-31", cwd=tmp_path)
        lines = program("alerts", cwd=tmp_path).stdout.splitlines()
        assert lines[0].split() == ["raised", "channel", "state", "what"]
        assert lines[1].endswith("ops      delivered  shop failed, night 2026-01-31: ingest (exit)")

    def test_a_channel_that_is_not_there(self, tmp_path: Path) -> None:
        """Given a near miss, then it is named."""
        write(tmp_path, to_file())
        (problem,) = refused(program("alerts", "test", "--channel", "op", "--json", cwd=tmp_path))
        assert problem["message"] == "no such channel: 'op' (did you mean ops?)"
        (problem,) = refused(program("alerts", "send", "--channel", "ops", "--json", cwd=tmp_path))
        assert problem["kind"] == "usage"

    def test_no_channels_to_try(self, tmp_path: Path) -> None:
        """Given no channels, then it says so."""
        write(tmp_path, "")
        done = program("alerts", "test", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "the definition has no [alerts.channels]\n")


class TestLateness:
    """What `check` finds is told by the rules of the ledger."""

    def late(self, folder: Path, *nights: str, **more: object) -> list[str]:
        """Hand over that these *nights* have no run, and return what was said."""
        row: Json = {"pipeline": "shop", "last_run": {"night": "2026-01-29"}, "alive": None, "missing_nights": nights}
        row |= {"failed_nights": [], "freshness": []}
        said: list[str] = []
        too_old = [
            {"pipeline": "shop", "kind": "too_old", "message": "its last success is 50h old, expected within 26h"}
        ]
        findings = too_old if more.pop("too_old", False) else []
        tell_lateness(ledger_of(folder), [row | more], findings, say=said.append)
        return said

    def ran(self, folder: Path, alerts: str) -> None:
        """Let a night succeed under these *alerts*."""
        write(folder, alerts)
        (folder / "ok").touch()
        assert program("run", "--for", "2026-01-29", cwd=folder).returncode == 0

    def test_digest_whose_time_comes_after_the_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a night that ends before the time of the digest, when one checks after it and again, then it comes once, also where all is well."""
        zone = "UTC" if datetime.now(UTC).hour < 12 else "Pacific/Honolulu"  # where it is not yet a minute to midnight
        rule = '[[alerts.rules]]\non = ["digest"]\nat = "23:59"\n'
        self.ran(tmp_path, f'[schedule]\ncron = "0 2 * * *"\ntimezone = "{zone}"\n{to_file(rule)}')
        assert self.late(tmp_path) == []
        assert (kinds(tmp_path), kinds_of(tmp_path)) == ([], [])

        class Later(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz).replace(hour=23, minute=59)

        monkeypatch.setattr(alerting, "datetime", Later)
        for _ in range(2):
            assert self.late(tmp_path) == []
        assert (kinds(tmp_path), kinds_of(tmp_path)) == (["digest"], ["alert.raised", "alert.delivered"])

    def test_digest_that_the_run_could_not_raise(self, tmp_path: Path) -> None:
        """Given a night that ended well and whose program was killed before it could tell, when one checks, then the digest goes out, though nothing is found."""
        write(tmp_path, to_file('[[alerts.rules]]\non = ["digest"]\n') + KILLED_BEFORE_RAISING)
        (tmp_path / "ok").touch()
        assert program("run", cwd=tmp_path).returncode == -9
        assert kinds(tmp_path) == []
        assert program("check", "--max-age", "1d", cwd=tmp_path).returncode == 0
        assert kinds(tmp_path) == ["digest"]

    def test_digest_with_a_refusal(self, tmp_path: Path) -> None:
        """Given that the digest is due, when a start is refused, then it goes out with the refusal."""
        self.ran(tmp_path, "")
        steps = '[datasets.raw]\npath = "raw"\n' + STEPS.replace("[steps.clean]", '[steps.clean]\nreads = ["raw"]')
        write(tmp_path, to_file('[[alerts.rules]]\non = ["digest", "refused"]\n'), steps=steps)
        assert program("run", cwd=tmp_path).returncode == 2
        assert sorted(kinds(tmp_path)) == ["digest", "refused"]

    def test_missing_and_stale_once(self, tmp_path: Path) -> None:
        """Given nights without a run, stale data and an old success, when one looks again and again, then each is told once; one more night is news."""
        self.ran(tmp_path, to_file())
        stale = [
            {"dataset": "raw", "state": "error", "text": "raw is 51h old"},
            {"dataset": "other", "state": "warn", "text": "other is 27h old"},
        ]
        for _ in range(2):
            assert self.late(tmp_path, "2026-01-30", freshness=stale, too_old=True) == []
        self.late(tmp_path, "2026-01-31", "2026-01-30")
        assert [message["title"] for message in told(tmp_path)] == [
            "shop: night 2026-01-30 has no run",
            "shop: raw is 51h old",
            "shop: its last success is 50h old, expected within 26h",
            "shop: 2 nights have no run, 2026-01-30 to 2026-01-31",
        ]
        commands = [line.split(" --pipeline")[0] for line in told(tmp_path)[-1]["next"]]
        assert commands == ["orchestrate run --for 2026-01-30", "orchestrate run --for 2026-01-31"]
        verdict = value_of(program("audit", "verify", "--json", cwd=tmp_path), "audit-verify")
        assert (verdict["ok"], verdict["unsealed"]) == (True, 0)

    def test_for_so_many_nights(self, tmp_path: Path) -> None:
        """Given a rule that asks for two nights, then one tells nobody, and the ledger is not opened to write for it."""
        self.ran(tmp_path, to_file('[[alerts.rules]]\non = ["missing"]\nnights = 2\n'))
        before = ledger_of(tmp_path).read_bytes()
        self.late(tmp_path, "2026-01-30")
        assert ledger_of(tmp_path).read_bytes() == before
        assert told(tmp_path) == []
        self.late(tmp_path, "2026-01-31", "2026-01-30")
        assert kinds(tmp_path) == ["missing"]

    def test_a_ledger_that_was_turned_back(self, tmp_path: Path) -> None:
        """Given an older copy in the ledger's place, then it is told without it."""
        self.ran(tmp_path, to_file())
        older = ledger_of(tmp_path).read_bytes()
        program("run", "--force", "--for", "2026-01-29", cwd=tmp_path)
        ledger_of(tmp_path).write_bytes(older)
        (warning,) = self.late(tmp_path, "2026-01-30")
        assert warning.startswith("warning: alerts could not be recorded, and are sent without: ")
        self.late(tmp_path, "2026-01-30")
        assert kinds(tmp_path) == ["missing"]

    def test_nothing_is_harmed(self, tmp_path: Path) -> None:
        """Given a ledger that does not know the pipeline, or none, then that is said, and no more."""
        self.ran(tmp_path, "")
        assert self.late(tmp_path, "2026-01-30", pipeline="other") == []
        (warning,) = self.late(tmp_path / "nowhere", "2026-01-30")
        assert warning.startswith("warning: alerts: LedgerNotFoundError: there is no ledger at ")
