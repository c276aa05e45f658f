"""Tables on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.cli import render
from orchestrator.core.printable import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

_BETWEEN = 2


def draw_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Draw *rows* under *header*, or one below the other where the terminal is too narrow; no cell is cut."""
    from rich.console import Console

    header = [printable(name) for name in header]
    rows = [[printable(cell) for cell in row] for row in rows]
    console = Console()
    widths = [max(map(len, column)) + _BETWEEN for column in zip(header, *rows, strict=True)]
    drawn = [_table(header, rows)] if sum(widths) <= console.width else _records(header, rows)
    with console.capture() as captured:
        for part in drawn:
            console.print(part)
    render.out(captured.get().rstrip("\n"))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Text, not str: what a cell holds is no markup.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in header:
        table.add_column(Text(name), no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _records(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[RenderableType]:
    from rich.rule import Rule
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = []
    for number, row in enumerate(rows, 1):
        grid = Table.grid(padding=(0, _BETWEEN))
        grid.add_column(no_wrap=True, style="bold")
        grid.add_column(overflow="fold")
        for name, cell in zip(header, row, strict=True):
            grid.add_row(Text(name), Text(cell))
        parts += [Rule(f"{number} of {len(rows)}", align="left", style="dim"), grid]
    return parts
