"""
A graph as one picture: the steps in layers from left to right, each with its status by colour and by glyph.

The picture stands alone: no script, no font, no image from elsewhere, and colours for light and for dark pages. It may lie in an HTML page
or be a file of its own.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.core.printable import printable
from orchestrator.projections.graph_layout import Edge, Node, lay_out
from orchestrator.projections.graph_text import LOOKS, TEXT, Graph, graph_edges, look_name

CHARACTER_WIDTH = 7.4
"""What a character of our pictures takes at 12 pixels, measured generously: fonts differ."""

_MARGIN = 12
_PADDING = 34
_LEGEND_HEIGHT = 34
_LABEL_AT_MOST = 28
_SHRINK_MIN = 0.75
_NOT_XML = re.compile("[\ufffe\uffff]")


def escaped(text: object) -> str:
    """Return *text* for XML and HTML, in an element or an attribute, with control characters made visible."""
    return html.escape(_NOT_XML.sub("\ufffd", printable(str(text))))


def shortened(text: str, at_most: int) -> str:
    """Return *text* with its middle left out where it is longer than *at_most* characters."""
    shown = printable(text)
    if len(shown) <= at_most:
        return shown
    tail = at_most // 3
    return f"{shown[: at_most - tail - 1]}…{shown[-tail:]}"


def _colours(*, dark: bool) -> str:
    page, text, quiet, rule = (
        ("#0d1117", "#e6edf3", "#a7b0ba", "#3d444d") if dark else ("#ffffff", TEXT, "#57606a", "#d0d7de")
    )
    pairs = {"page": page, "text": text, "quiet": quiet, "rule": rule}
    for name, look in LOOKS.items():
        pairs[f"{name}-fill"] = look.dark_fill if dark else look.fill
        pairs[name] = look.dark_line if dark else look.line
    return ";".join(f"--{name}:{value}" for name, value in pairs.items())


def colour_style(selector: str) -> str:
    """Return the rules that set our colours as variables below *selector*; printing is always light."""
    return (
        f"{selector}{{color-scheme:light dark;{_colours(dark=False)}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{{selector}{{{_colours(dark=True)}}}}}\n"
    )


PICTURE_STYLE = (
    colour_style(".picture")
    + ".picture{font-family:system-ui,sans-serif;font-size:12px}\n"
    + ".picture text{fill:var(--text)}.picture .quiet{fill:var(--quiet)}.picture .page{fill:var(--page)}\n"
    + "".join(
        f".picture .box.{name}{{fill:var(--{name}-fill);stroke:var(--{name})}}.picture .glyph.{name}{{fill:var(--{name})}}\n"
        for name in LOOKS
    )
    + ".picture .box{stroke-width:1.2}.picture .box.failed{stroke-width:2.5}.picture .box.skipped{stroke-dasharray:4 3}\n"
    + ".picture .glyph{font-weight:bold}.picture .edge{fill:none;stroke:var(--quiet);stroke-width:1.2;opacity:.6}\n"
    + ".picture .edge.failed{stroke:var(--failed);opacity:1}.picture .edge.needs{stroke-dasharray:2 3}\n"
)
"""What all our pictures share; it may stand in one page several times."""


def svg(width: float, height: float, label: str, parts: Iterable[str], *, style: str = "") -> str:
    """
    Return a picture of *width* and *height* that says *label* to those who do not see it.

    Where a page makes it fit its own width, it shrinks by a quarter at most: smaller words cannot be read.
    """
    size = f'width="{number(width)}" height="{number(height)}" viewBox="0 0 {number(width)} {number(height)}"'
    size += f' style="min-width:{number(width * _SHRINK_MIN)}px"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="picture" role="img" aria-label="{escaped(label)}" {size}>',
            f"<title>{escaped(label)}</title>",
            f"<style>{PICTURE_STYLE}{style}</style>",
            '<rect class="page" width="100%" height="100%"/>',
            *parts,
            "</svg>",
        ]
    )


def number(value: float) -> str:
    """Return a coordinate without more digits than a picture needs."""
    return f"{value:.1f}".removesuffix(".0")


def graph_svg(graph: Graph, statuses: Mapping[str, str]) -> str:
    """
    Return *graph* as an SVG element.

    Args:
        statuses: The status of each step; empty for a definition that is no run.
    """
    entries = {entry["step"]: entry for entry in graph["steps"]}
    labels = {name: shortened(name, _LABEL_AT_MOST) for name in entries}
    layout = lay_out(
        {name: entry["upstream"] for name, entry in entries.items()},
        {name: len(label) * CHARACTER_WIDTH + _PADDING for name, label in labels.items()},
    )
    flows = {(source, target): datasets for source, target, datasets in graph_edges(graph)}
    parts = [f'<g transform="translate({_MARGIN} {_MARGIN})">']
    parts += [_edge(edge, flows[edge.source, edge.target], statuses) for edge in layout.edges]
    parts += [_node(node, labels[node.name], entries[node.name], statuses.get(node.name)) for node in layout.nodes]
    parts.append("</g>")
    counts = _counts(entries, statuses)
    legend, legend_width = _legend(counts, layout.height + 2 * _MARGIN)
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    label = f"Graph of {len(entries)} step{'' if len(entries) == 1 else 's'}" + (f": {told}" if told else "")
    width = max(layout.width + 2 * _MARGIN, legend_width)
    return svg(width, layout.height + 2 * _MARGIN + (_LEGEND_HEIGHT if counts else 0), label, [*parts, *legend])


def _edge(edge: Edge, datasets: Iterable[str], statuses: Mapping[str, str]) -> str:
    (x, y), *rest = edge.points
    path = [f"M{number(x)} {number(y)}"]
    for index, (next_x, next_y) in enumerate(rest):
        if index % 2:
            path.append(f"H{number(next_x)}")
        else:
            middle = number((x + next_x) / 2)
            path.append(f"C{middle} {number(y)} {middle} {number(next_y)} {number(next_x)} {number(next_y)}")
        x, y = next_x, next_y
    carried = ", ".join(datasets)
    kinds = "edge" + ("" if carried else " needs") + (" failed" if statuses.get(edge.source) == "failed" else "")
    told = f"{edge.source} → {edge.target}" + (f": {carried}" if carried else "")
    return f'<path class="{kinds}" d="{"".join(path)}"><title>{escaped(told)}</title></path>'


def _node(node: Node, label: str, entry: Mapping[str, Any], status: str | None) -> str:
    look = look_name(status)
    told = [f"{node.name}: {status}" if status else node.name]
    told += [f"{verb} {', '.join(entry[verb])}" for verb in ("reads", "writes", "needs") if entry.get(verb)]
    top = number(node.y - node.height / 2)
    baseline = number(node.y + 4.2)
    parts = [
        f'<g class="step"><title>{escaped("; ".join(told))}</title>',
        f'<rect class="box {look}" x="{number(node.x)}" y="{top}" width="{number(node.width)}" height="{node.height}" rx="6"/>',
    ]
    text_x = node.x + 10
    if status:
        parts.append(f'<text class="glyph {look}" x="{number(text_x)}" y="{baseline}">{LOOKS[look].glyph}</text>')
        text_x += 16
    parts.append(f'<text x="{number(text_x)}" y="{baseline}">{escaped(label)}</text></g>')
    return "".join(parts)


def _counts(names: Iterable[str], statuses: Mapping[str, str]) -> dict[str, int]:
    """Count the steps by the look of their status, in the order of the looks."""
    looks = [look_name(statuses[name]) for name in names if name in statuses]
    return {name: looks.count(name) for name in LOOKS if name in looks}


def _legend(counts: Mapping[str, int], y: float) -> tuple[list[str], float]:
    """Return what the glyphs mean, and how wide that is."""
    parts = []
    x = float(_MARGIN)
    baseline = number(y + 12)
    for name, count in counts.items():
        words = f"{count} {name}"
        parts.append(f'<text class="glyph {name}" x="{number(x)}" y="{baseline}">{LOOKS[name].glyph}</text>')
        parts.append(f'<text class="quiet" x="{number(x + 16)}" y="{baseline}">{words}</text>')
        x += 16 + len(words) * CHARACTER_WIDTH + 14
    return parts, x
