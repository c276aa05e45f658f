"""The facets of OpenLineage that this program fills, as plain values; which belong to what is for `openlineage` to say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Facet = dict[str, Any]

PRODUCER = "urn:orchestrate"
SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
OWN = "urn:orchestrate:openlineage.schema.json"
"""Where the facets are described that are not of the standard: `orchestrator/schemas/openlineage.schema.json`."""

_STANDARD = "https://openlineage.io/spec/facets"
_URLS: Mapping[str, str] = {
    "parent": f"{_STANDARD}/1-2-0/ParentRunFacet.json#/$defs/ParentRunFacet",
    "nominalTime": f"{_STANDARD}/1-0-1/NominalTimeRunFacet.json#/$defs/NominalTimeRunFacet",
    "errorMessage": f"{_STANDARD}/1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet",
    "processing_engine": f"{_STANDARD}/1-1-1/ProcessingEngineRunFacet.json#/$defs/ProcessingEngineRunFacet",
    "jobType": f"{_STANDARD}/2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet",
    "version": f"{_STANDARD}/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet",
    "ownership": f"{_STANDARD}/1-0-1/OwnershipDatasetFacet.json#/$defs/OwnershipDatasetFacet",
    "tags": f"{_STANDARD}/1-0-0/TagsDatasetFacet.json#/$defs/TagsDatasetFacet",
    "inputStatistics": f"{_STANDARD}/1-0-0/InputStatisticsInputDatasetFacet.json#/$defs/InputStatisticsInputDatasetFacet",
    "outputStatistics": f"{_STANDARD}/1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet",
    "dataQualityMetrics": f"{_STANDARD}/1-0-0/DataQualityMetricsDatasetFacet.json#/$defs/DataQualityMetricsDatasetFacet",
    "orchestrate_run": f"{OWN}#/$defs/OrchestrateRunFacet",
    "orchestrate_step": f"{OWN}#/$defs/OrchestrateStepFacet",
}


class Extent(NamedTuple):
    """Hold how much a dataset held, as far as it is known."""

    files: int | None = None
    bytes: int | None = None
    rows: int | None = None

    def statistics(self) -> Facet:
        """Return what is known, under the names of the standard."""
        found = {"rowCount": self.rows, "size": self.bytes, "fileCount": self.files}
        return {name: value for name, value in found.items() if value is not None}


def facet(kind: str, /, **values: object) -> dict[str, Facet]:
    """Return the facet *kind* with *values*, by its name; None among them is left out."""
    given = {key: value for key, value in values.items() if value is not None}
    return {kind: {"_producer": PRODUCER, "_schemaURL": _URLS[kind], **given}}


def quality(extent: Extent) -> dict[str, Facet]:
    """Return the quality metrics of a dataset whose rows somebody has counted; none where nobody has."""
    if extent.rows is None:
        return {}
    return facet(
        "dataQualityMetrics", rowCount=extent.rows, bytes=extent.bytes, fileCount=extent.files, columnMetrics={}
    )


def tags(pairs: Iterable[tuple[str, object]]) -> dict[str, Facet]:
    """Return those of *pairs* that have a value as tags that the definition gives."""
    found = [{"key": key, "value": str(value), "source": "DEFINITION"} for key, value in pairs if value is not None]
    return facet("tags", tags=found) if found else {}


def ownership(owner: object) -> dict[str, Facet]:
    """Return who answers for a dataset, where that is declared."""
    return facet("ownership", owners=[{"name": str(owner), "type": "OWNER"}]) if owner is not None else {}


def extent_of(manifest: Mapping[str, Any] | None, rows: object) -> Extent:
    """Return what a dataset's *manifest* and the *rows* that a step reported say of it."""
    counted = rows if type(rows) is int and rows >= 0 else None
    if manifest is None:
        return Extent(rows=counted)
    files = manifest.get("files", ())
    if "probe" in manifest:
        return Extent(rows=counted)  # Its bytes are those of the answer.
    return Extent(len(files), sum(entry[1] for entry in files), counted)
