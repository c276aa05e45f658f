"""Tests of `[alerts]`, `[deadman]` and `[telemetry]` in the definition: what they mean, and what may be wrong with them."""

from __future__ import annotations

import pytest

from orchestrator.core.definition import AlertRule, Alerts, Channel, Deadman, Telemetry
from orchestrator.core.parse import parse_pipeline
from orchestrator.schemas import load_schema
from tests.orchestrator.core.test_definition_checks import told

SCHEMA = load_schema("pipeline")
STEPS = 'steps.a.command = ["a"]\n'
OPS = STEPS + '[alerts.channels.ops]\ncommand = ["mail", "-s", "night"]\n'


class TestMeaning:
    """What a right definition says."""

    def test_all_of_it(self) -> None:
        """Given every key, then it is what it says."""
        text = (
            'pipeline.name = "p"\n'
            + OPS
            + 'env = ["T"]\ntimeout = "3s"\n'
            + '[alerts.channels.chat]\nwebhook = "${T}"\nheaders = { X-Key = "k ${T}" }\n'
            + '[alerts.channels.phone]\napprise = ["tgram://${T}/1"]\n'
            + '[[alerts.rules]]\non = ["failed", "missing"]\nto = ["ops"]\nnights = 2\n'
            + '[[alerts.rules]]\non = ["digest"]\nat = "07:30"\n'
            + '[deadman]\nstart = "https://x/${T}/start"\nsuccess = "https://x"\nfailure = "http://y"\ntimeout = "2s"\n'
            + '[telemetry]\nfile = "otlp.jsonl"\nwait = "3s"\n'
            + "[env.vars]\nT = { secret = true }\n"
        )
        pipeline = parse_pipeline(text, file="p.toml", schema=SCHEMA).pipeline

        assert pipeline.alerts == Alerts(
            {
                "ops": Channel("ops", command=("mail", "-s", "night"), env=("T",), timeout_us=3_000_000),
                "chat": Channel("chat", webhook="${T}", headers={"X-Key": "k ${T}"}),
                "phone": Channel("phone", apprise=("tgram://${T}/1",)),
            },
            (AlertRule(("failed", "missing"), ("ops",), 2), AlertRule(("digest",), at="07:30")),
        )
        assert pipeline.alerts.effective == pipeline.alerts.rules
        assert pipeline.deadman == Deadman("https://x/${T}/start", "https://x", "http://y", 2_000_000)
        assert pipeline.telemetry == Telemetry("otlp.jsonl", 3_000_000)

    def test_nothing(self) -> None:
        """Given neither table, then nobody is told."""
        pipeline = parse_pipeline('pipeline.name = "p"\n' + STEPS, file="p.toml", schema=SCHEMA).pipeline
        assert (pipeline.alerts, pipeline.alerts.effective, pipeline.deadman) == (Alerts(), (), Deadman())


