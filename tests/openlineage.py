"""Run events of OpenLineage held against its official schemas, each facet against the schema that it names, and against the standard's rules for runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import jsonschema
from referencing import Registry, Resource

from orchestrator.schemas import load_schema
from tests.conftest import ROOT

Event = Mapping[str, Any]
VECTORS = ROOT / "tests" / "vectors" / "openlineage"
CORE = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
ENDS = {"COMPLETE", "FAIL", "ABORT"}


@cache
def registry() -> Registry[Any]:
    """Return the official schemas, and the one of our own facets."""
    files = [VECTORS / "OpenLineage.json", *sorted((VECTORS / "facets").glob("*.json"))]
    documents = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    documents.append(json.loads(json.dumps(load_schema("openlineage"))))
    found: Registry[Any] = Registry()
    return found.with_resources([(document["$id"], Resource.from_contents(document)) for document in documents])


@cache
def validator(url: str) -> jsonschema.Draft202012Validator:
    """Return what checks a value against the schema at *url*."""
    checker = jsonschema.FormatChecker()
    return jsonschema.Draft202012Validator({"$ref": url}, registry=registry(), format_checker=checker)


def problems_of(event: Event) -> list[str]:
    """Return what is wrong with *event* and its facets."""
    found = [f"event: {error.json_path}: {error.message}" for error in validator(CORE).iter_errors(event)]
    for name, facet in facets_of(event):
        found += [f"{name}: {error.message}" for error in validator(facet["_schemaURL"]).iter_errors(facet)]
    return found


def facets_of(event: Event) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each facet in *event* with its name."""
    parts = [event["run"], event["job"], *event.get("inputs", ()), *event.get("outputs", ())]
    for part in parts:
        for group in ("facets", "inputFacets", "outputFacets"):
            yield from part.get(group, {}).items()


def broken_rules(events: Sequence[Event], *, finished: bool = True) -> list[str]:
    """Return which rules of the standard *events* break: one start and one end a run, in this order, and each parent's around it."""
    found: list[str] = []
    states: dict[str, str] = {}
    for event in events:
        run, kind = event["run"]["runId"], event["eventType"]
        parent = event["run"]["facets"].get("parent")
        expected = None if kind == "START" else "START"
        if states.get(run) != expected:
            found.append(f"{kind} of {run} after {states.get(run)}")
        if parent is not None and states.get(parent["run"]["runId"]) != "START":
            found.append(f"{kind} of {run} while its parent is {states.get(parent['run']['runId'])}")
        states[run] = kind
    open_ = [run for run, kind in states.items() if kind not in ENDS]
    return found + ([f"without an end: {open_}"] if finished and open_ else [])
