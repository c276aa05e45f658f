"""Tests of what is told of a dataset's size."""

from __future__ import annotations

from orchestrator.projections.openlineage_facets import Extent, extent_of


def test_of_files() -> None:
    """Given a manifest, then its files and their bytes are counted, and the rows are those that the step reported."""
    files = [["a.csv", 3, "sha256:0"], ["b.csv", 4, "sha256:1"]]
    assert extent_of({"files": files}, 2) == Extent(2, 7, 2)
    assert extent_of({"files": files}, "two") == Extent(2, 7)
    assert extent_of(None, 2) == Extent(rows=2)


def test_of_a_probe() -> None:
    """Given what a probe has measured, then its size is not known: the bytes are those of the answer."""
    extent = extent_of({"probe": {"bytes": 12, "digest": "sha256:0"}}, 2)
    assert extent == Extent(rows=2)
    assert extent.statistics() == {"rowCount": 2}
