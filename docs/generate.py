"""
Write the reference pages that are made from the program itself: `make docs`. A test fails while a page differs from what this makes.

Events come from `orchestrator.core.events`, commands and options from their own help, the definition's keys from the published schema, exit codes from their enum,
views, questions and tables from `orchestrator.projections`.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import click

from ledger.schema import FORMAT, SCRIPTS, statements
from orchestrator.cli.app import COMMANDS
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.lazy_group import LazyGroup
from orchestrator.cli.telemetry.described import ERRORS, NOT_READ, VARIABLES
from orchestrator.core.events import EVENT_TYPES
from orchestrator.projections.dictionary import DICTIONARY
from orchestrator.projections.questions import QUESTIONS
from orchestrator.projections.read_model_tables import SCRIPT
from orchestrator.projections.span_names import (
    ATTEMPT_ATTRIBUTES,
    RESOURCE_ATTRIBUTES,
    RETRY_ATTRIBUTES,
    RUN_ATTRIBUTES,
    STEP_ATTRIBUTES,
)
from orchestrator.projections.views import VIEWS
from orchestrator.schemas import load_schema

REFERENCE = Path(__file__).resolve().parent / "reference"
_NOTE = "<!-- Made by `make docs`; edit what it is made from. -->\n"


def events_page() -> str:
    """Return the page of all event types with their fields."""
    lines = [
        "# Events",
        "",
        _NOTE,
        "Every state transition is one event in the table `events` of the ledger, never changed and never removed. `body` is its",
        "canonical JSON text (RFC 8785); the other columns are made from it. Fields that are empty are left out. Durations are",
        "integer microseconds.",
        "",
        "| type | version | stream | what happened |",
        "|---|---|---|---|",
        "| `ledger.created` | 1 | `ledger` | The file came into being; `format` is its version. |",
        "| `ledger.rebuilt` | 1 | `ledger` | Somebody made the tables anew; which rows and objects differed, actor, reason. |",
        "| `ledger.clock_set_back` | 1 | `ledger` | The clock went back by more than a minute; the times before and after. |",
    ]
    for name, (cls, version) in EVENT_TYPES.items():
        stream = (
            "pipeline/NAME"
            if name.split(".")[0]
            in (
                "definition",
                "pipeline",
                "output",
                "host",
                "note",
                "checkpoint",
                "deadman",
                "telemetry",
                "files",
                "blobs",
            )
            or name in ("run.refused", "run.acknowledged", "run.cancel_requested", "run.reproduced")
            else {"history": "ledger", "alert": "alerts/NAME"}.get(name.split(".")[0], "run/ID")
        )
        lines.append(f"| [`{name}`](#{name.replace('.', '')}) | {version} | `{stream}` | {_summary(cls)} |")
    for name, (cls, _) in EVENT_TYPES.items():
        lines += ["", f"## {name}", "", _summary(cls), "", "| field | type | meaning |", "|---|---|---|"]
        described = _attributes(cls)
        for field in attrs.fields(cls):
            kind = str(field.type).replace("|", "or").replace("Json", "object")
            lines.append(f"| `{field.name}` | {kind} | {_cell(described.get(field.name, ''))} |")
    return "\n".join([*lines, ""])


def cli_page() -> str:
    """Return the page of all commands with their arguments, options and examples."""
    group = LazyGroup("orchestrate", descriptions=COMMANDS, help="", epilog="")
    context = click.Context(group, info_name="orchestrate")
    lines = ["# Commands", "", _NOTE, "`RUN` is an id, the beginning of one, `latest` or `latest:PIPELINE`.", ""]
    for name, description in COMMANDS.items():
        lines.append(f"- [`orchestrate {name}`](#orchestrate-{name}): {description}")
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        here = click.Context(command, context, name)
        lines += ["", f"## orchestrate {name}", "", *_command_lines(command, here)]
        if isinstance(command, LazyGroup):
            for inner in command.descriptions:
                found = command.get_command(here, inner)
                assert found is not None
                title = f"{name} {inner}"
                lines += ["", f"### orchestrate {title}", "", *_command_lines(found, click.Context(found, here, title))]
    return "\n".join([*lines, ""])


def definition_page() -> str:
    """Return the page of all keys of `pipeline.toml`."""
    schema = load_schema("pipeline")
    lines = [
        "# The definition: pipeline.toml",
        "",
        _NOTE,
        "The JSON Schema that editors use is `orchestrator/schemas/pipeline.schema.json`. `orchestrate validate` lists every problem",
        "at once, with line and column. Names of steps, datasets and pipelines are letters, digits, `_` and `-`, at most 128, unique",
        "without regard to case. Durations are whole numbers with units: `500ms`, `90s`, `1h30m`, `400d`.",
        "",
        "`${NAME}` of a declared plain variable, a parameter or `NIGHT` may stand in `path`, `pattern`, `cwd`, `command` and `code`;",
        "`$${` stands for a literal `${`. In addresses of `[alerts]` and `[deadman]` secret variables may stand too, and nowhere else.",
    ]
    for title, part in _tables(schema):
        lines += ["", f"## {title}", "", "| key | type | meaning |", "|---|---|---|"]
        lines += [
            f"| `{key}` | {_type(value, schema)} | {_cell(_description(value, schema))} |"
            for key, value in part.items()
        ]
    return "\n".join([*lines, ""])


def telemetry_page() -> str:
    """Return the page of spans, their attributes, and the variables."""

    def table(*header: str, rows: Mapping[str, str]) -> list[str]:
        cells = [f"| `{name}` | {_cell(text)} |" for name, text in rows.items()]
        return ["", f"| {' | '.join(header)} |", "|---|---|", *cells]

    lines = [
        "# Telemetry",
        "",
        _NOTE,
        "How to send it: [telemetry](../how-to/telemetry.md). Names and values follow the semantic conventions of OpenTelemetry 1.44 for CI/CD pipelines and",
        "processes; what they have no name for stands below `orchestrate.`. Spans are a function of the recorded events: sent while the run is on, by a later run,",
        "by `telemetry replay` or written by `export`, they are the same, with the same ids. The id of a span is made of run, step and attempt; the trace is",
        "that of the caller, where `TRACEPARENT` came in, else made of the run.",
        "",
        "## The span of a run",
        "",
        "Kind `SERVER`, name `RUN PIPELINE`, one for each part of a run that was resumed, linked to the one before it, or to the run that it reproduces.",
        *table("attribute", "meaning", rows=RUN_ATTRIBUTES),
        "",
        "## The span of a step",
        "",
        "Kind `INTERNAL`, below that of the run, named as the step; from the start of its first attempt, or of no length where it was skipped. That it is tried again",
        "is its event `retry.scheduled`. A failure that a later attempt mended stands at the attempt alone.",
        *table("attribute", "meaning", rows=STEP_ATTRIBUTES),
        *table("attribute of `retry.scheduled`", "meaning", rows=RETRY_ATTRIBUTES),
        "",
        "## The span of an attempt",
        "",
        "Kind `INTERNAL`, below that of its step. Its context is the `TRACEPARENT` of the process: what that traces appears below it.",
        *table("attribute", "meaning", rows=ATTEMPT_ATTRIBUTES),
        "",
        "## The resource",
        *table("attribute", "meaning", rows=RESOURCE_ATTRIBUTES),
        "",
        "`service.version` and `telemetry.sdk.*` come with it, and what the environment says.",
        "",
        "## Variables",
        "",
        "`{SIGNAL}` is `TRACES`, `METRICS` or `LOGS`. An empty variable counts as none; one that cannot be used is told by its name and never by its value.",
        *table("variable", "meaning", rows=VARIABLES),
        "",
        "Not read, and not told either:",
        *table("variable", "why", rows=NOT_READ),
        "",
        "## Why something was not taken",
        "",
        "The `error` of [`telemetry.failed`](events.md#telemetryfailed):",
        *table("word", "meaning", rows=ERRORS),
    ]
    return "\n".join([*lines, ""])


def exit_codes_page() -> str:
    """Return the page of exit codes."""
    lines = [
        "# Exit codes",
        "",
        _NOTE,
        "They mean the same in every command.",
        "",
        "| code | name | meaning |",
        "|---|---|---|",
    ]
    meanings = inspect.getsource(ExitCode)
    for code in ExitCode:
        match = re.search(rf"    {code.name} = {code.value}\n    \"\"\"(.*?)\"\"\"", meanings, re.DOTALL)
        assert match is not None, f"{code.name} has no description"
        lines.append(f"| {code.value} | `{code.name}` | {_cell(match[1])} |")
    return "\n".join([*lines, ""])


def data_dictionary_page() -> str:
    """Return the page of all views and tables of a ledger with their columns, and of the canned questions."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for script in (*SCRIPTS[FORMAT], SCRIPT):
            for statement in statements(script):
                connection.execute(statement)
        types = {
            table: {name: kind.lower() for _, name, kind, *_ in connection.execute(f"PRAGMA table_xinfo({table})")}
            for table in DICTIONARY
        }
    lines = [
        "# Data dictionary",
        "",
        _NOTE,
        "Programs and auditors read the views, whose names and columns stay; the tables behind them may change with a version. Times are text",
        "(UTC, ISO 8601), durations in views are seconds. Every row that comes from an event names its `seq`, which `orchestrate audit prove",
        "--seq` takes. [How to ask](../how-to/query-the-ledger.md).",
        "",
        "## Views",
    ]
    for view in VIEWS.values():
        lines += ["", f"### {view.name}", "", view.description, "", "| column | type | meaning |", "|---|---|---|"]
        lines += [f"| `{name}` | {kind} | {_cell(meaning)} |" for name, (kind, meaning) in view.columns.items()]
    lines += ["", "## Questions", "", "For `orchestrate audit query --canned NAME`, and in `orchestrate audit serve`."]
    for question in QUESTIONS.values():
        lines += ["", f"### {question.name}", "", question.description, "", "```sql", question.sql.strip() + ";", "```"]
    lines += ["", "## Tables"]
    for table, entry in DICTIONARY.items():
        lines += ["", f"### {table}", "", entry.description, "", "| column | type | meaning |", "|---|---|---|"]
        lines += [f"| `{name}` | {kind} | {_cell(entry.meaning(name))} |" for name, kind in types[table].items()]
    return "\n".join([*lines, ""])


