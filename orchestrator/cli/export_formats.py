"""
The forms in which `orchestrate export` writes a run: one document a line, made from what the ledger holds.

A form has its name in `FORMATS`, and a function that yields its documents in `documents_of`; it loads what it needs when it is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.cli.manual import masking_known
from orchestrator.cli.reading import View

Document = Mapping[str, Any]

FORMATS: Mapping[str, str] = {
    "otlp": "OTLP JSON lines: spans, metrics and log records of the run, as they go to a collector.",
    "openlineage": "OpenLineage JSON lines: run events for a data catalogue.",
}
"""Each form with what it is."""


def documents_of(form: str, view: View, run_id: str) -> Iterator[Document]:
    """
    Yield the documents of the run *run_id*, which *view* holds, in the *form*.

    Raises:
        MissingExtraError: What makes them is not installed.
    """
    if form == "otlp":
        from orchestrator.cli.telemetry.exporting import otlp_documents

        yield from otlp_documents(view.connection, run_id, os.environ, masking_known(view, os.environ))
    elif form == "openlineage":
        from orchestrator.cli.lineage import openlineage_documents

        yield from openlineage_documents(view, run_id, os.environ)
    else:
        raise AssertionError(form)
