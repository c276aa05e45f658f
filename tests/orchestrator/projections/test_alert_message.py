"""Tests of the message of an alert: what it says of a run, and that no secret is in it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.outbox import Row
from orchestrator.core.redaction import Redactor
from orchestrator.projections.alert_message import Message, alert_message, sendable
from orchestrator.schemas import load_schema
from tests.programs import ledger_of, program, value_of

RUN = "20260131T020000Z-000abcdef"
WIDE = """\
[pipeline]
name = "shop"
[steps.ingest]
shell = "echo no; test -e ok || exit 3"
[steps.other]
shell = "test -e ok || exit 4"
[steps.clean]
command = ["true"]
needs = ["ingest"]
[steps.gold]
command = ["true"]
needs = ["clean"]
[steps.below]
command = ["true"]
needs = ["other"]
"""


def row(**changes: Any) -> Row:  # noqa: ANN401 - any field
    """Return an alert as the outbox has it."""
    found = {
        "alert": "refused:2-abc-new-d:ops",
        "pipeline": "shop",
        "channel": "ops",
        "kind": "refused",
        "what": "shop was not started",
        "run_id": None,
        "about": None,
        "facts": None,
        "raised_at": "2026-01-31T02:00:00.000000Z",
    }
    return found | changes


def message(connection: sqlite3.Connection | None = None, lines: list[str] | None = None, **changes: Any) -> Message:  # noqa: ANN401
    """Return the message of an alert; it follows the published schema."""
    where = " --pipeline /srv/shop/pipeline.toml"
    made = alert_message(
        connection, row(**changes), where=where, host="etl1", today="2026-02-01", tail=lambda *_: lines or []
    )
    jsonschema.Draft202012Validator(load_schema("alert")).validate(made)
    return made


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Give the folder of a pipeline with a run in which two steps failed, and the run."""
    folder = tmp_path_factory.mktemp("wide")
    (folder / "pipeline.toml").write_text(WIDE, encoding="utf-8")
    arguments = ("run", "--json", "--jobs", "1", "--for", "2026-01-31")
    return folder, value_of(program(*arguments, cwd=folder), "run", code=1)["run_id"]


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that reads the ledger in *folder*."""
    with contextlib.closing(sqlite3.connect(f"file:{ledger_of(folder)}?mode=ro", uri=True)) as connection:
        yield connection


class TestRun:
    """One message a run: the root first, what follows from it counted."""

    def test_cascade_and_others(self, failed: tuple[Path, str]) -> None:
        """Given two failures, then the first is the cause, what either of them skipped is counted, and the other one is named."""
        folder, run_id = failed
        with reading(folder) as connection:
            made = message(connection, kind="failed", run_id=run_id, what="shop failed")
        assert made["root_cause"]["step"] == "ingest"
        assert made["skipped"] == 3
        assert "\n3 steps were skipped because of what failed\n" in made["text"]
        assert made["problems"] == ["other failed as well"]
        assert made["tail"] is None

    def test_the_end_of_the_log(self, failed: tuple[Path, str]) -> None:
        """Given a log, then its last lines come last, a terminal's orders written out and long lines cut."""
        folder, run_id = failed
        with reading(folder) as connection:
            made = message(connection, ["\x1b[31mred", "x" * 1200], kind="failed", run_id=run_id, what="shop failed")
        made = sendable(made, str, str)
        jsonschema.Draft202012Validator(load_schema("alert")).validate(made)
        assert made["tail"]["lines"] == ["\x1b[31mred", "x" * 1000 + "…"]
        assert f"last lines of logs/{run_id}/ingest.1.log:\n  \\e[31mred\n  xxx" in made["text"]

    def test_what_was_repaired_meanwhile(self, tmp_path: Path) -> None:
        """Given a failure that is told late, when the run has been resumed with success since, then the message says so and asks for nothing."""
        (tmp_path / "pipeline.toml").write_text(WIDE, encoding="utf-8")
        run_id = value_of(program("run", "--json", cwd=tmp_path), "run", code=1)["run_id"]
        (tmp_path / "ok").touch()
        assert program("resume", "latest", cwd=tmp_path).returncode == 0
        with reading(tmp_path) as connection:
            made = message(connection, kind="failed", run_id=run_id, what="shop failed")
        assert (made["status"], made["next"]) == ("succeeded", [])
        assert made["text"].startswith("shop failed\nsince then: succeeded\n")

    def test_a_ledger_that_cannot_be_read(self) -> None:
        """Given a run of a ledger that cannot be read, then the message is what the alert itself says."""
        made = message(None, kind="failed", run_id=RUN, what="shop failed")
        assert (made["run_id"], made["status"], made["root_cause"]) == (RUN, None, None)
        assert made["text"].startswith("shop failed\n")