PAGES: Mapping[str, Callable[[], str]] = {
    "events.md": events_page,
    "cli.md": cli_page,
    "definition.md": definition_page,
    "exit-codes.md": exit_codes_page,
    "telemetry.md": telemetry_page,
    "data-dictionary.md": data_dictionary_page,
}


def _summary(cls: type[object]) -> str:
    text = inspect.getdoc(cls) or ""
    return _cell(text.split("\n\n")[0])


def _attributes(cls: type[object]) -> dict[str, str]:
    """Return what a class's docstring says of its attributes."""
    text = (inspect.getdoc(cls) or "").partition("Attributes:\n")[2]
    return {
        name: " ".join(words.split())
        for name, words in re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE)
    }


def _command_lines(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"```text\n{' '.join(['orchestrate', str(context.info_name), *command.collect_usage_pieces(context)])}\n```"
    yield ""
    yield " ".join((command.help or "").split())
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    if options:
        yield from ("", "| option | meaning |", "|---|---|")
    for option in options:
        names = ", ".join(option.opts)
        metavar = "" if option.is_flag else f" {option.make_metavar(context)}"
        yield f"| `{names}{metavar}` | {_cell(option.help or '')} |".replace("|N|", "N")
    examples = [line.strip() for line in (command.epilog or "").splitlines() if line.strip().startswith("orchestrate")]
    if examples:
        yield from ("", "```bash", *examples, "```")


def _tables(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    parts = schema["$defs"]
    yield "[pipeline]", parts["pipeline"]["properties"]
    yield "[env]", parts["env"]["properties"]
    yield "[env.vars] NAME", parts["variable"]["properties"]
    yield "[params] NAME", parts["param"]["properties"]
    yield "[datasets.NAME]", parts["dataset"]["properties"]
    yield "fresh_within of a dataset", parts["dataset"]["properties"]["fresh_within"]["properties"]
    yield "[steps.NAME]", parts["step"]["properties"]
    yield "retry of a step", parts["step"]["properties"]["retry"]["properties"]
    yield "[schedule]", parts["schedule"]["properties"]
    yield "[access]", parts["access"]["properties"]
    yield "[audit]", parts["audit"]["properties"]
    yield "[retention]", parts["retention"]["properties"]
    yield "[redact]", parts["redact"]["properties"]
    yield "[alerts.channels.NAME]", parts["channel"]["properties"]
    yield "[[alerts.rules]]", parts["alert_rule"]["properties"]
    yield "[deadman]", parts["deadman"]["properties"]
    yield "[telemetry]", parts["telemetry"]["properties"]
    yield "[pools]", {"NAME": {"type": "integer", "description": schema["properties"]["pools"]["description"]}}


def _resolved(value: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in value:
        value = {
            **schema["$defs"][value["$ref"].rpartition("/")[2]],
            **{key: part for key, part in value.items() if key != "$ref"},
        }
    return value


def _type(value: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    value = _resolved(value, schema)
    if "enum" in value:
        return " or ".join(f"`{word}`" for word in value["enum"])
    if value.get("title") in ("Duration", "Size"):
        return str(value["title"]).lower()
    names = value.get("type", "object")
    kinds = [names] if isinstance(names, str) else names
    words = {"object": "table", "integer": "whole number", "string": "text", "boolean": "true or false"}
    if kinds == ["array"]:
        return f"list of {_type(value['items'], schema)}"
    return " or ".join(words.get(kind, kind) for kind in kinds)


def _description(value: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    return str(_resolved(value, schema).get("description") or _resolved(value, schema).get("title", ""))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> int:
    """Write all pages."""
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")
        sys.stdout.write(f"written: docs/reference/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
