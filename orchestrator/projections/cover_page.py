"""
The cover page of a package of evidence, as one HTML file to print and as Markdown: what it covers, under which root, how much of what, and the sample.

Both are functions of the same facts. The page asks nobody for anything: no script, no font, no image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.core.printable import printable
from orchestrator.projections.graph_svg import escaped

Facts = Mapping[str, Any]
Cells = Sequence[tuple[object, ...]]

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

_LIMITS = (
    "That what was recorded is true, and that the clock of the machine was right.",
    "What was recorded after the checkpoint.",
    "That everybody was shown the same history: only a witness, or a checkpoint that you kept yourself, shows that.",
    "What the tables say beyond which events have a row: the program has made them from the events.",
)
_CHECK = (
    "Take the public key of the ledger from where the operator cannot change it.",
    "Run: python3 verify.py --key KEY . (or orchestrate audit check-proof --key KEY FILE), with verify.py from an installation of your own.",
    "Compare root, counts and sample on this page with what it prints.",
    "Compare the digest that it was handed over with to sha256sum manifest.json.",
)
_SIGNATURES = ("Prepared by", "Reviewed by")


def cover_html(facts: Facts) -> str:
    """
    Return the cover page as a self-contained HTML document.

    Args:
        facts: As `cli.packaging` collects them.
    """
    return "\n".join(_html(facts)) + "\n"


def cover_markdown(facts: Facts) -> str:
    """Return the same as Markdown."""
    return "\n".join(_markdown(facts)) + "\n"


def _sections(facts: Facts) -> Iterator[tuple[str, tuple[str, ...], Cells]]:
    """Yield title, header and rows of each table of the page."""
    yield "What it covers", ("", ""), _coverage(facts)
    yield (
        "What happened",
        ("", "rows", "not sealed"),
        [(title, rows, open_rows) for title, rows, open_rows in facts["tables"]],
    )
    yield "How the runs ended", ("status", "runs"), list(facts["statuses"].items())
    yield "Events of the period by type", ("type", "events"), list(facts["types"].items())
    yield (
        "Pipelines, up to the end of the period",
        ("pipeline", "first night", "last night", "runs"),
        facts["pipelines"],
    )
    yield "Sample", ("step", "status", "events (seq)", "log"), facts["sample"]


def _coverage(facts: Facts) -> Cells:
    span = "none" if facts["first_seq"] is None else f"{facts['first_seq']} to {facts['last_seq']}"
    return [
        ("Period", f"{facts['first']} to {facts['last']}, whole days of UTC by the time of recording, both included"),
        ("Pipelines", "all" if facts["chosen"] is None else ", ".join(facts["chosen"])),
        ("Ledger", facts["origin"]),
        ("Events handed over (seq)", f"{span}: {facts['events']}"),
        ("Recorded in the period", f"{facts['inside']} events"),
        ("Root", facts["root"]),
        ("Root over", f"the first {facts['size']} events"),
        ("Signature (claimed: check it)", facts["signed"]),
        ("Before the period", facts["before"]),
        ("Not sealed", f"{facts['not_sealed']} events of the period"),
        ("Sample", f"{len(facts['sample'])} of {facts['population']} steps, seed {facts['seed']}"),
    ]


def _html(facts: Facts) -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">'
    yield f"<title>{_title(facts)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>"
    yield f"<h1>{_title(facts)}</h1>"
    yield from (f'<p class="warn">{escaped(_sentence(warning))}</p>' for warning in facts["warnings"])
    for title, header, rows in _sections(facts):
        yield f"<h2>{escaped(title)}</h2>"
        yield from _html_table(header, rows)
    for title, items in (("How to check it", _CHECK), ("What it does not show", _LIMITS)):
        yield f"<h2>{title}</h2>\n<ol>" + "".join(f"<li>{escaped(item)}</li>" for item in items) + "</ol>"
    yield '<h2>Signatures</h2>\n<table class="sign">\n<tr><th></th><th>Name</th><th>Date</th><th>Signature</th></tr>'
    yield from (f"<tr><td>{role}</td><td></td><td></td><td></td></tr>" for role in _SIGNATURES)
    yield "</table>\n<p>SHA-256 of manifest.json, written by hand when this was handed over:</p>"
    yield '<table class="sign"><tr><td></td></tr></table>\n</main>\n</body>\n</html>'


def _html_table(header: Sequence[str], rows: Cells) -> Iterator[str]:
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


def _markdown(facts: Facts) -> Iterator[str]:
    yield f"# {_cell(_title(facts))}\n"
    yield from (f"> {_cell(_sentence(warning))}\n" for warning in facts["warnings"])
    for title, header, rows in _sections(facts):
        yield f"## {title}\n"
        if rows:
            yield f"| {' | '.join(header)} |"
            yield f"|{'---|' * len(header)}"
            yield from (f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows)
            yield ""
        else:
            yield "None.\n"
    for title, items in (("How to check it", _CHECK), ("What it does not show", _LIMITS)):
        yield f"## {title}\n"
        yield from (f"{number}. {item}" for number, item in enumerate(items, 1))
        yield ""
    yield "## Signatures\n"
    yield from (
        f"{role}: ______________________  date: ____________  signature: ______________________\n"
        for role in _SIGNATURES
    )
    yield "SHA-256 of manifest.json, written by hand when this was handed over:\n\n______________________"


def _sentence(warning: str) -> str:
    return f"{warning[:1].upper()}{warning[1:]}."


def _title(facts: Facts) -> str:
    return f"Evidence from {facts['first']} to {facts['last']}"


def _cell(value: object) -> str:
    text = "" if value is None else printable(str(value))
    return "".join(f"\\{sign}" if sign in "\\|`*_<>[]" else sign for sign in text)
