"""Tests of `orchestrate graph`: the graph of the definition, or of a run with what became of it."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.nights import Nights
from tests.programs import program, refused, value_of


class TestGraph:
    """Three formats, two sources."""

    def test_json(self, nights: Nights) -> None:
        """Given --json, then steps in order with their edges; of a run also their statuses."""
        of_definition = value_of(program("graph", "--json", cwd=nights.shop), "graph")
        of_run = value_of(program("graph", nights.failed, "--json", cwd=nights.shop), "graph")
        assert of_definition == {**of_run, "statuses": {}}
        assert of_run["statuses"] == {"ingest": "succeeded", "totals": "failed", "mail": "skipped"}
        assert [step["upstream"] for step in of_run["steps"]] == [[], ["ingest"], ["totals"]]

    @pytest.mark.parametrize("run", [False, True])
    def test_formats(self, nights: Nights, *, run: bool) -> None:
        """Given a format, then it is printed; SVG is well-formed."""
        words = [nights.failed] if run else []
        texts = {
            form: program("graph", *words, "--format", form, cwd=nights.shop).stdout
            for form in ("mermaid", "dot", "svg")
        }
        assert texts["mermaid"] == program("graph", *words, cwd=nights.shop).stdout
        assert texts["mermaid"].startswith("flowchart")
        assert texts["dot"].startswith("digraph")
        assert ElementTree.fromstring(texts["svg"]).tag.endswith("svg")  # noqa: S314 - our own page
        assert all("totals" in text for text in texts.values())

    def test_definition_that_is_not_there(self, nights: Nights) -> None:
        """Given neither run nor definition, then exit code 2 and what to do."""
        (problem,) = refused(program("graph", "--json", "--pipeline", "no.toml", cwd=nights.shop))
        assert problem["kind"] == "definition_missing"
        assert "orchestrate init" in problem["suggestion"]
