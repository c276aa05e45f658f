"""The command of each notebook: find the ledger, execute, write the page or the notebook."""

from __future__ import annotations

import os
from pathlib import Path

import click

from orchestrator.cli import render
from orchestrator.cli.delivering import deliver
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.ledger_files import keep_off_ledger
from orchestrator.cli.notebooks.shipped import NOTEBOOKS, need_extra, shipped_notebook
from orchestrator.cli.options import json_option, ledger_option, pipeline_option

_EXAMPLES = """\b
Examples:
  orchestrate notebook {name}
  orchestrate notebook {name} --html - > page.html
  orchestrate notebook {name} --ledger /mnt/copy/ledger.db -p since 2026-01-01 --html {name}.html
  orchestrate notebook {name} --output {name}.ipynb
"""


def notebook_command(name: str) -> click.Command:
    """Return the command that executes the notebook *name*."""

    @click.command(name, epilog=_EXAMPLES.format(name=name), help=_help(name))
    @click.option(
        "--html", "html", metavar="FILE", type=click.Path(), help="Write one page that needs no network; - is stdout."
    )
    @click.option("--output", "output", metavar="FILE", type=click.Path(), help="Write the executed notebook.")
    @click.option(
        "-p",
        "--parameter",
        "parameters",
        nargs=2,
        multiple=True,
        metavar="NAME VALUE",
        help="Set a parameter, such as since 2026-01-01; may be given several times.",
    )
    @click.option("--code", is_flag=True, help="Show the code of the cells on the page as well.")
    @click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
    @pipeline_option
    @ledger_option
    @json_option
    def command(
        html: str | None,
        output: str | None,
        parameters: tuple[tuple[str, str], ...],
        pipeline: str | None,
        ledger: str | None,
        *,
        code: bool,
        quiet: bool,
        as_json: bool,
    ) -> int:
        need_extra()
        if html is None and output is None:
            html = f"{name}.html"
        if html == "-" and as_json:
            raise UsageRefusedError("usage", "only one of --html - and --json can have stdout")
        keep_off_ledger(pipeline, ledger, None if html == "-" else html, output)
        _refuse_folders(*(item for item in (html, output) if item not in (None, "-")))
        told = _execute(name, pipeline, ledger, parameters, quiet=quiet or as_json)
        written = _write(told, name, html, output, code=code)
        if as_json:
            render.out_json({"notebook": name, "html": written.get("html"), "output": written.get("output")})
        return 0

    return command


def _help(name: str) -> str:
    return (
        f"{NOTEBOOKS[name]}\n\nExecutes the notebook against the ledger, with the interpreter of this program, and writes one page, {name}.html "
        "where nothing else is said; an existing one is replaced. A run may be on, and a backup or a snapshot of a ledger will do. Needs the extra notebooks."
    )


def _execute(
    name: str, pipeline: str | None, ledger: str | None, parameters: tuple[tuple[str, str], ...], *, quiet: bool
) -> object:
    from orchestrator.cli.audit.verifying import watching
    from orchestrator.cli.notebooks.executing import executed
    from orchestrator.cli.notebooks.parameters import chosen_parameters
    from orchestrator.cli.reading import viewing

    source = shipped_notebook(name)
    with viewing(pipeline, ledger) as view:
        own = {"ledger": str(view.path)} | ({} if view.pipeline is None else {"pipeline": view.pipeline})
    values = chosen_parameters(source, parameters, own)
    with watching(f"executing {name}", "", quiet=quiet, unit="cells") as (watch, _):
        return executed(source, values, watch)


def _refuse_folders(*targets: str | None) -> None:
    """Say what cannot be written before the notebook is executed."""
    for target in targets:
        if not target or Path(target).is_dir():
            raise UsageRefusedError("bad_path", f"{target!r} is no name of a file")
        # A link means the file behind it; what is there and no file, such as a device, is written to as it is.
        path = Path(os.path.realpath(target))
        if path.exists() and not path.is_file():
            continue
        if not path.parent.is_dir():
            raise UsageRefusedError("unwritable", f"{target} cannot be written: there is no folder {path.parent}")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise UsageRefusedError("unwritable", f"{target} cannot be written: nor can anything else in {path.parent}")


def _write(notebook: object, name: str, html: str | None, output: str | None, *, code: bool) -> dict[str, str]:
    written = {}
    if html is not None:
        from orchestrator.cli.notebooks.page import page_of

        deliver(html, page_of(notebook, name, code=code))
        if html != "-":
            written["html"] = html
    if output is not None:
        import nbformat

        deliver(output, nbformat.writes(notebook) + "\n")
        written["output"] = output
    return written
