"""The report of governance as tables: on a terminal, as Markdown and as one HTML file; all of it functions of what `governance` gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.projections.page_tables import (
    HTML_END,
    Cells,
    Section,
    html_head,
    html_section,
    markdown_section,
)

Report = Mapping[str, Any]

TITLE = "Governance of data"
_KEPT = "By the dates of the files where they can be seen from here, else by the last success of what writes them. Nothing is removed."


def governance_html(report: Report) -> str:
    """Return the *report* as a self-contained HTML document."""
    return "\n".join([*html_head(TITLE), *_html(report), HTML_END]) + "\n"


def governance_markdown(report: Report) -> str:
    """Return the *report* as Markdown."""
    parts = [f"# {TITLE}\n", *(line for section in sections(report) for line in markdown_section(section))]
    return "\n".join(parts) + "\n"


def _html(report: Report) -> Iterator[str]:
    for section in sections(report):
        yield from html_section(section)


def sections(report: Report) -> Iterator[Section]:
    """Yield each table of the *report*."""
    header: tuple[str, ...] = ("", "")
    yield Section("What it covers", header, _coverage(report))
    header = ("class", "pipeline", "step", "reads", "writes", "nights", "attempts", "definition", "declassifies")
    yield Section("Who touched which data", header, _touched(report))
    header = ("pipeline", "step", "declassifies", "since", "brought in by", "definition", "until")
    yield Section("What was declared to make a lower class right", header, _declarations(report))
    header = ("pipeline", "dataset", "class", "layer", "owner", "retention", "written by", "last success")
    yield Section("Datasets as they are defined now", header, _datasets(report))
    header = ("pipeline", "dataset", "class", "owner", "retention", "what is older")
    yield Section("Past its retention", header, _past(report), _KEPT)
    rows = [(item["pipeline"], item["dataset"]) for item in report["datasets"] if item["classification"] is None]
    yield Section("Without a class", ("pipeline", "dataset"), rows)


def _coverage(report: Report) -> Cells:
    sealed = report["checkpoint"]
    return [
        ("Nights", _nights_asked(report["since"], report["until"])),
        ("Pipelines", ", ".join(report["pipelines"]) or "none"),
        ("Events of the ledger", report["events"]),
        ("Sealed", f"the first {sealed['size']}, root {sealed['root']}" if sealed else "nothing"),
        ("Files looked at", report["looked_at"]),
    ]


def _nights_asked(since: str | None, until: str | None) -> str:
    if since is None and until is None:
        return "all"
    return " ".join(part for part in (since and f"from {since}", until and f"to {until}") if part)


def _touched(report: Report) -> Cells:
    return [
        (
            item["classification"] or "(none)",
            item["pipeline"],
            item["step"],
            _datasets_used(item["reads"]),
            _datasets_used(item["writes"]),
            nights_text(item["nights"]),
            item["attempts"],
            _definitions_text(item["definitions"]),
            item["declassifies"],
        )
        for item in report["touched"]
    ]


def _datasets_used(used: Sequence[Report]) -> str:
    return ", ".join(
        f"{item['dataset']} ({item['classification'] or 'no class'}{', inherited' if item['inherited'] else ''})"
        for item in used
    )


def nights_text(nights: Sequence[str]) -> str:
    """Return the first and the last of *nights*, and how many there are."""
    first, last = min(nights), max(nights)
    return first if first == last else f"{first} to {last} ({len(nights)})"


def _definitions_text(definitions: Sequence[Report]) -> str:
    """Return the newest of the definitions under which a step did it, and how many others there were."""
    others = f", and {len(definitions) - 1} before" if len(definitions) > 1 else ""
    return f"{_declared(definitions[-1])}{others}"


def _declared(row: Report) -> str:
    who = f" by {row['declared_by']}" if row["declared_by"] else ""
    when = f", {_day(row['declared_at'])}" if row.get("declared_at") else ""
    return f"{_digest(row['definition'])}{who}{when}"


def _digest(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def _day(time: str | None) -> str:
    return "" if time is None else time[:10]


def _declarations(report: Report) -> Cells:
    return [
        (
            item["pipeline"],
            item["step"],
            item["declassifies"],
            _day(item["since"]),
            item["declared_by"],
            _digest(item["definition"]),
            _day(item["until"]),
        )
        for item in report["declarations"]
    ]


def _datasets(report: Report) -> Cells:
    return [
        (
            item["pipeline"],
            item["dataset"],
            _class_text(item),
            item["layer"],
            item["owner"],
            item["retention"],
            item["writer"] or "(a source)",
            _day(item["last_success"]),
        )
        for item in report["datasets"]
    ]


def _class_text(item: Report) -> str:
    if item["classification"] is None:
        return "(none)"
    source = item["inherited_from"]
    return f"{item['classification']}{f', from {source}' if source else ''}"


def _past(report: Report) -> Cells:
    return [
        (
            item["pipeline"],
            item["dataset"],
            _class_text(item),
            item["owner"],
            item["retention"],
            past_text(item["kept"]),
        )
        for item in report["datasets"]
        if item["kept"] is not None and item["kept"]["past"]
    ]


def past_text(kept: Report) -> str:
    """Return what of a dataset is older than it should be."""
    oldest = _day(kept["oldest_at"])
    if kept["by"] == "files":
        return f"{kept['past']} of {kept['files']} files, the oldest of {oldest}"
    return f"all of it: last written {oldest}; its files cannot be seen from here"
