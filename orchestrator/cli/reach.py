"""
How the people of a pipeline are reached: its channels and its dead man's switch, with the values that their addresses need.

Everything that is sent is sent by a process that is killed when its time is up, see `handing` and `posting`: nothing here takes longer than it says.
"""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import attrs

from orchestrator.cli.handing import hand_over
from orchestrator.cli.locate import LEDGER
from orchestrator.cli.project import Prepared, night_of
from orchestrator.core.definition import Channel, Pipeline
from orchestrator.core.errors import DefinitionError
from orchestrator.core.interpolation import UnresolvedReferenceError, resolve
from orchestrator.core.parse_values import build_pipeline
from orchestrator.core.redaction import Redactor
from orchestrator.projections.alert_message import Message, sendable
from orchestrator.projections.manual_actions import recorded_definition
from orchestrator.projections.queries import pipeline_row
from orchestrator.runtime.channels import channel_values
from orchestrator.runtime.definition_file import read_definition
from orchestrator.runtime.environment import resolve_environment
from orchestrator.runtime.leaks import redactor_of

_VARIABLE_BYTES_MAX = 100_000
_SHORT_TEXT = 4_000
_POSTING = (sys.executable, "-P", "-m", "orchestrator.cli.posting")


@attrs.frozen
class Reach:
    """
    Hold what is needed to tell the people of *pipeline* something.

    Attributes:
        definition: Absolute; the folder that holds it is that of commands.
        ledger: Absolute.
        values: What `${NAME}` stands for in addresses, secrets included.
        redactor: Masks in everything that is sent or recorded.
    """

    pipeline: Pipeline
    definition: Path
    ledger: Path
    values: Mapping[str, str] = attrs.field(repr=False)
    redactor: Redactor

    @property
    def where(self) -> str:
        """The options that name definition and ledger in any folder."""
        words = ["--pipeline", str(self.definition)]
        if self.ledger != self.definition.parent / LEDGER:
            words += ["--ledger", str(self.ledger)]
        return "".join(f" {word if word.startswith('--') else shlex.quote(word)}" for word in words)

    def send(self, name: str, message: Message, timeout_us: int, *, ledger_id: str | None = None) -> str | None:
        """
        Hand *message* to the channel *name* and return None where it took it, else why not, without secrets.

        Args:
            ledger_id: Of the ledger that the message comes from, None where that cannot be read.
        """
        channel = self.pipeline.alerts.channels.get(name)
        if channel is None:
            return f"the definition has no channel {name} now"
        timeout_us = min(timeout_us, channel.timeout_us)
        message = sendable(message, self.redactor.redact, self.redactor.redact_name)
        try:
            if channel.command:
                return self._to_command(channel, message, timeout_us)
            if channel.webhook is not None:
                headers = {key: resolve(value, self.values) for key, value in channel.headers.items()}
                headers["Idempotency-Key"] = self._key(message, ledger_id)
                request = {"url": resolve(channel.webhook, self.values), "headers": headers, "body": message}
                return self._post(request, timeout_us)
            urls = [resolve(url, self.values) for url in channel.apprise]
            return self._post({"apprise": urls, "title": message["title"], "text": message["text"]}, timeout_us)
        except UnresolvedReferenceError as error:
            return f"no value for ${{{error.name}}}"

    def ask(self, address: str) -> str | None:
        """Ask for *address*, one of `[deadman]`, and return None where it answered with a success, else why not, without secrets."""
        try:
            return self._post({"url": resolve(address, self.values)}, self.pipeline.deadman.timeout_us)
        except UnresolvedReferenceError as error:
            return f"no value for ${{{error.name}}}"

    def _key(self, message: Message, ledger_id: str | None) -> str:
        """Return what tells this alert from all others, also from those of other ledgers: the same whenever and wherever it is sent."""
        whose = ledger_id or f"{message['host']} {self.ledger}"
        return sha256(f"{whose} {message['alert']}".encode()).hexdigest()[:32]

    def _to_command(self, channel: Channel, message: Message, timeout_us: int) -> str | None:
        environment = {name: os.environ[name] for name in self.pipeline.env_pass if name in os.environ}
        environment |= {name: self.values[name] for name in channel.env if name in self.values}
        environment |= {
            "ORCHESTRATE_ALERT": _as_variable(message),
            "ORCHESTRATE_ALERT_ID": message["alert"],
            "ORCHESTRATE_ALERT_KIND": message["kind"],
            "ORCHESTRATE_ALERT_PIPELINE": message["pipeline"],
            "ORCHESTRATE_ALERT_TITLE": message["title"],
        }
        words = [resolve(word, self.values) for word in channel.command]
        return self._handed(words, f"{message['text']}\n", environment, timeout_us)

    def _post(self, request: Mapping[str, Any], timeout_us: int) -> str | None:
        problem = self._handed(_POSTING, json.dumps(request), os.environ, timeout_us)
        # Which process of ours said it is nothing to those who read it.
        return None if problem is None else problem.removeprefix("it ended with exit code 1: ")

    def _handed(
        self, words: tuple[str, ...] | list[str], text: str, environment: Mapping[str, str], timeout_us: int
    ) -> str | None:
        data = text.encode("utf-8", "backslashreplace")
        folder, clean = self.definition.parent, self.redactor.redact
        return hand_over(words, data, folder=folder, environment=environment, timeout_us=timeout_us, clean=clean)


def _as_variable(message: Message) -> str:
    """Return *message* as JSON that fits into the environment of a process; without what makes it long where it does not."""
    text = json.dumps(message, ensure_ascii=False)
    if len(text.encode("utf-8", "backslashreplace")) <= _VARIABLE_BYTES_MAX:
        return text
    short: Message = {"root_cause": None, "problems": [], "pipelines": [], "next": [], "tail": None}
    return json.dumps(message | short | {"text": message["text"][:_SHORT_TEXT]}, ensure_ascii=False)


def prepared_reach(prepared: Prepared) -> Reach:
    """Return how the people of a run that was *prepared* are reached."""
    project = prepared.project
    return Reach(
        project.pipeline,
        project.definition,
        project.ledger,
        channel_values(prepared.environment, prepared.night),
        prepared.redactor,
    )


def reach_of(pipeline: Pipeline, definition: Path, ledger: Path) -> Reach:
    """Return how the people of *pipeline* are reached, with the values that the files beside *definition* and the environment have now."""
    environment = resolve_environment(pipeline, definition.parent, selected=(), environ=os.environ)
    values = channel_values(environment, night_of(None, pipeline.timezone))
    return Reach(pipeline, definition, ledger, values, redactor_of(pipeline, environment))


def read_reach(definition: Path, ledger: Path) -> Reach | None:
    """Return how the people of the pipeline at *definition* are reached, or None where that cannot be read now."""
    try:
        return reach_of(read_definition(definition).pipeline, definition, ledger)
    except DefinitionError:
        return None


def recorded_reach(connection: sqlite3.Connection, ledger: Path, name: str) -> Reach | None:
    """
    Return how the people of the pipeline *name* are reached: as its definition says now, or where that is no longer right, as it said when it last ran.

    None where the ledger does not know it.
    """
    row, document = pipeline_row(connection, name), recorded_definition(connection, name)
    if row is None or not document:
        return None
    definition = Path(os.path.normpath(ledger.parent / str(row["definition_path"])))
    now = read_reach(definition, ledger)
    if now is not None and now.pipeline.name == name:
        return now
    pipeline, _ = build_pipeline(document)
    return reach_of(pipeline, definition, ledger)
