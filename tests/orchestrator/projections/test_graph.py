"""Tests of the graph: its layout, the text forms for other programs, and the picture."""

from __future__ import annotations

import graphlib
import itertools
import re
import time
from collections import defaultdict
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.projections.graph_layout import Layout, lay_out, layer_numbers
from orchestrator.projections.graph_svg import escaped, graph_svg, shortened
from orchestrator.projections.graph_text import LOOKS, TEXT, Look, dot, graph_edges, look_name, mermaid
from tests.orchestrator.projections.test_reports import FLIGHTS, failed_run, graph_of, large_run
from tests.pipelines import graphs

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '"]; click n0 "javascript:x" <script>alert(1)</script> \\" & `#`\n\x1b[31m\u202e'


def laid_out(edges: dict[str, list[str]]) -> Layout:
    """Lay out *edges* with steps of equal width."""
    return lay_out(edges, dict.fromkeys(edges, 80.0))


def parsed(text: str | bytes) -> Element:
    """Return the root of the picture *text*, which has to be well-formed."""
    return fromstring(text)  # noqa: S314 - our own output


def crossings(layout: Layout) -> int:
    """Count the pairs of straight edges between two layers that cross, the slow way."""
    ends = {node.name: node for node in layout.nodes}
    lines = [(ends[edge.source], ends[edge.target]) for edge in layout.edges]
    return sum(
        a.layer == c.layer and b.layer == d.layer and (a.y - c.y) * (b.y - d.y) < 0
        for (a, b), (c, d) in itertools.combinations(lines, 2)
    )


