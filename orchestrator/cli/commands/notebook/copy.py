"""`orchestrate notebook copy NAME [FILE]`: a notebook to edit, beside nothing that was there before."""

from __future__ import annotations

import os
from pathlib import Path

import click

from orchestrator.cli import render
from orchestrator.cli.delivering import unwritable
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.ledger_files import keep_off_ledger
from orchestrator.cli.notebooks.shipped import NOTEBOOKS, shipped_notebook

EXAMPLES = """\b
Examples:
  orchestrate notebook copy history
  orchestrate notebook copy audit quarter.ipynb
"""


@click.command("copy", epilog=EXAMPLES)
@click.argument("name", type=click.Choice(list(NOTEBOOKS)))
@click.argument("file", required=False, metavar="[FILE]", type=click.Path())
def command(name: str, file: str | None) -> int:
    """
    Write the notebook NAME to FILE, NAME.ipynb where it is not given; a file that is there is never overwritten.

    It is opened with Jupyter, and reads the ledger that its first cell names.
    """
    source = shipped_notebook(name)
    target = Path(f"{name}.ipynb" if file is None else file)
    if target.is_dir():
        target = target / f"{name}.ipynb"
    keep_off_ledger(None, None, target)
    data = source.read_bytes()
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageRefusedError("exists", f"{target} exists and is left as it is: name another file") from None
    except OSError as error:
        raise unwritable(target, error) from None
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
    except OSError as error:
        raise unwritable(target, error) from None
    render.out(f"written: {target}; open it with: jupyter lab {target}")
    return 0
