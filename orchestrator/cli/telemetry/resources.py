"""What all signals are sent with: the resource of a run, and the scope of this program."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.sdk.version import __version__ as sdk_version

from orchestrator import __version__
from orchestrator.cli.telemetry.settings import Settings
from orchestrator.projections.span_words import Value

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
"""Of the conventions that names and values follow, see `projections.spans`."""

SCOPE = InstrumentationScope("orchestrate", __version__, SCHEMA_URL)


def resource_of(settings: Settings, run: Mapping[str, Value]) -> Resource:
    """Return the resource of a run: what the variables say, and what is known of the run, which counts where both do."""
    sdk = {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": sdk_version,
        "service.version": __version__,
    }
    return Resource({**sdk, **settings.resource, **run}, SCHEMA_URL)
