"""A run as OTLP JSON: the documents that a file of `[telemetry]` gets, made from the ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from orchestrator.cli.telemetry.encoding import encoder_of
from orchestrator.cli.telemetry.feeds import recall_of
from orchestrator.cli.telemetry.settings import SIGNALS, telemetry_settings


def otlp_documents(
    connection: sqlite3.Connection, run_id: str, environ: Mapping[str, str], redact: Callable[[str], str]
) -> Iterator[Mapping[str, Any]]:
    """
    Yield documents with everything of the run *run_id* that can be made again; batches, resource and limits are what *environ* says.

    What is asked for by name is not sampled.

    Args:
        redact: Masks what the resource holds.

    Raises:
        MissingExtraError: The extra is not installed.
    """
    settings = attrs.evolve(telemetry_settings(environ), sampler="always_on").masked(redact)
    for signal in SIGNALS:
        encoder = encoder_of(signal, settings)
        items = recall_of(signal)(connection, run_id, settings)
        size = settings.batching_of(signal).size
        for first in range(0, len(items), size):
            yield encoder.document(items[first : first + size])
