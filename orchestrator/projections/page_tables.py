"""
Pages of tables to print, as one HTML file and as Markdown: what the cover page of a package and the report of governance are made of.

A page asks nobody for anything: no script, no font, no image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from orchestrator.core.printable import printable
from orchestrator.projections.graph_svg import escaped

Cells = Sequence[Sequence[object]]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = """
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0;background:#fff;color:#1f2328;font:15px/1.45 system-ui,sans-serif}
main{max-width:52rem;margin:0 auto;padding:1.5rem}
h1{font-size:1.5rem;margin:0 0 .3rem}
h2{font-size:1.1rem;margin:1.6rem 0 .4rem;border-bottom:1px solid #d0d7de}
p{margin:.4rem 0}
.warn{border-left:5px solid #9a6700;padding:.3rem .8rem;background:#fff8c5}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.25rem .8rem .25rem 0;border-bottom:1px solid #d0d7de;overflow-wrap:anywhere}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
code{font:.88rem/1.4 ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
.sign td{height:3.2rem;border-bottom:1px solid #1f2328;vertical-align:bottom}
@page{size:A4;margin:18mm}
@media print{body{font-size:10pt}main{max-width:none;padding:0}tr,.warn{break-inside:avoid}h2{break-after:avoid}}
"""


class Section(NamedTuple):
    """A table of a page: its title, its header (empty texts for none), its rows, and a sentence before it."""

    title: str
    header: tuple[str, ...]
    rows: Cells
    note: str = ""


def html_head(title: str) -> Iterator[str]:
    """Yield a page up to its heading; `html_end` ends it."""
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">'
    yield f"<title>{escaped(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>"
    yield f"<h1>{escaped(title)}</h1>"


HTML_END = "</main>\n</body>\n</html>"


def html_section(section: Section) -> Iterator[str]:
    """Yield *section* as HTML."""
    title, header, rows, note = section
    yield f"<h2>{escaped(title)}</h2>"
    if note:
        yield f"<p>{escaped(note)}</p>"
    if not rows:
        yield "<p>None.</p>"
        return
    yield "<table>"
    if any(header):
        numeric = [' class="n"' if isinstance(cell, int) else "" for cell in rows[0]]
        heads = (f"<th{kind}>{escaped(text)}</th>" for text, kind in zip(header, numeric, strict=True))
        yield f"<tr>{''.join(heads)}</tr>"
    for row in rows:
        cells = (
            f'<td class="n">{cell}</td>'
            if isinstance(cell, int)
            else f"<td>{escaped('' if cell is None else cell)}</td>"
            for cell in row
        )
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</table>"


def markdown_section(section: Section) -> Iterator[str]:
    """Yield *section* as Markdown."""
    title, header, rows, note = section
    yield f"## {title}\n"
    if note:
        yield f"{markdown_cell(note)}\n"
    if rows:
        yield f"| {' | '.join(header)} |"
        yield f"|{'---|' * len(header)}"
        yield from (f"| {' | '.join(markdown_cell(cell) for cell in row)} |" for row in rows)
        yield ""
    else:
        yield "None.\n"


def markdown_cell(value: object) -> str:
    """Return *value* so that Markdown shows it as it is, on one line."""
    text = "" if value is None else printable(str(value))
    return "".join(f"\\{sign}" if sign in "\\|`*_<>[]" else sign for sign in text)
