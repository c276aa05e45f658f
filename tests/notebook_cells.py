"""The notebooks within a test's own process: cell by cell, with every picture drawn, for ledgers on which a kernel for each would take too long."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path
from typing import Any

import jupytext

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
NAMES = ("audit", "history", "reproducibility")


def outputs_of(name: str, ledger: Path, **parameters: object) -> list[str]:
    """Execute the notebook *name* against *ledger* and return what each cell shows: HTML of tables and pictures, Markdown, or the text of it."""
    notebook = jupytext.read(NOTEBOOKS / f"{name}.py")
    space: dict[str, Any] = {"__name__": "__notebook__"}
    shown = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        tree = ast.parse(cell.source)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), space)  # noqa: S102 -- ours
        if "parameters" in cell.metadata.get("tags", ()):
            space.update(parameters, ledger=str(ledger))
        if last is not None:
            shown.append(_shown(eval(compile(ast.Expression(last.value), name, "eval"), space)))  # noqa: S307 -- ours
    return shown


def _shown(value: Any) -> str:  # noqa: ANN401 - whatever a cell gives
    for method in ("_repr_markdown_", "_repr_html_"):
        if hasattr(value, method):
            return str(getattr(value, method)())
    if hasattr(value, "_repr_mimebundle_"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bundle = value._repr_mimebundle_()
        return str((bundle[0] if isinstance(bundle, tuple) else bundle)["text/html"])
    return repr(value)
