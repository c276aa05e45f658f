"""Where each signal goes, and the places themselves."""

from __future__ import annotations

from typing import Literal, TypeAlias

from orchestrator.cli.telemetry.file_place import JsonLines
from orchestrator.cli.telemetry.http_place import Collector
from orchestrator.cli.telemetry.places import Place
from orchestrator.cli.telemetry.settings import Settings, Signal

PlaceName: TypeAlias = Literal["otlp", "file"]


def ways_of(settings: Settings) -> list[tuple[Signal, PlaceName]]:
    """Return each signal with each place where it goes."""
    found: list[tuple[Signal, PlaceName]] = [(signal, "otlp") for signal in settings.endpoints]
    return found + [(signal, "file") for signal in settings.files]


def place_of(signal: Signal, name: PlaceName, settings: Settings) -> Place:
    """Return the place *name*, made for *signal*; it loads the SDK when it is sent something."""
    if name == "otlp":
        return Collector(signal, settings.endpoints[signal], settings)
    assert settings.file is not None
    return JsonLines(signal, settings.file, settings)
