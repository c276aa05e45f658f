"""Metrics, as the SDK and OTLP have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from opentelemetry.exporter.otlp.json.common.metrics_encoder import encode_metrics as encode_json
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics as encode_protobuf
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource

from orchestrator.cli.telemetry.resources import SCHEMA_URL, SCOPE, resource_of
from orchestrator.cli.telemetry.settings import Settings
from orchestrator.projections.metrics import BOUNDS, Instrument, Metric, Point


class MetricEncoder:
    """Encode metrics; see `encoding.Encoder`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def encode(self, items: Sequence[object]) -> bytes:
        """Return `ExportMetricsServiceRequest`, serialised."""
        encoded: bytes = encode_protobuf(self._data(items)).SerializeToString()
        return encoded

    def document(self, items: Sequence[object]) -> Mapping[str, Any]:
        """Return the document with `resourceMetrics`."""
        document: Mapping[str, Any] = encode_json(self._data(items)).to_dict()
        return document

    def _data(self, items: Sequence[object]) -> sdk.MetricsData:
        # Parts of a run, and runs that come one after the other, have one stream of points for each instrument.
        streams: dict[Resource, dict[Instrument, list[Point]]] = {}
        for item in cast("Sequence[Metric]", items):
            instruments = streams.setdefault(resource_of(self._settings, item.resource), {})
            instruments.setdefault(item.instrument, []).extend(item.points)
        return sdk.MetricsData([
            sdk.ResourceMetrics(
                resource=resource,
                scope_metrics=[sdk.ScopeMetrics(SCOPE, [self._metric(*entry) for entry in found.items()], SCHEMA_URL)],
                schema_url=SCHEMA_URL,
            )
            for resource, found in streams.items()
        ])  # fmt: skip

    def _metric(self, instrument: Instrument, points: Sequence[Point]) -> sdk.Metric:
        """Return *points* as the SDK has them; the value of one is that of its run alone, so that both temporalities have the same ones."""
        temporality = sdk.AggregationTemporality[self._settings.temporality.upper()]
        data: sdk.DataT
        if instrument.kind == "counter":
            data = sdk.Sum([_number(point) for point in points], temporality, is_monotonic=True)
        else:
            data = sdk.Histogram([_histogram(point) for point in points], temporality)
        return sdk.Metric(instrument.name, instrument.description, instrument.unit, data)


def _number(point: Point) -> sdk.NumberDataPoint:
    return sdk.NumberDataPoint(dict(point.attributes), point.start_ns, point.end_ns, point.count)


def _histogram(point: Point) -> sdk.HistogramDataPoint:
    return sdk.HistogramDataPoint(
        attributes=dict(point.attributes),
        start_time_unix_nano=point.start_ns,
        time_unix_nano=point.end_ns,
        count=point.count,
        sum=point.sum_us / 1e6,
        bucket_counts=point.buckets,
        explicit_bounds=BOUNDS,
        min=point.min_us / 1e6,
        max=point.max_us / 1e6,
    )
