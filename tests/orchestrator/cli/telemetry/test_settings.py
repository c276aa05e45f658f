"""What the `OTEL_*` variables say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from orchestrator.cli.telemetry.described import VARIABLES
from orchestrator.cli.telemetry.sampling import is_sampled
from orchestrator.cli.telemetry.settings import (
    Batching,
    Endpoint,
    Limits,
    Settings,
    is_asked_for,
    telemetry_settings,
)
from orchestrator.cli.telemetry.variables import Variables

BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"
HERE = {BASE: "http://127.0.0.1:4318"}


def traces(environ: dict[str, str]) -> Endpoint | None:
    """Return how traces are posted."""
    return telemetry_settings(environ).endpoints.get("traces")


class TestWhetherAnythingIsSent:
    """Who asks, and for what."""

    @pytest.mark.parametrize(
        ("environ", "signals"),
        [
            ({}, ()),
            ({"OTEL_SERVICE_NAME": "nightly"}, ()),
            (HERE, ("traces", "metrics", "logs")),
            ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"}, ("traces",)),
            ({**HERE, "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": " None "}, ("traces",)),
            ({"OTEL_TRACES_EXPORTER": "otlp"}, ("traces",)),
            ({"OTEL_TRACES_EXPORTER": "zipkin,OTLP"}, ("traces",)),
            ({**HERE, "OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}, ()),
            ({**HERE, "OTEL_SDK_DISABLED": "True"}, ()),
            ({**HERE, "OTEL_SDK_DISABLED": "false", "OTEL_TRACES_SAMPLER": "always_off"}, ("metrics", "logs")),
            ({**HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ()),
            ({**HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/protobuf"}, ("logs",)),
            ({BASE: "  "}, ()),
        ],
    )  # fmt: skip
    def test_signals(self, environ: dict[str, str], signals: tuple[str, ...]) -> None:
        """Given variables, then these signals go out by OTLP."""
        assert signals == tuple(telemetry_settings(environ).endpoints) == telemetry_settings(environ).signals

    @pytest.mark.parametrize(
        ("environ", "file", "asked"),
        [({}, None, False), ({"OTEL_X": " "}, None, False), ({"PATH": "/"}, None, False), (HERE, None, True), ({}, "f", True)],
    )  # fmt: skip
    def test_asked_for(self, environ: dict[str, str], file: str | None, asked: bool) -> None:  # noqa: FBT001
        """Given neither a variable that says something nor a file, then nothing needs to be read at all."""
        assert asked == is_asked_for(environ, file)

    def test_a_file(self) -> None:
        """Given a file, then every signal goes there, but for traces that are not sampled, and nothing where all is disabled."""
        assert ("traces", "metrics", "logs") == telemetry_settings({}, "f").files
        assert ("metrics", "logs") == telemetry_settings({"OTEL_TRACES_SAMPLER": "always_off"}, "f").files
        assert () == telemetry_settings({"OTEL_SDK_DISABLED": "true"}, "f").signals


class TestEndpoints:
    """How a signal is posted."""

    @pytest.mark.parametrize(
        ("environ", "url"),
        [
            ({BASE: "http://c:4318"}, "http://c:4318/v1/traces"),
            ({BASE: "http://c:4318/"}, "http://c:4318/v1/traces"),
            ({BASE: "https://c/otlp"}, "https://c/otlp/v1/traces"),
            ({BASE: "http://other", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c"}, "http://c/"),
            ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/here?tenant=1"}, "http://c/here?tenant=1"),
            ({"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318/v1/traces"),
        ],
    )
    def test_address(self, environ: dict[str, str], url: str) -> None:
        """Given an address for all signals, then the path of this one is added; given one of its own, then it is taken as it is."""
        found = traces(environ)
        assert found is not None
        assert url == found.url

    def test_user_and_password(self) -> None:
        """Given a user and a password in the address, then they become a header and stand in no address."""
        found = traces({BASE: "http://an%40na:p%3Aw@c:4318"})
        assert found is not None
        assert ("http://c:4318/v1/traces", "Basic YW5AbmE6cDp3") == (found.url, found.headers["authorization"])

    @pytest.mark.parametrize(
        ("value", "headers"),
        [
            ("api-key=s3cret", {"api-key": "s3cret"}),
            ("A=1, b = two%20words,c=a=b,", {"a": "1", "b": "two words", "c": "a=b"}),
            ("Authorization=Basic%20QQ%3D%3D", {"authorization": "Basic QQ=="}),
        ],
    )
    def test_headers(self, value: str, headers: dict[str, str]) -> None:
        """Given headers, then names are in small letters and values decoded."""
        found = traces({**HERE, "OTEL_EXPORTER_OTLP_HEADERS": value})
        assert found is not None
        assert headers == found.headers

    def test_what_is_of_one_signal_alone(self) -> None:
        """Given a variable for one signal, then it counts for that and takes the place of the common one, also for headers."""
        names = ("HEADERS", "TIMEOUT", "COMPRESSION", "CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")
        common = dict(zip(names, ("a=1", "1000", "gzip", "ca", "key", "crt"), strict=True))
        own = dict(zip(names, ("b=2", "2000", "none", "ca2", "key2", "crt2"), strict=True))
        environ = {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in common.items()}
        environ |= {f"OTEL_EXPORTER_OTLP_LOGS_{name}": value for name, value in own.items()}
        found = telemetry_settings({**HERE, **environ}).endpoints

        url = "http://127.0.0.1:4318/v1"
        assert Endpoint(f"{url}/traces", {"a": "1"}, 1000, "gzip", "ca", "key", "crt") == found["traces"]
        assert Endpoint(f"{url}/logs", {"b": "2"}, 2000, "none", "ca2", "key2", "crt2") == found["logs"]

    def test_nothing_of_it_is_shown(self) -> None:
        """Given a credential in the headers or in the address, then the settings do not show it."""
        environ = {BASE: "http://u:hunter2@c/hunter3", "OTEL_EXPORTER_OTLP_HEADERS": "k=hunter4"}
        assert "hunter" not in repr(telemetry_settings(environ))


class Noting(Mapping[str, str]):
    """Variables that note which of them are asked for."""

    def __init__(self, known: dict[str, str]) -> None:
        self._known = known
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class TestReference:
    """What the reference says of variables."""

    def test_every_variable_is_described(self) -> None:
        """Given all that is read, then these are the variables that are described, for all signals and for one."""
        environ = Noting({**HERE, "OTEL_TRACES_SAMPLER": "traceidratio"})
        telemetry_settings(environ)
        described = set()
        for name in VARIABLES:
            for signal in ("TRACES", "METRICS", "LOGS"):
                described.add(name.replace("[_{SIGNAL}]", f"_{signal}").replace("{SIGNAL}", signal))
            described.add(name.replace("[_{SIGNAL}]", ""))
        assert environ.asked == {name for name in described if "{" not in name}


class TestProblems:
    """What cannot be used is told, and does no harm."""

    def test_propagators(self) -> None:
        """Given propagators of which one is not there, then that is told, without its name; those that are, are no problem."""
        assert telemetry_settings({**HERE, "OTEL_PROPAGATORS": "tracecontext, Baggage,none"}).problems == ()
        (problem,) = telemetry_settings({**HERE, "OTEL_PROPAGATORS": "tracecontext,b3"}).problems
        assert (
            problem == "OTEL_PROPAGATORS names what is not there and is left out: tracecontext and baggage and none are"
        )

    @pytest.mark.parametrize(
        ("name", "value", "told"),
        [
            (BASE, "hunter2:4318", "is no address"),
            (BASE, "ftp://hunter2", "is no address"),
            (BASE, "http://", "is no address"),
            (BASE, "https:///", "is no address"),
            (BASE, "http://hun\tter2", "is no address"),
            (BASE, "http://[hunter2", "is no address"),
            (BASE, "http://hunter2:99999", "is no address"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2", "has an entry 1"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,k=hunter2%0d%0aX: y", "has an entry 2"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "hunter2", "is no whole number"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "-1", "is no whole number"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10", "is 10 milliseconds, not seconds"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli", "says none of none, gzip"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "a protocol that is not there"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "a protocol that is not there"),
            ("OTEL_TRACES_EXPORTER", "hunter2", "an exporter that is not there"),
            ("OTEL_TRACES_EXPORTER", "console", "[telemetry] file"),
            ("OTEL_SDK_DISABLED", "yes", "is neither true nor false"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote", "says none of always_on"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=1,hunter2", "ignored as a whole"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "is no whole number from 1 on"),
            ("OTEL_SPAN_EVENT_COUNT_LIMIT", "many", "is no whole number"),
        ],
    )  # fmt: skip
    def test_one(self, name: str, value: str, told: str) -> None:
        """Given something that cannot be used, then one problem names the variable, says what is wrong, and repeats nothing of the value."""
        settings = telemetry_settings({**HERE, name: value})
        (problem,) = settings.problems
        assert problem.startswith(f"{name} ")
        assert told in problem
        assert "hunter" not in problem

    def test_a_ratio(self) -> None:
        """Given a ratio that is none, then all is sampled, and it is told; without a sampler that has one it says nothing."""
        environ = {**HERE, "OTEL_TRACES_SAMPLER_ARG": "1.5"}
        assert () == telemetry_settings(environ).problems
        settings = telemetry_settings({**environ, "OTEL_TRACES_SAMPLER": "traceidratio"})
        assert (1.0, 1) == (settings.sampler_ratio, len(settings.problems))

    @given(st.dictionaries(st.sampled_from([BASE, "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_EXPORTER",
        "OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"]), st.text(max_size=30)))  # fmt: skip
    def test_any_value(self, environ: dict[str, str]) -> None:
        """For any values: there are settings, and what would go over the wire can."""
        for endpoint in telemetry_settings(environ).endpoints.values():
            assert endpoint.url.isascii()
            assert endpoint.url.isprintable()
            for name, value in endpoint.headers.items():
                assert name.isascii()
                value.encode("latin-1")
                assert not {"\r", "\n"} & set(value)


class TestResource:
    """What all spans are of."""

    @pytest.mark.parametrize(
        ("environ", "resource"),
        [
            ({}, {"service.name": "orchestrate"}),
            ({"OTEL_SERVICE_NAME": "nightly"}, {"service.name": "nightly"}),
            ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,deployment.environment.name=pro%20d"},
             {"service.name": "a", "deployment.environment.name": "pro d"}),
            ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a", "OTEL_SERVICE_NAME": "b"}, {"service.name": "b"}),
            ({"OTEL_RESOURCE_ATTRIBUTES": "a=1,b"}, {"service.name": "orchestrate"}),
        ],
    )  # fmt: skip
    def test_attributes(self, environ: dict[str, str], resource: dict[str, str]) -> None:
        """Given attributes and a name, then the name of its own variable counts."""
        assert resource == telemetry_settings({**HERE, **environ}).resource


class TestNumbers:
    """Limits and batches."""

    def test_limits(self) -> None:
        """Given limits, then those of spans count before the general ones."""
        assert Limits() == telemetry_settings(HERE).limits
        general = {"OTEL_ATTRIBUTE_COUNT_LIMIT": "5", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "50"}
        assert Limits(5, 50, 128, 128, 5, 5, 5, 50) == telemetry_settings({**HERE, **general}).limits
        own = {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "6", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "60"}
        own |= {"OTEL_SPAN_EVENT_COUNT_LIMIT": "1", "OTEL_SPAN_LINK_COUNT_LIMIT": "0"}
        own |= {"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": "3", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": "4"}
        assert Limits(6, 60, 1, 0, 3, 4, 5, 50) == telemetry_settings({**HERE, **general, **own}).limits

    def test_limits_of_records(self) -> None:
        """Given limits, then those of records of logs count before the general ones, and not for spans."""
        general = {"OTEL_ATTRIBUTE_COUNT_LIMIT": "5", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "50"}
        own = {"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "7", "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": "8"}
        limits = telemetry_settings({**HERE, **general, **own}).limits
        assert (limits.attributes, limits.value_length) == (5, 50)
        assert (limits.attributes_of_record, limits.value_length_of_record) == (7, 8)

    def test_batches(self) -> None:
        """Given sizes, then a batch is never larger than the queue."""
        environ = {
            "OTEL_BSP_SCHEDULE_DELAY": "0",
            "OTEL_BSP_MAX_QUEUE_SIZE": "10",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "20",
        }
        assert Batching(0, 10, 10) == telemetry_settings({**HERE, **environ}).batching

    def test_a_name(self) -> None:
        """Given several names of which none is set, then a message names the first."""
        assert "A" == Variables({"B": " "}).name("A", "B")


class TestSampling:
    """Which traces are sent."""

    @pytest.mark.parametrize(
        ("sampler", "parent", "sampled"),
        [
            ("always_on", False, True), ("always_off", True, False),
            ("parentbased_always_on", None, True), ("parentbased_always_on", False, False), ("parentbased_always_on", True, True),
            ("parentbased_always_off", None, False), ("parentbased_always_off", True, True),
            ("parentbased_traceidratio", True, True), ("parentbased_traceidratio", None, False),
        ],
    )  # fmt: skip
    def test_samplers(self, sampler: str, parent: Any, sampled: Any) -> None:  # noqa: ANN401
        """Given a sampler, then a caller's decision counts for those that are based on it."""
        settings = Settings(sampler=sampler, sampler_ratio=0.0)
        assert sampled == is_sampled(settings, "ab" * 16, parent)

    @given(st.integers(1, (1 << 128) - 1), st.floats(0, 1))
    def test_a_ratio(self, trace: int, ratio: float) -> None:
        """For any trace and ratio: as the SDK decides."""
        settings = attrs.evolve(Settings(), sampler="traceidratio", sampler_ratio=ratio)
        theirs = TraceIdRatioBased(ratio).should_sample(None, trace, "RUN").decision is Decision.RECORD_AND_SAMPLE
        assert theirs == is_sampled(settings, f"{trace:032x}", None)