class TestLayout:
    """Every step has a place, and the places make sense."""

    @given(graphs(max_steps=14))
    def test_every_edge_leads_to_a_later_layer(self, edges: dict[str, list[str]]) -> None:
        """For any graph the layers are the longest paths, and each edge runs from left to right without turning back."""
        layout = laid_out(edges)
        places = {node.name: node for node in layout.nodes}
        layers = layer_numbers(edges)

        assert [node.name for node in layout.nodes] == list(edges)
        assert {(edge.source, edge.target) for edge in layout.edges} == {
            (source, target) for target, others in edges.items() for source in others
        }
        for name, others in edges.items():
            assert places[name].layer == layers[name] == max((layers[other] + 1 for other in others), default=0)
        for edge in layout.edges:
            source, target = places[edge.source], places[edge.target]
            assert source.layer < target.layer
            assert edge.points[0] == (source.x + source.width, source.y)
            assert edge.points[-1] == (target.x, target.y)
            assert len(edge.points) == 2 * (target.layer - source.layer)
            assert all(before[0] < after[0] for before, after in itertools.pairwise(edge.points))

    @given(graphs(max_steps=14))
    def test_nothing_of_a_layer_overlaps(self, edges: dict[str, list[str]]) -> None:
        """For any graph the steps of a layer stand apart, no bent edge crosses one, and all lies within the picture."""
        layout = laid_out(edges)
        columns = defaultdict(list)
        for node in layout.nodes:
            columns[node.layer].append((node.y - node.height / 2, node.y + node.height / 2))
            assert 0 <= node.x <= node.x + node.width <= layout.width
            assert -0.01 <= node.y - node.height / 2 <= node.y + node.height / 2 <= layout.height + 0.01
        at = {node.x: node.layer for node in layout.nodes}
        for edge in layout.edges:
            for x, y in edge.points[1:-1:2]:
                columns[at[x]].append((y, y))
        for column in columns.values():
            for (_, bottom), (top, _) in itertools.pairwise(sorted(column)):
                assert top - bottom >= 11.9

    @given(graphs())
    def test_it_is_deterministic(self, edges: dict[str, list[str]]) -> None:
        """For any graph the same picture comes out again."""
        assert laid_out(edges) == laid_out(edges)

    def test_a_tangle_is_untangled(self) -> None:
        """Given pairs that are named in opposite orders, then no edges cross."""
        edges: dict[str, list[str]] = {f"a{number}": [] for number in range(6)}
        edges.update({f"b{number}": [f"a{number}"] for number in reversed(range(6))})
        assert crossings(laid_out(edges)) == 0

    def test_sweeps_keep_the_best_order(self) -> None:
        """Given a graph that cannot be drawn without crossings, then few are left."""
        edges: dict[str, list[str]] = {f"a{number}": [] for number in range(3)}
        edges.update({f"b{number}": [f"a{other}" for other in range(3)] for number in range(3)})
        edges["c"] = ["b2", "b0"]
        assert crossings(laid_out(edges)) == 9

    def test_a_chain_is_straight(self) -> None:
        """Given a chain, then all its steps stand on one line."""
        layout = laid_out({"a": [], "b": ["a"], "c": ["b"]})
        assert len({node.y for node in layout.nodes}) == 1

    def test_unknown_upstreams_do_not_count(self) -> None:
        """Given an upstream that is no step, then it is left out."""
        layout = laid_out({"a": ["ghost"]})
        assert (layout.nodes[0].layer, layout.edges) == (0, ())

    def test_an_empty_graph_is_empty(self) -> None:
        """Given no steps, then there are no places."""
        assert laid_out({}).nodes == ()

    def test_a_cycle_is_refused(self) -> None:
        """Given a cycle, then it is an error and not an endless loop."""
        with pytest.raises(graphlib.CycleError):
            laid_out({"a": ["b"], "b": ["a"]})

    @pytest.mark.parametrize("shape", ["wide", "long", "dense"])
    def test_thousands_of_steps_stay_affordable(self, shape: str) -> None:
        """Given 4000 steps of an awkward shape, then it takes seconds, and the longest edges go without bends."""
        names = [f"s{number}" for number in range(4000)]
        edges: dict[str, list[str]] = {name: [] for name in names}
        for number, name in enumerate(names[1:], start=1):
            if shape == "long":
                edges[name] = list(dict.fromkeys([names[number - 1], names[0]]))
            elif shape == "dense":
                edges[name] = list(dict.fromkeys(names[number // (7 + other)] for other in range(12)))
        begun = time.process_time()
        layout = laid_out(edges)
        assert time.process_time() - begun < 20
        assert len(layout.nodes) == 4000
        assert sum(len(edge.points) for edge in layout.edges) <= 2 * (20_000 + len(layout.edges))


class TestText:
    """Mermaid and DOT name every step and edge, and nothing in a name ends a string."""

    def test_mermaid_of_a_run(self) -> None:
        """Given statuses, then glyph, class and dataset of each step and edge are there."""
        detail = failed_run()
        text = mermaid(detail["graph"], {step["step"]: step["status"] for step in detail["steps"]})
        lines = text.splitlines()

        assert lines[0] == "flowchart LR"
        assert '  n5["✗ quality_gate"]:::failed' in lines
        assert '  n3 -->|"bronze_flights"| n5' in lines
        assert sum(":::" in line for line in lines) == len(FLIGHTS)
        assert sum("-->" in line for line in lines) == sum(map(len, FLIGHTS.values()))
        assert [line.split()[1] for line in lines if "classDef" in line] == ["failed", "succeeded", "skipped"]

    def test_dot_of_a_run(self) -> None:
        """Given statuses, then each step is filled with its colour and each edge carries its dataset."""
        detail = failed_run()
        text = dot(detail["graph"], {step["step"]: step["status"] for step in detail["steps"]})

        assert text.startswith("digraph pipeline {\n")
        assert text.endswith("}\n")
        assert f'  n5 [label="✗ quality_gate", fillcolor="{LOOKS["failed"].fill}"' in text
        assert '  n3 -> n5 [label="bronze_flights"];' in text
        assert text.count(" -> ") == sum(map(len, FLIGHTS.values()))

    def test_a_definition_has_no_status(self) -> None:
        """Given no statuses, then there are no glyphs; an edge that only orders is dashed; a ghost has no edge."""
        graph = {
            "steps": [{"step": "a", "upstream": []}, {"step": "b", "upstream": ["a", "ghost"], "needs": ["a"]}],
            "datasets": {},
        }

        assert list(graph_edges(graph)) == [("a", "b", ())]
        assert "  n0 -.-> n1" in mermaid(graph, {}).splitlines()
        assert "  n0 -> n1 [style=dashed];" in dot(graph, {}).splitlines()
        assert not any(look.glyph in mermaid(graph, {}) + dot(graph, {}) for look in LOOKS.values())

    def test_hostile_names_stay_within_their_quotes(self) -> None:
        """Given a name full of markup, then it stands as text between two quotes."""
        graph = graph_of({HOSTILE: (), "b": (HOSTILE,)})

        for line in mermaid(graph, {HOSTILE: "failed"}).splitlines():
            assert line.count('"') in (0, 2)
            assert not re.search("[<>`\\\\\x1b\u202e]", line.replace("-->", ""))
        for line in dot(graph, {HOSTILE: "failed"}).splitlines()[4:-1]:
            rest = re.sub(r'"(?:[^"\\]|\\.)*"', '""', line)
            assert re.fullmatch(r'  n\d( -> n\d)? \[(\w+=(""|[\w.]+)(, )?)+\];', rest)
            assert "<" not in line

    @given(st.text())
    def test_any_text_can_be_a_name(self, name: str) -> None:
        """For any text each form stays one line for each step, in its quotes."""
        graph = {"steps": [{"step": name, "upstream": []}]}
        assert re.fullmatch(r'flowchart LR\n  n0\["[^"\n<>]*"\]:::pending\n  classDef .*\n', mermaid(graph, {}))
        assert len(dot(graph, {}).splitlines()) == 6

    def test_unknown_statuses_look_pending(self) -> None:
        """Given a status of a run or one that is not known, then there is a look for it."""
        statuses = ("timed_out", "no_new_data", "nothing_to_do", "new_one", None)
        assert [look_name(status) for status in statuses] == ["failed", "skipped", "skipped", "pending", "pending"]


class TestPicture:
    """The SVG stands alone, says everything in words and glyphs too, and obeys nobody."""

    def test_every_step_and_edge_is_drawn(self) -> None:
        """Given a run, then each step has a box, a glyph and a tooltip, and each edge a path that names its dataset."""
        detail = large_run()
        statuses = {step["step"]: step["status"] for step in detail["steps"]}
        root = parsed(graph_svg(detail["graph"], statuses))
        steps = [group for group in root.iter(f"{SVG}g") if group.get("class") == "step"]

        assert len(steps) == 60
        for group in steps:
            name, _, rest = (group.findtext(f"{SVG}title") or "").partition(": ")
            texts = [text.text for text in group.iter(f"{SVG}text")]
            assert texts == [LOOKS[statuses[name]].glyph, name]
            assert rest.startswith(statuses[name])
        edges = [path.findtext(f"{SVG}title") for path in root.iter(f"{SVG}path")]
        assert len(edges) == sum(len(entry["upstream"]) for entry in detail["graph"]["steps"])
        assert "step_000 → step_001: step_000" in edges

    def test_it_is_an_image_with_a_description(self) -> None:
        """Given a run, then role, label and title tell what is seen; the legend counts by glyph."""
        root = parsed(
            graph_svg(failed_run()["graph"], {step["step"]: step["status"] for step in failed_run()["steps"]})
        )

        assert root.get("role") == "img"
        assert root.get("aria-label") == root.findtext(f"{SVG}title")
        assert root.get("aria-label") == "Graph of 12 steps: 1 failed, 4 succeeded, 7 skipped"
        assert {"1 failed", "4 succeeded", "7 skipped"} <= {text.text for text in root.iter(f"{SVG}text")}

    def test_everything_lies_within(self) -> None:
        """Given a run, then no box reaches beyond the picture."""
        root = parsed(graph_svg(large_run()["graph"], {}))
        width, height = float(root.attrib["width"]), float(root.attrib["height"])
        boxes = [box for box in root.iter(f"{SVG}rect") if "box" in box.get("class", "")]
        assert len(boxes) == 60
        for box in boxes:
            assert float(box.attrib["x"]) + float(box.attrib["width"]) + 24 <= width + 0.2
            assert float(box.attrib["y"]) + float(box.attrib["height"]) + 24 <= height + 0.2

    def test_a_definition_has_neither_glyph_nor_legend(self) -> None:
        """Given no statuses, then the steps stand alone."""
        root = parsed(graph_svg(graph_of({"only": ()}), {}))
        assert [text.text for text in root.iter(f"{SVG}text")] == ["only"]
        assert root.get("aria-label") == "Graph of 1 step"

    def test_an_empty_graph_is_a_picture(self) -> None:
        """Given no steps, then there is a picture of nothing."""
        assert parsed(graph_svg({"steps": [], "datasets": {}}, {})).get("aria-label") == "Graph of 0 steps"

    def test_hostile_names_are_text(self) -> None:
        """Given names full of markup, then the only elements are our own."""
        graph = graph_of({HOSTILE: (), "\ud800\uffff\x00": (HOSTILE,)})
        picture = graph_svg(graph, {HOSTILE: '"><script>'})
        tags = {element.tag.removeprefix(SVG) for element in parsed(picture.encode()).iter()}
        assert tags == {"svg", "title", "style", "rect", "g", "path", "text"}

    def test_it_asks_nobody(self) -> None:
        """Given any run, then the picture refers to nothing outside of it."""
        picture = graph_svg(large_run()["graph"], {})
        assert re.findall(r"https?://[^\"]*", picture) == ["http://www.w3.org/2000/svg"]
        assert not re.search(r"url\(|@import|href|<image|<script", picture)

    def test_it_is_deterministic(self) -> None:
        """Given the same run, then the same picture comes out."""
        assert graph_svg(large_run()["graph"], {}) == graph_svg(large_run()["graph"], {})

    def test_long_names_lose_their_middle(self) -> None:
        """Given a long name, then both its ends are shown and the tooltip has it all."""
        name = "a" * 100 + "z" * 28
        picture = graph_svg(graph_of({name: ()}), {})
        assert shortened(name, 9) == "aaaaa…zzz"
        assert len(shortened(name, 28)) == 28
        assert f"<title>{name}; reads" in picture

    @given(st.text())
    def test_escaping_leaves_no_markup(self, text: str) -> None:
        """For any text the escaped one parses as one text of XML, in an element and in an attribute."""
        root = parsed(f'<a b="{escaped(text)}">{escaped(text)}</a>')
        assert len(root) == 0
        assert root.text == root.get("b") or not root.text


def luminance(colour: str) -> float:
    """Return the relative luminance of *colour*, as WCAG 2 defines it."""
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


class TestLooks:
    """A status is told by more than its colour, and can be read."""

    def test_each_has_its_own_glyph(self) -> None:
        """No two share one."""
        assert len({look.glyph for look in LOOKS.values()}) == len(LOOKS)

    @pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
    def test_words_can_be_read(self, look: Look) -> None:
        """Text and words in the status' colour have a contrast of 4.5 on its fill and on the page, light and dark."""
        for words, grounds in (
            (TEXT, (look.fill,)),
            (look.line, (look.fill, "#ffffff", LOOKS["failed"].fill)),
            ("#e6edf3", (look.dark_fill,)),
            (look.dark_line, (look.dark_fill, "#0d1117", LOOKS["failed"].dark_fill)),
        ):
            assert min(contrast(words, ground) for ground in grounds) >= 4.5
