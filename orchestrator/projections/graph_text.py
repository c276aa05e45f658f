"""
A graph as text that other programs draw: Mermaid for Markdown pages, DOT for Graphviz.

The looks of a status stand here too, since every picture and report shares them: a colour and, because colour alone says nothing to many
people, a glyph.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from orchestrator.core.printable import printable

Graph: TypeAlias = Mapping[str, Any]
"""`{"steps": [{"step", "upstream", "reads"?, "writes"?, "needs"?}], "datasets": {…}}`, as the ledger keeps it."""


class Look(NamedTuple):
    """Say how a status looks: *line* is for borders and words, *fill* lies under text; the second pair is for dark pages."""

    glyph: str
    fill: str
    line: str
    dark_fill: str
    dark_line: str


LOOKS: Mapping[str, Look] = {
    "failed": Look("✗", "#ffe9e6", "#b3141f", "#3d1518", "#ff8a80"),
    "cancelled": Look("■", "#fff0e0", "#974000", "#38220f", "#f5a15c"),
    "retrying": Look("↻", "#fff6cc", "#7a5200", "#332a0c", "#e3b341"),
    "running": Look("►", "#e0f0ff", "#0757b0", "#10233d", "#79b8ff"),
    "succeeded": Look("✓", "#e3f5e7", "#116329", "#10291a", "#56d364"),
    "skipped": Look("»", "#f0f2f4", "#57606a", "#23282f", "#a7b0ba"),
    "pending": Look("○", "#ffffff", "#57606a", "#161b22", "#a7b0ba"),
}
"""How each status of a step looks, in the order in which people want to see them."""

TEXT = "#1f2328"
"""The colour of text on every light fill."""

_RUN_LOOKS = {"nothing_to_do": "skipped", "timed_out": "failed", "interrupted": "failed", "no_new_data": "skipped"}
_MERMAID_UNSAFE = re.compile(r"(?![A-Za-z0-9 _.-])[\x00-\xa0]")


def look_name(status: object) -> str:
    """Return the key of `LOOKS` for the status of a run, a step or an attempt."""
    name = str(status)
    return name if name in LOOKS else _RUN_LOOKS.get(name, "pending")


def words_of(name: object) -> str:
    """Return a status or a reason as people write it."""
    return str(name).replace("_", " ")


def graph_edges(graph: Graph) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield each edge with the datasets that flow along it; none where the step only needs its upstream."""
    writes = {entry["step"]: entry.get("writes", ()) for entry in graph["steps"]}
    for entry in graph["steps"]:
        reads = set(entry.get("reads", ()))
        for source in entry["upstream"]:
            if source in writes:
                yield source, entry["step"], tuple(name for name in writes[source] if name in reads)


def mermaid(graph: Graph, statuses: Mapping[str, str]) -> str:
    """
    Return *graph* as a Mermaid flowchart, without a fence.

    Args:
        statuses: The status of each step; empty for a definition that is no run.
    """
    lines = ["flowchart LR"]
    number_of: dict[str, int] = {}
    for entry in graph["steps"]:
        name = entry["step"]
        number = number_of[name] = len(number_of)
        label, look = _label(name, statuses)
        lines.append(f'  n{number}["{_mermaid_text(label)}"]:::{look}')
    for source, target, datasets in graph_edges(graph):
        arrow = f'-->|"{_mermaid_text(", ".join(datasets))}"|' if datasets else "-.->"
        lines.append(f"  n{number_of[source]} {arrow} n{number_of[target]}")
    for look in _looks_used(graph, statuses):
        colours = f"fill:{LOOKS[look].fill},stroke:{LOOKS[look].line},color:{TEXT}"
        lines.append(f"  classDef {look} {colours}{_mermaid_extra(look)}")
    return "\n".join(lines) + "\n"


def dot(graph: Graph, statuses: Mapping[str, str]) -> str:
    """
    Return *graph* in Graphviz' language.

    Args:
        statuses: The status of each step; empty for a definition that is no run.
    """
    lines = [
        "digraph pipeline {",
        "  rankdir=LR;",
        f'  node [shape=box, style="rounded,filled", fontname="Helvetica,Arial,sans-serif", fontsize=12, fontcolor="{TEXT}"];',
        '  edge [fontname="Helvetica,Arial,sans-serif", fontsize=10, color="#57606a", fontcolor="#57606a"];',
    ]
    number_of: dict[str, int] = {}
    for entry in graph["steps"]:
        name = entry["step"]
        number = number_of[name] = len(number_of)
        label, status = _label(name, statuses)
        look = LOOKS[status]
        extra = {"skipped": ', style="rounded,filled,dashed"', "failed": ", penwidth=2.5"}.get(status, "")
        lines.append(f'  n{number} [label="{_dot_text(label)}", fillcolor="{look.fill}", color="{look.line}"{extra}];')
    for source, target, datasets in graph_edges(graph):
        told = f'label="{_dot_text(", ".join(datasets))}"' if datasets else "style=dashed"
        lines.append(f"  n{number_of[source]} -> n{number_of[target]} [{told}];")
    return "\n".join([*lines, "}"]) + "\n"


def _label(name: str, statuses: Mapping[str, str]) -> tuple[str, str]:
    """Return the words of a step and its look; without a status there is no glyph either."""
    if name not in statuses:
        return name, "pending"
    look = look_name(statuses[name])
    return f"{LOOKS[look].glyph} {name}", look


def _looks_used(graph: Graph, statuses: Mapping[str, str]) -> list[str]:
    used = {_label(entry["step"], statuses)[1] for entry in graph["steps"]}
    return [name for name in LOOKS if name in used]


def _mermaid_extra(look: str) -> str:
    return {"skipped": ",stroke-dasharray:4 3", "failed": ",stroke-width:3px"}.get(look, "")


def _mermaid_text(text: str) -> str:
    """Return *text* for between quotes; what might end them or be markup becomes a character code, as Mermaid spells it."""
    return _MERMAID_UNSAFE.sub(lambda match: f"#{ord(match[0])};", printable(text))


def _dot_text(text: str) -> str:
    """Return *text* for between quotes; Graphviz reads backslashes and HTML entities there."""
    return html.escape(printable(text), quote=False).replace("\\", "\\\\").replace('"', '\\"')
