"""Tests of what a run masks besides declared values, and of the made-up secret that has to be masked before a run may start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.core.canary import CANARY, what_comes_out
from orchestrator.core.redaction import Redactor
from tests.programs import Done, data_of, ledger_of, program, refused, value_of

TOKEN = "AKIAIOSFODNN7EXAMPLE"
SECRET = "very-secret-4711"
LINE = f"$API_KEY order ACME-123456 {TOKEN} http://bob:pw-of-bob@db aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

DEFINITION = f"""
[pipeline]
name = "shop"
[env.vars]
API_KEY = {{ secret = true }}
[redact]
patterns = ["ACME-[0-9]{{6}}", "(a+)+b"]
[steps.print]
shell = "echo {LINE}; exit 3"
env = ["API_KEY"]
"""

BROKEN = """
import sys
from orchestrator.core import redaction
{fault}
from orchestrator.cli.app import main
main()
"""
FAULTS = {
    "streams": "redaction.RedactionStream.feed = lambda stream, data: data",
    "texts": "redaction.Redactor.redact = lambda redactor, text: text",
    "search": "from orchestrator.core import finder; finder.Needle.around = lambda needle, buffer, place: None",
    "rules": "from orchestrator.core import finder; finder.next_start_of = lambda buffer, rule, hits: lambda _: len(buffer)",
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Give a project whose step prints and fails."""
    (tmp_path / "pipeline.toml").write_text(DEFINITION, encoding="utf-8")
    (tmp_path / ".env").write_text(f"API_KEY={SECRET}\n", encoding="utf-8")
    return tmp_path


def broken(folder: Path, fault: str, *arguments: str) -> Done:
    """Run the program with something wrong in it."""
    return subprocess.run(
        [sys.executable, "-c", BROKEN.format(fault=FAULTS[fault]), *arguments],
        cwd=folder,
        env=os.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestRules:
    """Patterns and well-known tokens, in the log, in messages, and counted."""

    def test_shapes_are_masked_and_counted(self, shop: Path) -> None:
        """Given a step that prints what nobody declared, then its log has none of it, and the event tells how much was masked."""
        done = program("run", "--json", "--reason", f"as {TOKEN} says", cwd=shop)
        value_of(done, "run", code=1)
        (log,) = shop.glob(".orchestrate/logs/*/print.1.log")
        (finished,) = data_of(ledger_of(shop), "attempt.finished")
        (started,) = data_of(ledger_of(shop), "run.started")

        assert log.read_text() == "*** order *** *** http://bob:***@db " + "a" * 48 + "\n"
        assert finished["masked"] == {"API_KEY": 1, "pattern:1": 1, "builtin:aws": 1, "builtin:url": 1}
        assert started["reason"] == "as *** says"

    def test_the_rules_can_be_switched_off(self, shop: Path) -> None:
        """Given builtin = false, then only what was declared is masked."""
        off = DEFINITION.replace("[redact]", "[redact]\nbuiltin = false")
        (shop / "pipeline.toml").write_text(off, encoding="utf-8")
        value_of(program("run", "--json", cwd=shop), "run", code=1)
        (log,) = shop.glob(".orchestrate/logs/*/print.1.log")

        assert log.read_text().startswith(f"*** order *** {TOKEN} http://bob:pw-of-bob@db")

    def test_nothing_to_mask(self, shop: Path) -> None:
        """Given neither secrets nor rules, then nothing has to be proven."""
        (shop / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[redact]\nbuiltin = false\n[steps.a]\ncommand = ["true"]\n', encoding="utf-8"
        )

        assert broken(shop, "streams", "run").returncode == 0

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            (
                'patterns = ["ok-[0-9]", "(?=x)y"]',
                "4:25: redact.patterns[1] '(?=x)y' is no pattern: (?=x is not supported",
            ),
            ("patterns = [" + ",".join(f'"x{number}y"' for number in range(101)) + "]", "has 101 entries, at most 100"),
            ('patterns = "x"', "expected an array"),
            ('pattern = ["x"]', "did you mean patterns?"),
            ("builtin = 1", "expected true or false"),
        ],
    )
    def test_a_wrong_table(self, shop: Path, table: str, message: str) -> None:
        """Given what cannot be searched for, then it is refused with its place and the reason."""
        (shop / "pipeline.toml").write_text(
            f'[pipeline]\nname = "p"\n[redact]\n{table}\n[steps.a]\ncommand = ["true"]\n', encoding="utf-8"
        )
        (problem,) = refused(program("validate", "--json", cwd=shop))

        assert message in f"{problem['line']}:{problem['column']}: {problem['message']} ({problem.get('suggestion')})"


class TestCanary:
    """A made-up secret that comes out keeps a run from starting."""

    @pytest.mark.parametrize(
        ("fault", "how"),
        [
            ("streams", "a made-up one came out as it is, in a text; nothing was started"),
            ("texts", "a made-up one came out as it is, in a text; nothing was started"),
            ("search", "a made-up one came out as it is, in a text; nothing was started"),
            ("rules", "a made-up one came out as a token, in a text; nothing was started"),
        ],
    )
    def test_a_run_is_refused(self, shop: Path, fault: str, how: str) -> None:
        """Given masking that does not work, then nothing runs, and the refusal alone is recorded."""
        (problem,) = refused(broken(shop, fault, "run", "--json", "--reason", SECRET))
        (recorded,) = data_of(ledger_of(shop), "run.refused")

        assert (problem["kind"], problem["message"]) == ("not_masked", f"secrets are not masked on this machine: {how}")
        assert [item["kind"] for item in recorded["problems"]] == ["not_masked"]
        assert data_of(ledger_of(shop), "run.started") == []
        assert not list(shop.glob(".orchestrate/logs/*/*"))
        assert SECRET.encode() not in b"".join(
            path.read_bytes() for path in (shop / ".orchestrate").rglob("*") if path.is_file()
        )

    def test_what_comes_out_of_streams_alone(self) -> None:
        """Given streams that mask nothing, or that see single writes only, then that is noticed although texts are masked."""
        redactor = Redactor({"canary": CANARY})

        class Forgetful:
            def feed(self, data: bytes) -> bytes:
                return redactor.redact(data.decode()).encode()

            def flush(self) -> bytes:
                return b""

        assert what_comes_out(redactor.stream, redactor.redact, builtin=False) is None
        assert what_comes_out(Redactor().stream, redactor.redact, builtin=False) == "as it is"
        assert what_comes_out(Forgetful, redactor.redact, builtin=False) == "as it is, byte by byte"
