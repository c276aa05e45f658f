"""
The cover page of a package of evidence, as one HTML file to print and as Markdown: what it covers, under which root, how much of what, and the sample.

Both are functions of the same facts. The page asks nobody for anything: no script, no font, no image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.projections.graph_svg import escaped
from orchestrator.projections.page_tables import (
    HTML_END,
    Cells,
    Section,
    html_head,
    html_section,
    markdown_cell,
    markdown_section,
)

Facts = Mapping[str, Any]

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


def _sections(facts: Facts) -> Iterator[Section]:
    """Yield each table of the page."""
    yield Section("What it covers", ("", ""), _coverage(facts))
    yield Section("What happened", ("", "rows", "not sealed"), facts["tables"])
    yield Section("How the runs ended", ("status", "runs"), list(facts["statuses"].items()))
    yield Section("Events of the period by type", ("type", "events"), list(facts["types"].items()))
    header = ("pipeline", "first night", "last night", "runs")
    yield Section("Pipelines, up to the end of the period", header, facts["pipelines"])
    yield Section("Sample", ("step", "status", "events (seq)", "log"), facts["sample"])


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
    yield from html_head(_title(facts))
    yield from (f'<p class="warn">{escaped(_sentence(warning))}</p>' for warning in facts["warnings"])
    for section in _sections(facts):
        yield from html_section(section)
    for title, items in (("How to check it", _CHECK), ("What it does not show", _LIMITS)):
        yield f"<h2>{title}</h2>\n<ol>" + "".join(f"<li>{escaped(item)}</li>" for item in items) + "</ol>"
    yield '<h2>Signatures</h2>\n<table class="sign">\n<tr><th></th><th>Name</th><th>Date</th><th>Signature</th></tr>'
    yield from (f"<tr><td>{role}</td><td></td><td></td><td></td></tr>" for role in _SIGNATURES)
    yield "</table>\n<p>SHA-256 of manifest.json, written by hand when this was handed over:</p>"
    yield f'<table class="sign"><tr><td></td></tr></table>\n{HTML_END}'


def _markdown(facts: Facts) -> Iterator[str]:
    yield f"# {markdown_cell(_title(facts))}\n"
    yield from (f"> {markdown_cell(_sentence(warning))}\n" for warning in facts["warnings"])
    for section in _sections(facts):
        yield from markdown_section(section)
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
