"""What the variables of metrics and logs say."""

from __future__ import annotations

import pytest

from orchestrator.cli.telemetry.settings import Batching, telemetry_settings


class TestBatching:
    """`OTEL_BLRP_*` are for records and lines, `OTEL_BSP_*` for the rest."""

    def test_defaults(self) -> None:
        """Given nothing, then records are sent sooner than the rest, and no more lines wait than the specification has."""
        settings = telemetry_settings({})
        assert settings.batching_of("traces") == settings.batching_of("metrics") == Batching()
        assert settings.batching_of("logs") == Batching(delay_ms=1_000)
        assert settings.batching_of("step_output") == Batching(1_000, 512, 2_048)

    def test_of_logs(self) -> None:
        """Given variables of logs, then they count for logs alone; a batch is no larger than the queue."""
        given = {
            "DELAY": "OTEL_BLRP_SCHEDULE_DELAY",
            "SIZE": "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
            "MOST": "OTEL_BLRP_MAX_QUEUE_SIZE",
        }
        settings = telemetry_settings({given["DELAY"]: "7", given["SIZE"]: "900", given["MOST"]: "100"})
        assert settings.batching_of("step_output") == Batching(7, 100, 100)
        assert settings.batching_of("traces") == Batching()
        assert settings.problems == ()

    def test_what_is_wrong(self) -> None:
        """Given no number, then that is told, and the default counts."""
        settings = telemetry_settings({"OTEL_BLRP_MAX_QUEUE_SIZE": "many"})
        assert settings.batching_of("logs") == Batching(1_000)
        assert "OTEL_BLRP_MAX_QUEUE_SIZE" in settings.problems[0]


class TestTemporality:
    """`OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`."""

    @pytest.mark.parametrize(
        ("value", "temporality", "problems"),
        [
            ("", "cumulative", 0),
            ("Delta", "delta", 0),
            ("lowmemory", "delta", 0),
            ("cumulative", "cumulative", 0),
            ("sometimes", "cumulative", 1),
        ],
    )
    def test_values(self, value: str, temporality: str, problems: int) -> None:
        """Given a value, then what it means for counters and histograms; another one is told, and ignored."""
        settings = telemetry_settings({"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": value})
        assert (settings.temporality, len(settings.problems)) == (temporality, problems)