class TestProblems:
    """What may be wrong is told with its place, and with what to write instead."""

    @pytest.mark.parametrize(
        ("text", "kind", "message"),
        [
            (
                OPS + '[[alerts.rules]]\non = ["faild"]\n',
                "bad_value",
                "p.toml:6:7: alerts.rules[0].on[0] is 'faild', expected one of failed, recovered, refused, deadline, stale, missing, digest (did you mean failed?)",
            ),
            (
                OPS + '[[alerts.rules]]\non = ["failed"]\nto = ["opps"]\n',
                "unknown_channel",
                "p.toml:7:7: no such channel: 'opps' (did you mean ops?)",
            ),
            (
                OPS + '[[alerts.rules]]\nto = ["ops"]\n',
                "missing_key",
                "p.toml:5:10: alerts.rules[0] lacks on",
            ),
            (
                STEPS + '[[alerts.rules]]\non = ["failed"]\n',
                "missing_key",
                'p.toml:3:10: alerts has rules and no channel (write [alerts.channels.ops] with a command = ["…"] or a webhook = "https://…")',
            ),
            (
                STEPS + "[alerts.channels.ops]\n",
                "one_of",
                'p.toml:3:18: alerts.channels.ops has no command, webhook or apprise (write command = ["…"] or webhook = "https://…")',
            ),
            (
                OPS + 'webhook = "https://x"\n',
                "one_of",
                "p.toml:3:18: alerts.channels.ops has both command and webhook (a channel is one of them)",
            ),
            (
                STEPS + '[alerts.channels.ops]\ncommand = [" "]\n',
                "empty",
                "p.toml:4:1: alerts.channels.ops.command names no program",
            ),
            (
                OPS + 'env = ["T"]\n',
                "unknown_variable",
                "p.toml:5:8: no such variable: 'T' (defined are: none)",
            ),
            (
                OPS + 'timeout = "31s"\n',
                "out_of_range",
                "p.toml:5:1: alerts.channels.ops.timeout is 31s, at most 30s is allowed (a run waits for it)",
            ),
            (
                STEPS + 'deadman.timeout = "1m"\n',
                "out_of_range",
                "p.toml:3:9: deadman.timeout is 1m, at most 10s is allowed (a run waits for it)",
            ),
            (
                STEPS + 'telemetry.wait = "1m"\n',
                "out_of_range",
                "p.toml:3:11: telemetry.wait is 1m, at most 30s is allowed (a run waits for it)",
            ),
            (
                STEPS + 'deadman.url = "https://x"\n',
                "unknown_key",
                "p.toml:3:9: unknown key 'url' in deadman (allowed are start, success, failure, timeout)",
            ),
            (
                STEPS + 'alerts.channels.chat.webhook = "chat.example.org"\n',
                "bad_value",
                "p.toml:3:22: alerts.channels.chat.webhook is no address of the web: 'chat.example.org' (it begins with https:// or http://, or is ${NAME})",
            ),
            (
                STEPS + 'deadman.success = "https://me:secret@example.org"\n',
                "holds_secret",
                "p.toml:3:9: deadman.success holds a user or password, and the definition is recorded and shown (put it into a secret variable and write ${NAME})",
            ),
            (
                STEPS
                + '[alerts.channels.chat]\nwebhook = "https://x/${TOKN}"\n[env.vars]\nTOKEN = { secret = true }\n',
                "unknown_reference",
                "p.toml:4:1: alerts.channels.chat.webhook refers to TOKN, which is not declared (did you mean ${TOKEN}?)",
            ),
            (
                STEPS
                + '[alerts.channels.ops]\ncommand = ["mail", "${TOKEN}"]\n[env.vars]\nTOKEN = { secret = true }\n',
                "secret_reference",
                'p.toml:4:20: alerts.channels.ops.command refers to TOKEN, which is secret: paths and commands are recorded and shown (give it to the step with env = ["TOKEN"])',
            ),
            (
                OPS + '[[alerts.rules]]\non = ["digest"]\nat = "7:30"\n',
                "bad_value",
                "p.toml:7:1: alerts.rules[0].at is '7:30', which is not of the form that is expected here",
            ),
            (
                STEPS + '[alerts.channels."a b"]\ncommand = ["x"]\n',
                "bad_name",
                "p.toml:3:18: not a name of a channel: 'a b'; names are letters, digits, '_' and '-', starting with a letter or digit",
            ),
        ],
    )
    def test_problem(self, text: str, kind: str, message: str) -> None:
        """Given one mistake, then it is told once."""
        assert told(text) == [(kind, message)]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                OPS + '[[alerts.rules]]\non = ["digest"]\nat = "25:00"\nto = ["nobody"]\n',
                ["alerts.rules[0].at", "no such channel: 'nobody'"],
            ),
            (
                STEPS + '[[alerts.rules]]\non = ["digest"]\nat = "25:00"\nfoo = 1\n',
                ["rules and no channel", "alerts.rules[0].at", "unknown key 'foo'"],
            ),
            (
                'alerts.rules = [7, { at = "25:00" }]\n' + STEPS,
                ["alerts.rules[0]", "alerts.rules[1] lacks on", "alerts.rules[1].at"],
            ),
            (
                OPS + '[[alerts.rules]]\non = ["nonsense"]\nto = ["nobody"]\n',
                ["alerts.rules[0].on[0]", "no such channel: 'nobody'"],
            ),
        ],
    )
    def test_one_pass(self, text: str, expected: list[str]) -> None:
        """Given a rule with two mistakes, then one does not hide the other."""
        messages = [message for _, message in told(text)]
        assert len(messages) == len(expected), messages
        for part in expected:
            assert any(part in message for message in messages), messages

    def test_password_in_a_variable_is_fine(self) -> None:
        """Given an address with a user whose password is a secret variable, then nothing is wrong."""
        text = 'deadman.success = "https://me:${P}@example.org"\nenv.vars.P = { secret = true }\n'
        assert told(STEPS + text) == []
