"""`orchestrate audit scan`: does a secret stand in what was kept, from before it was declared or masked?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import click

from orchestrator.cli import render
from orchestrator.cli.audit.scanning import Finding, Known, Scan, known_secrets, scan_folder, watching
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.options import json_option, ledger_option, pipeline_option
from orchestrator.cli.project import Options, load_project
from orchestrator.core.printable import printable
from orchestrator.core.redaction import Redactor

EXAMPLES = """\b
Examples:
  orchestrate audit scan
  orchestrate audit scan --secret SHOP_TOKEN --env-file old.env
  orchestrate audit scan --json
"""
_SHOWN_AT_MOST = 20


@click.command(epilog=EXAMPLES)
@click.option(
    "--secret", "secrets", multiple=True, metavar="NAME", help="Look for this secret alone; may be given several times."
)
@click.option(
    "--env-file",
    "env_files",
    multiple=True,
    metavar="FILE",
    type=click.Path(),
    help="Read this .env file as well, such as one with a value that was replaced.",
)
@pipeline_option
@ledger_option
@json_option
def command(
    secrets: tuple[str, ...],
    env_files: tuple[str, ...],
    pipeline: str | None,
    ledger: str | None,
    *,
    as_json: bool,
) -> int:
    """
    Look for the values that secrets have now in all that was kept: logs, reports, every file beside the ledger, every text and blob in it.

    They are found in all the forms that are masked, and told by name and place; a value is never shown. Nothing is run and nothing written. Exit code 1 where
    something was found: the ledger verifies, and what was to be kept secret was not. Then replace the secret; delete logs and reports if you like; the
    ledger is never rewritten. Exit code 5 where nothing was found, and something could not be read.
    """
    project = load_project(Options(pipeline=pipeline, ledger=ledger))
    known = known_secrets(project, env_files, secrets, os.environ)
    folder = project.ledger.parent
    with watching(f"scanning {os.path.relpath(folder)}") as watch:
        scan = scan_folder(folder, known, Redactor(known.values).redact, watch)
    if as_json:
        render.out_json(_json(scan, known))
    else:
        render.out_lines(printable(line) for line in _lines(scan, known))
    if scan.counts:
        return ExitCode.FAILED
    return ExitCode.STORAGE if scan.unread else ExitCode.OK


def _json(scan: Scan, known: Known) -> dict[str, Any]:
    return {
        "found": sum(scan.counts.values()),
        "counts": scan.counts,
        "findings": [finding._asdict() for finding in scan.findings],
        "looked_for": list(known.values),
        "without_value": list(known.without_value),
        "too_short": list(known.too_short),
        "files": scan.files,
        "rows": scan.rows,
        "bytes": scan.bytes,
        "unread": [{"file": file, "reason": reason} for file, reason in scan.unread.items()],
    }


def _lines(scan: Scan, known: Known) -> Iterator[str]:
    for file, found in groupby(scan.findings, key=lambda finding: finding.file):
        findings = list(found)
        yield from (_line(finding) for finding in findings[:_SHOWN_AT_MOST])
        if len(findings) > _SHOWN_AT_MOST:
            yield f"{file}: and {len(findings) - _SHOWN_AT_MOST} more"
    for file, reason in scan.unread.items():
        yield f"{file}: could not be read: {reason}"
    for names, why in ((known.without_value, "has no value now"), (known.too_short, "is shorter than six bytes")):
        yield from (f"not looked for: {name}, which {why}" for name in names)
    where = f"{scan.files} {'file' if scan.files == 1 else 'files'} and {scan.rows} rows"
    if not known.values:
        yield "the definition declares no secret: nothing was looked for"
    elif not scan.counts:
        yield f"nothing of {', '.join(known.values)} was found in {where}"
    else:
        counts = ", ".join(f"{name} {count}" for name, count in scan.counts.items())
        yield f"found in {where}: {counts}"
        yield "replace what was found: docs/how-to/secrets.md"


def _line(finding: Finding) -> str:
    if finding.offset is None:
        return f"{finding.file}: its name holds {finding.secret}"
    if finding.table is None:
        return f"{finding.file}: byte {finding.offset} begins something of {finding.secret}"
    row = f"event {finding.row}" if finding.table == "events" else f"row {finding.row} of {finding.table}"
    return f"{finding.file}: {row}, byte {finding.offset} begins something of {finding.secret}"