class TestOthers:
    """Messages about no run."""

    @pytest.mark.parametrize(
        ("kind", "facts", "next_command"),
        [
            ("refused", {"exit_code": 2}, "validate"),
            ("failed", {"exit_code": 3}, "audit verify"),
            ("refused", {"exit_code": 4}, "status"),
            ("failed", {"exit_code": 5}, "doctor"),
            ("failed", {"exit_code": 70}, "status"),
            ("stale", {"subject": "raw"}, "status"),
            ("missing", {"nights": ["2026-01-30"]}, "run --for 2026-01-30"),
            ("test", None, "status"),
        ],
    )
    def test_what_to_type(self, kind: str, facts: dict[str, object] | None, next_command: str) -> None:
        """Given each kind, then the first command is the one that helps, with the place of the pipeline."""
        made = message(kind=kind, facts=facts)
        assert made["next"] == [f"orchestrate {next_command} --pipeline /srv/shop/pipeline.toml"]

    def test_problems(self) -> None:
        """Given problems with a place and a hint, then each is a line."""
        problem = {"kind": "x", "message": "no such step", "file": "p.toml", "line": 3, "suggestion": "mean it"}
        made = message(facts={"exit_code": 2, "problems": [problem, {"kind": "y", "message": "bad\nline"}]})
        assert made["problems"] == ["p.toml:3: no such step (mean it)", "bad\\nline"]

    def test_digest(self, failed: tuple[Path, str]) -> None:
        """Given a digest, then each pipeline has its line."""
        with reading(failed[0]) as connection:
            made = message(connection, kind="digest", what="shop: all pipelines on 2026-02-01")
        assert made["pipelines"] == [
            "shop: failed, night 2026-01-31, no good night yet, 1 failure not acknowledged",
        ]

    def test_digest_of_pipelines_that_never_ran(self, tmp_path: Path) -> None:
        """Given a pipeline that was only ever refused, then the digest says that it never ran."""
        (tmp_path / "pipeline.toml").write_text(WIDE, encoding="utf-8")
        assert program("run", "--env-file", "nowhere", cwd=tmp_path).returncode == 2
        with reading(tmp_path) as connection:
            made = message(connection, kind="digest", what="x")
        assert made["pipelines"] == ["shop: never run"]


SECRETS = st.text("abcdefghijkl /+\n", min_size=8, max_size=24).filter(
    lambda text: len(text.strip()) >= 8 and text.strip() not in "  run checkpoint over events root"
)


class TestSecrets:
    """No message holds a secret, wherever it stood."""

    @given(SECRETS, st.text("xyz\n ", max_size=5), st.data())
    def test_law(self, secret: str, around: str, data: st.DataObject) -> None:
        """For any secret that stands in what is told, in a problem, in a hint or across lines of a log: nothing of the message holds it."""
        told = f"{around}{secret}{around}"
        place = data.draw(st.sampled_from(["what", "message", "suggestion", "file"]))
        problem = {"kind": "x", "message": "m"} | ({} if place == "what" else {place: told})
        what = told if place == "what" else "w"
        made = message(what=what, facts={"exit_code": 2, "problems": [problem]})
        made["tail"] = {"step": "a", "log": "logs/a", "lines": told.split("\n")}
        redactor = Redactor({"SECRET": secret})

        sent = sendable(made, redactor.redact, redactor.redact_name)

        core = secret.strip()
        for text in texts(sent):
            assert core not in text
            assert core not in text.replace("\\n", "\n")
        assert core not in "\n".join(sent["tail"]["lines"])
        assert sent["kind"] == "refused"

    def test_nothing_is_cut_before_it_is_masked(self) -> None:
        """Given a secret that stands where a long line is cut, then no part of it is left."""
        secret = "very-secret-4711"
        for before in range(980, 1002):
            made = message(what="a " * (before // 2) + secret + " b" * 100)
            sent = sendable(made, Redactor({"SECRET": secret}).redact, str)
            assert secret[:4] not in sent["title"] + sent["text"]

    def test_names_stay(self) -> None:
        """Given a message without secrets, then masking changes nothing of it."""
        redactor = Redactor({"SECRET": "very-secret-4711"}, builtin=True)
        made = message()
        made["checkpoint"] = {"size": 3, "root": "ab" * 32, "signed": False}
        made["root_cause"] = {"step": "a", "reason": "exit", "error_class": None, "message": None, "text": "a: exit"}
        assert sendable(made, redactor.redact, redactor.redact_name) == made
        json.dumps(made)


def texts(value: object) -> Iterator[str]:
    """Yield every text in *value*."""
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(item)
