"""`orchestrate audit query`: one question in SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click

from ledger.query import Answer, Limits, ask, limit_memory, prepare
from orchestrator.cli import render
from orchestrator.cli.audit.query_values import checked_limits, parameters_of, statement_of
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.options import json_option, ledger_option, pipeline_option
from orchestrator.core.printable import printable
from orchestrator.projections.questions import QUESTIONS
from orchestrator.projections.views import VIEWS

EXAMPLES = """\b
Examples:
  orchestrate audit query --list
  orchestrate audit query --canned failures-by-cause
  orchestrate audit query "SELECT night, status, user FROM audit_runs ORDER BY first_seq DESC LIMIT 7"
  orchestrate audit query "SELECT * FROM audit_attempts WHERE run_id = :run" --params run=20260131T020000Z-000abcdef --csv
  orchestrate audit query - --json < question.sql
"""
_MEMORY_BYTES = 512 << 20


@click.command(epilog=EXAMPLES)
@click.argument("sql", required=False)
@pipeline_option
@ledger_option
@click.option("--canned", type=click.Choice(list(QUESTIONS)), help="Ask one of the questions that --list names.")
@click.option("--list", "listed", is_flag=True, help="List the views and the canned questions.")
@click.option("--params", multiple=True, metavar="NAME=VALUE", help="Give :NAME a value; may be given several times.")
@click.option("--timeout", default="30s", show_default=True, metavar="DURATION", help="Stop it after so long.")
@click.option(
    "--max-rows",
    type=click.IntRange(1),
    default=100_000,
    show_default=True,
    metavar="N",
    help="Refuse a longer answer.",
)
@click.option("--max-bytes", default="64MiB", show_default=True, metavar="SIZE", help="Refuse a larger answer.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV; formulas are neutralised.")
@json_option
def command(
    sql: str | None,
    pipeline: str | None,
    ledger: str | None,
    canned: str | None,
    params: tuple[str, ...],
    timeout: str,
    max_rows: int,
    max_bytes: str,
    *,
    listed: bool,
    as_csv: bool,
    as_json: bool,
) -> int:
    """Ask the ledger one question in SQL, read only: one SELECT, or - to read it from stdin."""
    if sum((sql is not None, canned is not None, listed)) != 1:
        raise UsageRefusedError("usage", "give one of: a SELECT (or -), --canned NAME, --list")
    if as_csv and as_json:
        raise UsageRefusedError("usage", "--csv and --json exclude each other")
    if listed:
        _list(as_json=as_json)
        return 0
    statement = QUESTIONS[canned].sql if canned is not None else statement_of(str(sql))
    limits = checked_limits(timeout, max_rows, max_bytes)
    answer, range_, root = _answered(pipeline, ledger, statement, parameters_of(params), limits, as_json=as_json)
    if as_json:
        rows = [[_json_cell(cell) for cell in row] for row in answer.rows]
        render.out_json(
            {"columns": answer.columns, "rows": rows, "row_count": len(rows), "seq_range": range_, "root": root}
        )
        return 0
    _print(answer, as_csv=as_csv)
    render.err(
        f"{len(answer.rows)} {'row' if len(answer.rows) == 1 else 'rows'} from the events {range_[0]} to {range_[1]}, root {root}"
    )
    return 0


def _answered(
    pipeline: str | None,
    ledger: str | None,
    statement: str,
    parameters: Mapping[str, int | str],
    limits: Limits,
    *,
    as_json: bool,
) -> tuple[Answer, list[int], str]:
    from orchestrator.cli.audit.evidence import one_moment
    from orchestrator.cli.audit.watchdog import ended_in_time

    with one_moment(pipeline, ledger, prepare) as moment:
        root = moment.root()
        limit_memory(moment.connection, _MEMORY_BYTES)
        with ended_in_time(limits.seconds, as_json=as_json):
            return ask(moment.connection, statement, parameters, limits), moment.seq_range, root


def _list(*, as_json: bool) -> None:
    if as_json:
        views = [
            {
                "name": view.name,
                "description": view.description,
                "columns": [
                    {"name": name, "type": kind, "description": meaning}
                    for name, (kind, meaning) in view.columns.items()
                ],
            }
            for view in VIEWS.values()
        ]
        render.out_json({"views": views, "questions": [question._asdict() for question in QUESTIONS.values()]})
        return
    render.out("Views, for FROM; docs/reference/data-dictionary.md has their columns:")
    for view in VIEWS.values():
        render.out(f"  {view.name}: {view.description}")
    render.out("Questions, for --canned:")
    for question in QUESTIONS.values():
        render.out(f"  {question.name}: {question.description}")


def _print(answer: Answer, *, as_csv: bool) -> None:
    import sys

    header = [printable(name) for name in answer.columns]
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    if as_csv:
        from orchestrator.cli.audit.csv_text import csv_line

        lines = (csv_line(cells).removesuffix("\r\n") for cells in (header, *answer.rows))
        render.out_lines(printable(line) if on_terminal else f"{line}\r" for line in lines)
    elif on_terminal:
        from orchestrator.cli.audit.drawing import draw_table

        draw_table(header, list(_shown(answer)))
    else:
        render.out_lines(render.table(list(_shown(answer)), header))


def _shown(answer: Answer) -> Iterator[list[str]]:
    for row in answer.rows:
        yield ["" if cell is None else cell.hex() if isinstance(cell, bytes) else str(cell) for cell in row]


def _json_cell(cell: object) -> object:
    if isinstance(cell, bytes):
        return cell.hex()
    # JSON has no infinity.
    return str(cell) if isinstance(cell, float) and cell in (float("inf"), float("-inf")) else cell
